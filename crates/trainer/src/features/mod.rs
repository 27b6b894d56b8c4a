//! Features of fixed backbones, computed once and shared by trials, workers and sweeps.
//!
//! A bank holds what one backbone makes of the views of one split, in memory and, if there is a cache, on the disk. It
//! never decides a result: what is in it is, to the bit, what would be computed again, and what is missing is.

mod batches;
mod folder;
mod key;
mod log;

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde::{Deserialize, Serialize};

use crate::Observer;
use folder::KeyFolder;
use log::{HEADER_BYTES, LogReader, LogWriter, record_bytes};

pub(crate) use batches::{FeatureBatches, Wanted};
pub(crate) use key::{Key, hash_backbone};

/// Bytes of features that one bank keeps in memory.
const MEMORY_BYTES: usize = 128 << 20;
/// After so many written bytes it is looked again whether the cache is full.
const CHECK_BYTES: u64 = 64 << 20;

/// Where features are kept on the disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeatureCache {
    /// The folder, shared by all workers and sweeps.
    pub folder: PathBuf,
    /// Bytes that it may take.
    pub limit: u64,
}

impl FeatureCache {
    /// Removes what nobody uses; returns whether that made room.
    pub(crate) fn clear(&self) -> bool {
        folder::clear(self)
    }
}

/// A bank as it is shared within a worker.
#[derive(Clone)]
pub(crate) struct SharedBank(Arc<Mutex<FeatureBank>>);

impl SharedBank {
    pub(crate) fn new(bank: FeatureBank) -> Self {
        Self(Arc::new(Mutex::new(bank)))
    }

    /// Tells what there is to tell since the last time.
    pub(crate) fn tell(&self, observer: &mut dyn Observer) {
        for note in std::mem::take(&mut self.lock().notes) {
            observer.log(&note);
        }
    }

    /// The bank. What a panicking thread leaves behind is still consistent.
    pub(crate) fn lock(&self) -> MutexGuard<'_, FeatureBank> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The features of the views of one split.
pub(crate) struct FeatureBank {
    key: Key,
    /// How many items there can be.
    items: u64,
    /// Dimensions of the features of one picture, once known.
    dims: Option<Vec<usize>>,
    memory: BTreeMap<u64, Box<[f32]>>,
    memory_bytes: usize,
    disk: Option<Disk>,
    /// Things to tell, each once.
    notes: Vec<String>,
}

/// The part of a bank that is on the disk.
struct Disk {
    cache: FeatureCache,
    folder: KeyFolder,
    logs: Vec<LogReader>,
    /// Files that were opened, or found to be unusable.
    seen: BTreeSet<PathBuf>,
    /// (item, file, record).
    places: BTreeSet<(u64, usize, u64)>,
    writer: Option<LogWriter>,
    /// Bytes to write before it is looked again whether the cache is full.
    unchecked: u64,
    is_full: bool,
}

impl FeatureBank {
    /// A bank for at most `items` items, with what the cache has of them.
    pub(crate) fn open(key: Key, items: u64, cache: Option<&FeatureCache>) -> Self {
        let mut bank = Self {
            key,
            items,
            dims: None,
            memory: BTreeMap::new(),
            memory_bytes: 0,
            disk: None,
            notes: Vec::new(),
        };
        if let Some(cache) = cache.filter(|cache| cache.limit > 0) {
            match KeyFolder::open(cache, &key) {
                Ok(folder) => {
                    bank.disk = Some(Disk {
                        cache: cache.clone(),
                        folder,
                        logs: Vec::new(),
                        seen: BTreeSet::new(),
                        places: BTreeSet::new(),
                        writer: None,
                        unchecked: 0,
                        is_full: false,
                    });
                }
                Err(error) => bank.note_unusable(&cache.folder.clone(), &error),
            }
        }
        bank.refresh();
        bank
    }

    pub(crate) fn key(&self) -> &Key {
        &self.key
    }

    fn note_unusable(&mut self, path: &std::path::Path, error: &io::Error) {
        self.notes.push(format!(
            "{}: features are not kept there: {error}; that costs time and nothing else",
            path.display()
        ));
    }

    /// Dimensions of the features of one picture, once known.
    pub(crate) fn dims(&self) -> Option<&[usize]> {
        self.dims.as_deref()
    }

    /// Finds what other processes have written since.
    pub(crate) fn refresh(&mut self) {
        let Some(disk) = &mut self.disk else { return };
        if let Err(error) = disk.refresh(&self.key, &mut self.dims) {
            let folder = disk.cache.folder.clone();
            self.note_unusable(&folder, &error);
            self.disk = None;
        }
    }

