//! Clipping of gradients on their way into an optimizer.

/// What becomes of a gradient before an optimizer uses it. The default leaves it as it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Clipping {
    /// It is multiplied with this, as `torch.nn.utils.clip_grad_norm_` does for all parameters together.
    pub scale: f64,
    /// Then every element is brought within ± this, as `torch.nn.utils.clip_grad_value_` does.
    pub limit: f64,
}

impl Default for Clipping {
    fn default() -> Self {
        Self {
            scale: 1.0,
            limit: f64::INFINITY,
        }
    }
}

/// A [`Clipping`] as it is used.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Clip {
    pub(crate) scale: f32,
    pub(crate) limit: f32,
}

impl Clip {
    pub(crate) fn of(clipping: &Clipping) -> Self {
        Self {
            scale: clipping.scale as f32,
            limit: clipping.limit as f32,
        }
    }

    /// The clipped element.
    #[inline(always)]
    pub(crate) fn apply(self, gradient: f32) -> f32 {
        (self.scale * gradient).clamp(-self.limit, self.limit)
    }
}
