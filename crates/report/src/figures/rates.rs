//! `lr-find-<variant>.png`: the loss at growing learning rates.

use std::path::Path;

use crate::{
    ReportError,
    drawing::{AXIS, Align, Axis, BLUE, Canvas, Dash, Font, GRID, INK, MUTED, Point, WRONG, tint},
};

const WIDTH: f64 = 1100.0;
const HEIGHT: f64 = 660.0;
const MARGIN: f64 = 40.0;
/// Corners of the panel.
const FROM: Point = (104.0, 150.0);
const TO: Point = (1060.0, 570.0);
/// Distance of the baselines of marks' labels.
const STEP: f64 = 22.0;

/// The figure of a range test.
#[derive(Clone, Debug, Default)]
pub struct Rates {
    /// The title.
    pub title: String,
    /// What is shown, in a line.
    pub caption: String,
    /// The steps in their order: learning rate (above 0, growing), loss, smoothed loss.
    pub points: Vec<(f64, f64, f64)>,
    /// Rates that are marked, each with a word; the first one stands out.
    pub marks: Vec<(f64, String)>,
}

impl Rates {
    /// Draws the losses over the logarithm of the rate, and writes the figure as PNG. Losses that blow up
    /// lie on the upper edge.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn write(&self, path: &Path) -> Result<(), ReportError> {
        self.draw().write(path)
    }

    fn draw(&self) -> Canvas {
        let mut canvas = Canvas::new(WIDTH, HEIGHT);
        for (text, font, baseline) in [
            (&self.title, Font::bold(24.0, INK), 46.0),
            (&self.caption, Font::new(15.0, MUTED), 74.0),
        ] {
            let text = font.fit(text, WIDTH - 2.0 * MARGIN);
            canvas.text((MARGIN, baseline), &text, font, Align::Left);
        }
        let rates = self.points.iter().map(|(lr, ..)| lr.log10());
        let (low, high) = range(rates);
        let x = Axis::decades(low, high);
        let (low, high) = self.losses();
        let y = Axis::numbers(low, high);
        draw_axes(&mut canvas, &x, &y);
        let place = |lr: f64, loss: f64| {
            (
                FROM.0 + (TO.0 - FROM.0) * x.place(lr.log10()),
                TO.1 - (TO.1 - FROM.1) * y.place(loss),
            )
        };
        for &(lr, loss, _) in &self.points {
            canvas.disc(place(lr, loss), 2.2, tint(BLUE, 0.35));
        }
        let line: Vec<Point> = (self.points.iter())
            .map(|&(lr, _, smoothed)| place(lr, smoothed))
            .collect();
        if !line.is_empty() {
            canvas.line(&line, BLUE, 2.6, Dash::Solid);
        }
        self.draw_marks(&mut canvas, &place);
        canvas
    }

    /// The range of losses that is shown: what the smoothed loss was until it was lowest, and some more. Beyond that it only
    /// blows up.
    fn losses(&self) -> (f64, f64) {
        let smoothed = || self.points.iter().map(|(.., smoothed)| *smoothed);
        let (low, _) = range(smoothed());
        let until = smoothed().position(|loss| loss <= low).unwrap_or(0);
        let (_, before) = range(smoothed().take(until + 1));
        let (_, most) = range(smoothed());
        let room = (before - low).max(0.1 * low.abs());
        (low, (before + room).min(most))
    }

    fn draw_marks(&self, canvas: &mut Canvas, place: &impl Fn(f64, f64) -> Point) {
        for (number, (lr, word)) in self.marks.iter().enumerate() {
            let color = if number == 0 { WRONG } else { MUTED };
            let nearest = self.points.iter().min_by(|a, b| {
                let distance = |point: &(f64, f64, f64)| (point.0 / lr).ln().abs();
                distance(a).total_cmp(&distance(b))
            });
            let Some(&(_, _, smoothed)) = nearest else {
                continue;
            };
            let at = place(*lr, smoothed);
            let top = FROM.1 - 12.0 - STEP * number as f64;
            let dash = if number == 0 {
                Dash::Solid
            } else {
                Dash::Dashed
            };
            canvas.line(&[(at.0, TO.1), (at.0, top + 6.0)], color, 1.4, dash);
            canvas.disc(at, 5.0, color);
            let font = Font::bold(15.0, color);
            // To the side that has room.
            let (x, align) = if at.0 > 0.7 * WIDTH {
                (at.0 - 8.0, Align::Right)
            } else {
                (at.0 + 8.0, Align::Left)
            };
            canvas.text((x, top + 6.0), &format!("{lr:.2e}  {word}"), font, align);
        }
    }
}

