//! A device and the trials on it.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use graft_trainer::StepProgress;

use super::{
    Number,
    guest::Guest,
    rates::{Gain, Rates},
};

/// One more trial has to raise what all of them do by this factor.
const WORTH: f64 = 1.08;
/// Windows that must speak for one more trial,
const ENOUGH: usize = 3;
/// and against it. One too many costs next to nothing on a GPU that is busy, one too few what it would have done.
const SURE: usize = 6;
/// With so many windows at a number it is time to go on by what is known.
const PLENTY: usize = 8;
/// The kinds of so many trials that were last begun are those that count.
const RECENT: usize = 6;
/// So many trials that were last ended tell how long others compute.
const ENDED: usize = 8;

/// A part of a trial that is too seldom missing to have another one for it.
const SELDOM: f64 = 0.15;

/// A device and the trials on it.
#[derive(Debug)]
pub(super) struct Device {
    pub(super) name: String,
    /// Trials at a time at most.
    most: usize,
    number: Number,
    /// Trials that are to compute at a time.
    level: usize,
    /// By their slots.
    guests: BTreeMap<usize, Guest>,
    rates: Rates,
    /// The kinds of the trials that were last begun.
    recent: VecDeque<String>,
    /// Trials that have ended.
    ended: u64,
    /// For how long the trials that were last ended computed, and for how long their workers had them.
    shares: VecDeque<(Duration, Duration)>,
    /// Seconds of computing of all trials until a moment.
    work: f64,
    until: Option<Instant>,
    /// Bytes that are free, bytes in all, and how many trials had taken theirs, as a worker last told.
    memory: Option<(u64, u64, usize)>,
    /// How many trials may be there beside one of a kind that found too little memory, itself among them.
    full: BTreeMap<String, usize>,
}

impl Device {
    pub(super) fn new(name: &str, most: usize, number: Number) -> Self {
        let level = match number {
            Number::All => most,
            Number::From(first) => first.clamp(1, most.max(1)),
        };
        Self {
            name: name.to_owned(),
            most,
            number,
            level,
            guests: BTreeMap::new(),
            rates: Rates::default(),
            recent: VecDeque::new(),
            ended: 0,
            shares: VecDeque::new(),
            work: 0.0,
            until: None,
            memory: None,
            full: BTreeMap::new(),
        }
    }

    fn is_open(&self) -> bool {
        self.number != Number::All
    }

    /// Trials that may be there at a time.
    pub(super) fn allowed(&self) -> usize {
        if !self.is_open() {
            return self.most;
        }
        // While a trial opens and writes its files, another one can compute.
        let (computed, taken) = self.shares.iter().fold((0.0, 0.0), |(a, b), (c, t)| {
            (a + c.as_secs_f64(), b + t.as_secs_f64())
        });
        let share = if taken > 0.0 { computed / taken } else { 1.0 };
        let wanted = self.level as f64 / share.clamp(0.5, 1.0);
        ((wanted - SELDOM).ceil() as usize).min(self.most)
    }

    pub(super) fn has_room(&self) -> bool {
        let there = self.guests.len();
        let kinds = self.guests.values().map(|guest| &guest.kind);
        let most = kinds.filter_map(|kind| self.full.get(kind)).min();
        there < self.allowed() && most.is_none_or(|&most| there < most) && self.fits_one_more()
    }

    pub(super) fn admits(&self, kind: &str) -> bool {
        let most = self.full.get(kind);
        most.is_none_or(|&most| self.guests.len() < most)
    }

    /// Whether the memory takes another trial like those that are there, as far as is known.
    fn fits_one_more(&self) -> bool {
        let Some((free, total, then)) = self.memory.filter(|_| self.is_open()) else {
            return true;
        };
        let each = total.saturating_sub(free) / then.max(1) as u64;
        let there = self.guests.len();
        let taken = each.saturating_mul(there as u64);
        there == 0 || total.saturating_sub(taken) >= each + each / 4
    }

    pub(super) fn may_grow(&self) -> bool {
        let is_busy = self.guests.values().any(|guest| guest.is_computing);
        self.is_open()
            && is_busy
            && self.guests.len() < self.most
            && self.guests.len() >= self.allowed()
            && self.fits_one_more()
            && !self.is_blocked()
    }

    pub(super) fn joined(&mut self, slot: usize, guest: Guest, now: Instant) {
        self.pass(now);
        self.recent.push_back(guest.kind.clone());
        if self.recent.len() > RECENT {
            self.recent.pop_front();
        }
        self.guests.insert(slot, guest);
        let count = self.guests.len();
        for guest in self.guests.values_mut() {
            guest.beside = guest.beside.max(count);
        }
    }

