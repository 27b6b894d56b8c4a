//! The parameters that an optimizer updates, each with its state.

use std::collections::BTreeMap;

use candle_core::{Result, Tensor, Var, bail};

/// A parameter that trains, and how it differs from others.
pub(super) struct Target {
    /// Its name in the network.
    pub(super) name: String,
    pub(super) values: Var,
    /// Multiplies the learning rate.
    pub(super) lr_factor: f64,
    /// Whether weight decay counts for it.
    pub(super) decays: bool,
}

/// A parameter with `N` tensors of its shape, which start as zeros.
pub(super) struct Slot<const N: usize> {
    pub(super) target: Target,
    pub(super) state: [Var; N],
}

/// All parameters of an optimizer whose state has these names.
pub(super) struct Slots<const N: usize> {
    slots: Vec<Slot<N>>,
    names: [&'static str; N],
}

impl<const N: usize> Slots<N> {
    pub(super) fn new(targets: Vec<Target>, names: [&'static str; N]) -> Result<Self> {
        let slot = |target: Target| {
            let mut state = Vec::with_capacity(N);
            for _ in 0..N {
                state.push(Var::from_tensor(&target.values.as_tensor().zeros_like()?)?);
            }
            let Ok(state) = state.try_into() else {
                unreachable!("N tensors were made")
            };
            Ok(Slot { target, state })
        };
        Ok(Self {
            slots: targets.into_iter().map(slot).collect::<Result<_>>()?,
            names,
        })
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Slot<N>> {
        self.slots.iter()
    }

    /// Every tensor of the state with its name.
    fn tensors(&self) -> impl Iterator<Item = (String, &Var)> {
        self.slots.iter().flat_map(|slot| {
            let named = self.names.iter().zip(&slot.state);
            named.map(|(name, var)| (format!("{}.{name}", slot.target.name), var))
        })
    }

    /// What a checkpoint has to keep.
    pub(super) fn state(&self) -> Vec<(String, Tensor)> {
        self.tensors()
            .map(|(name, var)| (name, var.as_tensor().clone()))
            .collect()
    }

    /// Takes over what [`Slots::state`] gave. After an error nothing is changed.
    pub(super) fn restore(&self, state: &BTreeMap<String, Tensor>) -> Result<()> {
        for (name, var) in self.tensors() {
            match state.get(&name) {
                Some(found) if found.dims() == var.dims() => {}
                Some(found) => bail!(
                    "{name}: expected shape {:?}, found {:?}",
                    var.dims(),
                    found.dims()
                ),
                None => bail!("{name}: missing from the optimizer's state"),
            }
        }
        for (name, var) in self.tensors() {
            var.set(&state[&name].to_device(var.device())?)?;
        }
        Ok(())
    }
}
