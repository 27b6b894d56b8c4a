//! What was found, as text for people, CSV or JSON lines, written as it comes.

use std::{
    io::{self, Write},
    path::Path,
};

use console::{Style, measure_text_width};
use graft_record::format_float;
use serde::Serialize;

use crate::{cli::PredictFormat, failure::printable};

/// Cells of a bar for a probability of 1.
const BAR: usize = 20;
/// Columns of names are at most as wide as this; longer names stand out.
const WIDEST_NAME: usize = 34;
const WIDEST_PATH: usize = 60;

/// A class and how probable it is.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Guess<'n> {
    pub(super) index: usize,
    pub(super) name: &'n str,
    pub(super) probability: f32,
}

/// The `top` most probable classes, the most probable first and the first of equals before the others.
pub(super) fn rank<'n>(probabilities: &[f32], names: &'n [String], top: usize) -> Vec<Guess<'n>> {
    let key = |&index: &usize| {
        let probability = probabilities[index];
        // What is no number is the least probable.
        if probability.is_nan() {
            f32::NEG_INFINITY
        } else {
            probability
        }
    };
    let mut order: Vec<usize> = (0..probabilities.len()).collect();
    order.sort_by(|a, b| key(b).total_cmp(&key(a)));
    let best = order.into_iter().take(top);
    best.map(|index| Guess {
        index,
        name: &names[index],
        probability: probabilities[index],
    })
    .collect()
}

/// Writes answers in one of the formats.
pub(super) struct Output<W: Write> {
    to: Sink<W>,
    colors: bool,
    /// Columns of the classes' names, and of the paths where each picture has one line.
    widths: (usize, usize),
    /// Whether each picture has one line.
    is_list: bool,
    is_first: bool,
}

/// Where answers go.
enum Sink<W: Write> {
    Text(W),
    Csv(Box<csv::Writer<W>>),
    Json(W),
}

/// A line of JSON.
#[derive(Serialize)]
struct Line<'a> {
    path: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    classes: Option<Vec<Class<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

#[derive(Serialize)]
struct Class<'a> {
    index: usize,
    name: &'a str,
    probability: f64,
}

impl<W: Write> Output<W> {
    /// Starts the output of `top` classes for each of `paths`.
    pub(super) fn new<'a>(
        format: PredictFormat,
        to: W,
        colors: bool,
        names: &[String],
        top: usize,
        paths: impl Iterator<Item = &'a Path>,
    ) -> io::Result<Self> {
        let is_list = top == 1;
        let widest = |widths: &mut dyn Iterator<Item = usize>, most: usize| {
            widths.filter(|&width| width <= most).max().unwrap_or(0)
        };
        let mut name_widths = names.iter().map(|name| measure_text_width(name));
        let mut path_widths = paths.map(|path| measure_text_width(&shown(path)));
        let widths = (
            widest(&mut name_widths, WIDEST_NAME),
            widest(&mut path_widths, WIDEST_PATH),
        );
        let to = match format {
            PredictFormat::Text => Sink::Text(to),
            PredictFormat::Json => Sink::Json(to),
            PredictFormat::Csv => {
                let mut writer = csv::Writer::from_writer(to);
                writer.write_record(["path", "rank", "index", "class", "probability"])?;
                Sink::Csv(Box::new(writer))
            }
        };
        Ok(Self {
            to,
            colors,
            widths,
            is_list,
            is_first: true,
        })
    }

    /// Writes what was found on a picture.
    pub(super) fn found(&mut self, path: &Path, guesses: &[Guess<'_>]) -> io::Result<()> {
        match &mut self.to {
            Sink::Text(_) => return self.text(path, guesses),
            Sink::Csv(writer) => {
                let path = path.to_string_lossy();
                for (rank, guess) in guesses.iter().enumerate() {
                    writer.write_record([
                        &*path,
                        &(rank + 1).to_string(),
                        &guess.index.to_string(),
                        guess.name,
                        &format_float(guess.probability.into()),
                    ])?;
                }
            }
            Sink::Json(to) => {
                let classes = guesses.iter().map(|guess| Class {
                    index: guess.index,
                    name: guess.name,
                    probability: guess.probability.into(),
                });
                let line = Line {
                    path: &path.to_string_lossy(),
                    classes: Some(classes.collect()),
                    error: None,
                };
                writeln!(to, "{}", serde_json::to_string(&line)?)?;
            }
        }
        Ok(())
    }

    /// Notes why there is nothing to tell of a picture. Text and CSV leave it to stderr.
    pub(super) fn failed(&mut self, path: &Path, reason: &str) -> io::Result<()> {
        if let Sink::Json(to) = &mut self.to {
            let line = Line {
                path: &path.to_string_lossy(),
                classes: None,
                error: Some(reason),
            };
            writeln!(to, "{}", serde_json::to_string(&line)?)?;
        }
        Ok(())
    }

    /// Hands on what was written so far.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        match &mut self.to {
            Sink::Text(to) | Sink::Json(to) => to.flush(),
            Sink::Csv(writer) => writer.flush(),
        }
    }

    fn text(&mut self, path: &Path, guesses: &[Guess<'_>]) -> io::Result<()> {
        let Sink::Text(to) = &mut self.to else {
            return Ok(());
        };
        let path = shown(path);
        let styled = |text: String, style: Style| {
            style.force_styling(self.colors).apply_to(text).to_string()
        };
        if !self.is_list {
            if !self.is_first {
                writeln!(to)?;
            }
            writeln!(to, "{}", styled(path.clone(), Style::new().bold()))?;
        }
        self.is_first = false;
        for (rank, guess) in guesses.iter().enumerate() {
            let name = pad(&printable(guess.name), self.widths.0);
            let percent = format!("{:6.2} %", 100.0 * guess.probability);
            let bar = bar(guess.probability);
            let start = if self.is_list {
                pad(&path, self.widths.1)
            } else {
                String::new()
            };
            let name = if rank == 0 && !self.is_list {
                styled(name, Style::new().green())
            } else {
                name
            };
            let bar = styled(bar, Style::new().blue());
            writeln!(
                to,
                "{}",
                format!("{start}  {name}  {percent}  {bar}").trim_end()
            )?;
        }
        Ok(())
    }
}

