//! The average of a network's weights along its training (Polyak and Juditsky 1992), exponentially weighted as
//! `torch.optim.swa_utils.get_ema_multi_avg_fn` does it.

use std::collections::BTreeMap;

use candle_core::{Tensor, Var};
use graft_model::Network;
use graft_ops::lerp_all;
use serde::{Deserialize, Serialize};

use crate::TrainError;

/// An exponential moving average of the weights, which validation and the best checkpoint use in their place.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct EmaSpec {
    /// How much of the average each step keeps.
    pub decay: f64,
}

/// The average of all tensors that training changes, running statistics among them.
pub(crate) struct WeightAverage {
    decay: f64,
    average: Vec<(String, Var)>,
}

impl WeightAverage {
    /// An average that begins with the network's weights.
    pub(crate) fn new(spec: EmaSpec, network: &Network) -> Result<Self, TrainError> {
        let copy =
            |(name, tensor): (String, Tensor)| Ok((name, Var::from_tensor(&tensor.copy()?)?));
        Ok(Self {
            decay: spec.decay,
            average: network
                .trained_state()
                .into_iter()
                .map(copy)
                .collect::<Result<_, TrainError>>()?,
        })
    }

    /// Takes in the weights after a step.
    pub(crate) fn update(&mut self, network: &Network) -> Result<(), TrainError> {
        let now = network.trained_state();
        let pairs = self.average.iter().zip(&now);
        let pairs: Vec<(&Var, &Tensor)> = pairs.map(|((_, a), (_, b))| (a, b)).collect();
        Ok(lerp_all(&pairs, 1.0 - self.decay)?)
    }

    /// Runs `work` on the network with the average in place of its weights, which it has again afterwards.
    pub(crate) fn in_place<R>(
        &self,
        network: &Network,
        work: impl FnOnce() -> Result<R, TrainError>,
    ) -> Result<R, TrainError> {
        let kept = network
            .trained_state()
            .into_iter()
            .map(|(name, tensor)| Ok((name, tensor.copy()?)))
            .collect::<Result<BTreeMap<_, _>, TrainError>>()?;
        network.restore_trained(&self.tensors())?;
        let result = work();
        network.restore_trained(&kept)?;
        result
    }

    /// What a checkpoint has to keep, by name.
    pub(crate) fn tensors(&self) -> BTreeMap<String, Tensor> {
        let named = self.average.iter();
        named
            .map(|(name, var)| (name.clone(), var.as_tensor().clone()))
            .collect()
    }

    /// Takes over what [`WeightAverage::tensors`] gave.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape. Nothing is changed then.
    pub(crate) fn restore(&mut self, tensors: &BTreeMap<String, Tensor>) -> Result<(), TrainError> {
        for (name, var) in &self.average {
            if tensors
                .get(name)
                .is_none_or(|found| found.dims() != var.dims())
            {
                let text =
                    format!("{name}: missing from the average of weights, or of another shape");
                return Err(candle_core::Error::Msg(text).into());
            }
        }
        for (name, var) in &self.average {
            var.set(&tensors[name].to_device(var.device())?)?;
        }
        Ok(())
    }
}
