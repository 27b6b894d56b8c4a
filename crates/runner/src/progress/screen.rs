//! The terminal as the bars see it.

use std::{
    io,
    sync::atomic::{AtomicUsize, Ordering},
};

use console::Term;
use indicatif::{ProgressDrawTarget, TermLike};

/// How often a second the bars are drawn at most.
const REDRAWS: u8 = 12;

/// Stderr for bars.
///
/// indicatif fills the last line with spaces up to the right edge. When a person then presses Ctrl-C, the `^C` that the
/// terminal writes takes the cursor to the next line, and everything drawn afterwards is one line too low. Here those
/// spaces are held back unless something follows them.
#[derive(Debug)]
struct Screen {
    term: Term,
    /// Spaces that are held back.
    held: AtomicUsize,
}

/// A place to draw bars, without the flaw above.
pub(super) fn target() -> ProgressDrawTarget {
    let screen = Screen {
        term: Term::buffered_stderr(),
        held: AtomicUsize::new(0),
    };
    ProgressDrawTarget::term_like_with_hz(Box::new(screen), REDRAWS)
}

impl Screen {
    /// The terminal, after the spaces that were held back.
    fn term(&self) -> io::Result<&Term> {
        let spaces = self.held.swap(0, Ordering::Relaxed);
        if spaces > 0 {
            self.term.write_str(&" ".repeat(spaces))?;
        }
        Ok(&self.term)
    }
}

impl TermLike for Screen {
    fn width(&self) -> u16 {
        self.term.size().1
    }

    fn height(&self) -> u16 {
        self.term.size().0
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        self.term()?.move_cursor_up(n)
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        self.term()?.move_cursor_down(n)
    }

    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        self.term()?.move_cursor_right(n)
    }

    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        self.term()?.move_cursor_left(n)
    }

    fn write_line(&self, s: &str) -> io::Result<()> {
        self.term()?.write_line(s)
    }

    fn write_str(&self, s: &str) -> io::Result<()> {
        let term = self.term()?;
        if !s.is_empty() && s.bytes().all(|byte| byte == b' ') {
            self.held.store(s.len(), Ordering::Relaxed);
            return Ok(());
        }
        term.write_str(s)
    }

    fn clear_line(&self) -> io::Result<()> {
        self.term()?.clear_line()
    }

    fn flush(&self) -> io::Result<()> {
        self.held.store(0, Ordering::Relaxed);
        self.term.flush()
    }
}
