//! Outlines as signed distances: negative inside, about 1 per unit of length near the border.
//!
//! The formulas are Inigo Quilez's ("2D distance functions", 2019) or unions of simpler ones.

/// An outline that fits into the unit circle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Disc,
    Ring,
    Square,
    Frame,
    Triangle,
    Star,
    Cross,
    Crescent,
    Heart,
    Tee,
    Ell,
    Half,
    Arrow,
}

impl Shape {
    /// The name of the class.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Disc => "disc",
            Self::Ring => "ring",
            Self::Square => "square",
            Self::Frame => "frame",
            Self::Triangle => "triangle",
            Self::Star => "star",
            Self::Cross => "cross",
            Self::Crescent => "crescent",
            Self::Heart => "heart",
            Self::Tee => "tee",
            Self::Ell => "ell",
            Self::Half => "half",
            Self::Arrow => "arrow",
        }
    }

    /// Signed distance of (x, y) from the outline.
    pub(crate) fn distance(self, x: f32, y: f32) -> f32 {
        match self {
            Self::Disc => x.hypot(y) - 0.85,
            Self::Ring => (x.hypot(y) - 0.7).abs() - 0.18,
            Self::Square => rectangle(x, y, 0.0, 0.0, 0.72, 0.72),
            Self::Frame => (rectangle(x, y, 0.0, 0.0, 0.6, 0.6)).abs() - 0.14,
            Self::Triangle => polygon(x, y + 0.05, 3.0, 0.5),
            Self::Star => star(x, y),
            Self::Cross => {
                rectangle(x, y, 0.0, 0.0, 0.9, 0.24).min(rectangle(x, y, 0.0, 0.0, 0.24, 0.9))
            }
            Self::Crescent => (x.hypot(y) - 0.9).max(0.68 - (x - 0.42).hypot(y)),
            Self::Heart => heart(x, y),
            Self::Tee => {
                rectangle(x, y, 0.0, 0.6, 0.75, 0.2).min(rectangle(x, y, 0.0, -0.2, 0.2, 0.7))
            }
            Self::Ell => {
                rectangle(x, y, -0.45, 0.0, 0.2, 0.8).min(rectangle(x, y, 0.02, -0.6, 0.67, 0.2))
            }
            Self::Half => (x.hypot(y + 0.35) - 0.95).max(-(y + 0.35)),
            Self::Arrow => {
                polygon(x, y - 0.3, 3.0, 0.32).min(rectangle(x, y, 0.0, -0.45, 0.17, 0.45))
            }
        }
    }
}

/// A rectangle with centre and half sides.
fn rectangle(x: f32, y: f32, cx: f32, cy: f32, half_w: f32, half_h: f32) -> f32 {
    let (dx, dy) = ((x - cx).abs() - half_w, (y - cy).abs() - half_h);
    dx.max(0.0).hypot(dy.max(0.0)) + dx.max(dy).min(0.0)
}

/// A regular polygon with a corner on top and the given distance of its sides from the middle.
fn polygon(x: f32, y: f32, corners: f32, apothem: f32) -> f32 {
    let sector = std::f32::consts::TAU / corners;
    let angle = x.atan2(y) - sector / 2.0;
    let folded = angle - sector * (angle / sector).round();
    x.hypot(y) * folded.cos() - apothem
}

/// A star with five points.
fn star(x: f32, y: f32) -> f32 {
    let half = std::f32::consts::PI / 5.0;
    let angle = x.atan2(y);
    let folded = (angle - 2.0 * half * (angle / (2.0 * half)).round()).abs();
    let radius = x.hypot(y);
    // From the tip on the axis to the notch between two tips.
    let (px, py) = (radius * folded.sin(), radius * folded.cos());
    let (tip, notch) = (0.98, 0.42);
    let (nx, ny) = (notch * half.sin(), notch * half.cos());
    let (ex, ey) = (nx, ny - tip);
    let cross = ex * (py - tip) - ey * px;
    cross / ex.hypot(ey)
}

/// A heart with its point below.
fn heart(x: f32, y: f32) -> f32 {
    let scale = 1.45;
    let (x, y) = (x.abs() / scale, (y + 0.8) / scale);
    let distance = if x + y > 1.0 {
        (x - 0.25).hypot(y - 0.75) - 2f32.sqrt() / 4.0
    } else {
        let edge = (0.5 * (x + y)).max(0.0);
        let below = (x - edge).hypot(y - edge);
        x.hypot(y - 1.0).min(below) * (x - y).signum()
    };
    distance * scale
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_fit_the_unit_circle_and_have_an_area() {
        use Shape::*;
        for shape in [
            Disc, Ring, Square, Frame, Triangle, Star, Cross, Crescent, Heart, Tee, Ell, Half,
            Arrow,
        ] {
            let mut inside = 0;
            for row in -60..=60 {
                for column in -60..=60 {
                    let (x, y) = (column as f32 / 50.0, row as f32 / 50.0);
                    let distance = shape.distance(x, y);
                    assert!(distance.is_finite());
                    if distance < 0.0 {
                        inside += 1;
                        assert!(x.hypot(y) <= 1.1, "{shape:?} at {x} {y}");
                    }
                    // No steeper than a distance is, so that edges can be smoothed by it.
                    let next = shape.distance(x + 0.01, y);
                    assert!((next - distance).abs() < 0.012, "{shape:?} at {x} {y}");
                }
            }
            let area = inside as f32 / 2500.0;
            assert!((0.5..2.6).contains(&area), "{shape:?} has area {area}");
        }
    }
}
