//! Batches of features, read from a bank; what is missing there is computed.

use std::collections::{BTreeMap, BTreeSet};

use candle_core::Tensor;
use graft_data::{Batch, Batches, DataError, Loader, Split};
use graft_model::{Network, Pass};
use graft_ops::Tape;

use super::SharedBank;
use crate::{TrainError, feed::Feed, targets::Targets};

/// Pictures in a forward pass. Always as many, with blank ones if need be, because the way a convolution is computed may
/// depend on it: so the features of a picture do not depend on when and with which others they are computed.
const PASS: usize = 32;
/// Forward passes whose pictures are prepared ahead.
const LOOK_AHEAD: usize = 2;

/// A picture of a split, in one of its views; evaluation has view 0 only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) picture: usize,
    pub(crate) view: u32,
}

/// The features of some pictures, in batches.
pub(crate) struct FeatureBatches {
    bank: SharedBank,
    loader: Loader,
    split: Split,
    seed: u64,
    wanted: Vec<Wanted>,
    batch_size: usize,
    /// Place of the next picture.
    next: usize,
    /// Missing pictures that are being prepared.
    preparing: Option<Batches>,
    /// What they are, and how many of them were computed.
    missing: Vec<Wanted>,
    computed: usize,
    /// Computed features that are not in the bank's memory.
    staged: BTreeMap<u64, Vec<f32>>,
}

impl FeatureBatches {
    /// The features of the pictures `wanted`, which are computed ahead with those of `later`, if they are missing, where
    /// a pass has room for them.
    pub(crate) fn new(
        bank: &SharedBank,
        loader: &Loader,
        split: Split,
        seed: u64,
        batch_size: usize,
        wanted: Vec<Wanted>,
        later: impl Iterator<Item = Wanted>,
    ) -> Self {
        let mut batches = Self {
            bank: bank.clone(),
            loader: loader.in_batches_of(PASS, LOOK_AHEAD),
            split,
            seed,
            wanted,
            batch_size,
            next: 0,
            preparing: None,
            missing: Vec::new(),
            computed: 0,
            staged: BTreeMap::new(),
        };
        batches.find_missing(later);
        batches
    }

    /// Lists what has to be computed, in the order in which it is needed.
    fn find_missing(&mut self, later: impl Iterator<Item = Wanted>) {
        let mut bank = self.bank.lock();
        bank.refresh();
        let mut listed = BTreeSet::new();
        let mut is_missing = |wanted: &Wanted| {
            let item = self.item(*wanted);
            !bank.seems_to_have(item) && listed.insert(item)
        };
        let mut missing: Vec<Wanted> = self
            .wanted
            .iter()
            .copied()
            .filter(&mut is_missing)
            .collect();
        let room = missing.len().next_multiple_of(PASS) - missing.len();
        if room > 0 {
            missing.extend(later.filter(is_missing).take(room));
        }
        drop(bank);
        if !missing.is_empty() {
            self.preparing = Some(self.prepare(&missing));
            self.missing = missing;
        }
    }

    /// The number of a view of a picture.
    fn item(&self, wanted: Wanted) -> u64 {
        u64::from(wanted.view) * self.loader.source().len(self.split) as u64 + wanted.picture as u64
    }

    fn prepare(&self, pictures: &[Wanted]) -> Batches {
        match self.split {
            Split::Train => {
                let pairs: Vec<(usize, u32)> =
                    pictures.iter().map(|w| (w.picture, w.view)).collect();
                self.loader.views(self.seed, &pairs)
            }
            Split::Val | Split::Test => {
                let pictures = pictures.iter().map(|wanted| wanted.picture).collect();
                self.loader.evaluation_of(self.split, pictures)
            }
        }
    }

    /// The next batch: features (n, …) and what is to be told of them; `None` after the last.
    pub(crate) fn next(
        &mut self,
        network: &Network,
        feed: &Feed,
    ) -> Result<Option<(Tensor, Targets)>, TrainError> {
        let range = self.next..self.wanted.len().min(self.next + self.batch_size);
        if range.is_empty() {
            return Ok(None);
        }
        self.next = range.end;
        let n = range.len();
        let mut values: Vec<f32> = Vec::new();
        let mut answers = Vec::with_capacity(n);
        for (k, place) in range.enumerate() {
            let wanted = self.wanted[place];
            let known = self.bank.lock().dims().map(|dims| dims.iter().product());
            let length: usize = match known {
                Some(length) => length,
                None => self.compute_next(network, feed)?,
            };
            values.resize(n * length, 0.0);
            let out = &mut values[k * length..(k + 1) * length];
            self.fill(wanted, out, network, feed)?;
            answers.push(self.loader.source().answer(self.split, wanted.picture));
        }
        let dims = self.bank.lock().dims().unwrap_or_default().to_vec();
        let shape: Vec<usize> = [n].into_iter().chain(dims).collect();
        let targets = answers.into_iter().collect();
        Ok(Some((
            Tensor::from_vec(values, shape, feed.device())?,
            targets,
        )))
    }

    /// Writes the features of one picture.
    fn fill(
        &mut self,
        wanted: Wanted,
        out: &mut [f32],
        network: &Network,
        feed: &Feed,
    ) -> Result<(), TrainError> {
        let item = self.item(wanted);
        loop {
            if let Some(values) = self.staged.remove(&item) {
                out.copy_from_slice(&values);
                return Ok(());
            }
            if self.bank.lock().read(item, out) {
                return Ok(());
            }
            if self.computed >= self.missing.len() {
                // It seemed to be there and was not.
                self.missing = vec![wanted];
                self.computed = 0;
                self.preparing = Some(self.prepare(&[wanted]));
            }
            self.compute_next(network, feed)?;
        }
    }

    /// Computes the next missing pictures; returns how many numbers the features of one have.
    fn compute_next(&mut self, network: &Network, feed: &Feed) -> Result<usize, TrainError> {
        let batch = self.preparing.as_mut().and_then(Iterator::next);
        let batch = batch.unwrap_or(Err(DataError::Thread { batch: self.next }))?;
        let n = batch.indices.len();
        let features = compute(network, batch, feed)?;
        let dims = features.dims()[1..].to_vec();
        let values = features.flatten_all()?.to_vec1::<f32>()?;
        let length = values.len() / n;
        let done = &self.missing[self.computed..self.computed + n];
        let computed: Vec<(u64, &[f32])> = done
            .iter()
            .map(|&wanted| self.item(wanted))
            .zip(values.chunks_exact(length))
            .collect();
        if !self.bank.lock().put(&dims, &computed) {
            let needed = self.wanted[self.next.saturating_sub(self.batch_size)..].iter();
            let needed: BTreeSet<u64> = needed.map(|&wanted| self.item(wanted)).collect();
            let staged = computed
                .into_iter()
                .filter(|(item, _)| needed.contains(item));
            self.staged
                .extend(staged.map(|(item, values)| (item, values.to_vec())));
        }
        self.computed += n;
        Ok(length)
    }
}

/// The features (n, …) of at most [`PASS`] pictures, in a pass of exactly as many.
fn compute(network: &Network, batch: Batch, feed: &Feed) -> Result<Tensor, TrainError> {
    let n = batch.indices.len();
    let tape = Tape::disabled();
    let features = network.features(&feed.filled(batch, PASS)?, &Pass::evaluation(&tape))?;
    Ok(features.narrow(0, 0, n)?)
}
