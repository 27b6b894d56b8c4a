//! `graft predict`: what a network says is on pictures.

mod names;
mod network;
mod output;
mod pattern;
mod pictures;

use std::{
    collections::BTreeSet,
    io::{self, BufWriter, ErrorKind, IsTerminal, stderr, stdout},
    path::Path,
};

use graft_data::{DataError, Scratch, read_picture};
use graft_record::Thumbnail;
use graft_report::Grid;
use graft_trainer::Predictor;
use indicatif::{ProgressBar, ProgressStyle};
use rayon::prelude::*;

use self::{
    network::Known,
    output::{Guess, Output, rank},
    pictures::Item,
};
use super::{Answer, threads};
use crate::{
    cli::{PredictArgs, PredictFormat},
    failure::{Failure, printable},
};

/// Pictures that are decoded and go through the network together.
const GROUP: usize = 32;
/// What to do about a picture that can't be read.
const UNREADABLE_HINT: &str = "replace or delete the file, or leave it out";

/// Predicts the pictures and writes what was found, in the order of the arguments.
pub fn predict(args: &PredictArgs) -> Result<Answer, Failure> {
    check_grid(args.grid.as_deref())?;
    let items = pictures::list(&args.images);
    if let Some(failure) = nothing_at_all(&items) {
        return Err(failure);
    }
    let pool = threads::pool(args.threads)?;
    let known = network::open(args)?;
    let mut run = Run::start(args, &known, &items)?;
    for group in items.chunks(GROUP) {
        let answers = pool.install(|| answer(&known.predictor, group, run.grid.as_ref()))?;
        for (item, answer) in group.iter().zip(answers) {
            match run.tell(item, answer) {
                Ok(()) => {}
                Err(error) => return stopped(&error),
            }
        }
        if let Err(error) = run.output.flush() {
            return stopped(&error);
        }
    }
    run.finish(args)
}

/// A name that is no PNG's, or a folder that is not there, is better told before the pictures are predicted.
fn check_grid(path: Option<&Path>) -> Result<(), Failure> {
    let Some(path) = path else { return Ok(()) };
    let is_png = path
        .extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("png"));
    if !is_png {
        let problem = format!("--grid {}: the figure is a PNG file", path.display());
        return Err(Failure::bad_input(problem).hint("give it a name that ends in .png"));
    }
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() && !folder.is_dir() => {
            let problem = format!(
                "--grid {}: there is no folder {}",
                path.display(),
                folder.display()
            );
            Err(Failure::bad_input(problem).hint("make the folder first"))
        }
        _ => Ok(()),
    }
}

/// Why there is no picture to predict; none if there is one.
fn nothing_at_all(items: &[Item]) -> Option<Failure> {
    let mut lines = Vec::new();
    for item in items {
        let Item::Nothing { path, reason, hint } = item else {
            return None;
        };
        lines.push((format!("{}: {reason}", shown(path)), *hint));
    }
    let (first, hint) = lines.first()?;
    let more = match lines.len() {
        1 => String::new(),
        n => format!(" (and {} more that lead to none)", n - 1),
    };
    Some(Failure::bad_input(format!("no picture to predict: {first}{more}")).hint(hint))
}

/// The end of an output that nobody reads on, such as that of `head`, or that can't be written.
fn stopped(error: &io::Error) -> Result<Answer, Failure> {
    if error.kind() == ErrorKind::BrokenPipe {
        return Ok(Answer::default());
    }
    Err(Failure::some_failed(format!(
        "can't write the results: {error}"
    )))
}

/// What becomes of a picture.
struct Found {
    probabilities: Vec<f32>,
    /// For the grid.
    picture: Option<Thumbnail>,
}

/// What the network says about some pictures, or why it can't.
fn answer(
    predictor: &Predictor,
    group: &[Item],
    grid: Option<&Grid>,
) -> Result<Vec<Result<Found, String>>, Failure> {
    let prepare = |scratch: &mut Scratch, item: &Item| match item {
        Item::Picture(path) => prepare(predictor, path, grid, scratch),
        Item::Nothing { reason, .. } => Err(reason.clone()),
    };
    let prepared: Vec<Result<Prepared, String>> = group
        .par_iter()
        .map_init(Scratch::default, prepare)
        .collect();
    let mut inputs = Vec::with_capacity(group.len());
    let thumbnails: Vec<Result<Option<Thumbnail>, String>> = prepared
        .into_iter()
        .map(|prepared| {
            prepared.map(|(input, thumbnail)| {
                inputs.push(input);
                thumbnail
            })
        })
        .collect();
    let probabilities = predictor
        .probabilities(&inputs)
        .map_err(Failure::some_failed)?;
    let mut probabilities = probabilities.into_iter();
    let found = thumbnails.into_iter().map(|thumbnail| {
        thumbnail.map(|picture| Found {
            probabilities: probabilities.next().unwrap_or_default(),
            picture,
        })
    });
    Ok(found.collect())
}

/// A network's input, and the picture for the grid.
type Prepared = (Vec<f32>, Option<Thumbnail>);

