//! What the steps of an epoch train on: pictures, or features of a backbone that never changes.

use candle_core::Tensor;
use graft_data::{Batch, Batches, Split, view};
use graft_model::{Network, Pass};
use graft_ops::Tape;

use crate::{
    TrainError, TrialSpec,
    features::{FeatureBatches, Wanted},
    feed::Feed,
    mix::{Mixed, Mixer},
    session::Session,
    targets::Targets,
};

/// Pictures of consecutive batches that go through a fixed backbone together, at least.
const GROUP: usize = 32;
/// Groups that are prepared ahead.
const GROUPS_AHEAD: usize = 2;

/// What a step trains on.
pub(crate) struct Example {
    pub(crate) input: Input,
    pub(crate) targets: Targets,
    /// The other targets of the pictures, if they are mixed.
    pub(crate) mixed: Option<Mixed>,
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
    Pictures(Pictures),
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
        let mixer = Mixer::new(&spec.recipe, seed, repeat, epoch.into());
        // Pixels are mixed where the processor can reach them.
        let mixed = mixer
            .mixes()
            .then(|| session.loader.clone().with_shelf(None));
        let loader = mixed.as_ref().unwrap_or(loader);
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
                batches: done / batches * batches,
                mixer,
            });
        }
        Self::Pictures(Pictures {
            coming: loader.train_epoch(seed, repeat, epoch.into(), done),
            batches: done,
            mixer,
        })
    }

    /// What the next step trains on; `None` after the last.
    pub(crate) fn next(
        &mut self,
        network: &Network,
        feed: &Feed,
    ) -> Result<Option<Example>, TrainError> {
        match self {
            Self::Pictures(pictures) => pictures.next(feed),
            Self::Groups(groups) => groups.next(network, feed),
            Self::Views(batches) => {
                let features = batches.next(network, feed)?;
                Ok(features.map(|(features, targets)| Example {
                    input: Input::Features(features),
                    targets,
                    mixed: None,
                }))
            }
        }
    }
}

/// Batches of pictures.
pub(crate) struct Pictures {
    coming: Batches,
    /// Batches of the epoch that have come.
    batches: usize,
    mixer: Mixer,
}

impl Pictures {
    fn next(&mut self, feed: &Feed) -> Result<Option<Example>, TrainError> {
        let Some(mut batch) = self.coming.next().transpose()? else {
            return Ok(None);
        };
        let targets = Targets::of(&batch);
        let pixels = &mut batch.pixels;
        let mixed = self.mixer.mix(self.batches, pixels, &targets, batch.size);
        self.batches += 1;
        Ok(Some(Example {
            input: Input::Pictures(feed.input(batch)?),
            targets,
            mixed,
        }))
    }
}

/// The views that an epoch shows, in its order.
fn wanted(session: &Session<'_>, epoch: u32) -> impl Iterator<Item = Wanted> + use<> {
    let spec: &TrialSpec = &session.trial.spec;
    let (seed, repeat, epoch) = (spec.seed, u64::from(spec.repeat), u64::from(epoch));
    let views = spec.kept_views().unwrap_or(1);
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
    group: Option<Group>,
    /// Place in the group of the next batch's first picture.
    next: usize,
    batch_size: usize,
    /// Batches of the epoch before the next group.
    batches: usize,
    mixer: Mixer,
}

/// The features of several batches.
struct Group {
    features: Tensor,
    targets: Targets,
    /// The other targets of each batch.
    mixed: Vec<Option<Mixed>>,
}

impl Groups {
    fn next(&mut self, network: &Network, feed: &Feed) -> Result<Option<Example>, TrainError> {
        loop {
            if let Some(group) = &self.group {
                if self.next < group.targets.len() {
                    let n = self.batch_size.min(group.targets.len() - self.next);
                    let example = Example {
                        input: Input::Features(group.features.narrow(0, self.next, n)?),
                        targets: group.targets.part(self.next..self.next + n),
                        mixed: group.mixed[self.next / self.batch_size].clone(),
                    };
                    self.next += n;
                    return Ok(Some(example));
                }
                self.next = 0;
            }
            let Some(batch) = self.coming.next().transpose()? else {
                return Ok(None);
            };
            self.group = Some(self.compute(batch, network, feed)?);
        }
    }

    /// The features of a group, each of whose batches is mixed for itself.
    fn compute(
        &mut self,
        mut batch: Batch,
        network: &Network,
        feed: &Feed,
    ) -> Result<Group, TrainError> {
        let targets = Targets::of(&batch);
        // None where pictures are views, which are not mixed.
        let length = batch.pixels.len() / targets.len().max(1);
        let mut mixed = Vec::new();
        for from in (0..targets.len()).step_by(self.batch_size) {
            let to = targets.len().min(from + self.batch_size);
            let pixels = &mut batch.pixels[from * length..to * length];
            let targets = targets.part(from..to);
            mixed.push(self.mixer.mix(self.batches, pixels, &targets, batch.size));
            self.batches += 1;
        }
        let tape = Tape::disabled();
        let features = network.features(&feed.input(batch)?, &Pass::evaluation(&tape))?;
        Ok(Group {
            features,
            targets,
            mixed,
        })
    }
}
