//! Batches prepared on other threads while the network trains.
//!
//! What is in a batch depends on its number alone; threads only decide when it is ready. They work at most
//! `look_ahead` batches ahead of the consumer and stop when it goes away.

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
};

use graft_stream::{Purpose, Stream};

use crate::{
    Answer, DataError, Mode, Picture, PictureCache, Scratch, Source, Split, Transform,
    spec::view_draws,
};

/// Inputs of a network with what is to be told about them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// (n, size, size, 3), row-major.
    pub pixels: Vec<f32>,
    /// n labels; none if the target is a number.
    pub labels: Vec<u32>,
    /// n numbers; none if the targets are classes.
    pub numbers: Vec<f32>,
    /// Which pictures of the split these are.
    pub indices: Vec<usize>,
    /// Side of the inputs in pixels.
    pub size: usize,
}

/// How a loader works. Nothing here changes what it yields, except `batch_size`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoaderOptions {
    /// Pictures in a batch, at least 1; the last batch of an epoch may be shorter.
    pub batch_size: usize,
    /// Background threads; 0 prepares each batch when it is asked for.
    pub threads: usize,
    /// Batches prepared ahead, at least 1.
    pub look_ahead: usize,
}

/// Yields batches of a source.
#[derive(Clone)]
pub struct Loader {
    workshop: Arc<Workshop>,
    /// The training pictures that are learnt from, if not all.
    kept: Option<Arc<[usize]>>,
    options: LoaderOptions,
}

/// What the threads share.
struct Workshop {
    cache: Arc<PictureCache>,
    transform: Transform,
    /// Inputs of evaluation before normalisation; they never change.
    views: [Vec<Mutex<Option<Picture>>>; 3],
}

/// Where the random steps of a pass draw from.
#[derive(Clone, Debug)]
enum Draws {
    /// Nowhere: the fixed steps of evaluation.
    Nothing,
    /// As the transform says for this epoch.
    Epoch { seed: u64, repeat: u64, epoch: u64 },
    /// The fixed view of each picture, in the order of the pass.
    Views { seed: u64, views: Vec<u32> },
}

/// One pass over pictures of a split.
struct Pass {
    split: Split,
    order: Vec<usize>,
    batch_size: usize,
    draws: Draws,
}

impl Pass {
    /// The places of a batch's pictures in the order.
    fn batch(&self, number: usize) -> Range<usize> {
        let from = number * self.batch_size;
        from..self.order.len().min(from + self.batch_size)
    }

    /// The number of batches.
    fn batches(&self) -> usize {
        self.order.len().div_ceil(self.batch_size)
    }
}

impl Loader {
    /// A loader of the pictures in `cache`.
    pub fn new(cache: Arc<PictureCache>, transform: Transform, options: LoaderOptions) -> Self {
        let views = Split::ALL.map(|split| {
            let n = cache.source().len(split);
            (0..n).map(|_| Mutex::default()).collect()
        });
        Self {
            workshop: Arc::new(Workshop {
                cache,
                transform,
                views,
            }),
            kept: None,
            options: LoaderOptions {
                batch_size: options.batch_size.max(1),
                look_ahead: options.look_ahead.max(1),
                ..options
            },
        }
    }

    /// The source of the pictures.
    pub fn source(&self) -> &Arc<dyn Source> {
        self.workshop.cache.source()
    }

    /// The transform of the pictures.
    pub fn transform(&self) -> &Transform {
        &self.workshop.transform
    }

    /// A loader of these training pictures alone, given by their places in the split. Everywhere else pictures go by the
    /// same places as before, so that what is kept of them serves all subsets.
    #[must_use]
    pub fn with_train(self, kept: Option<Vec<usize>>) -> Self {
        Self {
            kept: kept.map(Arc::from),
            ..self
        }
    }

    /// The number of pictures that a pass over a split has.
    pub fn pictures(&self, split: Split) -> usize {
        match (&self.kept, split) {
            (Some(kept), Split::Train) => kept.len(),
            _ => self.source().len(split),
        }
    }

    /// A loader of the same pictures in batches of another size.
    #[must_use]
    pub fn in_batches_of(&self, batch_size: usize, look_ahead: usize) -> Self {
        Self {
            workshop: Arc::clone(&self.workshop),
            kept: self.kept.clone(),
            options: LoaderOptions {
                batch_size: batch_size.max(1),
                look_ahead: look_ahead.max(1),
                ..self.options
            },
        }
    }

    /// The training pictures in the order of an epoch (from 1): the permutation of (seed, Shuffle, [repeat, epoch]).
    pub fn train_order(&self, seed: u64, repeat: u64, epoch: u64) -> Vec<usize> {
        let n = self.pictures(Split::Train);
        let order = Stream::new(seed, Purpose::Shuffle, &[repeat, epoch]).permutation(n);
        match &self.kept {
            Some(kept) => order.into_iter().map(|place| kept[place]).collect(),
            None => order,
        }
    }

    /// The batches of a training epoch (from 1) from number `skip_batches` on, in the order of [`Self::train_order`].
    /// What a picture draws from is said by [`TransformSpec::draws`](crate::TransformSpec::draws).
    pub fn train_epoch(&self, seed: u64, repeat: u64, epoch: u64, skip_batches: usize) -> Batches {
        let order = self.train_order(seed, repeat, epoch);
        let draws = Draws::Epoch {
            seed,
            repeat,
            epoch,
        };
        self.pass(Split::Train, order, draws, skip_batches)
    }

