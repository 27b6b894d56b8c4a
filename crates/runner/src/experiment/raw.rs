//! The experiment file as written.

use std::{
    fs::File,
    io::{self, Read},
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use toml::de::DeTable;

use super::{
    problem::{Place, Problem, Problems},
    set,
    suggest::nearest,
    tree::{Layer, Origin, Reader, Table},
};

/// An experiment file as written, every value with its place; nothing is checked but that it is TOML.
#[derive(Clone, Debug, PartialEq)]
pub struct RawExperiment {
    pub(super) file: Arc<PathBuf>,
    pub(super) root: Table,
    /// What is wrong with the `--set` arguments.
    pub(super) set_problems: Vec<Problem>,
}

/// Syntax errors after this many tend to follow from earlier ones.
const MOST_SYNTAX_ERRORS: usize = 5;

/// No experiment is longer, in bytes; what is must be another kind of file.
const MOST_BYTES: u64 = 1 << 20;

impl RawExperiment {
    /// Reads a file of at most 1 MiB.
    pub fn read(file: &Path) -> Result<Self, Problems> {
        let failed = |message, hint| {
            let problem = Problem {
                place: whole_file(file),
                key: String::new(),
                message,
                hint,
            };
            Problems::one(problem)
        };
        let bytes = match read_start(file) {
            Ok(bytes) if bytes.len() as u64 > MOST_BYTES => {
                let message = "not an experiment: the file is larger than 1 MiB".to_owned();
                return Err(failed(message, None));
            }
            Ok(bytes) => bytes,
            Err(error) => {
                let message = format!("failed to read the experiment: {error}");
                return Err(failed(message, similar_file(file)));
            }
        };
        match String::from_utf8(bytes) {
            Ok(text) => Self::parse(&text, file),
            Err(error) => {
                let valid = error.utf8_error().valid_up_to();
                let before = String::from_utf8_lossy(&error.as_bytes()[..valid]);
                let line = 1 + before.matches('\n').count();
                let message = format!("not a text in UTF-8: line {line} has a byte that is none");
                Err(failed(message, None))
            }
        }
    }

    /// Reads `text` as the content of `file`, beside which other experiments are looked up.
    pub fn parse(text: &str, file: &Path) -> Result<Self, Problems> {
        let lines = Lines {
            file: Arc::new(file.to_owned()),
            text,
        };
        let (table, errors) = DeTable::parse_recoverable(text);
        let problems = errors.iter().take(MOST_SYNTAX_ERRORS).map(|error| {
            let span = error.span().unwrap_or(0..0);
            let excerpt = lines.excerpt(&span);
            Problem {
                place: lines.place(span),
                key: String::new(),
                message: format!("not valid TOML: {}\n{excerpt}", error.message()),
                // What is neither a number nor in quotes is taken for a misspelt `true` or `false`.
                hint: error
                    .message()
                    .contains("boolean")
                    .then(|| "a text stands in quotes".to_owned()),
            }
        });
        if let Some(problems) = Problems::new(problems.collect()) {
            return Err(problems);
        }
        let reader = Reader {
            place: &|span| lines.place(span),
            layer: Layer::File,
        };
        Ok(Self {
            root: reader.table(table.get_ref(), ""),
            file: lines.file,
            set_problems: Vec::new(),
        })
    }

    /// Puts the values of `--set KEY=VALUE` arguments in; a later one wins. What is wrong with them is reported with
    /// everything else by [`Self::resolve`].
    pub fn set(&mut self, arguments: &[String]) {
        for (index, argument) in arguments.iter().enumerate() {
            let result = set::apply(&mut self.root, index, argument);
            self.set_problems.extend(result.err());
        }
    }

    /// The `name` in the file, if it has one.
    pub fn name(&self) -> Option<&str> {
        self.root.get("name")?.text()
    }

    /// The origin of the file as a whole.
    pub(super) fn origin(&self) -> Origin {
        Origin {
            place: Place::File {
                file: self.file.clone(),
                line: 0,
                column: 0,
            },
            key: String::new(),
            layer: Layer::File,
        }
    }
}

/// Finds lines and columns of a text.
struct Lines<'t> {
    file: Arc<PathBuf>,
    text: &'t str,
}

impl Lines<'_> {
    /// The start of the line that holds byte `at`, the line's number and the column of `at`, from 1.
    fn position(&self, at: usize) -> (usize, usize, usize) {
        let mut at = at.min(self.text.len());
        while !self.text.is_char_boundary(at) {
            at -= 1;
        }
        let before = &self.text[..at];
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = 1 + before.matches('\n').count();
        (start, line, 1 + before[start..].chars().count())
    }

    fn place(&self, span: Range<usize>) -> Place {
        let (_, line, column) = self.position(span.start);
        Place::File {
            file: self.file.clone(),
            line,
            column,
        }
    }

    /// The line of an error with a mark below it.
    fn excerpt(&self, span: &Range<usize>) -> String {
        let (start, line, column) = self.position(span.start);
        let content = self.text[start..].lines().next().unwrap_or("");
        // Of a very long line the part around the error.
        let skipped = if content.chars().count() > WIDEST {
            column.saturating_sub(WIDEST / 2)
        } else {
            0
        };
        let content: String = content.chars().skip(skipped).take(WIDEST).collect();
        let column = column - skipped;
        let left = (content.chars().count() + 1).saturating_sub(column).max(1);
        let marked = self.text.get(span.clone()).unwrap_or("").chars().count();
        let gutter = " ".repeat(line.to_string().len());
        let (blank, mark) = (" ".repeat(column - 1), "^".repeat(marked.clamp(1, left)));
        format!("  {gutter} |\n  {line} | {content}\n  {gutter} | {blank}{mark}")
    }
}

/// The widest line of a file that an error shows whole, in characters.
const WIDEST: usize = 160;

/// The content of a file, or the start of one that is too long.
fn read_start(file: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(file)?
        .take(MOST_BYTES + 1)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The file as a whole.
fn whole_file(file: &Path) -> Place {
    Place::File {
        file: Arc::new(file.to_owned()),
        line: 0,
        column: 0,
    }
}

/// "did you mean" for a file that is not there.
fn similar_file(file: &Path) -> Option<String> {
    if file.exists() {
        return None;
    }
    let wanted = file.file_stem()?.to_str()?;
    let folder = file.parent()?;
    let stems = experiment_files(folder);
    let stems = stems.iter().filter_map(|path| path.file_stem()?.to_str());
    let near = folder.join(format!("{}.toml", nearest(wanted, stems)?));
    Some(format!("did you mean `{}`?", near.display()))
}

/// The experiment files of a folder in the order of their names.
pub(super) fn experiment_files(folder: &Path) -> Vec<PathBuf> {
    let folder = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "toml")
        })
        .collect();
    files.sort();
    files
}
