//! One worker process: started, spoken to over pipes, and cleaned up whatever happens.

use std::{
    collections::VecDeque,
    ffi::OsString,
    io::{self, BufRead, BufReader, Read, Write},
    path::PathBuf,
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError, mpsc::Sender},
    thread::JoinHandle,
};

use super::{Event, FromWorker, ToWorker};

/// How much of a worker's stderr is kept for the message when it dies.
const KEPT_STDERR: usize = 16 << 10;

/// The program that is started as a worker.
#[derive(Clone, Debug)]
pub struct WorkerProgram {
    /// The executable.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// What is added to its environment.
    pub env: Vec<(String, OsString)>,
}

/// A running worker. Dropping it kills the process.
pub(super) struct WorkerProcess {
    child: Child,
    stdin: Option<ChildStdin>,
    stderr: Arc<Mutex<VecDeque<u8>>>,
    readers: Vec<JoinHandle<()>>,
}

impl WorkerProcess {
    /// Starts a worker whose messages arrive in `events` under `slot` and `generation`. Its global thread pool gets
    /// `threads` threads.
    pub(super) fn spawn(
        program: &WorkerProgram,
        slot: usize,
        generation: u64,
        threads: usize,
        events: &Sender<Event>,
    ) -> io::Result<Self> {
        let mut command = Command::new(&program.program);
        command
            .args(&program.args)
            .envs(program.env.iter().map(|(name, value)| (name, value)))
            .env("RAYON_NUM_THREADS", threads.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        // A process group of its own: a Ctrl-C in the terminal reaches the sweep only, which then tells its workers.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command.spawn()?;
        let stdin = child.stdin.take();
        let stderr = Arc::new(Mutex::new(VecDeque::new()));
        let mut readers = Vec::new();
        if let Some(stdout) = child.stdout.take() {
            let events = events.clone();
            readers.push(std::thread::spawn(move || {
                read_messages(stdout, slot, generation, &events);
            }));
        }
        if let Some(pipe) = child.stderr.take() {
            let kept = Arc::clone(&stderr);
            readers.push(std::thread::spawn(move || keep_tail(pipe, &kept)));
        }
        Ok(Self {
            child,
            stdin,
            stderr,
            readers,
        })
    }

    /// Says something to the worker. An error means that it is gone, which its closed stdout tells as well.
    pub(super) fn send(&mut self, message: &ToWorker) -> io::Result<()> {
        let Some(stdin) = &mut self.stdin else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        let mut line = serde_json::to_vec(message)?;
        line.push(b'\n');
        stdin.write_all(&line)?;
        stdin.flush()
    }

    /// Ends the process at once.
    pub(super) fn kill(&mut self) {
        // It may have ended by itself, which is as good.
        drop(self.child.kill());
    }

    /// Closes the worker's stdin, which makes it exit, and waits for that.
    pub(super) fn finish(mut self) -> io::Result<(ExitStatus, String)> {
        self.stdin = None;
        let status = self.child.wait()?;
        for reader in self.readers.drain(..) {
            // A reader only ends early when it panicked; then there is nothing more to read.
            drop(reader.join());
        }
        let kept = std::mem::take(&mut *self.stderr.lock().unwrap_or_else(PoisonError::into_inner));
        let text = String::from_utf8_lossy(&Vec::from(kept))
            .trim_end()
            .to_owned();
        Ok((status, text))
    }
}

impl Drop for WorkerProcess {
    fn drop(&mut self) {
        // After `finish` both calls find an ended process and do nothing.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn read_messages(stdout: impl Read, slot: usize, generation: u64, events: &Sender<Event>) {
    for line in BufReader::new(stdout).lines() {
        let Ok(line) = line else { break };
        let event = match serde_json::from_str::<FromWorker>(&line) {
            Ok(message) => Event::Message {
                slot,
                generation,
                message,
            },
            Err(_) => Event::Garbled {
                slot,
                generation,
                line,
            },
        };
        if events.send(event).is_err() {
            return;
        }
    }
    // The receiver is only gone when the sweep is over.
    drop(events.send(Event::Closed { slot, generation }));
}

fn keep_tail(mut pipe: impl Read, kept: &Mutex<VecDeque<u8>>) {
    let mut buffer = [0; 4096];
    while let Ok(n @ 1..) = pipe.read(&mut buffer) {
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend(&buffer[..n]);
        let superfluous = kept.len().saturating_sub(KEPT_STDERR);
        kept.drain(..superfluous);
    }
}

/// How a worker ended, for a reader.
pub(super) fn describe_exit(status: ExitStatus, stderr: &str) -> String {
    let mut text = describe_status(status);
    // A Rust panic says where in its first line and why in the next; a backtrace note follows.
    let lines: Vec<&str> = stderr
        .lines()
        .filter(|line| {
            !line.trim().is_empty() && !line.starts_with("note: run with `RUST_BACKTRACE")
        })
        .collect();
    if !lines.is_empty() {
        let from = lines.len().saturating_sub(4);
        text.push_str("; it wrote: ");
        text.push_str(&lines[from..].join(" / "));
    }
    text
}

#[cfg(unix)]
fn describe_status(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    let Some(signal) = status.signal() else {
        return describe_code(status);
    };
    let name = signal_hook::low_level::signal_name(signal).unwrap_or("unnamed");
    let reason = if name == "SIGKILL" {
        ", which is also how the system ends a process when memory runs out"
    } else {
        ""
    };
    format!("its worker process was killed by signal {signal} ({name}){reason}")
}

#[cfg(not(unix))]
fn describe_status(status: ExitStatus) -> String {
    describe_code(status)
}

fn describe_code(status: ExitStatus) -> String {
    match status.code() {
        Some(code) => format!("its worker process ended with exit code {code}"),
        None => "its worker process ended".to_owned(),
    }
}
