//! Decoded pictures kept as bytes.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use crate::{DataError, Picture, Source, Split};

/// Bytes that may be kept, shared by all caches of a worker.
#[derive(Debug)]
pub struct MemoryBudget {
    limit: usize,
    used: AtomicUsize,
}

impl MemoryBudget {
    /// A budget of so many bytes.
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            limit,
            used: AtomicUsize::new(0),
        })
    }

    /// Bytes in use.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Takes `bytes` if they still fit.
    pub(crate) fn take(&self, bytes: usize) -> bool {
        self.used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                used.checked_add(bytes).filter(|&sum| sum <= self.limit)
            })
            .is_ok()
    }

    /// Gives `bytes` back.
    pub(crate) fn give_back(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// The pictures of a source, each decoded once while the budget lasts and again each time when it does not.
///
/// Nothing is ever dropped to make room: an epoch asks for every picture once, so the pictures that are kept are as
/// good as any others. What is kept never changes a result.
pub struct PictureCache {
    source: Arc<dyn Source>,
    budget: Arc<MemoryBudget>,
    slots: [Vec<Mutex<Option<Arc<Picture>>>>; 3],
}

impl PictureCache {
    /// An empty cache of `source` within `budget`.
    pub fn new(source: Arc<dyn Source>, budget: Arc<MemoryBudget>) -> Self {
        let slots =
            Split::ALL.map(|split| (0..source.len(split)).map(|_| Mutex::default()).collect());
        Self {
            source,
            budget,
            slots,
        }
    }

    /// The source behind it.
    pub fn source(&self) -> &Arc<dyn Source> {
        &self.source
    }

    /// The budget that it takes its bytes from.
    pub fn budget(&self) -> &Arc<MemoryBudget> {
        &self.budget
    }

    /// A picture, decoded now or before. Two threads that ask for the same picture decode it once.
    pub fn get(&self, split: Split, index: usize) -> Result<Arc<Picture>, DataError> {
        // A panic while decoding leaves the slot empty, which is as good as new.
        let mut slot = self.slots[split as usize][index]
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(picture) = &*slot {
            return Ok(Arc::clone(picture));
        }
        let picture = Arc::new(self.source.load(split, index)?);
        if self.budget.take(picture.bytes()) {
            *slot = Some(Arc::clone(&picture));
        }
        Ok(picture)
    }
}

impl Drop for PictureCache {
    fn drop(&mut self) {
        for slot in self.slots.iter_mut().flatten() {
            let slot = slot.get_mut().unwrap_or_else(PoisonError::into_inner);
            if let Some(picture) = slot.take() {
                self.budget.give_back(picture.bytes());
            }
        }
    }
}
