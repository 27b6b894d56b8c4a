//! What a worker keeps from one trial to the next: opened sources with their decoded pictures, and the validation
//! features of frozen backbones. None of it changes a result.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use candle_core::Tensor;
use graft_data::{DataFolders, MemoryBudget, PictureCache, SourceSpec};

use crate::{TrainError, Trial};

/// Bytes of decoded pictures that a worker keeps unless told otherwise.
pub const PICTURE_BYTES: usize = 512 << 20;
/// Bytes of validation features that a worker keeps.
const FEATURE_BYTES: usize = 256 << 20;

/// The features of the validation pictures, in batches and in order.
pub(crate) struct Features {
    pub(crate) batches: Vec<(Tensor, Vec<u32>)>,
    bytes: usize,
}

/// What a worker keeps from one trial to the next.
pub struct Resources {
    budget: Arc<MemoryBudget>,
    pictures: BTreeMap<String, Arc<PictureCache>>,
    features: BTreeMap<String, Arc<Features>>,
}

impl Default for Resources {
    fn default() -> Self {
        Self::new(PICTURE_BYTES)
    }
}

impl Resources {
    /// Nothing yet, and at most so many bytes of decoded pictures.
    pub fn new(picture_bytes: usize) -> Self {
        Self {
            budget: MemoryBudget::new(picture_bytes),
            pictures: BTreeMap::new(),
            features: BTreeMap::new(),
        }
    }

    /// The trial's pictures, opened now or for an earlier trial.
    pub(crate) fn pictures(&mut self, trial: &Trial) -> Result<Arc<PictureCache>, TrainError> {
        let source: &SourceSpec = &trial.spec.data.source;
        let key = format!(
            "{source:?} {:?} {}",
            trial.data_folders, trial.spec.data_fingerprint
        );
        if let Some(pictures) = self.pictures.get(&key) {
            return Ok(Arc::clone(pictures));
        }
        let folders = DataFolders {
            search: trial.data_folders.clone(),
            download_into: trial
                .data_folders
                .first()
                .cloned()
                .unwrap_or_else(|| PathBuf::from("data")),
            offline: true,
        };
        // Trials of one sweep seldom differ in their pictures; those of another source make room.
        self.pictures.clear();
        let pictures = Arc::new(PictureCache::new(
            graft_data::open(source, &folders)?,
            Arc::clone(&self.budget),
        ));
        self.pictures.insert(key, Arc::clone(&pictures));
        Ok(pictures)
    }

    /// Validation features kept under `key`.
    pub(crate) fn features(&self, key: &str) -> Option<Arc<Features>> {
        self.features.get(key).cloned()
    }

    /// Keeps validation features if they fit.
    pub(crate) fn keep_features(&mut self, key: String, features: &Arc<Features>) {
        let kept: usize = self.features.values().map(|features| features.bytes).sum();
        if kept + features.bytes <= FEATURE_BYTES {
            self.features.insert(key, Arc::clone(features));
        }
    }
}

impl Features {
    /// Whether features of `pictures` pictures of `values` numbers each are worth keeping in memory.
    pub(crate) fn fit(pictures: usize, values: usize) -> bool {
        pictures
            .saturating_mul(values)
            .saturating_mul(size_of::<f32>())
            <= FEATURE_BYTES
    }

    pub(crate) fn new(batches: Vec<(Tensor, Vec<u32>)>) -> Self {
        let bytes = batches
            .iter()
            .map(|(features, _)| features.elem_count() * size_of::<f32>())
            .sum();
        Self { batches, bytes }
    }
}
