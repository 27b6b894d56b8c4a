//! Inputs of batches, on the device that computes.

use std::sync::Arc;

use candle_core::{Device, Tensor};
use graft_data::{Batch, PictureView, Shelf, Transform};

use crate::{TrainError, gallery::Gallery, session};

/// Makes the inputs of batches: on a GPU of the pictures that are kept there, else of the batch's pixels. Which it is changes
/// no bit of them.
#[derive(Clone)]
pub(crate) struct Feed {
    device: Device,
    /// The pictures on the GPU, and what every byte of a picture becomes, (3, 256).
    gallery: Option<(Gallery, Tensor)>,
}

impl Feed {
    /// Inputs of a transform, of pictures on the device if there is a gallery.
    pub(crate) fn new(
        device: &Device,
        transform: &Transform,
        gallery: Option<Gallery>,
    ) -> Result<Self, TrainError> {
        let device = device.clone();
        let gallery = match gallery {
            None => None,
            Some(gallery) => {
                let values = transform.values().concat();
                let values = Tensor::from_vec(values, (3, 256), &device)?;
                Some((gallery, values))
            }
        };
        Ok(Self { device, gallery })
    }

    /// Where the pictures on the device are listed, for loaders whose batches come here.
    pub(crate) fn shelf(&self) -> Option<Arc<Shelf>> {
        let (gallery, _) = self.gallery.as_ref()?;
        Some(Arc::clone(gallery.shelf()))
    }

    pub(crate) fn device(&self) -> &Device {
        &self.device
    }

    /// The inputs of a batch, (n, size, size, 3).
    pub(crate) fn input(&self, batch: Batch) -> Result<Tensor, TrainError> {
        match &self.gallery {
            Some((gallery, values)) if !batch.views.is_empty() => {
                gallery.render(&batch.views, values, batch.size)
            }
            _ => session::input(batch, &self.device),
        }
    }

    /// The inputs of a batch and blank ones, `n` in all.
    pub(crate) fn filled(&self, mut batch: Batch, n: usize) -> Result<Tensor, TrainError> {
        if batch.views.is_empty() {
            batch.pixels.resize(n * 3 * batch.size * batch.size, 0.0);
        } else {
            let blank = PictureView::blank(batch.size as u32);
            batch.views.resize(n, blank);
        }
        self.input(batch)
    }
}
