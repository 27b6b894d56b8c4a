//! `confusion-<variant>.png`: which classes are taken for which, summed over the repeats.

use super::{Figure, Output, best_cell, class_name, group_name, variant_file};
use crate::{
    ReportError,
    drawing::{Align, BACKGROUND, Canvas, Font, GRID, INK, MUTED, shade},
    sweep::Sweep,
};

/// Up to this many classes, every cell has its count.
const MOST_COUNTS: usize = 16;
/// Up to this many classes, every row and column has its name.
const MOST_NAMES: usize = 50;
/// With more classes than this, a cell is too small to be found, and the figure would take gigabytes.
const MOST_CLASSES: usize = 200;
const MARGIN: f64 = 40.0;

pub(super) struct Confusion;

/// Counts by (true class, predicted class).
struct Matrix {
    classes: usize,
    counts: Vec<u64>,
    repeats: usize,
}

impl Figure for Confusion {
    fn draw(&self, sweep: &Sweep, output: &mut Output<'_>) -> Result<(), ReportError> {
        let classes = sweep.plan.classes.len();
        if classes > MOST_CLASSES {
            output.problem(&format!(
                "the confusion matrix is not drawn: it has room for {MOST_CLASSES} classes, and there are {classes}"
            ));
            return Ok(());
        }
        for variant in &sweep.plan.variants {
            let Some(cell) = best_cell(sweep, variant) else {
                continue;
            };
            let matrix = count(sweep, variant, cell, output);
            if matrix.repeats == 0 {
                continue;
            }
            let name = group_name(sweep, variant, cell);
            let canvas = draw(sweep, &matrix, &name);
            output.save(&variant_file("confusion", variant), canvas)?;
        }
        Ok(())
    }
}

fn count(sweep: &Sweep, variant: &str, cell: &str, output: &mut Output<'_>) -> Matrix {
    let classes = sweep.plan.classes.len();
    let mut matrix = Matrix {
        classes,
        counts: vec![0; classes * classes],
        repeats: 0,
    };
    for (place, trial) in sweep.finished(variant, cell).enumerate() {
        let predictions = match trial.predictions() {
            Ok(predictions) => predictions,
            // The first repeat's are told by the figure of the predictions.
            Err(_) if place == 0 => continue,
            Err(error) => {
                output.problem(&error);
                continue;
            }
        };
        if predictions.is_empty() {
            continue;
        }
        matrix.repeats += 1;
        for row in predictions {
            let (label, predicted) = (row.label as usize, row.predicted as usize);
            if label < classes && predicted < classes {
                matrix.counts[label * classes + predicted] += 1;
            }
        }
    }
    matrix
}

/// Where the matrix is on the canvas.
struct Layout {
    left: f64,
    top: f64,
    side: f64,
    names: f64,
}

fn draw(sweep: &Sweep, matrix: &Matrix, name: &str) -> Canvas {
    let classes = matrix.classes as f64;
    let labels = Font::new(label_size(matrix.classes), INK);
    let side = (900.0 / classes).clamp(7.0, 110.0);
    let names = sweep
        .plan
        .classes
        .iter()
        .map(|class| labels.width(class))
        .fold(40.0, f64::max)
        .min(170.0);
    let layout = Layout {
        left: MARGIN + 34.0 + names + 10.0,
        top: 112.0,
        side,
        names,
    };
    // Names below the matrix are vertical when a column is narrower than its name.
    let below = if columns_are_vertical(sweep, matrix, &layout) {
        names + 20.0
    } else {
        34.0
    };
    let matrix_end = layout.left + side * classes;
    let caption = Font::new(15.0, MUTED);
    let explanation = explanation(matrix);
    let width = (matrix_end + MARGIN).max(caption.width(&explanation) + 2.0 * MARGIN + 1.0);
    let mut canvas = Canvas::new(width, layout.top + side * classes + below + 56.0);
    let room = width - 2.0 * MARGIN;
    let title = Font::bold(24.0, INK);
    let text = format!("{}: {name}", sweep.plan.experiment);
    canvas.text((MARGIN, 46.0), &title.fit(&text, room), title, Align::Left);
    canvas.text((MARGIN, 74.0), &explanation, caption, Align::Left);
    draw_cells(&mut canvas, matrix, &layout);
    draw_names(&mut canvas, sweep, matrix, &layout);
    let axis = Font::new(15.0, MUTED);
    let middle = side * classes / 2.0;
    canvas.vertical_text((MARGIN + 8.0, layout.top + middle), "true class", axis);
    let bottom = layout.top + side * classes + below + 24.0;
    canvas.text(
        (layout.left + middle, bottom),
        "predicted class",
        axis,
        Align::Middle,
    );
    canvas
}

