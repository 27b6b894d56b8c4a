//! How many trials run side by side on each device.
//!
//! On a CPU as many as there are workers. One trial with small batches leaves a GPU idle most of the time, and how many fill it
//! depends on the networks and on the machine: so a GPU gets one more as long as that pays. How fast the trials of a kind go beside
//! how many others is measured all the time and kept from trial to trial, so that trials may be shorter than it takes to judge,
//! and may be of any mixture of kinds.

mod device;
mod guest;
mod rates;
#[cfg(test)]
mod simulation;

use std::{collections::BTreeMap, time::Instant};

use graft_trainer::StepProgress;

use self::{device::Device, guest::Guest};

/// The devices of a sweep.
#[derive(Debug)]
pub(super) struct Crowd {
    devices: Vec<Device>,
    /// The most trials that were on their device beside the one that a slot runs or last ran, itself among them, and its kind.
    last: BTreeMap<usize, (usize, String)>,
}

/// How many trials a device gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Number {
    /// As many as there are slots.
    All,
    /// So many to begin with, and then as many as prove worth it.
    From(usize),
}

impl Crowd {
    /// `slots` workers spread over `devices`.
    pub(super) fn new(devices: &[String], slots: usize, number: Number) -> Self {
        let count = devices.len().max(1);
        let device = |(place, name): (usize, &String)| {
            let most = slots / count + usize::from(place < slots % count);
            Device::new(name, most, number)
        };
        Self {
            devices: devices.iter().enumerate().map(device).collect(),
            last: BTreeMap::new(),
        }
    }

    /// The number of the device that a slot belongs to.
    pub(super) fn place(&self, slot: usize) -> usize {
        slot % self.devices.len().max(1)
    }

    /// How many devices there are.
    pub(super) fn devices(&self) -> usize {
        self.devices.len()
    }

    fn device(&mut self, slot: usize) -> Option<&mut Device> {
        let place = self.place(slot);
        self.devices.get_mut(place)
    }

    /// What the device of a slot is called.
    pub(super) fn name(&self, slot: usize) -> &str {
        let device = self.devices.get(self.place(slot));
        device.map_or("", |device| &device.name)
    }

    /// Whether a trial may join those on the device of a slot.
    pub(super) fn has_room(&self, slot: usize) -> bool {
        let device = self.devices.get(self.place(slot));
        device.is_none_or(Device::has_room)
    }

    /// Whether a trial of `kind` may, as far as its kind has found too little memory before.
    pub(super) fn admits(&self, slot: usize, kind: &str) -> bool {
        let device = self.devices.get(self.place(slot));
        device.is_none_or(|device| device.admits(kind))
    }

    /// Whether the device of number `place` may soon get one more trial than run there now, for which a worker is better ready.
    pub(super) fn may_grow(&self, place: usize) -> bool {
        self.devices.get(place).is_some_and(Device::may_grow)
    }

    /// A trial of `kind` goes to a slot, whose worker is warm if it need not open its device first.
    pub(super) fn joined(&mut self, slot: usize, kind: &str, is_warm: bool, now: Instant) {
        if let Some(device) = self.device(slot) {
            device.joined(slot, Guest::new(kind, is_warm), now);
        }
    }

    /// The worker of a slot took its trial.
    pub(super) fn taken(&mut self, slot: usize, now: Instant) {
        if let Some(device) = self.device(slot) {
            device.taken(slot, now);
        }
    }

    /// The trial of a slot did a step.
    pub(super) fn step(&mut self, slot: usize, progress: &StepProgress, now: Instant) {
        if let Some(device) = self.device(slot) {
            device.step(slot, progress, now);
        }
    }

    /// The trial of a slot ended, or never began.
    pub(super) fn left(&mut self, slot: usize, now: Instant) {
        let guest = self.device(slot).and_then(|device| device.left(slot, now));
        if let Some(guest) = guest {
            self.last.insert(slot, (guest.beside, guest.kind));
        }
    }

    /// A worker told how much memory its device has.
    pub(super) fn memory(&mut self, slot: usize, free: u64, total: u64) {
        if let Some(device) = self.device(slot) {
            device.memory(free, total);
        }
    }

    /// The memory of a slot's device did not suffice for the trial that just left it. Whether it may with fewer others.
    pub(super) fn is_full(&mut self, slot: usize) -> bool {
        let Some((beside, kind)) = self.last.remove(&slot) else {
            return false;
        };
        if let Some(device) = self.device(slot) {
            device.is_full(&kind, beside);
        }
        beside > 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crowd(devices: &[&str], slots: usize, number: Number) -> Crowd {
        let names: Vec<String> = devices.iter().map(|&name| name.to_owned()).collect();
        Crowd::new(&names, slots, number)
    }

    #[test]
    fn slots_are_spread_and_all_of_them_are_used() {
        let now = Instant::now();
        let mut crowd = crowd(&["cuda:0", "cuda:1"], 5, Number::All);
        assert_eq!((crowd.name(0), crowd.name(3)), ("cuda:0", "cuda:1"));
        for slot in [0, 2, 1] {
            assert!(crowd.has_room(slot));
            crowd.joined(slot, "a", false, now);
        }
        assert!(crowd.has_room(4) && crowd.has_room(3));
        crowd.joined(4, "a", false, now);
        assert!(!crowd.has_room(4), "three of the five slots");
        crowd.left(2, now);
        assert!(crowd.has_room(2) && !crowd.may_grow(0));
    }

    #[test]
    fn a_full_device_takes_fewer_of_the_kind_and_a_single_trial_has_no_neighbours() {
        let now = Instant::now();
        let mut crowd = crowd(&["cuda:0", "cuda:1"], 6, Number::All);
        for slot in [0, 2, 4, 1] {
            crowd.joined(slot, if slot == 2 { "big" } else { "small" }, false, now);
        }
        crowd.left(2, now);
        assert!(crowd.is_full(2));
        assert!(crowd.has_room(2) && crowd.admits(2, "small") && !crowd.admits(2, "big"));
        assert!(crowd.admits(1, "big"), "the other device is not concerned");
        crowd.left(4, now);
        assert!(crowd.admits(2, "big"), "beside one it may");
        crowd.joined(2, "big", false, now);
        assert!(!crowd.has_room(4), "nobody may join them");
        crowd.left(2, now);
        assert!(crowd.is_full(2) && !crowd.admits(2, "big"));
        crowd.left(0, now);
        crowd.joined(2, "big", false, now);
        assert!(!crowd.has_room(0));
        crowd.left(2, now);
        assert!(!crowd.is_full(2), "alone it does not fit");
        assert!(crowd.has_room(0));
    }

    #[test]
    fn a_device_begins_with_a_number_that_memory_may_lower() {
        let now = Instant::now();
        let mut crowd = crowd(&["cuda:0"], 8, Number::From(4));
        for slot in 0..4 {
            assert!(crowd.has_room(slot));
            crowd.joined(slot, "a", false, now);
        }
        assert!(!crowd.has_room(4));
        crowd.left(3, now);
        let progress = StepProgress {
            epoch: 1,
            epochs: 9,
            batch: 1,
            batches: 9,
            validating: false,
            train_loss: 0.0,
            images_per_second: 0.0,
        };
        for slot in 0..3 {
            crowd.step(slot, &progress, now);
        }
        crowd.memory(0, 25, 100);
        assert!(
            !crowd.has_room(3),
            "each of the three takes a quarter of it"
        );
        crowd.memory(0, 40, 100);
        assert!(crowd.has_room(3));
    }
}
