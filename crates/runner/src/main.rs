//! The `graft` command: parses, calls and prints.

use std::{io::Write, process::ExitCode};

use clap::Parser;
use graft_runner::{
    cli::{Cli, Command},
    commands,
    failure::Failure,
    interrupt, worker,
};

fn main() -> ExitCode {
    let answer = match Cli::parse().command {
        Command::Worker => return worker::run(),
        Command::Sweep(args) => interrupt::install().and_then(|()| commands::sweep(&args)),
        Command::Report(args) => commands::report(&args),
        Command::Summary(args) => commands::summary(&args),
    };
    let failure = match answer {
        Ok(answer) => {
            // A reader that has read enough, such as `head`, is no error.
            drop(std::io::stdout().write_all(answer.text.as_bytes()));
            answer.failure
        }
        Err(failure) => Some(failure),
    };
    let Some(Failure { code, text }) = failure else {
        return ExitCode::SUCCESS;
    };
    eprintln!("{text}");
    ExitCode::from(code)
}
