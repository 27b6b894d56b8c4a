//! What the steps of an epoch train on: pictures, or features of a backbone that never changes.

use candle_core::{Device, Tensor};
use graft_data::{Batches, Split, view};
use graft_model::{Network, Pass};
use graft_ops::Tape;

use crate::{
    TrainError, TrialSpec,
    features::{FeatureBatches, Wanted},
    session::{Session, input},
};

/// Pictures of consecutive batches that go through a fixed backbone together, at least.
const GROUP: usize = 32;
/// Groups that are prepared ahead.
const GROUPS_AHEAD: usize = 2;

/// What a step trains on.
pub(crate) struct Example {
    pub(crate) input: Input,
    pub(crate) labels: Vec<u32>,
}

/// The input of a step.
pub(crate) enum Input {
    /// (n, size, size, 3), for the whole network.
    Pictures(Tensor),
    /// (n, …), for the head.
    Features(Tensor),
}

/// The batches of an epoch that are still to be trained on.
pub(crate) enum Inputs {
    /// Pictures as they come.
    Pictures(Batches),
    /// Features of groups of batches.
    Groups(Groups),
    /// Features of fixed views.
    Views(FeatureBatches),
}

impl Inputs {
    /// The batches of `epoch` after the `done` first ones.
    pub(crate) fn new(session: &Session<'_>, epoch: u32, done: usize) -> Self {
        let spec = &session.trial.spec;
        let (seed, repeat) = (spec.seed, u64::from(spec.repeat));
        let (loader, batch_size) = (&session.loader, spec.recipe.batch_size);
        if let Some(bank) = &session.bank {
            let from = done * batch_size;
            let wanted = wanted(session, epoch).skip(from).collect();
            // An epoch ahead is enough to fill the last pass of this one.
            let next = (epoch + 1..=spec.recipe.epochs).take(1);
            let later = next.flat_map(|epoch| self::wanted(session, epoch));
            let batches =
                FeatureBatches::new(bank, loader, Split::Train, seed, batch_size, wanted, later);
            return Self::Views(batches);
        }
        if session.built.network.features_are_fixed() {
            let batches = GROUP.div_ceil(batch_size).max(1);
            let loader = loader.in_batches_of(batches * batch_size, GROUPS_AHEAD);
            return Self::Groups(Groups {
                coming: loader.train_epoch(seed, repeat, epoch.into(), done / batches),
                group: None,
                next: (done % batches) * batch_size,
                batch_size,
            });
        }
        Self::Pictures(loader.train_epoch(seed, repeat, epoch.into(), done))
    }

    /// What the next step trains on; `None` after the last.
    pub(crate) fn next(
        &mut self,
        network: &Network,
        device: &Device,
    ) -> Result<Option<Example>, TrainError> {
        let features = match self {
            Self::Pictures(batches) => {
                let Some(batch) = batches.next().transpose()? else {
                    return Ok(None);
                };
                let labels = batch.labels.clone();
                let input = Input::Pictures(input(batch, device)?);
                return Ok(Some(Example { input, labels }));
            }
            Self::Groups(groups) => groups.next(network, device)?,
            Self::Views(batches) => batches.next(network, device)?,
        };
        Ok(features.map(|(features, labels)| Example {
            input: Input::Features(features),
            labels,
        }))
    }
}

/// The views that an epoch shows, in its order.
fn wanted(session: &Session<'_>, epoch: u32) -> impl Iterator<Item = Wanted> + use<> {
    let spec: &TrialSpec = &session.trial.spec;
    let (seed, repeat, epoch) = (spec.seed, u64::from(spec.repeat), u64::from(epoch));
    let views = spec.data.transform.fixed_views().unwrap_or(1);
    let order = session.loader.train_order(seed, repeat, epoch);
    order.into_iter().map(move |picture| Wanted {
        picture,
        view: view(views, seed, repeat, epoch, picture as u64),
    })
}

/// Features of batches, computed for several batches at a time. The groups lie at fixed places of the epoch, so that a
/// resumed epoch computes the same ones.
pub(crate) struct Groups {
    coming: Batches,
    group: Option<(Tensor, Vec<u32>)>,
    /// Place in the group of the next batch's first picture.
    next: usize,
    batch_size: usize,
}

impl Groups {
    fn next(
        &mut self,
        network: &Network,
        device: &Device,
    ) -> Result<Option<(Tensor, Vec<u32>)>, TrainError> {
        loop {
            if let Some((features, labels)) = &self.group {
                if self.next < labels.len() {
                    let n = self.batch_size.min(labels.len() - self.next);
                    let labels = labels[self.next..self.next + n].to_vec();
                    let features = features.narrow(0, self.next, n)?;
                    self.next += n;
                    return Ok(Some((features, labels)));
                }
                self.next = 0;
            }
            let Some(batch) = self.coming.next().transpose()? else {
                return Ok(None);
            };
            let labels = batch.labels.clone();
            let tape = Tape::disabled();
            let features = network.features(&input(batch, device)?, &Pass::evaluation(&tape))?;
            self.group = Some((features, labels));
        }
    }
}
