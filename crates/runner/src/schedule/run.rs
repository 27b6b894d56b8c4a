//! The loop that hands out trials and hears how they end.

use std::{
    collections::VecDeque,
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    time::{Duration, Instant},
};

use super::{
    End, Event, FromWorker, Job, Listener, Settings, SignalSender, Stop, Tally, ToWorker,
    crowd::{Crowd, Number},
    pace::Pace,
    process::describe_exit,
    queue::Queue,
    slot::{Running, Slot},
};

/// How often the listener is given the word while nothing happens.
const TICK: Duration = Duration::from_millis(250);
/// A kill that hits the whole sweep reaches its processes one after the other. Waiting this long before a worker's
/// death is written down as the trial's fault keeps such a trial resumable.
const KILL_GRACE: Duration = Duration::from_millis(200);
/// So many workers may die in a row before any of them takes a trial.
const START_ATTEMPTS: u32 = 3;

/// Trials that are ready to be run.
pub struct Schedule {
    queue: Queue,
    settings: Settings,
    slots: Vec<Slot>,
    crowd: Crowd,
    sender: Sender<Event>,
    events: Receiver<Event>,
    /// Events that came while the schedule waited for a signal, in their order.
    deferred: VecDeque<Event>,
    generation: u64,
    failed_starts: u32,
    signals: u32,
    tally: Tally,
}

impl Schedule {
    /// A schedule of these trials, in the order of the plan.
    pub fn new(jobs: Vec<Job>, settings: Settings) -> Self {
        let (sender, events) = channel();
        let workers = settings.workers.clamp(1, jobs.len().max(1));
        let number = if settings.all_at_once {
            Number::All
        } else if jobs.iter().all(|job| job.is_light) {
            Number::From(settings.at_first)
        } else {
            Number::From(1)
        };
        Self {
            queue: Queue::new(jobs),
            crowd: Crowd::new(&settings.devices, workers, number),
            settings,
            slots: (0..workers).map(|_| Slot::default()).collect(),
            sender,
            events,
            deferred: VecDeque::new(),
            generation: 0,
            failed_starts: 0,
            signals: 0,
            tally: Tally::default(),
        }
    }

    /// Through this the schedule hears of signals.
    pub fn signal_sender(&self) -> SignalSender {
        SignalSender(self.sender.clone())
    }

    /// Runs the trials until all have ended or the sweep is stopped.
    pub fn run(mut self, listener: &mut dyn Listener) -> Tally {
        loop {
            self.release_trials(listener);
            self.stop_in_time(listener);
            if self.tally.stop.is_none() {
                self.start_trials(listener);
                self.prepare_workers();
                self.use_idle_cores();
            }
            if self.running() == 0 {
                break;
            }
            let event = match self.deferred.pop_front() {
                Some(event) => Ok(event),
                None => self.events.recv_timeout(TICK),
            };
            match event {
                Ok(event) => self.handle(event, listener),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => unreachable!("the schedule holds a sender"),
            }
            listener.tick();
        }
        for slot in &mut self.slots {
            slot.retire();
        }
        self.tally.not_started = self.queue.pending();
        self.tally
    }

    /// Lets trials start that the listener wants because of what has ended.
    fn release_trials(&mut self, listener: &mut dyn Listener) {
        loop {
            let ids = listener.released();
            if ids.is_empty() {
                return;
            }
            for id in ids {
                if let Some((place, Some(need))) = self.queue.release(&id) {
                    let source = self.queue.job(need).id.clone();
                    self.queue.lost(place);
                    self.tally.failed += 1;
                    listener.ended(self.queue.job(place), None, &End::Blocked { source });
                }
            }
        }
    }

    /// Stops if the time is up and something is left to do.
    fn stop_in_time(&mut self, listener: &mut dyn Listener) {
        let is_over = |deadline| Instant::now() >= deadline;
        let is_left = self.running() > 0 || self.queue.has_pending();
        if is_left && self.settings.deadline.is_some_and(is_over) {
            self.stop(Stop::TimeUp, listener);
        }
    }

    fn running_trials(&self) -> impl Iterator<Item = Running> {
        self.slots.iter().filter_map(|slot| slot.running)
    }

    fn running(&self) -> usize {
        self.running_trials().count()
    }

    fn handle(&mut self, event: Event, listener: &mut dyn Listener) {
        match event {
            Event::Signal => {
                self.signals += 1;
                match self.signals {
                    1 => self.stop(Stop::Signal, listener),
                    _ => self.kill_all(listener),
                }
            }
            Event::Message {
                slot,
                generation,
                message,
            } if self.slots[slot].generation == generation => {
                self.heard(slot, message, listener);
            }
            Event::Garbled {
                slot,
                generation,
                line,
            } if self.slots[slot].generation == generation => {
                let line: String = line.chars().take(200).collect();
                self.slots[slot].kill(&format!(
                    "its worker process wrote what is no message: {line}"
                ));
            }
            Event::Closed { slot, generation } if self.slots[slot].generation == generation => {
                self.worker_died(slot, listener);
            }
            // From a worker that has been replaced.
            Event::Message { .. } | Event::Garbled { .. } | Event::Closed { .. } => {}
        }
    }

