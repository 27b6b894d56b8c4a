//! Progress as bars: one line for each running trial and one for the sweep, in at most 80 columns.

use std::{collections::BTreeMap, time::Instant};

use graft_record::{EpochRow, TimingRow};
use graft_trainer::StepProgress;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::{Scene, describe_end, describe_stop, fit_label, rough, screen};
use crate::schedule::{End, Job, Listener, Stop};

/// Columns for the name of a trial.
const LABEL: usize = 24;
/// The line of a trial: name, epoch, bar of the epoch's steps, figures.
const TRIAL_LINE: &str = "{prefix} {bar:12} {wide_msg}";
/// The line of the sweep. It is the last one and leaves room at its end for the `^C` of a terminal.
const SWEEP_LINE: &str = "{bar:16} {pos}/{len} trials{msg}";
/// Columns for what is said beside the bar of the sweep.
const SWEEP_TEXT: usize = 46;
const BAR_CHARACTERS: &str = "█▌░";

/// Progress as bars.
pub struct LiveProgress {
    scene: Scene,
    screen: MultiProgress,
    sweep: ProgressBar,
    since: Instant,
    failed: usize,
    running: BTreeMap<usize, Line>,
    /// What the sweep is doing instead of going on.
    stopping: Option<&'static str>,
}

/// The line of a running trial.
struct Line {
    bar: ProgressBar,
    label: String,
    since: Instant,
    val_accuracy: Option<f64>,
}

impl LiveProgress {
    /// A display of this sweep.
    pub fn new(scene: Scene) -> Self {
        let screen = MultiProgress::with_draw_target(screen::target());
        let sweep = screen.add(ProgressBar::new(scene.total as u64));
        sweep.set_style(style(SWEEP_LINE));
        sweep.set_position(scene.finished as u64);
        let live = Self {
            scene,
            screen,
            sweep,
            since: Instant::now(),
            failed: 0,
            running: BTreeMap::new(),
            stopping: None,
        };
        live.draw_sweep();
        live
    }

    fn draw_sweep(&self) {
        let failed = if self.failed > 0 {
            format!(", {} failed", self.failed)
        } else {
            String::new()
        };
        let outlook = self
            .stopping
            .map_or_else(|| self.scene.left(), str::to_owned);
        let comma = if outlook.is_empty() { "" } else { ", " };
        let text = format!("{failed}  {}{comma}{outlook}", rough(self.since.elapsed()));
        self.sweep
            .set_message(text.chars().take(SWEEP_TEXT).collect::<String>());
    }

    /// Takes the line of a worker off the screen.
    fn take_line(&mut self, worker: usize) -> Option<Line> {
        let line = self.running.remove(&worker)?;
        line.bar.finish_and_clear();
        self.screen.remove(&line.bar);
        Some(line)
    }

    /// A line that stays, above the bars.
    fn say(&self, line: &str) {
        // A terminal that can't be written to shows no bars either.
        drop(self.screen.println(line));
    }
}

impl Listener for LiveProgress {
    fn grew(&mut self, ids: &[String]) {
        self.scene.grow(ids);
        self.sweep.set_length(self.scene.total as u64);
    }

    fn started(&mut self, job: &Job, worker: usize, _threads: usize) {
        let key = self.scene.trials.get(&job.id);
        let label = key.map_or_else(|| job.id.clone(), |key| fit_label(key, LABEL));
        let bar = self.screen.insert_before(&self.sweep, ProgressBar::new(1));
        bar.set_style(style(TRIAL_LINE));
        bar.set_prefix(format!("{label:<LABEL$}        "));
        bar.set_message("starting");
        self.running.insert(
            worker,
            Line {
                bar,
                label,
                since: Instant::now(),
                val_accuracy: None,
            },
        );
    }

    fn step(&mut self, job: &Job, worker: usize, progress: &StepProgress) {
        self.scene.follow(&job.id, progress);
        let Some(line) = self.running.get_mut(&worker) else {
            return;
        };
        let StepProgress {
            epoch,
            epochs,
            batch,
            batches,
            ..
        } = *progress;
        let width = epochs.to_string().len();
        let epoch = format!("{epoch:>width$}/{epochs}");
        line.bar
            .set_prefix(format!("{:<LABEL$} {epoch:>7}", line.label));
        line.bar.set_length(batches as u64);
        line.bar.set_position(batch as u64);
        let accuracy = line
            .val_accuracy
            .map_or_else(String::new, |value| format!(" val {value:.3}"));
        let message = if progress.validating {
            format!("loss {:.3}{accuracy} validating", progress.train_loss)
        } else {
            format!(
                "loss {:.3}{accuracy} {:.0}/s",
                progress.train_loss, progress.images_per_second
            )
        };
        line.bar.set_message(message);
    }

    fn epoch(&mut self, job: &Job, worker: usize, row: &EpochRow, timing: &TimingRow) {
        self.scene.outlook.epoch(&job.id, timing.seconds);
        if let Some(line) = self.running.get_mut(&worker) {
            line.val_accuracy = Some(row.val_accuracy);
        }
    }

    fn moved(&mut self, _job: &Job, worker: usize) {
        self.take_line(worker);
    }

    fn ended(&mut self, job: &Job, worker: Option<usize>, end: &End) {
        self.scene.outlook.over(&job.id);
        let line = worker.and_then(|worker| self.take_line(worker));
        let took = match &line {
            Some(line) if end.is_finished() => format!(", {}", rough(line.since.elapsed())),
            _ => String::new(),
        };
        if end.is_failure() {
            self.failed += 1;
        }
        if end.is_failure() || end.is_finished() {
            self.sweep.inc(1);
        }
        self.say(&format!(
            "{}: {}{took}",
            self.scene.name(&job.id),
            describe_end(end, self.scene.figure(&job.id))
        ));
        self.draw_sweep();
    }

    fn stopping(&mut self, why: &Stop, running: usize) {
        self.say(&describe_stop(why, running));
        self.stopping = Some("stopping");
        self.draw_sweep();
    }

    fn killing(&mut self, _running: usize) {
        self.stopping = Some("killing");
        self.draw_sweep();
    }

    fn tick(&mut self) {
        self.draw_sweep();
    }
}

impl Drop for LiveProgress {
    fn drop(&mut self) {
        // The bars vanish; the lines above them stay.
        for line in self.running.values() {
            line.bar.finish_and_clear();
        }
        self.sweep.finish_and_clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .expect("the templates of this file are valid")
        .progress_chars(BAR_CHARACTERS)
}
