//! What there is without CUDA: nothing.

use std::{convert::Infallible, sync::Arc};

use candle_core::{Device, Tensor};
use graft_data::{PictureView, Shelf, Source};

use crate::TrainError;

/// There is none.
#[derive(Clone)]
pub(crate) struct Gallery {
    none: Infallible,
}

impl Gallery {
    /// None, since there is no GPU.
    #[expect(
        clippy::unnecessary_wraps,
        reason = "a gallery on a GPU may fail to open"
    )]
    pub(crate) fn open(_: &Device, _: &Arc<dyn Source>) -> Result<Option<Self>, TrainError> {
        Ok(None)
    }

    pub(crate) fn shelf(&self) -> &Arc<Shelf> {
        match self.none {}
    }

    pub(crate) fn render(
        &self,
        _: &[PictureView],
        _: &Tensor,
        _: usize,
    ) -> Result<Tensor, TrainError> {
        match self.none {}
    }
}
