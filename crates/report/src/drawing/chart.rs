//! Charts of errors in percent over epochs, steps or the values of a setting: panels side by side, a legend above them, names at the ends of lines.

use std::collections::BTreeSet;

use plotters::style::RGBColor;

use super::{
    AXIS, GRID, INK, MUTED,
    axis::Axis,
    canvas::Canvas,
    stroke::{Dash, Point},
    text::{Align, Font},
};

const WIDTH: f64 = 1600.0;
const MARGIN: f64 = 40.0;
/// Room left of a panel for the numbers of its axis.
const AXIS_ROOM: f64 = 62.0;
/// Room for the names at the ends of lines.
const LABEL_ROOM: f64 = 200.0;
const PANEL_HEIGHT: f64 = 520.0;
/// Height of a panel when there are several rows of them.
const SMALL_PANEL_HEIGHT: f64 = 330.0;
/// Distance of baselines of the names at the ends of lines.
const LABEL_STEP: f64 = 18.0;

/// A line with what belongs to it. Values are percent; NaN leaves a gap.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    pub(crate) color: RGBColor,
    pub(crate) width: f64,
    pub(crate) dash: Dash,
    /// (epoch, value)
    pub(crate) points: Vec<(f64, f64)>,
    /// (epoch, low, high)
    pub(crate) band: Vec<(f64, f64, f64)>,
    /// What is written at its end.
    pub(crate) label: Option<String>,
    /// Whether it ended before its time: a cross marks the place.
    pub(crate) broken_off: bool,
}

/// One pair of axes.
#[derive(Clone, Debug)]
pub(crate) struct Panel {
    pub(crate) title: String,
    pub(crate) series: Vec<Series>,
}

/// What a colour and a pattern stand for.
#[derive(Clone, Debug)]
pub(crate) struct LegendEntry {
    pub(crate) label: String,
    /// What follows the label and is never cut, such as ` (n = 10)`.
    pub(crate) note: String,
    pub(crate) color: RGBColor,
    pub(crate) width: f64,
    pub(crate) dash: Dash,
}

/// What a chart goes along.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Along {
    /// Epochs, or steps: whole numbers, with this word.
    Numbers(&'static str),
    /// Values at equal distances, numbered from 0, of what has this name.
    Values(String, Vec<String>),
}

/// Rows of panels with common axes.
#[derive(Clone, Debug)]
pub(crate) struct Chart {
    pub(crate) title: String,
    pub(crate) caption: String,
    pub(crate) legend: Vec<LegendEntry>,
    /// What the horizontal axes are.
    pub(crate) along: Along,
    /// Rows of equally many panels.
    pub(crate) rows: Vec<Vec<Panel>>,
}

/// A panel's corners and axes.
struct Frame<'a> {
    from: Point,
    to: Point,
    x: &'a Axis,
    y: &'a Axis,
    along: &'a Along,
}

impl Chart {
    pub(crate) fn draw(&self) -> Canvas {
        let legend = self.legend_rows();
        let top = 96.0 + 28.0 * legend.len() as f64;
        let panel_height = if self.rows.len() > 1 {
            SMALL_PANEL_HEIGHT
        } else {
            PANEL_HEIGHT
        };
        let row_height = panel_height + 108.0;
        let mut canvas = Canvas::new(WIDTH, top + row_height * self.rows.len() as f64 + 8.0);
        let room = WIDTH - 2.0 * MARGIN;
        let title = Font::bold(24.0, INK);
        canvas.text(
            (MARGIN, 46.0),
            &title.fit(&self.title, room),
            title,
            Align::Left,
        );
        let caption = Font::new(15.0, MUTED);
        canvas.text(
            (MARGIN, 74.0),
            &caption.fit(&self.caption, room),
            caption,
            Align::Left,
        );
        for (i, row) in legend.iter().enumerate() {
            draw_legend(&mut canvas, row, 104.0 + 28.0 * i as f64);
        }
        let (x, y) = self.axes();
        let labels = self
            .rows
            .iter()
            .flatten()
            .any(|panel| panel.series.iter().any(|series| series.label.is_some()));
        let label_room = if labels { LABEL_ROOM } else { 0.0 };
        for (i, row) in self.rows.iter().enumerate() {
            let columns = row.len().max(1) as f64;
            let width = (room - label_room - (columns - 1.0) * 30.0) / columns;
            for (j, panel) in row.iter().enumerate() {
                let left = MARGIN + j as f64 * (width + 30.0);
                let upper = top + i as f64 * row_height + 44.0;
                let frame = Frame {
                    from: (left + AXIS_ROOM, upper),
                    to: (left + width, upper + panel_height),
                    x: &x,
                    y: &y,
                    along: &self.along,
                };
                frame.draw(&mut canvas, panel);
            }
        }
        canvas
    }

