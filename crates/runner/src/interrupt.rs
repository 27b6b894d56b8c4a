//! Ctrl-C and termination.
//!
//! The signals reach a thread of their own and from there whoever wants to know. While nobody does, a signal ends the
//! program at once, which is safe at any time because every file is written under another name and then renamed.

use std::sync::{Mutex, PoisonError};

use signal_hook::{
    consts::{SIGINT, SIGTERM},
    iterator::Signals,
};

use crate::failure::Failure;

/// The exit code of an interrupted program, as shells have it: 128 + SIGINT.
pub const EXIT_INTERRUPTED: u8 = 130;

/// Whom to tell of a signal.
static LISTENER: Mutex<Option<Box<dyn Fn() + Send>>> = Mutex::new(None);

/// From now on SIGINT and SIGTERM go to the listener, or end the program with exit code 130.
///
/// # Errors
/// When the system does not allow it.
pub fn install() -> Result<(), Failure> {
    let mut signals = Signals::new([SIGINT, SIGTERM])
        .map_err(|error| Failure::bad_input(format!("can't listen to Ctrl-C: {error}")))?;
    std::thread::spawn(move || {
        for _ in signals.forever() {
            if let Some(tell) = &*listener() {
                tell();
            } else {
                eprintln!("error: interrupted\nhint: run the same command again to go on");
                std::process::exit(i32::from(EXIT_INTERRUPTED));
            }
        }
    });
    Ok(())
}

/// Tells `tell` of every signal until the guard is dropped.
pub fn listen(tell: impl Fn() + Send + 'static) -> Listening {
    *listener() = Some(Box::new(tell));
    Listening(())
}

/// While this lives, signals go to its listener.
#[must_use]
pub struct Listening(());

impl Drop for Listening {
    fn drop(&mut self) {
        *listener() = None;
    }
}

fn listener() -> std::sync::MutexGuard<'static, Option<Box<dyn Fn() + Send>>> {
    LISTENER.lock().unwrap_or_else(PoisonError::into_inner)
}

/// In a worker: SIGTERM asks it to stop at a checkpoint, and SIGINT is left to the sweep, which was sent it as well.
pub(crate) fn on_termination(tell: impl Fn() + Send + 'static) {
    // Without the handler the signals end the worker, which costs the epochs since the last checkpoint.
    let Ok(mut signals) = Signals::new([SIGINT, SIGTERM]) else {
        return;
    };
    std::thread::spawn(move || {
        for signal in signals.forever() {
            if signal == SIGTERM {
                tell();
            }
        }
    });
}
