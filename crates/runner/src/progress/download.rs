//! Progress of a download.

use std::io::IsTerminal;

use graft_fetch::Progress;
use indicatif::{ProgressBar, ProgressStyle};

use crate::failure::printable;

/// The line of a download, in at most 80 columns.
const LINE: &str = "{prefix} {bar:20} {bytes}/{total_bytes} {bytes_per_sec} {wide_msg}";
/// The line of a download whose size the server does not say.
const UNKNOWN_SIZE: &str = "{prefix} {spinner} {bytes} {bytes_per_sec} {wide_msg}";

/// Shows downloads on stderr: a bar on a terminal, a line at the start elsewhere.
#[derive(Default)]
pub struct DownloadProgress {
    bar: Option<ProgressBar>,
    name: String,
}

impl Progress for DownloadProgress {
    fn start(&mut self, name: &str, total: Option<u64>) {
        self.finish();
        if std::io::stderr().is_terminal() {
            self.bar = Some(bar(name, total));
        } else if self.name != name {
            // A transfer that starts over is the same download for a reader.
            let size = total.map_or_else(String::new, |bytes| {
                format!(" ({})", indicatif::HumanBytes(bytes))
            });
            eprintln!("fetching {name}{size}");
        }
        name.clone_into(&mut self.name);
    }

    fn advance(&mut self, bytes: u64) {
        if let Some(bar) = &self.bar {
            bar.inc(bytes);
        }
    }

    fn finish(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    fn note(&mut self, text: &str) {
        let line = format!("note: {}", printable(text));
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln!("{line}")),
            None => eprintln!("{line}"),
        }
    }
}

fn bar(name: &str, total: Option<u64>) -> ProgressBar {
    let (bar, template) = match total {
        Some(total) => (ProgressBar::new(total), LINE),
        None => (ProgressBar::new_spinner(), UNKNOWN_SIZE),
    };
    let style =
        ProgressStyle::with_template(template).expect("the templates of this file are valid");
    bar.set_style(style.progress_chars("█▌░"));
    bar.set_prefix(format!(
        "fetching {}",
        name.chars().take(30).collect::<String>()
    ));
    bar
}