    /// These fixed views of training pictures, given as (picture, view).
    pub fn views(&self, seed: u64, pairs: &[(usize, u32)]) -> Batches {
        let (order, views) = pairs.iter().copied().unzip();
        self.pass(Split::Train, order, Draws::Views { seed, views }, 0)
    }

    /// The pictures of a split in order, with the fixed steps of evaluation.
    pub fn evaluation(&self, split: Split) -> Batches {
        let pictures = match (&self.kept, split) {
            (Some(kept), Split::Train) => kept.to_vec(),
            _ => (0..self.source().len(split)).collect(),
        };
        self.evaluation_of(split, pictures)
    }

    /// These pictures of a split, with the fixed steps of evaluation.
    pub fn evaluation_of(&self, split: Split, pictures: Vec<usize>) -> Batches {
        self.pass(split, pictures, Draws::Nothing, 0)
    }

    /// The number of batches in a pass over a split.
    pub fn batches(&self, split: Split) -> usize {
        self.pictures(split).div_ceil(self.options.batch_size)
    }

    /// Starts a pass.
    fn pass(&self, split: Split, order: Vec<usize>, draws: Draws, skip_batches: usize) -> Batches {
        let pass = Pass {
            split,
            order,
            batch_size: self.options.batch_size,
            draws,
        };
        Batches::start(Arc::clone(&self.workshop), pass, self.options, skip_batches)
    }
}

impl Workshop {
    /// Prepares a batch; `None` when told to stop.
    fn prepare(
        &self,
        pass: &Pass,
        number: usize,
        scratch: &mut Scratch,
        stopped: impl Fn() -> bool,
    ) -> Option<Result<Batch, DataError>> {
        let places = pass.batch(number);
        let input_len = self.transform.input_len();
        let mut batch = Batch {
            pixels: vec![0.0; places.len() * input_len],
            labels: Vec::new(),
            numbers: Vec::new(),
            indices: Vec::with_capacity(places.len()),
            size: self.transform.size(),
        };
        for (place, out) in places.zip(batch.pixels.chunks_exact_mut(input_len)) {
            if stopped() {
                return None;
            }
            if let Err(error) = self.input(pass, place, scratch, out) {
                return Some(Err(error));
            }
            let index = pass.order[place];
            match self.cache.source().answer(pass.split, index) {
                Answer::Class(label) => batch.labels.push(label),
                Answer::Number(number) => batch.numbers.push(number),
            }
            batch.indices.push(index);
        }
        Some(Ok(batch))
    }

    /// Writes the input of the picture at a place of the pass.
    fn input(
        &self,
        pass: &Pass,
        place: usize,
        scratch: &mut Scratch,
        out: &mut [f32],
    ) -> Result<(), DataError> {
        let index = pass.order[place];
        let i = index as u64;
        let mut stream = match pass.draws {
            Draws::Nothing => return self.evaluation_input(pass.split, index, scratch, out),
            Draws::Epoch {
                seed,
                repeat,
                epoch,
            } => self.transform.spec().draws(seed, repeat, epoch, i),
            Draws::Views { seed, ref views } => view_draws(seed, views[place], i),
        };
        let picture = self.cache.get(pass.split, index)?;
        self.transform
            .apply(&picture, Mode::Training, &mut stream, scratch, out)
            .map_err(|source| self.transform_error(pass.split, index, source))
    }

    /// Writes the input of one picture in evaluation, kept from before if the budget allowed.
    fn evaluation_input(
        &self,
        split: Split,
        index: usize,
        scratch: &mut Scratch,
        out: &mut [f32],
    ) -> Result<(), DataError> {
        let mut kept = lock(&self.views[split as usize][index]);
        if let Some(view) = &*kept {
            self.transform.normalize_view(view, out);
            return Ok(());
        }
        let picture = self.cache.get(split, index)?;
        // Evaluation draws nothing; `Transform::new` has checked that.
        let mut stream = Stream::from_key(0);
        let view = self
            .transform
            .view(&picture, Mode::Evaluation, &mut stream, scratch)
            .map_err(|source| self.transform_error(split, index, source))?;
        self.transform.normalize_view(&view, out);
        if self.cache.budget().take(view.bytes()) {
            *kept = Some(view);
        }
        Ok(())
    }

    /// Names the picture that can't be transformed.
    fn transform_error(
        &self,
        split: Split,
        index: usize,
        source: crate::TransformError,
    ) -> DataError {
        DataError::Transform {
            picture: self.cache.source().name(split, index),
            source,
        }
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        for view in self.views.iter_mut().flatten() {
            let view = view.get_mut().unwrap_or_else(PoisonError::into_inner);
            if let Some(view) = view.take() {
                self.cache.budget().give_back(view.bytes());
            }
        }
    }
}

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
    fn start(workshop: Arc<Workshop>, pass: Pass, options: LoaderOptions, skip: usize) -> Self {
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

/// Locks; what a panicking thread leaves behind is still consistent everywhere here.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
