//! How many trials run side by side on each device.
//!
//! On a CPU as many as there are workers. One trial with small batches leaves a GPU idle most of the time, and how many fill it
//! depends on the network and on the machine: so a GPU gets one more as long as that pays, by what the trials on it lose to the
//! newcomer, and as long as its memory takes it.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// How long trials are watched between two changes.
const WATCH: Duration = Duration::from_secs(3);
/// One more trial has to raise what all of them do by this factor.
const WORTH: f64 = 1.08;

/// The devices of a sweep.
#[derive(Debug)]
pub(super) struct Crowd {
    devices: Vec<Device>,
}

/// A device and the trials on it.
#[derive(Debug)]
struct Device {
    name: String,
    /// Trials at a time.
    allowed: usize,
    /// Trials at a time at most.
    most: usize,
    /// Whether the number is still being looked for.
    is_open: bool,
    /// Since when nothing has changed on it, and how far each of its trials was then, by slot.
    marks: Option<(Instant, BTreeMap<usize, f64>)>,
    /// The trials' speeds before the last one joined them, by slot.
    before: BTreeMap<usize, f64>,
    /// Bytes that are free, and bytes in all, as a worker last told.
    memory: Option<(u64, u64)>,
}

/// A running trial as a device sees it: its slot, and the share of it that is done, if it has begun.
pub(super) type Seen = (usize, Option<f64>);

impl Crowd {
    /// `slots` workers spread over `devices`; where the number is not `fixed`, each device starts with one.
    pub(super) fn new(devices: &[String], slots: usize, fixed: bool) -> Self {
        let count = devices.len().max(1);
        let device = |(place, name): (usize, &String)| {
            let most = slots / count + usize::from(place < slots % count);
            Device {
                name: name.clone(),
                allowed: if fixed { most } else { most.min(1) },
                most,
                is_open: !fixed,
                marks: None,
                before: BTreeMap::new(),
                memory: None,
            }
        };
        Self {
            devices: devices.iter().enumerate().map(device).collect(),
        }
    }

    /// The number of the device that a slot belongs to.
    pub(super) fn place(&self, slot: usize) -> usize {
        slot % self.devices.len().max(1)
    }

    /// What the device of a slot is called.
    pub(super) fn name(&self, slot: usize) -> &str {
        self.devices.get(self.place(slot)).map_or("", |d| &d.name)
    }

    /// Whether a trial may join so many on the device of a slot.
    pub(super) fn has_room(&self, slot: usize, running: usize) -> bool {
        self.devices
            .get(self.place(slot))
            .is_none_or(|device| running < device.allowed)
    }

    /// Trials that run at a time now.
    #[cfg(test)]
    fn allowed(&self) -> usize {
        self.devices.iter().map(|device| device.allowed).sum()
    }

    /// A trial came to the device of a slot, or left it.
    pub(super) fn changed(&mut self, slot: usize) {
        let place = self.place(slot);
        if let Some(device) = self.devices.get_mut(place) {
            device.marks = None;
        }
    }

    /// A worker told how much memory its device has.
    pub(super) fn memory(&mut self, slot: usize, free: u64, total: u64) {
        let place = self.place(slot);
        if let Some(device) = self.devices.get_mut(place) {
            device.memory = Some((free, total));
        }
    }

    /// The memory of a slot's device did not suffice for a trial while `running` were there, itself among them. Whether fewer may do.
    pub(super) fn is_full(&mut self, slot: usize, running: usize) -> bool {
        let place = self.place(slot);
        let Some(device) = self.devices.get_mut(place) else {
            return false;
        };
        device.allowed = device.allowed.min(running.saturating_sub(1)).max(1);
        device.is_open = false;
        running > 1
    }

    /// Watches the trials on the device of number `place`, and lets one more come, or none, once it is known what that does.
    pub(super) fn watch(&mut self, place: usize, trials: &[Seen], now: Instant) {
        let Some(device) = self.devices.get_mut(place) else {
            return;
        };
        if device.is_open && trials.len() == device.allowed {
            device.watch(trials, now);
        }
    }
}

