//! What a worker keeps from one trial to the next: opened sources with their decoded pictures, a frozen backbone, and
//! features of such backbones. None of it changes a result.

use std::{
    collections::{BTreeMap, VecDeque},
    path::PathBuf,
    sync::Arc,
};

use candle_core::Device;
use graft_data::{DataFolders, MemoryBudget, PictureCache, SourceSpec};

use crate::{
    Observer, TrainError, Trial,
    features::{FeatureBank, Key, SharedBank},
    gallery::Gallery,
    network::BuiltNetwork,
};

/// Bytes of decoded pictures that a worker keeps unless told otherwise.
pub const PICTURE_BYTES: usize = 512 << 20;
/// Banks of features that a worker keeps: those of the last two trials.
const BANKS: usize = 4;

/// What a worker keeps from one trial to the next.
pub struct Resources {
    budget: Arc<MemoryBudget>,
    pictures: BTreeMap<String, Arc<PictureCache>>,
    /// Those of one cache that are on a GPU.
    gallery: Option<(Arc<PictureCache>, Device, Gallery)>,
    /// The network of the trial before, if its backbone never changes.
    network: Option<BuiltNetwork>,
    /// The newest last.
    banks: VecDeque<SharedBank>,
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
            gallery: None,
            network: None,
            banks: VecDeque::new(),
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
        // To look through the files takes as many threads as prepare batches, where the trial itself has fewer.
        let open = || graft_data::open(source, &folders);
        let threads = trial.loader_threads;
        let pool = (rayon::current_num_threads() < threads)
            .then(|| rayon::ThreadPoolBuilder::new().num_threads(threads).build());
        let opened = match pool {
            Some(Ok(pool)) => pool.install(open)?,
            _ => open()?,
        };
        let pictures = Arc::new(PictureCache::new(opened, Arc::clone(&self.budget)));
        self.pictures.insert(key, Arc::clone(&pictures));
        Ok(pictures)
    }

    /// The pictures of a cache that are kept on a device, some of them perhaps for an earlier trial; none if it is no GPU.
    pub(crate) fn gallery(
        &mut self,
        pictures: &Arc<PictureCache>,
        device: &Device,
    ) -> Result<Option<Gallery>, TrainError> {
        if let Some((of, on, gallery)) = &self.gallery
            && Arc::ptr_eq(of, pictures)
            && on.same_device(device)
        {
            return Ok(Some(gallery.clone()));
        }
        // Those of other pictures make room first.
        self.gallery = None;
        let opened = Gallery::open(device, pictures.source())?;
        self.gallery = opened.map(|gallery| (Arc::clone(pictures), device.clone(), gallery));
        Ok(self.gallery.as_ref().map(|(_, _, gallery)| gallery.clone()))
    }

    /// The network of the trial before. Nothing of it is kept any longer.
    pub(crate) fn take_network(&mut self) -> Option<BuiltNetwork> {
        self.network.take()
    }

    /// Keeps the network of a trial that is over.
    pub(crate) fn keep_network(&mut self, network: BuiltNetwork) {
        self.network = Some(network);
    }

    /// The features of `key`, of which there are at most `items`.
    pub(crate) fn bank(
        &mut self,
        trial: &Trial,
        key: Key,
        items: u64,
        observer: &mut dyn Observer,
    ) -> SharedBank {
        let known = self.banks.iter().position(|bank| *bank.lock().key() == key);
        let bank = match known.and_then(|place| self.banks.remove(place)) {
            Some(bank) => bank,
            None => SharedBank::new(FeatureBank::open(key, items, trial.features.as_ref())),
        };
        bank.tell(observer);
        while self.banks.len() >= BANKS {
            self.banks.pop_front();
        }
        self.banks.push_back(bank.clone());
        bank
    }

    /// Forgets all features, and removes those on the disk that nobody else uses; returns whether that made room there.
    pub(crate) fn make_room(&mut self, trial: &Trial) -> bool {
        self.banks.clear();
        trial
            .features
            .as_ref()
            .is_some_and(crate::FeatureCache::clear)
    }
}
