//! Broken lines.

/// A point in pixels.
pub(crate) type Point = (f64, f64);

/// How a line is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dash {
    Solid,
    Dashed,
    Dotted,
    Mixed,
}

impl Dash {
    /// The pattern for the colours' first, second… use.
    pub(crate) fn of_round(round: usize) -> Self {
        [Self::Solid, Self::Dashed, Self::Dotted, Self::Mixed][round % 4]
    }

    /// Lengths of ink and gap in turn, in widths of the line.
    fn pattern(self) -> &'static [f64] {
        match self {
            Self::Solid => &[],
            Self::Dashed => &[5.0, 3.0],
            Self::Dotted => &[1.0, 2.2],
            Self::Mixed => &[5.0, 2.2, 1.0, 2.2],
        }
    }

    /// The inked pieces of a line.
    pub(crate) fn pieces(self, points: &[Point], width: f64) -> Vec<Vec<Point>> {
        let pattern = self.pattern();
        if pattern.is_empty() || points.len() < 2 {
            return vec![points.to_vec()];
        }
        let (mut pieces, mut piece) = (Vec::new(), vec![points[0]]);
        let (mut phase, mut left) = (0, pattern[0] * width);
        for pair in points.windows(2) {
            let (mut from, to) = (pair[0], pair[1]);
            loop {
                let length = (to.0 - from.0).hypot(to.1 - from.1);
                let inked = phase % 2 == 0;
                if length <= left {
                    left -= length;
                    if inked {
                        piece.push(to);
                    }
                    break;
                }
                let t = left / length;
                from = (from.0 + t * (to.0 - from.0), from.1 + t * (to.1 - from.1));
                if inked {
                    piece.push(from);
                    pieces.push(std::mem::take(&mut piece));
                } else {
                    piece = vec![from];
                }
                phase = (phase + 1) % pattern.len();
                left = pattern[phase] * width;
            }
        }
        if piece.len() > 1 {
            pieces.push(piece);
        }
        pieces
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dashes_follow_the_line_round_its_corners() {
        let line = [(0.0, 0.0), (6.0, 0.0), (6.0, 10.0)];
        let pieces = Dash::Dashed.pieces(&line, 1.0);
        assert_eq!(
            pieces,
            [vec![(0.0, 0.0), (5.0, 0.0)], vec![(6.0, 2.0), (6.0, 7.0)],]
        );
        assert_eq!(Dash::Solid.pieces(&line, 1.0), [line.to_vec()]);
    }
}
