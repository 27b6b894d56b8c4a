//! Validation: loss and accuracy after every epoch, and the predictions of the best one.

use std::sync::Arc;

use candle_core::{Device, Tensor};
use graft_data::{Batch, Loader, Source, Split};
use graft_model::{Network, Pass};
use graft_ops::{Tape, cross_entropy, softmax};
use graft_record::PredictionRow;

use crate::{
    TrainError,
    features::{FeatureBatches, SharedBank, Wanted},
    metrics::{Tally, argmax, count_correct},
    session,
};

/// Pictures in a batch of an evaluation. Fixed, because the last bits of a result depend on it.
const BATCH: usize = 32;
/// Batches prepared ahead of the one that is evaluated.
const LOOK_AHEAD: usize = 2;

/// Sees the logits and labels of a batch; `false` ends the visit.
type Visit<'v> = dyn FnMut(&Tensor, &[u32]) -> Result<bool, TrainError> + 'v;

/// The validation pictures of a trial, or what a backbone that never changes makes of them.
pub(crate) struct Validation {
    loader: Loader,
    device: Device,
    /// Their features, if the backbone never changes.
    bank: Option<SharedBank>,
}

impl Validation {
    /// The validation pictures of `loader`.
    pub(crate) fn new(loader: &Loader, bank: Option<SharedBank>, device: &Device) -> Self {
        Self {
            loader: loader.in_batches_of(BATCH, LOOK_AHEAD),
            device: device.clone(),
            bank,
        }
    }

    /// The features of the pictures, if the backbone never changes.
    pub(crate) fn bank(&self) -> Option<&SharedBank> {
        self.bank.as_ref()
    }

    pub(crate) fn source(&self) -> &Arc<dyn Source> {
        self.loader.source()
    }

    /// Loss and accuracy over the validation pictures; `None` if `proceed` said no after a batch.
    pub(crate) fn run(
        &mut self,
        network: &Network,
        proceed: &mut dyn FnMut(usize, usize) -> bool,
    ) -> Result<Option<Tally>, TrainError> {
        let mut tally = Tally::default();
        let mut batch = 0;
        let batches = self.loader.batches(Split::Val);
        let through = self.visit(network, &mut |logits, labels| {
            let loss = cross_entropy(&Tape::disabled(), logits, labels)?.to_scalar::<f32>()?;
            tally.add(
                loss.into(),
                count_correct(&logits.to_vec2()?, labels),
                labels.len(),
            );
            batch += 1;
            Ok(proceed(batch, batches))
        })?;
        Ok(through.then_some(tally))
    }

    /// What the network says about every validation picture.
    pub(crate) fn predictions(
        &mut self,
        network: &Network,
    ) -> Result<Vec<PredictionRow>, TrainError> {
        let source = Arc::clone(self.source());
        let mut rows = Vec::with_capacity(source.len(Split::Val));
        self.visit(network, &mut |logits, labels| {
            for (row, &label) in softmax(logits)?.to_vec2::<f32>()?.iter().zip(labels) {
                let (index, predicted) = (rows.len(), argmax(row));
                rows.push(PredictionRow {
                    index,
                    file: source.name(Split::Val, index),
                    label,
                    predicted: predicted as u32,
                    probability: row[predicted].into(),
                });
            }
            Ok(true)
        })?;
        Ok(rows)
    }

    /// Hands the logits and labels of each batch to `visit` until it returns `false`. Returns whether all were visited.
    fn visit(&mut self, network: &Network, visit: &mut Visit<'_>) -> Result<bool, TrainError> {
        let tape = Tape::disabled();
        let pass = Pass::evaluation(&tape);
        if let Some(bank) = &self.bank {
            let pictures = 0..self.source().len(Split::Val);
            let wanted = pictures
                .map(|picture| Wanted { picture, view: 0 })
                .collect();
            let later = std::iter::empty();
            let mut batches =
                FeatureBatches::new(bank, &self.loader, Split::Val, 0, BATCH, wanted, later);
            while let Some((features, labels)) = batches.next(network, &self.device)? {
                if !visit(&network.head(&features, &pass)?, &labels)? {
                    return Ok(false);
                }
            }
            return Ok(true);
        }
        for batch in self.loader.evaluation(Split::Val) {
            let batch: Batch = batch?;
            let labels = batch.labels.clone();
            let logits = network.forward(&session::input(batch, &self.device)?, &pass)?;
            if !visit(&logits, &labels)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
