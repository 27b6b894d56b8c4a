//! Pictures that are kept elsewhere than in the memory of the processor, by somebody who makes inputs of them there.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, Ordering},
};

use crate::{Picture, Source, Split, ViewLayout, Weights};

/// A picture on a shelf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shelved {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// What whoever put it there knows it by.
    pub place: usize,
}

/// Which pictures of a source are kept elsewhere, such as in a GPU's memory. Who keeps them puts them on the shelf; threads
/// that prepare batches look there. A picture never leaves it.
#[derive(Debug)]
pub struct Shelf {
    places: [Vec<OnceLock<Shelved>>; 3],
    is_full: AtomicBool,
}

impl Shelf {
    /// An empty shelf for the pictures of `source`.
    pub fn new(source: &dyn Source) -> Self {
        let places = Split::ALL.map(|split| vec![OnceLock::new(); source.len(split)]);
        Self {
            places,
            is_full: AtomicBool::new(false),
        }
    }

    /// The picture, if it is there.
    pub fn get(&self, split: Split, index: usize) -> Option<Shelved> {
        self.places[split as usize][index].get().copied()
    }

    /// Notes that the picture is kept now, unless it was before; returns how it is known.
    pub fn put(&self, split: Split, index: usize, shelved: Shelved) -> Shelved {
        *self.places[split as usize][index].get_or_init(|| shelved)
    }

    /// Whether nothing more can be put there.
    pub fn is_full(&self) -> bool {
        self.is_full.load(Ordering::Relaxed)
    }

    /// Notes that nothing more can be put there: other pictures then come made as far as they can be.
    pub fn set_full(&self) {
        self.is_full.store(true, Ordering::Relaxed);
    }

    /// Whether it is for as many pictures as `source` has.
    pub(crate) fn fits(&self, source: &Arc<dyn Source>) -> bool {
        Split::ALL.map(|split| self.places[split as usize].len())
            == Split::ALL.map(|split| source.len(split))
    }
}

/// What an input is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A picture on the shelf.
    Shelved(Shelved),
    /// A decoded picture, which may be put on the shelf.
    Picture(Arc<Picture>),
    /// A picture that was transformed, for this input alone.
    Made(Picture),
}

impl Origin {
    /// Width and height in pixels.
    pub fn size(&self) -> (u32, u32) {
        match self {
            Self::Shelved(shelved) => (shelved.width, shelved.height),
            Self::Picture(picture) => (picture.width, picture.height),
            Self::Made(picture) => (picture.width, picture.height),
        }
    }
}

/// How the input of a network is made of a picture: all that is needed to make it elsewhere, to the bit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PictureView {
    /// The split of the picture.
    pub split: Split,
    /// Its place there.
    pub index: usize,
    /// What it is made of.
    pub origin: Origin,
    /// How it is made.
    pub layout: ViewLayout,
    /// [`ViewLayout::across`] and [`ViewLayout::down`].
    pub weights: [Option<Weights>; 2],
}

impl PictureView {
    /// A picture's view, with its weights.
    pub fn new(split: Split, index: usize, origin: Origin, layout: ViewLayout) -> Self {
        Self {
            split,
            index,
            origin,
            layout,
            weights: [layout.across(), layout.down()],
        }
    }

    /// An input of zeros that fills up a batch.
    pub fn blank(size: u32) -> Self {
        let all = ViewLayout::whole(size, size).seen;
        let layout = ViewLayout {
            seen: all,
            erased: Some(all),
            ..ViewLayout::whole(0, 0)
        };
        Self::new(Split::Train, 0, Origin::Made(Picture::default()), layout)
    }
}
