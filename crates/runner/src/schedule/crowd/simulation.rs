//! Whole sweeps on a made-up GPU by a made-up clock: which number of trials is found, and what the search costs.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use graft_trainer::StepProgress;

use super::{Crowd, Number};

/// The shortest and the longest time that the clock goes on at once, in seconds.
const TICK: (f64, f64) = (0.01, 0.1);
/// Seconds between two messages of a trial.
const TOLD: f64 = 0.1;
/// Steps that a GPU is given before a trial waits for them.
const AHEAD: usize = 32;
/// Seconds that a worker needs before it can run a trial.
const START: f64 = 3.0;
/// Slots for workers.
const SLOTS: usize = 8;

/// Trials of a kind.
#[derive(Clone, Copy)]
struct Kind {
    name: &'static str,
    /// The part of the GPU that one takes when it is alone.
    demand: f64,
    /// Steps per second then.
    speed: f64,
    epochs: u32,
    batches: usize,
    /// Seconds to open, and to write what came out.
    files: f64,
    /// Of the GPU's memory.
    memory: f64,
}

impl Kind {
    /// One whose trials take `seconds` when they are alone, of which `saturation` fill the GPU.
    fn new(name: &'static str, seconds: f64, saturation: f64) -> Self {
        let (epochs, batches) = (20, 61);
        Self {
            name,
            demand: 1.0 / saturation,
            speed: f64::from(epochs) * 1.2 * batches as f64 / seconds,
            epochs,
            batches,
            files: 0.1,
            memory: 0.05,
        }
    }

    /// In so many epochs, of as many steps in all.
    fn epochs(self, epochs: u32) -> Self {
        let batches = self.batches * self.epochs as usize / epochs as usize;
        Self {
            epochs,
            batches,
            ..self
        }
    }
}

/// Where a trial is.
#[derive(Clone, Copy)]
enum Phase {
    Opening(f64),
    Training(f64),
    /// Steps of validation that are left, each a fifth of a training step for each batch.
    Validating(f64),
    Writing(f64),
}

struct Trial {
    kind: Kind,
    phase: Phase,
    epoch: u32,
    /// Seconds since it was last heard of.
    silent: f64,
    told: usize,
}

/// A place for a worker: seconds until its process can work, and its trial.
#[derive(Default)]
struct Slot {
    process: Option<f64>,
    trial: Option<Trial>,
}

struct Sweep {
    crowd: Crowd,
    slots: Vec<Slot>,
    waiting: VecDeque<Kind>,
    clock: Instant,
    seconds: f64,
    /// Seconds that the clock goes on at a time.
    tick: f64,
    /// How much the speed of a step varies.
    noise: f64,
    random: u64,
    failed: usize,
}

impl Sweep {
    fn new(number: Number, slots: usize, noise: f64, trials: &[Kind]) -> Self {
        let step = trials.iter().map(|kind| 1.0 / kind.speed);
        let (shortest, longest) = TICK;
        Self {
            tick: step.fold(longest, f64::min).max(shortest),
            crowd: Crowd::new(&["cuda:0".to_owned()], slots, number),
            slots: (0..slots).map(|_| Slot::default()).collect(),
            waiting: trials.iter().copied().collect(),
            clock: Instant::now(),
            seconds: 0.0,
            noise,
            random: 1,
            failed: 0,
        }
    }

    fn now(&self) -> Instant {
        self.clock + Duration::from_secs_f64(self.seconds)
    }

    /// A factor around 1.
    fn wobble(&mut self) -> f64 {
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let uniform = (self.random >> 40) as f64 / f64::from(1 << 24);
        1.0 + self.noise * (2.0 * uniform - 1.0)
    }

    /// Runs all trials. The seconds that takes, and the number of trials that are to compute when the last one begins.
    fn run(mut self) -> (f64, usize) {
        let mut level = 0;
        while !self.waiting.is_empty() || self.slots.iter().any(|slot| slot.trial.is_some()) {
            if !self.waiting.is_empty() {
                level = self.crowd.devices[0].level();
            }
            self.hand_out();
            self.seconds += self.tick;
            let computes =
                |trial: &&Trial| matches!(trial.phase, Phase::Training(_) | Phase::Validating(_));
            let running = self.slots.iter().filter_map(|slot| slot.trial.as_ref());
            let demand: f64 = running
                .filter(computes)
                .map(|trial| trial.kind.demand)
                .sum();
            // Beyond its capacity a GPU loses a little with every change of its context.
            let share = 1.0 / demand.max(1.0) / (1.0 + 0.02 * (demand - 1.0).max(0.0));
            for slot in 0..self.slots.len() {
                let share = share * self.wobble();
                self.advance(slot, share);
            }
            assert!(self.seconds < 1e5, "a sweep that does not end");
        }
        (self.seconds, level)
    }

