//! Pictures in a GPU's memory.

use std::{
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use candle_core::{DType, Device, Tensor};
use graft_data::{Crop, Origin, Picture, Shelf, Shelved, Source, Weights};
use graft_ops::cuda::{self, PictureFilter, PictureId, PicturePixels, PictureStore, free_memory};

use crate::TrainError;

/// The part of the GPU's free memory that pictures may take.
const SHARE: usize = 4;

/// The pictures of a source as far as they are kept on a GPU, where the inputs of networks are made of them.
#[derive(Clone)]
pub(crate) struct Gallery {
    store: Arc<Mutex<PictureStore>>,
    shelf: Arc<Shelf>,
}

impl Gallery {
    /// An empty one for the pictures of `source`, which takes at most a quarter of the memory that is free now; none if the
    /// device is no GPU.
    pub(crate) fn open(
        device: &Device,
        source: &Arc<dyn Source>,
    ) -> Result<Option<Self>, TrainError> {
        if !device.is_cuda() {
            return Ok(None);
        }
        Self::with_room(device, source, free_memory(device)? / SHARE).map(Some)
    }

    /// An empty one that takes at most so many bytes.
    pub(super) fn with_room(
        device: &Device,
        source: &Arc<dyn Source>,
        bytes: usize,
    ) -> Result<Self, TrainError> {
        Ok(Self {
            store: Arc::new(Mutex::new(PictureStore::new(device, bytes)?)),
            shelf: Arc::new(Shelf::new(&**source)),
        })
    }

    /// Which pictures are there.
    pub(crate) fn shelf(&self) -> &Arc<Shelf> {
        &self.shelf
    }

    /// Makes inputs (n, size, size, 3) of pictures; keeps those that come for the first time, as long as there is room.
    /// `values`, (3, 256), has what every byte of red, green and blue becomes.
    pub(crate) fn render(
        &self,
        views: &[graft_data::PictureView],
        values: &Tensor,
        size: usize,
    ) -> Result<Tensor, TrainError> {
        let mut store = lock(&self.store);
        let mut rendered = Vec::with_capacity(views.len());
        for view in views {
            let pixels = match &view.origin {
                Origin::Shelved(shelved) => PicturePixels::Kept(PictureId(shelved.place)),
                Origin::Picture(picture) => self.keep(&mut store, view, picture)?,
                Origin::Made(picture) => bytes(picture),
            };
            rendered.push(described(view, pixels));
        }
        Ok(store.render(&rendered, values, size, DType::F32)?)
    }

    /// Keeps a picture, unless it is kept already or there is no room.
    fn keep<'a>(
        &self,
        store: &mut PictureStore,
        view: &graft_data::PictureView,
        picture: &'a Picture,
    ) -> Result<PicturePixels<'a>, TrainError> {
        if let Some(shelved) = self.shelf.get(view.split, view.index) {
            return Ok(PicturePixels::Kept(PictureId(shelved.place)));
        }
        let (width, height) = (picture.width, picture.height);
        let Some(PictureId(place)) = store.add(&picture.rgb, width as usize)? else {
            self.shelf.set_full();
            return Ok(bytes(picture));
        };
        let shelved = Shelved {
            width,
            height,
            place,
        };
        let shelved = self.shelf.put(view.split, view.index, shelved);
        Ok(PicturePixels::Kept(PictureId(shelved.place)))
    }
}

/// What a panicking thread leaves behind is still consistent.
fn lock(store: &Mutex<PictureStore>) -> MutexGuard<'_, PictureStore> {
    store.lock().unwrap_or_else(PoisonError::into_inner)
}

fn bytes(picture: &Picture) -> PicturePixels<'_> {
    PicturePixels::Bytes {
        rgb: &picture.rgb,
        width: picture.width as usize,
    }
}

/// A view as the GPU's side wants it described.
fn described<'a>(
    view: &'a graft_data::PictureView,
    pixels: PicturePixels<'a>,
) -> cuda::PictureView<'a> {
    let (layout, part) = (&view.layout, view.layout.part());
    let [across, down] = &view.weights;
    let mut described = cuda::PictureView {
        pixels,
        origin: [0; 2],
        across: PictureFilter::Same(0),
        down: PictureFilter::Same(0),
        columns_first: layout.columns_come_first(),
        corner: [0; 2],
        mirrored: layout.flip,
        erased: layout.erased.map(ranges),
    };
    // Where nothing is seen, there is nothing to read.
    if part.width > 0 && part.height > 0 {
        let (window, seen) = (layout.window, layout.seen);
        // Weights count from the border of the window.
        let first =
            |weights: &Option<Weights>, place: u32| if weights.is_some() { 0 } else { place };
        let origin = [
            window.x + first(across, part.x),
            window.y + first(down, part.y),
        ];
        described.origin = origin.map(|place| place as usize);
        described.corner =
            [part.x as i64 - seen.x, part.y as i64 - seen.y].map(|place| place as usize);
        described.across = filter(across.as_ref(), part.width);
        described.down = filter(down.as_ref(), part.height);
    }
    described
}

fn filter(weights: Option<&Weights>, length: u32) -> PictureFilter<'_> {
    weights.map_or(PictureFilter::Same(length as usize), |weights| {
        PictureFilter::Weighed {
            ranges: weights.ranges(),
            factors: weights.factors(),
        }
    })
}

/// The columns and rows of a rectangle inside an input.
fn ranges(part: Crop) -> [Range<usize>; 2] {
    let (x, y) = (part.x as usize, part.y as usize);
    [x..x + part.width as usize, y..y + part.height as usize]
}
