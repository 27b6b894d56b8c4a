//! Layers beside a shortcut.

use candle_core::{Result, Tensor};

use super::{Layer, Sequential};
use crate::{Builder, Pass};

/// What layers make of their input, plus a shortcut, with nothing behind the sum.
pub struct Residual {
    layers: Sequential,
    shortcut: Sequential,
    /// The name of the sum.
    name: String,
}

impl Residual {
    /// `layers` beside the input itself, whose shape they keep. The sum is called `add` in the scope of `builder`.
    pub fn new(builder: &Builder, layers: Sequential) -> Self {
        Self {
            layers,
            shortcut: Sequential::new(),
            name: builder.scope("add").path().to_owned(),
        }
    }

    /// With layers on the shortcut, too.
    #[must_use]
    pub fn shortcut(mut self, layer: impl Layer + 'static) -> Self {
        self.shortcut.push(layer);
        self
    }
}

impl Layer for Residual {
    fn forward(&self, x: &Tensor, pass: &Pass<'_>) -> Result<Tensor> {
        let residual = self.layers.forward(x, pass)?;
        let shortcut = self.shortcut.forward(x, pass)?;
        let y = graft_ops::add(pass.tape(), &residual, &shortcut)?;
        if let Some(trace) = pass.trace() {
            trace.note(&self.name, "add", &y, &[], 0);
        }
        Ok(y)
    }
}
