//! Who prepares the batches of a pass, and when.

use std::{
    collections::BTreeMap,
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread::{self, JoinHandle},
};

use super::{
    Batch, LoaderOptions, lock,
    workshop::{Pass, Workshop},
};
use crate::{DataError, Scratch};

/// The batches of a pass, in order. Dropping it stops the threads behind it. After an error it ends.
pub struct Batches {
    workshop: Arc<Workshop>,
    pass: Arc<Pass>,
    /// The batch that is yielded next.
    next: usize,
    queue: Arc<Queue>,
    threads: Vec<JoinHandle<()>>,
    /// For batches that are prepared when asked for.
    scratch: Scratch,
}

/// Which batches are being prepared and which are ready.
struct Queue {
    state: Mutex<QueueState>,
    /// Signalled at every change.
    changed: Condvar,
    look_ahead: usize,
}

struct QueueState {
    /// The batch that a free thread takes.
    untaken: usize,
    /// The batch that the consumer wants.
    wanted: usize,
    ready: BTreeMap<usize, Result<Batch, DataError>>,
    stopped: bool,
}

impl Batches {
    /// Starts the threads of a pass.
    pub(super) fn start(
        workshop: Arc<Workshop>,
        pass: Pass,
        options: LoaderOptions,
        skip: usize,
    ) -> Self {
        let pass = Arc::new(pass);
        let queue = Arc::new(Queue {
            state: Mutex::new(QueueState {
                untaken: skip,
                wanted: skip,
                ready: BTreeMap::new(),
                stopped: false,
            }),
            changed: Condvar::new(),
            look_ahead: options.look_ahead,
        });
        let useful = pass.batches().saturating_sub(skip).min(options.look_ahead);
        let threads = (0..options.threads.min(useful))
            .filter_map(|_| {
                let (workshop, pass, queue) =
                    (Arc::clone(&workshop), Arc::clone(&pass), Arc::clone(&queue));
                // Where no thread can be had, the consumer does the work itself.
                thread::Builder::new()
                    .name("pictures".to_owned())
                    .spawn(move || queue.serve(&workshop, &pass))
                    .ok()
            })
            .collect();
        Self {
            workshop,
            pass,
            next: skip,
            queue,
            threads,
            scratch: Scratch::default(),
        }
    }
}

impl Queue {
    /// A background thread: takes batches until there are no more.
    fn serve(&self, workshop: &Workshop, pass: &Pass) {
        let mut scratch = Scratch::default();
        while let Some(number) = self.take(pass.batches()) {
            let mut promise = Promise {
                queue: self,
                number,
                batch: None,
            };
            let stopped = || lock(&self.state).stopped;
            match workshop.prepare(pass, number, &mut scratch, stopped) {
                Some(batch) => promise.batch = Some(batch),
                None => return,
            }
        }
    }

    /// Waits for a batch that may be prepared; `None` if there are no more.
    fn take(&self, batches: usize) -> Option<usize> {
        let state = lock(&self.state);
        let too_early = |state: &mut QueueState| {
            !state.stopped
                && state.untaken < batches
                && state.untaken >= state.wanted + self.look_ahead
        };
        let mut state = self
            .changed
            .wait_while(state, too_early)
            .unwrap_or_else(PoisonError::into_inner);
        if state.stopped || state.untaken >= batches {
            return None;
        }
        state.untaken += 1;
        Some(state.untaken - 1)
    }
}

/// A batch that a thread owes; delivered as an error if the thread panics, so that the consumer never waits in vain.
struct Promise<'a> {
    queue: &'a Queue,
    number: usize,
    batch: Option<Result<Batch, DataError>>,
}

impl Drop for Promise<'_> {
    fn drop(&mut self) {
        let batch = self
            .batch
            .take()
            .unwrap_or(Err(DataError::Thread { batch: self.number }));
        lock(&self.queue.state).ready.insert(self.number, batch);
        self.queue.changed.notify_all();
    }
}

impl Iterator for Batches {
    type Item = Result<Batch, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next >= self.pass.batches() {
            return None;
        }
        let number = self.next;
        self.next += 1;
        let result = if self.threads.is_empty() {
            self.workshop
                .prepare(&self.pass, number, &mut self.scratch, || false)?
        } else {
            let state = lock(&self.queue.state);
            let mut state = self
                .queue
                .changed
                .wait_while(state, |state| !state.ready.contains_key(&number))
                .unwrap_or_else(PoisonError::into_inner);
            state.wanted = self.next;
            self.queue.changed.notify_all();
            state.ready.remove(&number)?
        };
        if result.is_err() {
            self.next = self.pass.batches();
        }
        Some(result)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.pass.batches().saturating_sub(self.next);
        // An error ends it early.
        (left.min(1), Some(left))
    }
}

impl Drop for Batches {
    fn drop(&mut self) {
        lock(&self.queue.state).stopped = true;
        self.queue.changed.notify_all();
        for thread in self.threads.drain(..) {
            // A panic was already told as the error of its batch.
            let _ = thread.join();
        }
    }
}
