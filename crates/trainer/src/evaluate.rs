//! Validation: loss and accuracy after every epoch, and the predictions of the best one.

use std::sync::Arc;

use candle_core::{Device, Tensor};
use graft_data::{Batch, Loader, LoaderOptions, PictureCache, Source, Split, Transform};
use graft_model::{Network, Pass};
use graft_ops::{Tape, cross_entropy, softmax};
use graft_record::PredictionRow;

use crate::{
    Resources, TrainError, Trial,
    metrics::{Tally, argmax, count_correct},
    resources::Features,
    session,
};

/// Pictures in a batch of an evaluation. Fixed, because the last bits of a result depend on it.
const BATCH: usize = 32;
/// Batches prepared ahead of the one that is evaluated.
const LOOK_AHEAD: usize = 2;

/// Sees the logits and labels of a batch; `false` ends the visit.
type Visit<'v> = dyn FnMut(&Tensor, &[u32]) -> Result<bool, TrainError> + 'v;

/// The validation pictures of a trial, or what a frozen backbone makes of them.
pub(crate) struct Validation<'a> {
    resources: &'a mut Resources,
    pictures: Arc<PictureCache>,
    loader: Loader,
    device: Device,
    /// The key of the features in `resources`, if the backbone never changes.
    features: Option<String>,
}

impl<'a> Validation<'a> {
    pub(crate) fn new(
        trial: &Trial,
        resources: &'a mut Resources,
        network: &Network,
        pictures: Arc<PictureCache>,
        transform: Transform,
        device: &Device,
    ) -> Self {
        let options = LoaderOptions {
            batch_size: BATCH,
            threads: trial.loader_threads,
            look_ahead: LOOK_AHEAD,
        };
        let loader = Loader::new(Arc::clone(&pictures), transform, options);
        let features = network.features_are_fixed().then(|| features_key(trial));
        Self {
            resources,
            pictures,
            loader,
            device: device.clone(),
            features,
        }
    }

    pub(crate) fn source(&self) -> &Arc<dyn Source> {
        self.pictures.source()
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
        if let Some(features) = self
            .features
            .as_ref()
            .and_then(|key| self.resources.features(key))
        {
            for (features, labels) in &features.batches {
                if !visit(&network.head(features, &pass)?, labels)? {
                    return Ok(false);
                }
            }
            return Ok(true);
        }
        let mut kept = Vec::new();
        for batch in self.loader.evaluation(Split::Val) {
            let batch: Batch = batch?;
            let labels = batch.labels.clone();
            let features = network.features(&session::input(batch, &self.device)?, &pass)?;
            let through = visit(&network.head(&features, &pass)?, &labels)?;
            if !through {
                return Ok(false);
            }
            let values = features.elem_count() / labels.len();
            if self.features.is_some() && Features::fit(self.source().len(Split::Val), values) {
                kept.push((features, labels));
            }
        }
        if let Some(key) = self.features.clone().filter(|_| !kept.is_empty()) {
            self.resources
                .keep_features(key, &Arc::new(Features::new(kept)));
        }
        Ok(true)
    }
}

/// What decides the validation features of a frozen backbone.
fn features_key(trial: &Trial) -> String {
    let spec = &trial.spec;
    // A backbone without weights is drawn by seed and repeat.
    let drawn = spec
        .weights_fingerprint
        .is_none()
        .then_some((spec.seed, spec.repeat));
    format!(
        "{drawn:?} {:?} {:?} {:?} {:?} {} {:?} {}",
        spec.model,
        spec.weights,
        spec.weights_fingerprint,
        spec.data.source,
        spec.data_fingerprint,
        (spec.data.transform.size, &spec.data.transform.eval),
        trial.device,
    )
}
