//! The `graft` command: parses, calls and prints.

use std::{io::Write, process::ExitCode, time::Duration};

use clap::Parser;
use graft_runner::{
    cli::{Cli, Command},
    commands,
    failure::Failure,
    interrupt, worker,
};

#[global_allocator]
static ALLOCATOR: graft_ops::Allocator = graft_ops::Allocator;

/// How long memory is kept for the next training step.
const KEEP_FREED_MEMORY: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    graft_ops::keep_freed_memory(KEEP_FREED_MEMORY);
    let answer = match Cli::parse().command {
        Command::Worker => return worker::run(),
        Command::Sweep(args) => interrupt::install().and_then(|()| commands::sweep(&args)),
        Command::Preview(args) => commands::preview(&args),
        Command::Report(args) => commands::report(&args),
        Command::LrFind(args) => commands::lr_find(&args),
        Command::Summary(args) => commands::summary(&args),
        Command::List(args) => Ok(commands::list(&args)),
        Command::Weights(args) => commands::weights(&args),
        Command::Split(args) => commands::split(&args),
        Command::Bench(args) => commands::bench(&args),
        Command::CheckDevice(args) => commands::check_device(&args),
        Command::Predict(args) => commands::predict(&args),
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