fn explanation(matrix: &Matrix) -> String {
    let repeats = match matrix.repeats {
        1 => "one repeat".to_owned(),
        n => format!("summed over {n} repeats"),
    };
    format!("Validation pictures, {repeats}; colour: share of the true class")
}

fn label_size(classes: usize) -> f64 {
    match classes {
        0..=16 => 15.0,
        17..=30 => 13.0,
        _ => 11.0,
    }
}

fn columns_are_vertical(sweep: &Sweep, matrix: &Matrix, layout: &Layout) -> bool {
    let font = Font::new(label_size(matrix.classes), INK);
    matrix.classes <= MOST_NAMES
        && sweep
            .plan
            .classes
            .iter()
            .any(|class| font.width(class) > layout.side - 8.0)
}

fn draw_cells(canvas: &mut Canvas, matrix: &Matrix, layout: &Layout) {
    let n = matrix.classes;
    let end = (
        layout.left + layout.side * n as f64,
        layout.top + layout.side * n as f64,
    );
    for row in 0..n {
        let counts = &matrix.counts[row * n..(row + 1) * n];
        let total: u64 = counts.iter().sum();
        for (column, &count) in counts.iter().enumerate() {
            let share = count as f64 / total.max(1) as f64;
            let x = layout.left + column as f64 * layout.side;
            let y = layout.top + row as f64 * layout.side;
            let corner = (x + layout.side, y + layout.side);
            canvas.rectangle((x, y), corner, shade(share), 1.0);
            if n <= MOST_COUNTS {
                canvas.frame((x, y), corner, BACKGROUND, 1.0);
                draw_count(canvas, (x, y), layout.side, count, share);
            }
        }
    }
    canvas.frame(
        (layout.left - 1.0, layout.top - 1.0),
        (end.0 + 1.0, end.1 + 1.0),
        GRID,
        1.0,
    );
}

/// A count, and its share of the row where there is room.
fn draw_count(canvas: &mut Canvas, at: (f64, f64), side: f64, count: u64, share: f64) {
    let (ink, soft) = if share > 0.45 {
        (BACKGROUND, BACKGROUND)
    } else {
        (INK, MUTED)
    };
    let middle = at.0 + side / 2.0;
    let text = count.to_string();
    let mut font = Font::bold(if side >= 70.0 { 19.0 } else { 14.0 }, ink);
    font.size *= ((side - 6.0) / font.width(&text)).min(1.0);
    if side >= 70.0 {
        canvas.text((middle, at.1 + side / 2.0), &text, font, Align::Middle);
        let percent = format!("{:.0} %", 100.0 * share);
        let baseline = at.1 + side / 2.0 + 21.0;
        canvas.text(
            (middle, baseline),
            &percent,
            Font::new(14.0, soft),
            Align::Middle,
        );
    } else {
        canvas.text(
            (middle, at.1 + side / 2.0 + 5.0),
            &text,
            font,
            Align::Middle,
        );
    }
}

/// Names of the classes, or numbers where there are too many of them.
fn draw_names(canvas: &mut Canvas, sweep: &Sweep, matrix: &Matrix, layout: &Layout) {
    let n = matrix.classes;
    let named = n <= MOST_NAMES;
    let step = if named {
        1
    } else {
        n.div_ceil(20).next_multiple_of(5)
    };
    let font = Font::new(label_size(if named { n } else { 17 }), INK);
    let vertical = columns_are_vertical(sweep, matrix, layout);
    let floor = layout.top + layout.side * n as f64;
    for class in (0..n).step_by(step) {
        let place = (class as f64 + 0.5) * layout.side;
        let text = if named {
            font.fit(&class_name(sweep, class as u32), layout.names)
        } else {
            class.to_string()
        };
        let row = (layout.left - 10.0, layout.top + place + font.size * 0.36);
        canvas.text(row, &text, font, Align::Right);
        let column = layout.left + place;
        if vertical {
            // From the matrix downwards: the end of the text is at the matrix.
            let middle = floor + 10.0 + font.width(&text) / 2.0;
            canvas.vertical_text((column, middle), &text, font);
        } else {
            canvas.text((column, floor + 24.0), &text, font, Align::Middle);
        }
    }
}
