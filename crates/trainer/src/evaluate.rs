//! Validation: loss and accuracy after every epoch, and the predictions of the best one.

use std::sync::Arc;

use candle_core::Tensor;
use graft_data::{Batch, Loader, Source, Split, Target};
use graft_model::{Network, Pass};
use graft_ops::{Tape, Weighing, softmax};
use graft_record::{EstimateRow, MetricRow, PredictionRow, Predictions};

use crate::{
    TrainError,
    features::{FeatureBatches, SharedBank, Wanted},
    feed::Feed,
    measures::{ClassMeasures, NumberMeasures},
    metrics::{Tally, argmax},
    targets::Targets,
};

/// Pictures in a batch of an evaluation. Fixed, because the last bits of a result depend on it.
const BATCH: usize = 32;
/// Batches prepared ahead of the one that is evaluated.
const LOOK_AHEAD: usize = 2;
/// Bytes of a GPU's memory that the inputs of validation may take, which never change.
const KEPT_BYTES: usize = 256 << 20;

/// Sees the outputs and targets of a batch; `false` ends the visit.
type Visit<'v> = dyn FnMut(&Tensor, &Targets) -> Result<bool, TrainError> + 'v;

/// The validation pictures of a trial, or what a backbone that never changes makes of them.
pub(crate) struct Validation {
    loader: Loader,
    feed: Feed,
    /// The inputs of validation and their targets, if they are kept and were made once.
    inputs: Option<Vec<(Tensor, Targets)>>,
    /// Their features, if the backbone never changes.
    bank: Option<SharedBank>,
}

impl Validation {
    /// The validation pictures of `loader`.
    pub(crate) fn new(loader: &Loader, bank: Option<SharedBank>, feed: &Feed) -> Self {
        Self {
            loader: loader.in_batches_of(BATCH, LOOK_AHEAD),
            feed: feed.clone(),
            inputs: None,
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

    /// Loss and accuracy over the pictures of a split; `None` if `proceed` said no after a batch.
    pub(crate) fn run(
        &mut self,
        network: &Network,
        split: Split,
        proceed: &mut dyn FnMut(usize, usize) -> bool,
    ) -> Result<Option<Tally>, TrainError> {
        let mut tally = Tally::default();
        let mut batch = 0;
        let batches = self.loader.batches(split);
        let through = self.visit(network, split, &mut |outputs, targets| {
            let loss = targets.loss(&Tape::disabled(), outputs, &Weighing::default())?;
            let loss = loss.to_scalar::<f32>()?;
            tally.add(loss.into(), targets.score(outputs)?, targets.len());
            batch += 1;
            Ok(proceed(batch, batches))
        })?;
        Ok(through.then_some(tally))
    }

    /// What the network says about every picture of a split, and what it is worth on them.
    pub(crate) fn judge(
        &mut self,
        network: &Network,
        split: Split,
    ) -> Result<(Predictions, Vec<MetricRow>), TrainError> {
        let source = Arc::clone(self.source());
        let classes = ClassMeasures::new(source.classes().len());
        let (mut classes, mut numbers) = (classes, NumberMeasures::default());
        let (mut of_classes, mut of_numbers) = (Vec::new(), Vec::new());
        let name = |index| source.name(split, index);
        self.visit(network, split, &mut |outputs, targets| {
            match targets {
                Targets::Classes(labels) => {
                    for (row, &label) in softmax(outputs)?.to_vec2::<f32>()?.iter().zip(labels) {
                        let (index, predicted) = (of_classes.len(), argmax(row));
                        classes.add(row, label);
                        of_classes.push(PredictionRow {
                            index,
                            file: name(index),
                            label,
                            predicted: predicted as u32,
                            probability: row[predicted].into(),
                        });
                    }
                }
                Targets::Numbers(wanted) => {
                    for (row, &number) in outputs.to_vec2::<f32>()?.iter().zip(wanted) {
                        let index = of_numbers.len();
                        numbers.add(row[0].into(), number.into());
                        of_numbers.push(EstimateRow {
                            index,
                            file: name(index),
                            number: number.into(),
                            predicted: row[0].into(),
                        });
                    }
                }
            }
            Ok(true)
        })?;
        Ok(match source.target() {
            Target::Classes => {
                let rows = classes.rows(split.name(), source.classes());
                (Predictions::Classes(of_classes), rows)
            }
            Target::Number => (Predictions::Numbers(of_numbers), numbers.rows(split.name())),
        })
    }

    /// Hands the outputs and targets of each batch to `visit` until it returns `false`. Returns whether all were visited.
    fn visit(
        &mut self,
        network: &Network,
        split: Split,
        visit: &mut Visit<'_>,
    ) -> Result<bool, TrainError> {
        let tape = Tape::disabled();
        let pass = Pass::evaluation(&tape);
        if let Some(bank) = self.bank.as_ref().filter(|_| split == Split::Val) {
            let pictures = 0..self.source().len(Split::Val);
            let wanted = pictures
                .map(|picture| Wanted { picture, view: 0 })
                .collect();
            let later = std::iter::empty();
            let mut batches =
                FeatureBatches::new(bank, &self.loader, Split::Val, 0, BATCH, wanted, later);
            while let Some((features, targets)) = batches.next(network, &self.feed)? {
                if !visit(&network.head(&features, &pass)?, &targets)? {
                    return Ok(false);
                }
            }
            return Ok(true);
        }
        let kept = self.inputs.as_ref().filter(|_| split == Split::Val);
        if let Some(kept) = kept {
            for (input, targets) in kept {
                if !visit(&network.forward(input, &pass)?, targets)? {
                    return Ok(false);
                }
            }
            return Ok(true);
        }
        let mut inputs = Vec::new();
        for batch in self.loader.evaluation(split) {
            let batch: Batch = batch?;
            let targets = Targets::of(&batch);
            let input = self.feed.input(batch)?;
            if !visit(&network.forward(&input, &pass)?, &targets)? {
                return Ok(false);
            }
            if self.keeps(split) {
                inputs.push((input, targets));
            }
        }
        self.inputs = self.keeps(split).then_some(inputs).or(self.inputs.take());
        Ok(true)
    }

    /// Whether the inputs of a split stay on the GPU from one validation to the next.
    fn keeps(&self, split: Split) -> bool {
        let bytes =
            self.loader.pictures(split) * self.loader.transform().input_len() * size_of::<f32>();
        split == Split::Val && !self.feed.device().is_cpu() && bytes <= KEPT_BYTES
    }
}