/// A path on one line.
fn shown(path: &Path) -> String {
    printable(&path.to_string_lossy())
}

/// `text` with spaces up to `width` columns.
fn pad(text: &str, width: usize) -> String {
    let missing = width.saturating_sub(measure_text_width(text));
    format!("{text}{}", " ".repeat(missing))
}

/// A bar as long as the probability, in eighths of a cell.
fn bar(probability: f32) -> String {
    const PARTS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = (probability.clamp(0.0, 1.0) * (8 * BAR) as f32).round() as usize;
    format!("{}{}", "█".repeat(eighths / 8), PARTS[eighths % 8])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Vec<String> {
        ["ant", "bee", "cat", "größte Ameise"]
            .map(str::to_owned)
            .into()
    }

    fn written(format: PredictFormat, top: usize) -> String {
        let (names, mut bytes) = (names(), Vec::new());
        let paths = [
            Path::new("a/1.jpg"),
            Path::new("a/long name.jpg"),
            Path::new("b,\n.jpg"),
        ];
        let mut output = Output::new(
            format,
            &mut bytes,
            false,
            &names,
            top,
            paths.iter().copied(),
        )
        .unwrap();
        let probabilities = [0.25, 0.5, 0.0, 0.25];
        output
            .found(paths[0], &rank(&probabilities, &names, top))
            .unwrap();
        output.failed(paths[1], "it is \"no\" picture").unwrap();
        output
            .found(paths[2], &rank(&probabilities, &names, top))
            .unwrap();
        output.flush().unwrap();
        drop(output);
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn the_first_of_equals_comes_first_and_what_is_no_number_last() {
        let names = names();
        let order = |probabilities: &[f32]| -> Vec<usize> {
            rank(probabilities, &names, 3)
                .iter()
                .map(|guess| guess.index)
                .collect()
        };
        assert_eq!(order(&[0.2, 0.3, 0.2, 0.3]), [1, 3, 0]);
        assert_eq!(order(&[f32::NAN, 0.0, 0.1, -0.0]), [2, 1, 3]);
        assert_eq!(rank(&[0.1], &names, 5).len(), 1);
    }

    #[test]
    fn text_is_aligned() {
        assert_eq!(
            written(PredictFormat::Text, 2),
            "a/1.jpg\n  \
               bee             50.00 %  ██████████\n  \
               ant             25.00 %  █████\n\
             \n\
             b,\\n.jpg\n  \
               bee             50.00 %  ██████████\n  \
               ant             25.00 %  █████\n"
        );
        assert_eq!(
            written(PredictFormat::Text, 1),
            "a/1.jpg          bee             50.00 %  ██████████\n\
             b,\\n.jpg         bee             50.00 %  ██████████\n"
        );
    }

    #[test]
    fn csv_and_json_carry_every_digit() {
        assert_eq!(
            written(PredictFormat::Csv, 2),
            "path,rank,index,class,probability\n\
             a/1.jpg,1,1,bee,0.5\na/1.jpg,2,0,ant,0.25\n\
             \"b,\n.jpg\",1,1,bee,0.5\n\"b,\n.jpg\",2,0,ant,0.25\n"
        );
        let json = written(PredictFormat::Json, 1);
        assert_eq!(
            json.lines().take(2).collect::<Vec<_>>(),
            [
                r#"{"path":"a/1.jpg","classes":[{"index":1,"name":"bee","probability":0.5}]}"#,
                r#"{"path":"a/long name.jpg","error":"it is \"no\" picture"}"#,
            ]
        );
        let third = 1.0_f32 / 3.0;
        let text = format_float(third.into());
        assert_eq!(text.parse::<f64>().unwrap() as f32, third);
    }

    #[test]
    fn bars_grow_by_eighths() {
        assert_eq!(bar(0.0), "");
        assert_eq!(bar(1.0), "█".repeat(20));
        assert_eq!(bar(1.5 / 20.0), "█▌");
        assert_eq!(bar(f32::NAN), "");
    }
}