    fn heard(&mut self, slot: usize, message: FromWorker, listener: &mut dyn Listener) {
        if message == FromWorker::Ready {
            self.slots[slot].is_warm = true;
            return;
        }
        let Slot {
            running: Some(running),
            has_accepted,
            ..
        } = &mut self.slots[slot]
        else {
            return;
        };
        let (place, threads) = (running.place, running.threads);
        let first = !std::mem::replace(&mut running.accepted, true);
        let job = self.queue.job(place);
        if first {
            self.failed_starts = 0;
            *has_accepted = true;
            listener.started(job, slot, threads);
            self.crowd.taken(slot, Instant::now());
        }
        match message {
            FromWorker::Started | FromWorker::Ready => {}
            FromWorker::Step { progress } => {
                let now = Instant::now();
                running.pace = Some(Pace::follow(running.pace, &progress, now));
                self.crowd.step(slot, &progress, now);
                listener.step(job, slot, &progress);
            }
            FromWorker::Epoch { row, timing } => listener.epoch(job, slot, &row, &timing),
            FromWorker::Memory { free, total } => self.crowd.memory(slot, free, total),
            FromWorker::Ended { end } => self.ended(slot, &end, listener),
        }
    }

    /// Books the end of the trial that runs in a slot, and what follows from it.
    fn ended(&mut self, slot: usize, end: &End, listener: &mut dyn Listener) {
        self.crowd.left(slot, Instant::now());
        self.slots[slot].is_warm = true;
        let Some(Running { place, moving, .. }) = self.slots[slot].running.take() else {
            return;
        };
        if moving && *end == End::Interrupted && self.tally.stop.is_none() {
            self.queue.give_back(place);
            listener.moved(self.queue.job(place), slot);
            return;
        }
        if matches!(end, End::OutOfMemory { .. }) {
            // What they hold of the device's memory goes with the processes.
            self.retire_idle(self.crowd.place(slot));
            if self.crowd.is_full(slot) && self.tally.stop.is_none() {
                self.queue.give_back(place);
                listener.moved(self.queue.job(place), slot);
                return;
            }
        }
        listener.ended(self.queue.job(place), Some(slot), end);
        if end.is_finished() {
            self.tally.finished += 1;
            self.queue.finished(place);
            return;
        }
        self.queue.lost(place);
        if let End::DiskFull { error } = end {
            self.tally.interrupted += 1;
            self.stop(Stop::DiskFull(error.clone()), listener);
        } else if end.is_failure() {
            self.tally.failed += 1;
            let source = self.queue.job(place).id.clone();
            for dependent in self.queue.give_up_dependents(place) {
                self.tally.failed += 1;
                let end = End::Blocked {
                    source: source.clone(),
                };
                listener.ended(self.queue.job(dependent), None, &end);
            }
            if self.settings.fail_fast {
                self.stop(Stop::FailFast, listener);
            }
        } else {
            self.tally.interrupted += 1;
        }
    }

    /// Lets the workers of a device go that have no trial.
    fn retire_idle(&mut self, place: usize) {
        for (slot, it) in self.slots.iter_mut().enumerate() {
            if it.running.is_none() && self.crowd.place(slot) == place {
                it.retire();
            }
        }
    }

    /// A worker's stdout was closed: finds out how it ended and what that means for its trial.
    fn worker_died(&mut self, slot: usize, listener: &mut dyn Listener) {
        let Some(process) = self.slots[slot].process.take() else {
            return;
        };
        let killed_because = self.slots[slot].killed_because.take();
        let because = match process.finish() {
            Ok((status, stderr)) => {
                killed_because.unwrap_or_else(|| describe_exit(status, &stderr))
            }
            Err(error) => format!("its worker process was lost: {error}"),
        };
        let Some(running) = self.slots[slot].running else {
            return;
        };
        if !running.accepted {
            self.slots[slot].running = None;
            self.crowd.left(slot, Instant::now());
            self.queue.give_back(running.place);
            // A worker that has run trials before was told to end, by whomever.
            if !self.slots[slot].has_accepted && self.tally.stop.is_none() {
                self.failed_starts += 1;
                if self.failed_starts == START_ATTEMPTS {
                    self.stop(Stop::NoWorkers(because), listener);
                }
            }
            return;
        }
        self.wait_for_signal(listener);
        let end = if let Some(end) = listener.finished(self.queue.job(running.place)) {
            // It died between its last file and its last word.
            end
        } else if self.signals > 0 {
            // Killed by the second signal, or by whoever sent the first one and lost patience.
            End::Interrupted
        } else {
            End::Crashed { error: because }
        };
        self.ended(slot, &end, listener);
    }

    /// Waits until a signal has come, for [`KILL_GRACE`] at most. What else happens meanwhile is put off.
    fn wait_for_signal(&mut self, listener: &mut dyn Listener) {
        let start = Instant::now();
        while self.signals == 0 {
            let left = KILL_GRACE.saturating_sub(start.elapsed());
            match self.events.recv_timeout(left) {
                Ok(Event::Signal) => self.handle(Event::Signal, listener),
                Ok(event) => self.deferred.push_back(event),
                Err(_) => return,
            }
        }
    }

    /// Starts no more trials and tells the running ones to stop. The first reason is the one that counts.
    fn stop(&mut self, why: Stop, listener: &mut dyn Listener) {
        if self.tally.stop.is_some() {
            return;
        }
        listener.stopping(&why, self.running());
        for slot in self.slots.iter_mut().filter(|slot| slot.running.is_some()) {
            if let Some(process) = &mut slot.process {
                // A worker that is gone has stopped.
                drop(process.send(&ToWorker::Stop));
            }
        }
        self.tally.stop = Some(why);
    }

    /// Ends the running trials where they are: the files they leave are whole, and they go on from their last
    /// checkpoint.
    fn kill_all(&mut self, listener: &mut dyn Listener) {
        listener.killing(self.running());
        for slot in self.slots.iter_mut().filter(|slot| slot.running.is_some()) {
            slot.kill("it was killed by a second signal");
        }
    }
}

mod starting;
#[cfg(all(test, unix))]
mod tests;