    /// Axes that hold every line of every panel, so that panels can be compared.
    fn axes(&self) -> (Axis, Axis) {
        let series = || self.rows.iter().flatten().flat_map(|panel| &panel.series);
        let epochs = || series().flat_map(|s| &s.points).map(|&(epoch, _)| epoch);
        let first = epochs().fold(f64::INFINITY, f64::min);
        let last = epochs().fold(f64::NEG_INFINITY, f64::max);
        let x = if let Along::Values(_, values) = &self.along {
            Axis::epochs(0, values.len().saturating_sub(1) as u32)
        } else if first <= last {
            Axis::epochs(first as u32, last as u32)
        } else {
            Axis::epochs(1, 1)
        };
        let values = || {
            series()
                .flat_map(|s| {
                    let points = s.points.iter().map(|&(_, value)| value);
                    points.chain(s.band.iter().flat_map(|&(_, low, high)| [low, high]))
                })
                .filter(|value| value.is_finite())
        };
        let low = values().fold(f64::INFINITY, f64::min);
        let high = values().fold(f64::NEG_INFINITY, f64::max);
        (x, Axis::percent(low, high))
    }

    /// The legend, broken into rows that fit: (entry, text, x).
    fn legend_rows(&self) -> Vec<Vec<(&LegendEntry, String, f64)>> {
        let font = Font::new(16.0, INK);
        let mut rows: Vec<Vec<(&LegendEntry, String, f64)>> = Vec::new();
        let mut x = f64::INFINITY;
        for (entry, text) in self.legend.iter().zip(self.legend_texts(font)) {
            let width = 44.0 + font.width(&text) + 34.0;
            if x + width > WIDTH - MARGIN {
                rows.push(Vec::new());
                x = MARGIN;
            }
            if let Some(row) = rows.last_mut() {
                row.push((entry, text, x));
            }
            x += width;
        }
        rows
    }

    /// The texts of the legend, cut to the narrowest width that keeps different names different.
    fn legend_texts(&self, font: Font) -> Vec<String> {
        let mut texts = Vec::new();
        for width in [420.0, 660.0, WIDTH - 2.0 * MARGIN - 80.0] {
            texts = self
                .legend
                .iter()
                .map(|entry| font.fit(&entry.label, width - font.width(&entry.note)) + &entry.note)
                .collect();
            if texts.iter().collect::<BTreeSet<_>>().len() == texts.len() {
                break;
            }
        }
        texts
    }
}

fn draw_legend(canvas: &mut Canvas, row: &[(&LegendEntry, String, f64)], baseline: f64) {
    for (entry, text, x) in row {
        let y = baseline - 5.5;
        canvas.line(
            &[(*x, y), (x + 34.0, y)],
            entry.color,
            entry.width,
            entry.dash,
        );
        canvas.text(
            (x + 44.0, baseline),
            text,
            Font::new(16.0, INK),
            Align::Left,
        );
    }
}