    /// Whether the features of `item` seem to be there; only reading them tells.
    pub(crate) fn seems_to_have(&self, item: u64) -> bool {
        self.memory.contains_key(&item)
            || self
                .disk
                .as_ref()
                .is_some_and(|disk| disk.place_of(item).is_some())
    }

    /// Copies the features of `item` to `values`; `false` if they are missing.
    pub(crate) fn read(&mut self, item: u64, values: &mut [f32]) -> bool {
        if let Some(kept) = self.memory.get(&item) {
            values.copy_from_slice(kept);
            return true;
        }
        if !self
            .disk
            .as_mut()
            .is_some_and(|disk| disk.read(item, values))
        {
            return false;
        }
        self.remember(item, values);
        true
    }

    /// Takes in the features of pictures that were computed; returns whether all of them are in memory now.
    pub(crate) fn put(&mut self, dims: &[usize], features: &[(u64, &[f32])]) -> bool {
        if self.dims.is_none() {
            self.dims = Some(dims.to_vec());
        }
        self.write(dims, features);
        let mut kept = true;
        for &(item, values) in features {
            kept &= self.remember(item, values);
        }
        kept
    }

    /// Keeps features in memory if they fit.
    fn remember(&mut self, item: u64, values: &[f32]) -> bool {
        let bytes = size_of_val(values);
        if self.memory_bytes + bytes > MEMORY_BYTES {
            return self.memory.contains_key(&item);
        }
        if self.memory.insert(item, values.into()).is_none() {
            self.memory_bytes += bytes;
        }
        true
    }

    /// Writes features to the disk if they fit. A cache that can't be written is not written again.
    fn write(&mut self, dims: &[usize], features: &[(u64, &[f32])]) {
        let Some(disk) = self.disk.as_mut().filter(|disk| !disk.is_full) else {
            return;
        };
        if let Err(error) = disk.write(&self.key, self.items, dims, features) {
            disk.is_full = true;
            let folder = disk.cache.folder.clone();
            self.note_unusable(&folder, &error);
        }
    }
}

impl Disk {
    /// Opens new files and finds the new records of all.
    fn refresh(&mut self, key: &Key, dims: &mut Option<Vec<usize>>) -> io::Result<()> {
        for path in self.folder.logs()? {
            if self.seen.contains(&path) {
                continue;
            }
            // One that can't be read yet may be at its beginning; one that is damaged stays unread.
            if let Some(log) = LogReader::open(&path, key)? {
                let known = dims.get_or_insert_with(|| log.dims().to_vec());
                if *known == log.dims() {
                    self.logs.push(log);
                }
                self.seen.insert(path);
            }
        }
        for (number, log) in self.logs.iter_mut().enumerate() {
            log.scan(|item, record| {
                self.places.insert((item, number, record));
            })?;
        }
        Ok(())
    }

    /// A file and a record that has `item`.
    fn place_of(&self, item: u64) -> Option<(usize, u64)> {
        let mut places = self
            .places
            .range((item, 0, 0)..=(item, usize::MAX, u64::MAX));
        places.next().map(|&(_, log, record)| (log, record))
    }

    fn read(&mut self, item: u64, values: &mut [f32]) -> bool {
        while let Some((log, record)) = self.place_of(item) {
            if self.logs[log].read(record, item, values) {
                return true;
            }
            // Damaged: as good as missing.
            self.places.remove(&(item, log, record));
        }
        false
    }