    pub(super) fn taken(&mut self, slot: usize, now: Instant) {
        if let Some(guest) = self.guests.get_mut(&slot) {
            guest.taken(now);
        }
    }

    pub(super) fn step(&mut self, slot: usize, progress: &StepProgress, now: Instant) {
        self.pass(now);
        let Some(guest) = self.guests.get_mut(&slot) else {
            return;
        };
        let mut has_new = false;
        for piece in guest.step(progress, now, self.work) {
            has_new |= self.rates.add(&guest.kind, &piece, self.ended);
        }
        if has_new && self.is_open() {
            self.decide();
        }
    }

    pub(super) fn left(&mut self, slot: usize, now: Instant) -> Option<Guest> {
        self.pass(now);
        let mut guest = self.guests.remove(&slot)?;
        if let Some(share) = guest.left(now) {
            self.shares.push_back(share);
            if self.shares.len() > ENDED {
                self.shares.pop_front();
            }
        }
        self.ended += 1;
        self.rates.forget(self.ended);
        Some(guest)
    }

    pub(super) fn memory(&mut self, free: u64, total: u64) {
        let holding = self.guests.values().filter(|guest| guest.has_begun);
        self.memory = Some((free, total, holding.count()));
    }

    /// A trial of `kind` found too little memory among `beside` trials, itself among them.
    pub(super) fn is_full(&mut self, kind: &str, beside: usize) {
        let most = beside.saturating_sub(1).max(1);
        let known = self.full.entry(kind.to_owned()).or_insert(most);
        *known = most.min(*known);
    }

    /// Counts the time that has passed.
    fn pass(&mut self, now: Instant) {
        let computing = self.guests.values().filter(|guest| guest.is_computing);
        if let Some(until) = self.until {
            let seconds = now.saturating_duration_since(until).as_secs_f64();
            self.work += seconds * computing.count() as f64;
        }
        self.until = Some(now);
    }

    fn is_recent(&self, kind: &str) -> bool {
        self.recent.iter().any(|recent| recent == kind)
    }

    /// What the last of so many trials adds, if that is known of half of those that were last begun.
    fn gain(&self, crowd: usize) -> Option<Gain> {
        let known = self.recent.iter();
        let known = known.filter(|kind| self.rates.is_known(crowd, kind));
        if 2 * known.count() < self.recent.len() {
            return None;
        }
        self.rates.gain(crowd, |kind| self.is_recent(kind))
    }

    /// Windows at the number of now.
    fn windows(&self) -> usize {
        self.rates.windows(self.level, |kind| self.is_recent(kind))
    }

    /// Whether one more is known not to pay.
    fn is_blocked(&self) -> bool {
        let gain = self.gain(self.level + 1);
        self.level >= self.most
            || gain.is_some_and(|gain| gain.factor < WORTH && gain.windows >= SURE)
    }

    /// Takes the number one up or down by what is known.
    fn decide(&mut self) {
        let here = if self.level > 1 {
            self.gain(self.level)
        } else {
            None
        };
        match here {
            Some(gain) if gain.factor < WORTH => {
                let is_sure = gain.windows >= SURE || self.windows() >= PLENTY;
                self.level -= usize::from(is_sure);
            }
            // Whether fewer would do just as well shows where there are fewer.
            None if self.level > 1 && self.is_blocked() => self.level -= 1,
            _ if self.is_blocked() => {}
            _ if self.is_seen(here) && self.fits_one_more() => self.level += 1,
            _ => {}
        }
    }

    /// Whether it is known how fast trials go at this number, so that one more can be compared with it. `here` is what the last of
    /// them adds.
    fn is_seen(&self, here: Option<Gain>) -> bool {
        let Number::From(first) = self.number else {
            return false;
        };
        let is_judged = |gain: Gain| gain.windows >= ENOUGH;
        let windows = self.windows();
        // One step into the unknown at a time, unless nothing comes to be known here.
        let is_known = self.level <= first || here.is_some_and(is_judged) || windows >= PLENTY;
        self.gain(self.level + 1).is_some_and(is_judged) || (is_known && windows >= ENOUGH)
    }
}

#[cfg(test)]
impl Device {
    /// Trials that are to compute at a time.
    pub(super) fn level(&self) -> usize {
        self.level
    }
}