impl Frame<'_> {
    fn draw(&self, canvas: &mut Canvas, panel: &Panel) {
        self.draw_axes(canvas, &panel.title);
        for series in &panel.series {
            self.draw_band(canvas, series);
        }
        for series in &panel.series {
            self.draw_line(canvas, series);
        }
        self.draw_labels(canvas, &panel.series);
    }

    fn point(&self, epoch: f64, value: f64) -> Point {
        // Room at both sides, so that markers don't touch the axis.
        let inset = 12.0;
        let width = self.to.0 - self.from.0 - 2.0 * inset;
        (
            self.from.0 + inset + width * self.x.place(epoch),
            self.to.1 - (self.to.1 - self.from.1) * self.y.place(value),
        )
    }

    fn draw_axes(&self, canvas: &mut Canvas, title: &str) {
        let font = Font::bold(17.0, INK);
        let title = font.fit(title, self.to.0 - self.from.0 + AXIS_ROOM);
        canvas.text(
            (self.from.0 - AXIS_ROOM, self.from.1 - 20.0),
            &title,
            font,
            Align::Left,
        );
        let numbers = Font::new(14.0, MUTED);
        for &tick in &self.y.ticks {
            let y = self.point(self.x.low, tick).1;
            canvas.rectangle((self.from.0, y - 0.5), (self.to.0, y + 0.5), GRID, 1.0);
            let text = format!("{} %", self.y.label(tick));
            canvas.text((self.from.0 - 9.0, y + 5.0), &text, numbers, Align::Right);
        }
        let floor = self.to.1;
        canvas.rectangle(
            (self.from.0, floor - 0.5),
            (self.to.0, floor + 1.0),
            AXIS,
            1.0,
        );
        for &tick in &self.x.ticks {
            let x = self.point(tick, self.y.low).0;
            canvas.rectangle((x - 0.5, floor), (x + 0.5, floor + 6.0), AXIS, 1.0);
            let text = match self.along {
                Along::Numbers(_) => self.x.label(tick),
                Along::Values(_, values) => values.get(tick as usize).cloned().unwrap_or_default(),
            };
            canvas.text((x, floor + 24.0), &text, numbers, Align::Middle);
        }
        let middle = f64::midpoint(self.from.0, self.to.0);
        let word = match self.along {
            Along::Numbers(word) => word,
            Along::Values(name, _) => name.as_str(),
        };
        let font = Font::new(15.0, MUTED);
        canvas.text((middle, floor + 48.0), word, font, Align::Middle);
    }

    fn draw_band(&self, canvas: &mut Canvas, series: &Series) {
        let edges: Vec<(f64, f64, f64)> = series
            .band
            .iter()
            .map(|&(epoch, low, high)| {
                let (x, top) = self.point(epoch, high);
                (x, top, self.point(epoch, low).1)
            })
            .collect();
        let whole = |edge: &(f64, f64, f64)| edge.1.is_finite() && edge.2.is_finite();
        for run in edges.split(|edge| !whole(edge)) {
            canvas.band(run, series.color, 0.16);
        }
    }

    fn draw_line(&self, canvas: &mut Canvas, series: &Series) {
        let runs = series.points.split(|(_, value)| !value.is_finite());
        for run in runs.filter(|run| !run.is_empty()) {
            let points: Vec<Point> = run.iter().map(|&(x, y)| self.point(x, y)).collect();
            if let [point] = points[..] {
                canvas.disc(point, series.width + 2.0, series.color);
            } else {
                canvas.line(&points, series.color, series.width, series.dash);
            }
        }
        if let (true, Some((x, y))) = (series.broken_off, self.end(series)) {
            let arm = 5.0;
            let cross = [(-arm, -arm, arm, arm), (-arm, arm, arm, -arm)];
            for (x0, y0, x1, y1) in cross {
                let line = [(x + x0, y + y0), (x + x1, y + y1)];
                canvas.line(&line, series.color, 2.5, Dash::Solid);
            }
        }
    }

    /// The last point of a line.
    fn end(&self, series: &Series) -> Option<Point> {
        let last = series.points.iter().rev().find(|(_, y)| y.is_finite())?;
        Some(self.point(last.0, last.1))
    }

    /// The names at the ends of lines, moved apart where they would overlap.
    fn draw_labels(&self, canvas: &mut Canvas, series: &[Series]) {
        let mut labels: Vec<(Point, &str, RGBColor)> = series
            .iter()
            .filter_map(|s| Some((self.end(s)?, s.label.as_deref()?, s.color)))
            .collect();
        labels.sort_by(|a, b| a.0.1.total_cmp(&b.0.1));
        let wanted: Vec<f64> = labels.iter().map(|(end, ..)| end.1).collect();
        let places = spread(&wanted, LABEL_STEP, self.from.1, self.to.1);
        for ((end, label, color), y) in labels.into_iter().zip(places) {
            let x = self.to.0 + 18.0;
            if (y - end.1).abs() > 3.0 {
                let leader = [(end.0 + 5.0, end.1), (x - 4.0, y)];
                canvas.line(&leader, AXIS, 0.8, Dash::Solid);
            }
            let font = Font::bold(15.0, color);
            let label = font.fit(label, LABEL_ROOM - 18.0);
            canvas.text((x, y + 5.0), &label, font, Align::Left);
        }
    }
}