    /// Appends to the file of this process as long as there is room.
    fn write(
        &mut self,
        key: &Key,
        items: u64,
        dims: &[usize],
        features: &[(u64, &[f32])],
    ) -> io::Result<()> {
        let record = record_bytes(dims);
        let header = self.writer.is_none().then_some(HEADER_BYTES as u64);
        let wanted = record * features.len() as u64 + header.unwrap_or(0);
        if self.unchecked < wanted {
            // All that may come makes room once; from then on it is only seen to that the limit holds.
            let room = match self.writer {
                None => record.saturating_mul(items).min(self.cache.limit),
                Some(_) => wanted.max(CHECK_BYTES),
            };
            folder::make_room(&self.cache, room)?;
            let left = self.cache.limit.saturating_sub(folder::used(&self.cache)?);
            if left < wanted {
                self.is_full = true;
                return Ok(());
            }
            self.unchecked = left.min(CHECK_BYTES.max(wanted));
        }
        if self.writer.is_none() {
            let (path, writer) = self.folder.create_log(key, dims)?;
            if let Some(log) = LogReader::open(&path, key)? {
                self.logs.push(log);
            }
            self.seen.insert(path);
            self.writer = Some(writer);
        }
        let Some(writer) = &mut self.writer else {
            return Ok(());
        };
        writer.append(features.iter().copied())?;
        self.unchecked -= wanted;
        for (number, log) in self.logs.iter_mut().enumerate() {
            log.scan(|item, record| {
                self.places.insert((item, number, record));
            })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn cache(folder: &Path, limit: u64) -> FeatureCache {
        FeatureCache {
            folder: folder.join("features"),
            limit,
        }
    }

    fn values(item: u64) -> [f32; 4] {
        [item as f32, 0.5, -1.0, 3.0]
    }

    fn put(bank: &mut FeatureBank, items: std::ops::Range<u64>) -> bool {
        let all: Vec<(u64, [f32; 4])> = items.map(|item| (item, values(item))).collect();
        let features: Vec<(u64, &[f32])> = all.iter().map(|(i, v)| (*i, &v[..])).collect();
        bank.put(&[2, 2], &features)
    }

    fn has(bank: &mut FeatureBank, item: u64) -> bool {
        let mut found = [0.0; 4];
        let has = bank.read(item, &mut found);
        assert!(!has || found == values(item));
        has
    }

    #[test]
    fn what_one_process_computes_another_finds() {
        let folder = tempfile::tempdir().unwrap();
        let (cache, key) = (cache(folder.path(), 1 << 20), Key::of(b"k"));
        let mut one = FeatureBank::open(key, 100, Some(&cache));
        let mut two = FeatureBank::open(key, 100, Some(&cache));
        assert!(put(&mut one, 0..5));
        assert!(!has(&mut two, 3));
        two.refresh();
        assert_eq!(two.dims(), Some(&[2, 2][..]));
        assert!(has(&mut two, 3) && !has(&mut two, 5));
        assert!(put(&mut two, 5..8));
        let mut later = FeatureBank::open(key, 100, Some(&cache));
        assert!((0..8).all(|item| has(&mut later, item)));
        let mut other = FeatureBank::open(Key::of(b"other"), 100, Some(&cache));
        assert!(!other.seems_to_have(3) && !has(&mut other, 3));
    }

    #[test]
    fn a_damaged_record_is_missing_until_it_is_there_again() {
        let folder = tempfile::tempdir().unwrap();
        let (cache, key) = (cache(folder.path(), 1 << 20), Key::of(b"k"));
        put(&mut FeatureBank::open(key, 100, Some(&cache)), 0..3);
        let log = KeyFolder::open(&cache, &key).unwrap().logs().unwrap();
        let mut bytes = std::fs::read(&log[0]).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        std::fs::write(&log[0], bytes).unwrap();
        let mut bank = FeatureBank::open(key, 100, Some(&cache));
        assert!(bank.seems_to_have(2) && !has(&mut bank, 2) && has(&mut bank, 1));
        put(&mut bank, 2..3);
        let mut later = FeatureBank::open(key, 100, Some(&cache));
        assert!((0..3).all(|item| has(&mut later, item)));
    }

    #[test]
    fn the_limit_holds_and_memory_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let (cache, key) = (cache(folder.path(), 400), Key::of(b"k"));
        let mut bank = FeatureBank::open(key, 1000, Some(&cache));
        for start in 0..20 {
            assert!(put(&mut bank, 4 * start..4 * (start + 1)));
        }
        assert!(folder::used(&cache).unwrap() <= 400);
        assert!((0..80).all(|item| has(&mut bank, item)));
        let mut later = FeatureBank::open(key, 1000, Some(&cache));
        assert!(has(&mut later, 3) && !has(&mut later, 79));
    }

    #[test]
    fn a_cache_that_cannot_be_used_is_told_of_once() {
        let folder = tempfile::tempdir().unwrap();
        let cache = cache(folder.path(), 1 << 20);
        std::fs::write(&cache.folder, "a file in its place").unwrap();
        let mut bank = FeatureBank::open(Key::of(b"k"), 10, Some(&cache));
        assert!(put(&mut bank, 0..2) && has(&mut bank, 1));
        bank.refresh();
        assert_eq!(bank.notes.len(), 1, "{:?}", bank.notes);
        let mut none = FeatureBank::open(Key::of(b"k"), 10, None);
        assert!(put(&mut none, 0..2) && has(&mut none, 1) && none.notes.is_empty());
    }
}