/// Decodes and transforms one picture.
fn prepare(
    predictor: &Predictor,
    path: &Path,
    grid: Option<&Grid>,
    scratch: &mut Scratch,
) -> Result<Prepared, String> {
    let picture =
        read_picture(path, predictor.exif_orientation()).map_err(|error| match error {
            DataError::BadPicture { reason, .. } => reason.to_string(),
            DataError::Io { source, .. } => source.to_string(),
            other => other.to_string(),
        })?;
    let input = predictor.input(&picture, scratch);
    let input = input.map_err(|error| error.to_string())?;
    let thumbnail = grid
        .filter(|grid| !grid.is_full())
        .map(|grid| grid.thumbnail(picture.width, picture.height, &picture.rgb));
    Ok((input, thumbnail))
}

/// The telling of what was found.
struct Run<'a> {
    known: &'a Known,
    output: Output<BufWriter<io::StdoutLock<'static>>>,
    grid: Option<Grid>,
    top: usize,
    /// All that was named.
    named: usize,
    predicted: usize,
    /// Hints that were given already.
    hints: BTreeSet<&'static str>,
    bar: Option<ProgressBar>,
}

impl<'a> Run<'a> {
    fn start(args: &PredictArgs, known: &'a Known, items: &[Item]) -> Result<Self, Failure> {
        let top = (args.top as usize).min(known.predictor.classes());
        let to = BufWriter::new(stdout().lock());
        let colors = args.format == PredictFormat::Text && console::colors_enabled();
        let paths = items.iter().map(Item::path);
        let output = Output::new(args.format, to, colors, &known.names, top, paths);
        let output = output
            .map_err(|error| Failure::some_failed(format!("can't write the results: {error}")))?;
        let is_shown = stderr().is_terminal() && !stdout().is_terminal();
        Ok(Self {
            known,
            output,
            grid: args.grid.is_some().then(|| Grid::new(items.len())),
            top,
            named: items.len(),
            predicted: 0,
            hints: BTreeSet::new(),
            bar: is_shown.then(|| bar(items.len())),
        })
    }

    /// Tells what was found on one picture.
    fn tell(&mut self, item: &Item, answer: Result<Found, String>) -> io::Result<()> {
        if let Some(bar) = &self.bar {
            bar.inc(1);
        }
        match answer {
            Ok(found) => {
                self.predicted += 1;
                let guesses = rank(&found.probabilities, &self.known.names, self.top);
                self.output.found(item.path(), &guesses)?;
                if let (Some(grid), Some(picture), Some(best)) =
                    (&mut self.grid, found.picture, guesses.first())
                {
                    add(grid, picture, best, item.path());
                }
                Ok(())
            }
            Err(reason) => {
                self.output.failed(item.path(), &reason)?;
                // In the place where the answer would be, if both are seen together.
                self.output.flush()?;
                self.complain(item, &reason);
                Ok(())
            }
        }
    }

    fn complain(&mut self, item: &Item, reason: &str) {
        let hint = match item {
            Item::Picture(_) => UNREADABLE_HINT,
            Item::Nothing { hint, .. } => hint,
        };
        let mut text = format!("error: {}: {reason}", shown(item.path()));
        if self.hints.insert(hint) && !reason.contains("hint: ") {
            text = format!("{text}\nhint: {hint}");
        }
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln!("{text}")),
            None => eprintln!("{text}"),
        }
    }

    /// Draws the grid, and tells how many pictures have no answer.
    fn finish(mut self, args: &PredictArgs) -> Result<Answer, Failure> {
        if let Err(error) = self.output.flush() {
            return stopped(&error);
        }
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        if let (Some(path), Some(grid)) =
            (&args.grid, self.grid.take().filter(|grid| !grid.is_empty()))
        {
            let caption = self.caption(&grid);
            grid.write(path, &self.known.title, &caption)
                .map_err(Failure::some_failed)?;
        }
        let missing = self.named - self.predicted;
        Ok(Answer {
            text: String::new(),
            failure: (missing > 0).then(|| {
                Failure::some_failed(format!(
                    "{missing} of {} could not be predicted",
                    count(self.named, "picture")
                ))
            }),
        })
    }

    /// What the grid shows.
    fn caption(&self, grid: &Grid) -> String {
        let shown = if grid.len() < self.predicted {
            format!("The first {} of {} pictures", grid.len(), self.predicted)
        } else {
            count(grid.len(), "picture")
        };
        let classes = count(self.known.predictor.classes(), "class");
        format!("{shown}, with the most probable of {classes}")
    }
}

/// `1 picture`, `2 pictures`, `2 classes`.
fn count(number: usize, noun: &str) -> String {
    match number {
        1 => format!("1 {noun}"),
        n if noun.ends_with('s') => format!("{n} {noun}es"),
        n => format!("{n} {noun}s"),
    }
}

fn add(grid: &mut Grid, picture: Thumbnail, best: &Guess<'_>, path: &Path) {
    let name = path.file_name().unwrap_or(path.as_os_str());
    grid.add(
        picture,
        best.name,
        best.probability.into(),
        &name.to_string_lossy(),
    );
}

/// A path on one line.
fn shown(path: &Path) -> String {
    printable(&path.to_string_lossy())
}

fn bar(pictures: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} pictures, {eta} left")
        .expect("the template is valid");
    ProgressBar::new(pictures as u64).with_style(style.progress_chars("█▌░"))
}