    fn hand_out(&mut self) {
        let mut idle: Vec<usize> = (0..self.slots.len())
            .filter(|&slot| self.slots[slot].trial.is_none())
            .collect();
        idle.sort_by_key(|&slot| (self.slots[slot].process.is_none(), slot));
        for &slot in &idle {
            if !self.crowd.has_room(slot) {
                continue;
            }
            let Some(kind) = self.waiting.pop_front() else {
                return;
            };
            if !self.crowd.admits(slot, kind.name) {
                self.waiting.push_front(kind);
                continue;
            }
            let is_warm = self.slots[slot].process.is_some_and(|left| left <= 0.0);
            let now = self.now();
            self.crowd.joined(slot, kind.name, is_warm, now);
            self.slots[slot].process.get_or_insert(START);
            self.slots[slot].trial = Some(Trial {
                kind,
                phase: Phase::Opening(kind.files),
                epoch: 1,
                silent: 0.0,
                told: 0,
            });
        }
        let is_ready = |slot: &Slot| slot.process.is_some() && slot.trial.is_none();
        if self.crowd.may_grow(0) && !self.slots.iter().any(is_ready) {
            let empty = self.slots.iter_mut().find(|slot| slot.process.is_none());
            if let Some(slot) = empty {
                slot.process = Some(START);
            }
        }
    }

    fn advance(&mut self, slot: usize, share: f64) {
        let (now, tick) = (self.now(), self.tick);
        let Slot { process, trial } = &mut self.slots[slot];
        let Some(left) = process else { return };
        *left -= tick;
        let Some(trial) = trial else { return };
        if *left > 0.0 {
            return;
        }
        self.crowd.taken(slot, now);
        let (kind, epoch) = (trial.kind, trial.epoch);
        let steps = tick * share * kind.speed;
        trial.silent += tick;
        let mut message = None;
        match &mut trial.phase {
            Phase::Opening(left) => {
                *left -= tick;
                if *left <= 0.0 {
                    trial.phase = Phase::Training(0.0);
                    if self.finds_no_memory() {
                        return self.end_for_want_of_memory(slot);
                    }
                }
            }
            Phase::Training(done) => {
                *done += steps;
                // It is given as many as it may get at once when those before are done.
                let begun = *done as usize / AHEAD * AHEAD;
                let is_all = begun + AHEAD >= kind.batches && trial.told < kind.batches;
                if trial.silent >= TOLD && begun >= trial.told {
                    (trial.silent, trial.told) = (0.0, begun + 1);
                    message = Some((begun + 1, kind.batches, false));
                } else if is_all {
                    (trial.silent, trial.told) = (0.0, kind.batches);
                    message = Some((kind.batches, kind.batches, false));
                }
                if *done >= kind.batches as f64 {
                    trial.phase = Phase::Validating(0.2 * kind.batches as f64);
                }
            }
            Phase::Validating(left) => {
                *left -= steps;
                if *left <= 0.0 {
                    message = Some((1, 1, true));
                    trial.told = 0;
                    trial.phase = Phase::Training(0.0);
                    trial.epoch += 1;
                    if epoch == kind.epochs {
                        trial.phase = Phase::Writing(kind.files);
                    }
                }
            }
            Phase::Writing(left) => {
                *left -= tick;
                if *left <= 0.0 {
                    self.slots[slot].trial = None;
                    return self.crowd.left(slot, now);
                }
            }
        }
        if let Some((batch, batches, validating)) = message {
            let progress = StepProgress {
                epoch,
                epochs: kind.epochs,
                batch,
                batches,
                validating,
                train_loss: 0.0,
                images_per_second: 0.0,
            };
            self.crowd.step(slot, &progress, now);
            if validating {
                let free = (1000.0 * (1.0 - self.memory())) as u64;
                self.crowd.memory(slot, free, 1000);
            }
        }
    }

    /// The part of the memory that trials have taken.
    fn memory(&self) -> f64 {
        let running = self.slots.iter().filter_map(|slot| slot.trial.as_ref());
        let opened = running.filter(|trial| !matches!(trial.phase, Phase::Opening(_)));
        opened.map(|trial| trial.kind.memory).sum()
    }

    fn finds_no_memory(&self) -> bool {
        self.memory() > 1.0
    }

    fn end_for_want_of_memory(&mut self, slot: usize) {
        let trial = std::mem::take(&mut self.slots[slot]).trial;
        let now = self.now();
        self.crowd.left(slot, now);
        assert!(self.crowd.is_full(slot), "alone it would fit");
        self.failed += 1;
        assert!(self.failed < 10, "it is not learnt from");
        self.waiting.extend(trial.map(|trial| trial.kind));
    }
}

