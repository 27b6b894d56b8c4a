//! Layers side by side.

use candle_core::{Result, Tensor};

use super::Layer;
use crate::{Builder, Pass};

/// Several layers on one input, whose maps are put together in their order.
pub struct Branches {
    branches: Vec<Box<dyn Layer>>,
    /// The name of the concatenation.
    name: String,
}

impl Branches {
    /// No branch yet. The concatenation is called `cat` in the scope of `builder`.
    pub fn new(builder: &Builder) -> Self {
        Self {
            branches: Vec::new(),
            name: builder.scope("cat").path().to_owned(),
        }
    }

    /// Adds a branch.
    #[must_use]
    pub fn with(mut self, branch: impl Layer + 'static) -> Self {
        self.branches.push(Box::new(branch));
        self
    }
}

impl Layer for Branches {
    fn forward(&self, x: &Tensor, pass: &Pass<'_>) -> Result<Tensor> {
        let parts = self
            .branches
            .iter()
            .map(|branch| branch.forward(x, pass))
            .collect::<Result<Vec<_>>>()?;
        let parts: Vec<&Tensor> = parts.iter().collect();
        let y = graft_ops::cat(pass.tape(), &parts, 3)?;
        if let Some(trace) = pass.trace() {
            trace.note(&self.name, "concatenate", &y, &[], 0);
        }
        Ok(y)
    }
}
