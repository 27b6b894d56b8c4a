//! Batches prepared on other threads while the network trains.
//!
//! What is in a batch depends on its number alone; threads only decide when it is ready. They work at most
//! `look_ahead` batches ahead of the consumer and stop when it goes away.

mod batches;
mod workshop;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use graft_stream::{Purpose, Stream};

use crate::{PictureCache, PictureView, Shelf, Source, Split, Transform};

pub use batches::Batches;
use workshop::{Draws, Pass, Workshop};

/// Inputs of a network with what is to be told about them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// (n, size, size, 3), row-major; empty if there are [`Self::views`].
    pub pixels: Vec<f32>,
    /// How the inputs are made, n views, if that is left to whoever takes the batch; see [`Loader::with_shelf`].
    pub views: Vec<PictureView>,
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
    /// Where pictures are kept by whoever makes the inputs.
    shelf: Option<Arc<Shelf>>,
    options: LoaderOptions,
}

impl Loader {
    /// A loader of the pictures in `cache`.
    pub fn new(cache: Arc<PictureCache>, transform: Transform, options: LoaderOptions) -> Self {
        Self {
            workshop: Arc::new(Workshop::new(cache, transform)),
            kept: None,
            shelf: None,
            options: LoaderOptions {
                batch_size: options.batch_size.max(1),
                look_ahead: options.look_ahead.max(1),
                ..options
            },
        }
    }

    /// The source of the pictures.
    pub fn source(&self) -> &Arc<dyn Source> {
        self.workshop.source()
    }

    /// The transform of the pictures.
    pub fn transform(&self) -> &Transform {
        self.workshop.transform()
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

    /// A loader whose batches have [`Batch::views`] in the place of pixels, for somebody who keeps pictures on this shelf and
    /// makes inputs of them; with `None`, one whose batches have pixels. Order, draws and what the inputs are do not change.
    ///
    /// # Panics
    /// When the shelf is for another number of pictures.
    #[must_use]
    pub fn with_shelf(self, shelf: Option<Arc<Shelf>>) -> Self {
        let fits = shelf.as_ref().is_none_or(|shelf| shelf.fits(self.source()));
        assert!(fits, "a shelf for other pictures");
        Self { shelf, ..self }
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
            shelf: self.shelf.clone(),
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
            shelf: self.shelf.clone(),
        };
        Batches::start(Arc::clone(&self.workshop), pass, self.options, skip_batches)
    }
}

/// Locks; what a panicking thread leaves behind is still consistent everywhere here.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