/// Asserts that the number which is found lies in `levels`, and that the sweep takes at most 20 % longer than with the best number.
fn check(first: usize, noise: f64, levels: std::ops::RangeInclusive<usize>, trials: &[Kind]) {
    let fixed = (1..=SLOTS).map(|slots| Sweep::new(Number::All, slots, noise, trials).run().0);
    let best = fixed.fold(f64::INFINITY, f64::min);
    for seed in 1..4 {
        let mut sweep = Sweep::new(Number::From(first), SLOTS, noise, trials);
        sweep.random = seed;
        let (seconds, level) = sweep.run();
        let names: Vec<&str> = trials.iter().take(3).map(|kind| kind.name).collect();
        let text =
            format!("{names:?} from {first}: level {level}, {seconds:.0} s, at best {best:.0} s");
        assert!(levels.contains(&level), "{text}");
        assert!(seconds <= 1.2 * best, "{text}");
    }
}

/// `repeats` of each kind, one after the other, as a plan has them.
fn interleaved(kinds: &[Kind], repeats: usize) -> Vec<Kind> {
    (0..repeats).flat_map(|_| kinds.iter().copied()).collect()
}

#[test]
fn short_trials_of_one_kind() {
    for (saturation, levels) in [(1.0, 1..=2), (2.0, 2..=3), (3.0, 2..=5), (6.0, 5..=7)] {
        for seconds in [1.0, 2.0, 5.0] {
            let kind = Kind::new("short", seconds, saturation);
            check(4, 0.1, levels.clone(), &interleaved(&[kind], 90));
        }
    }
}

#[test]
fn long_trials_of_one_kind() {
    for (saturation, level) in [(1.0, 1), (2.0, 2), (3.0, 3), (6.0, 6)] {
        for (first, epochs) in [(4, 20), (1, 5)] {
            let kind = Kind::new("long", 600.0, saturation).epochs(epochs);
            // One that is too many stays until a trial ends.
            let levels = if first == 1 {
                level..=level + 1
            } else {
                (level - 1).max(1)..=(level + 1).max(4)
            };
            check(first, 0.2, levels, &interleaved(&[kind], 36));
        }
    }
}

#[test]
fn interleaved_kinds_of_very_different_cost() {
    // As the three variants of an experiment with small pictures on a large GPU, and more extreme ones.
    for (saturation, levels) in [(1.0, 1..=5), (2.0, 2..=5), (3.0, 2..=5), (6.0, 5..=8)] {
        let kinds = [
            Kind::new("scratch", 1.0, 1.2 * saturation),
            Kind::new("pretrained", 4.0, saturation),
            Kind::new("frozen", 1.5, 1.5 * saturation),
        ];
        check(4, 0.2, levels, &interleaved(&kinds, 30));
    }
    let kinds = [
        Kind::new("tiny", 1.0, 8.0),
        Kind::new("huge", 30.0, 2.0).epochs(5),
    ];
    check(4, 0.2, 2..=5, &interleaved(&kinds, 20));
}

#[test]
fn one_kind_after_another() {
    let (light, heavy) = (Kind::new("light", 3.0, 6.0), Kind::new("heavy", 3.0, 1.0));
    let mut trials = interleaved(&[light], 50);
    trials.extend(interleaved(&[heavy], 30));
    check(4, 0.1, 1..=2, &trials);
    trials.reverse();
    check(1, 0.1, 4..=7, &trials);
}

#[test]
fn every_trial_another_kind() {
    let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];
    let kinds: Vec<Kind> = names
        .iter()
        .zip(0..)
        .map(|(name, place)| Kind::new(name, 20.0 + 10.0 * f64::from(place % 5), 3.0))
        .collect();
    check(4, 0.1, 2..=6, &interleaved(&kinds, 2));
}

#[test]
fn memory_bounds_the_number_and_a_trial_without_goes_on_later() {
    let big = Kind {
        memory: 0.3,
        ..Kind::new("big", 5.0, 8.0)
    };
    let trials = interleaved(&[big], 40);
    // Three fit; the fourth of the first ones finds too little.
    let best = Sweep::new(Number::All, 3, 0.1, &trials).run().0;
    for first in [1, 4] {
        let (seconds, _) = Sweep::new(Number::From(first), SLOTS, 0.1, &trials).run();
        assert!(seconds <= 1.2 * best, "{seconds} s, at best {best} s");
    }
    // A kind that needs nearly all of it among others that don't.
    let huge = Kind {
        memory: 0.9,
        ..Kind::new("huge", 5.0, 2.0)
    };
    let small = Kind::new("small", 2.0, 4.0);
    let mixed = interleaved(&[small, small, huge], 10);
    Sweep::new(Number::From(4), SLOTS, 0.1, &mixed).run();
}
