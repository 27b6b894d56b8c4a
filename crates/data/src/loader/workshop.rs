//! What a batch is made of.

use std::{
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

use graft_stream::Stream;

use super::{Batch, lock};
use crate::{
    Answer, DataError, Mode, Origin, Picture, PictureCache, PictureView, Scratch, Shelf, Source,
    Split, Transform, TransformError, ViewLayout, spec::view_draws,
};

/// What the threads share.
pub(super) struct Workshop {
    cache: Arc<PictureCache>,
    transform: Transform,
    /// Inputs of evaluation before normalisation; they never change.
    views: [Vec<Mutex<Option<Picture>>>; 3],
}

/// Where the random steps of a pass draw from.
#[derive(Clone, Debug)]
pub(super) enum Draws {
    /// Nowhere: the fixed steps of evaluation.
    Nothing,
    /// As the transform says for this epoch.
    Epoch { seed: u64, repeat: u64, epoch: u64 },
    /// The fixed view of each picture, in the order of the pass.
    Views { seed: u64, views: Vec<u32> },
}

/// One pass over pictures of a split.
pub(super) struct Pass {
    pub(super) split: Split,
    pub(super) order: Vec<usize>,
    pub(super) batch_size: usize,
    pub(super) draws: Draws,
    /// Whether, and where, pictures are kept by whoever makes the inputs.
    pub(super) shelf: Option<Arc<Shelf>>,
}

impl Pass {
    /// The places of a batch's pictures in the order.
    fn batch(&self, number: usize) -> Range<usize> {
        let from = number * self.batch_size;
        from..self.order.len().min(from + self.batch_size)
    }

    /// The number of batches.
    pub(super) fn batches(&self) -> usize {
        self.order.len().div_ceil(self.batch_size)
    }
}

impl Workshop {
    /// For the pictures in `cache`.
    pub(super) fn new(cache: Arc<PictureCache>, transform: Transform) -> Self {
        let views = Split::ALL.map(|split| {
            let n = cache.source().len(split);
            (0..n).map(|_| Mutex::default()).collect()
        });
        Self {
            cache,
            transform,
            views,
        }
    }

    pub(super) fn source(&self) -> &Arc<dyn Source> {
        self.cache.source()
    }

    pub(super) fn transform(&self) -> &Transform {
        &self.transform
    }

    /// Prepares a batch; `None` when told to stop.
    pub(super) fn prepare(
        &self,
        pass: &Pass,
        number: usize,
        scratch: &mut Scratch,
        stopped: impl Fn() -> bool,
    ) -> Option<Result<Batch, DataError>> {
        let places = pass.batch(number);
        let mut batch = Batch {
            indices: Vec::with_capacity(places.len()),
            size: self.transform.size(),
            ..Batch::default()
        };
        let length = self.transform.input_len();
        if pass.shelf.is_none() {
            batch.pixels = vec![0.0; places.len() * length];
        }
        for (k, place) in places.enumerate() {
            if stopped() {
                return None;
            }
            let made = match &pass.shelf {
                None => {
                    let out = &mut batch.pixels[k * length..(k + 1) * length];
                    self.input(pass, place, scratch, out)
                }
                Some(shelf) => {
                    let view = self.view(pass, place, shelf, scratch);
                    view.map(|view| batch.views.push(view))
                }
            };
            if let Err(error) = made {
                return Some(Err(error));
            }
            let index = pass.order[place];
            match self.source().answer(pass.split, index) {
                Answer::Class(label) => batch.labels.push(label),
                Answer::Number(number) => batch.numbers.push(number),
            }
            batch.indices.push(index);
        }
        Some(Ok(batch))
    }

    /// Which steps the picture at a place of the pass takes, and what they draw from.
    fn draws(&self, pass: &Pass, place: usize) -> (Mode, Stream) {
        let i = pass.order[place] as u64;
        match pass.draws {
            // Evaluation draws nothing; `Transform::new` has checked that.
            Draws::Nothing => (Mode::Evaluation, Stream::from_key(0)),
            Draws::Epoch {
                seed,
                repeat,
                epoch,
            } => {
                let stream = self.transform.spec().draws(seed, repeat, epoch, i);
                (Mode::Training, stream)
            }
            Draws::Views { seed, ref views } => (Mode::Training, view_draws(seed, views[place], i)),
        }
    }

    /// Writes the input of the picture at a place of the pass.
    fn input(
        &self,
        pass: &Pass,
        place: usize,
        scratch: &mut Scratch,
        out: &mut [f32],
    ) -> Result<(), DataError> {
        let (split, index) = (pass.split, pass.order[place]);
        let (mode, mut stream) = self.draws(pass, place);
        if mode == Mode::Evaluation {
            return self.evaluated(split, index, scratch, |view| {
                self.transform.normalize_view(view, out);
            });
        }
        let picture = self.cache.get(split, index)?;
        self.transform
            .apply(&picture, mode, &mut stream, scratch, out)
            .map_err(|source| self.transform_error(split, index, source))
    }

    /// How the input of the picture at a place of the pass is made, as far as it is left to whoever keeps pictures on the
    /// shelf: all of it if the picture is there or may be put there, else what is to be done when it has its size.
    fn view(
        &self,
        pass: &Pass,
        place: usize,
        shelf: &Shelf,
        scratch: &mut Scratch,
    ) -> Result<PictureView, DataError> {
        let (split, index) = (pass.split, pass.order[place]);
        let (mode, mut stream) = self.draws(pass, place);
        let failed = |source| self.transform_error(split, index, source);
        let origin = match shelf.get(split, index) {
            Some(shelved) => Some(Origin::Shelved(shelved)),
            None if shelf.is_full() => None,
            None => Some(Origin::Picture(self.cache.get(split, index)?)),
        };
        if let Some(origin) = origin {
            let layout = (self.transform)
                .layout(origin.size(), mode, &mut stream.clone())
                .map_err(failed)?;
            if let Some(layout) = layout {
                return Ok(PictureView::new(split, index, origin, layout));
            }
        }
        let (picture, layout) = if mode == Mode::Evaluation {
            let view = self.evaluated(split, index, scratch, Picture::clone)?;
            let layout = ViewLayout::whole(view.width, view.height);
            (view, layout)
        } else {
            let picture = self.cache.get(split, index)?;
            (self.transform)
                .unfinished(&picture, mode, &mut stream, scratch)
                .map_err(failed)?
        };
        let origin = Origin::Made(picture);
        Ok(PictureView::new(split, index, origin, layout))
    }

    /// Hands the view of one picture in evaluation to `work`, kept from before if the budget allowed.
    fn evaluated<R>(
        &self,
        split: Split,
        index: usize,
        scratch: &mut Scratch,
        work: impl FnOnce(&Picture) -> R,
    ) -> Result<R, DataError> {
        let mut kept = lock(&self.views[split as usize][index]);
        if let Some(view) = &*kept {
            return Ok(work(view));
        }
        let picture = self.cache.get(split, index)?;
        let mut stream = Stream::from_key(0);
        let view = self
            .transform
            .view(&picture, Mode::Evaluation, &mut stream, scratch)
            .map_err(|source| self.transform_error(split, index, source))?;
        let result = work(&view);
        if self.cache.budget().take(view.bytes()) {
            *kept = Some(view);
        }
        Ok(result)
    }

    /// Names the picture that can't be transformed.
    fn transform_error(&self, split: Split, index: usize, source: TransformError) -> DataError {
        DataError::Transform {
            picture: self.source().name(split, index),
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