impl Device {
    fn watch(&mut self, trials: &[Seen], now: Instant) {
        let done: Option<BTreeMap<usize, f64>> = trials
            .iter()
            .map(|(slot, done)| Some((*slot, (*done)?)))
            .collect();
        // One that has not begun yet takes time of another kind.
        let Some(done) = done else {
            self.marks = None;
            return;
        };
        let Some((since, marks)) = &self.marks else {
            self.marks = Some((now, done));
            return;
        };
        let took = now.saturating_duration_since(*since);
        if took < WATCH {
            return;
        }
        let speed = |(slot, done): (&usize, &f64)| {
            let moved = done - marks.get(slot)?;
            (moved > 0.0).then(|| (*slot, moved / took.as_secs_f64()))
        };
        let speeds: BTreeMap<usize, f64> = done.iter().filter_map(speed).collect();
        if speeds.len() < done.len() {
            // Too slow to be measured in that time.
            if took > 20 * WATCH {
                self.is_open = false;
            }
            return;
        }
        self.marks = None;
        self.decide(speeds);
    }

    fn decide(&mut self, speeds: BTreeMap<usize, f64>) {
        let kept = |(slot, before): (&usize, &f64)| Some(speeds.get(slot)? / before);
        let kept: Vec<f64> = self.before.iter().filter_map(kept).collect();
        let running = speeds.len() as f64;
        // What all do now over what they did without the last one, if it goes as fast as the others.
        let gain = if kept.is_empty() {
            f64::INFINITY
        } else {
            kept.iter().sum::<f64>() / kept.len() as f64 * running / (running - 1.0).max(1.0)
        };
        if gain < WORTH {
            self.allowed = (self.allowed - 1).max(1);
            self.is_open = false;
        } else if self.allowed < self.most && self.fits_one_more(speeds.len()) {
            self.allowed += 1;
            self.before = speeds;
        } else {
            self.is_open = false;
        }
    }

    /// Whether the memory takes another trial like the `running` ones, as far as is known.
    fn fits_one_more(&self, running: usize) -> bool {
        self.memory.is_none_or(|(free, total)| {
            let each = total.saturating_sub(free) / running.max(1) as u64;
            free >= each + each / 4
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs trials for ever on one device that does `total(k)` in all when k run, and tells how many it ends with.
    fn settle(most: usize, memory: Option<(u64, u64)>, total: impl Fn(usize) -> f64) -> usize {
        let mut crowd = Crowd::new(&["cuda:0".to_owned()], most, false);
        let start = Instant::now();
        let mut done: Vec<f64> = Vec::new();
        for second in 0..200u64 {
            while crowd.has_room(0, done.len()) {
                done.push(0.0);
                crowd.changed(0);
            }
            if let Some((each, all)) = memory {
                crowd.memory(0, all.saturating_sub(each * done.len() as u64), all);
            }
            // Of two, the slower ones are other networks.
            let running = done.len();
            let speed = total(running) / running as f64;
            for (slot, done) in done.iter_mut().enumerate() {
                *done += speed / if slot % 2 == 0 { 1000.0 } else { 4000.0 };
            }
            let seen: Vec<Seen> = done.iter().map(|done| Some(*done)).enumerate().collect();
            crowd.watch(0, &seen, start + Duration::from_secs(second));
        }
        crowd.allowed()
    }

    #[test]
    fn a_device_gets_trials_as_long_as_that_pays() {
        assert_eq!(settle(8, None, |_| 1.0), 1);
        assert_eq!(settle(8, None, |k| k.min(3) as f64), 3);
        assert_eq!(settle(8, None, |k| k as f64), 8);
        assert_eq!(settle(1, None, |k| k as f64), 1);
    }

    #[test]
    fn memory_bounds_the_number() {
        assert_eq!(settle(8, Some((40, 100)), |k| k as f64), 2);
        assert_eq!(settle(8, Some((1, 100)), |k| k as f64), 8);
    }

    #[test]
    fn a_full_device_takes_fewer_and_a_single_trial_has_no_neighbours() {
        let names = ["cuda:0".to_owned(), "cuda:1".to_owned()];
        let mut crowd = Crowd::new(&names, 5, true);
        assert_eq!((crowd.name(0), crowd.name(3)), ("cuda:0", "cuda:1"));
        assert_eq!(crowd.allowed(), 5);
        assert!(crowd.has_room(0, 2) && !crowd.has_room(0, 3) && !crowd.has_room(1, 2));
        assert!(crowd.is_full(0, 3));
        assert!(crowd.has_room(0, 1) && !crowd.has_room(0, 2));
        assert!(crowd.is_full(0, 2) && !crowd.has_room(0, 1));
        assert!(!crowd.is_full(0, 1) && crowd.has_room(0, 0));
        assert!(crowd.has_room(1, 1), "the other device is not concerned");
    }
}