/// Places near the wanted ones (which grow), at least `step` apart and from `low` to `high` if there is room.
fn spread(wanted: &[f64], step: f64, low: f64, high: f64) -> Vec<f64> {
    // Blocks of touching labels, each around the mean of what its members want.
    let mut blocks: Vec<(f64, usize)> = Vec::new();
    for &y in wanted {
        let mut block = (y, 1usize);
        while let Some(&(above, count)) = blocks.last() {
            let reach = f64::midpoint(count as f64, block.1 as f64) * step;
            if block.0 - above >= reach {
                break;
            }
            let total = count + block.1;
            let center = (above * count as f64 + block.0 * block.1 as f64) / total as f64;
            block = (center, total);
            blocks.pop();
        }
        blocks.push(block);
    }
    let mut places = Vec::with_capacity(wanted.len());
    for (center, count) in blocks {
        let first = center - (count as f64 - 1.0) / 2.0 * step;
        places.extend((0..count).map(|i| first + i as f64 * step));
    }
    // Pushed back inside, from below and then from above.
    let mut limit = high;
    for place in places.iter_mut().rev() {
        *place = place.min(limit);
        limit = *place - step;
    }
    let mut limit = low;
    for place in &mut places {
        *place = place.max(limit);
        limit = *place + step;
    }
    places
}

#[cfg(test)]
mod tests {
    use super::spread;
    use proptest::prelude::*;

    #[test]
    fn labels_with_room_stay_and_others_share_the_way() {
        assert_eq!(spread(&[10.0, 50.0], 18.0, 0.0, 100.0), [10.0, 50.0]);
        assert_eq!(spread(&[50.0, 50.0], 18.0, 0.0, 100.0), [41.0, 59.0]);
        assert_eq!(spread(&[0.0, 0.0], 18.0, 0.0, 100.0), [0.0, 18.0]);
    }

    proptest! {
        #[test]
        fn labels_never_overlap(mut wanted in prop::collection::vec(0.0..500.0f64, 0..20)) {
            wanted.sort_by(f64::total_cmp);
            let places = spread(&wanted, 18.0, 0.0, 500.0);
            prop_assert_eq!(places.len(), wanted.len());
            prop_assert!(places.windows(2).all(|pair| pair[1] - pair[0] > 18.0 - 1e-6));
            prop_assert!(places.iter().all(|&y| (-1e-6..=500.0 + 1e-6).contains(&y)));
        }
    }
}