/// The lowest and the highest of some numbers; 0 and 1 without any.
fn range(values: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let values = values.filter(|value| value.is_finite());
    let low = values.clone().fold(f64::INFINITY, f64::min);
    let high = values.fold(f64::NEG_INFINITY, f64::max);
    if low <= high { (low, high) } else { (0.0, 1.0) }
}

fn draw_axes(canvas: &mut Canvas, x: &Axis, y: &Axis) {
    let numbers = Font::new(14.0, MUTED);
    for &tick in &y.ticks {
        let height = TO.1 - (TO.1 - FROM.1) * y.place(tick);
        canvas.rectangle((FROM.0, height - 0.5), (TO.0, height + 0.5), GRID, 1.0);
        let at = (FROM.0 - 9.0, height + 5.0);
        canvas.text(at, &y.label(tick), numbers, Align::Right);
    }
    canvas.rectangle((FROM.0, TO.1 - 0.5), (TO.0, TO.1 + 1.0), AXIS, 1.0);
    for &tick in &x.ticks {
        let left = FROM.0 + (TO.0 - FROM.0) * x.place(tick);
        canvas.rectangle((left - 0.5, TO.1), (left + 0.5, TO.1 + 6.0), AXIS, 1.0);
        let text = format!("1e{}", x.label(tick));
        canvas.text((left, TO.1 + 24.0), &text, numbers, Align::Middle);
    }
    let font = Font::new(15.0, MUTED);
    let below = (f64::midpoint(FROM.0, TO.0), TO.1 + 48.0);
    canvas.text(below, "learning rate", font, Align::Middle);
    canvas.text((MARGIN, FROM.1 - 14.0), "loss", font, Align::Left);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_curve_goes_where_the_numbers_are() {
        let rates = Rates {
            points: (0..=80)
                .map(|i| {
                    let lr = 10f64.powf(f64::from(i) / 10.0 - 7.0);
                    let smoothed = if i < 60 { 2.0 } else { 1.0 };
                    (lr, 2.0, smoothed)
                })
                .collect(),
            marks: vec![(1e-3, "steepest".to_owned()), (f64::MAX, "far".to_owned())],
            ..Rates::default()
        };
        let picture = rates.draw().finish().unwrap();
        let is_blue = |x: f64, y: f64| {
            let pixel = picture.get_pixel(x as u32, y as u32).0;
            pixel == [BLUE.0, BLUE.1, BLUE.2]
        };
        // 1e-7 is at the left edge and 10 at the right one; 2 is at the top and 1 at the bottom.
        assert!(is_blue(FROM.0 + 30.0, FROM.1) && is_blue(TO.0 - 30.0, TO.1 - 1.0));
        assert!(!is_blue(TO.0 - 30.0, FROM.1 + 8.0));
        let marked = picture.get_pixel((FROM.0 + (TO.0 - FROM.0) / 2.0) as u32, 300);
        assert_eq!(marked.0, [WRONG.0, WRONG.1, WRONG.2]);
    }

    #[test]
    fn nothing_can_be_drawn() {
        let mark = (1.0, "none".to_owned());
        let rates = Rates {
            marks: vec![mark],
            ..Rates::default()
        };
        assert!(rates.draw().finish().is_ok());
    }
}
