//! Dropout (Srivastava et al. 2014), as `torch.nn.Dropout`, with masks that depend on (seed, repeat, step, layer).

use candle_core::{Result, Tensor};

use super::Layer;
use crate::{Builder, Pass};

/// Sets a share of the elements to 0 in training and scales the others up; any shape.
pub struct Dropout {
    name: String,
    p: f64,
    layer: u64,
}

impl Dropout {
    /// Drops with probability `p`, from 0 to below 1.
    pub fn new(builder: &Builder, p: f64) -> Self {
        Self {
            name: builder.path().to_owned(),
            p,
            layer: builder.next_dropout(),
        }
    }
}

impl Layer for Dropout {
    fn forward(&self, x: &Tensor, pass: &Pass<'_>) -> Result<Tensor> {
        let y = match pass.dropout_key(self.layer) {
            Some(key) if self.p > 0.0 => graft_ops::dropout(pass.tape(), x, self.p, key)?,
            _ => x.clone(),
        };
        if let Some(trace) = pass.trace() {
            trace.note(&self.name, "dropout", &y, &[], 0);
        }
        Ok(y)
    }
}
