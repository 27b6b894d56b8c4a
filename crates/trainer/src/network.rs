//! The network of a trial: built, or taken over from the trial before.

use candle_core::Device;
use graft_model::{Init, Network, WeightFile};

use crate::{
    Observer, Resources, TrainError, Trial, checkpoint::load_last, features::hash_backbone,
};

/// A network that is ready for a trial.
pub(crate) struct BuiltNetwork {
    pub(crate) network: Network,
    /// The hash of its backbone, if that never changes.
    pub(crate) backbone: Option<String>,
    /// What its backbone is known by, if another trial can have it.
    source: Option<BackboneSource>,
}

/// What a loaded backbone is known by.
#[derive(Clone, PartialEq)]
struct BackboneSource {
    key: String,
    /// What was said when its weights were loaded.
    report: String,
}

impl BuiltNetwork {
    /// Builds the network of a trial: its own, or that of the trial it goes on with.
    pub(crate) fn new(
        trial: &Trial,
        classes: usize,
        device: &Device,
        resources: &mut Resources,
        observer: &mut dyn Observer,
    ) -> Result<Self, TrainError> {
        let built = Self::fresh(trial, classes, device, resources, observer)?;
        let Some(id) = &trial.spec.previous else {
            return Ok(built);
        };
        let none = || TrainError::Spec(format!("the trial {id} that it goes on with has no file"));
        let path = trial.previous.as_ref().ok_or_else(none)?;
        let (position, saved) = load_last(path, id)?.ok_or_else(none)?;
        built.network.restore_trained(&saved.network)?;
        observer.log(&format!(
            "going on with the network of {} after its epoch {}",
            path.display(),
            position.epochs_done
        ));
        Ok(built)
    }

    /// Builds the network of a trial from its own weights. A fixed backbone with the same weights as that of the trial before is not loaded again.
    fn fresh(
        trial: &Trial,
        classes: usize,
        device: &Device,
        resources: &mut Resources,
        observer: &mut dyn Observer,
    ) -> Result<Self, TrainError> {
        let spec = &trial.spec;
        let init = Init {
            seed: spec.seed,
            repeat: spec.repeat.into(),
        };
        let size = spec.data.transform.size as usize;
        let Some(path) = &trial.weights_file else {
            if spec.weights.is_some() {
                return Err(TrainError::Spec("its weights have no file".to_owned()));
            }
            let mut network = Network::build(&spec.model, classes, size, &init, device)?;
            network.set_transfer(&spec.transfer)?;
            return Self::with(network, None);
        };
        let key = format!(
            "{} {:?} {:?} {classes} {size} {:?} {:?} {:?}",
            path.display(),
            spec.weights_fingerprint,
            spec.model,
            spec.transfer.mode,
            spec.transfer.batch_norm,
            device.location(),
        );
        if let Some(mut built) = resources.take_network()
            && let Some(source) = built.source.as_ref().filter(|source| source.key == key)
        {
            observer.log(&source.report);
            built.network.renew_head(&init)?;
            built.network.set_transfer(&spec.transfer)?;
            return Ok(built);
        }
        let file = WeightFile::open(path)?;
        let (mut network, report) =
            Network::pretrained(&spec.model, classes, size, &init, device, &file)?;
        let report = format!("{}: {report}", path.display());
        observer.log(&report);
        network.set_transfer(&spec.transfer)?;
        // A file without a fingerprint may be another one the next time.
        let known = spec.weights_fingerprint.is_some();
        Self::with(network, known.then_some(BackboneSource { key, report }))
    }

    fn with(network: Network, source: Option<BackboneSource>) -> Result<Self, TrainError> {
        let fixed = network.features_are_fixed();
        Ok(Self {
            backbone: fixed.then(|| hash_backbone(&network)).transpose()?,
            source: source.filter(|_| fixed),
            network,
        })
    }
}
