//! How trials get to workers.

use std::{
    collections::BTreeSet,
    io,
    time::{Duration, Instant},
};

use super::Schedule;
use crate::schedule::{
    Listener, Stop, ToWorker, cores,
    process::WorkerProcess,
    slot::{Running, Slot},
};

/// How long a trial is watched before its pace is believed.
const SETTLING: Duration = Duration::from_secs(2);

impl Schedule {
    /// When no more trials wait, asks long-running ones to come back for the cores that are idle: they go on from a
    /// checkpoint, which changes no result.
    pub(super) fn use_idle_cores(&mut self) {
        if self.queue.ready() > 0 || self.running() == 0 {
            return;
        }
        let share = self.settings.cores / self.running();
        let worth = self.settings.worth_moving;
        for slot in &mut self.slots {
            let (Some(running), Some(process)) = (&mut slot.running, &mut slot.process) else {
                continue;
            };
            let long = running.pace.is_some_and(|pace| {
                pace.is_settled(SETTLING.min(worth))
                    && pace.remaining().is_some_and(|left| left > worth)
            });
            if long && !running.moving && share >= 2 * running.threads {
                running.moving = process.send(&ToWorker::Yield).is_ok();
            }
        }
    }

    /// Gives every idle worker a trial while there are any, and lets workers go when none will come.
    pub(super) fn start_trials(&mut self, listener: &mut dyn Listener) {
        let mut idle: Vec<usize> = (0..self.slots.len())
            .filter(|&slot| self.slots[slot].running.is_none())
            .collect();
        // A process that is there already is used before another one is started, and one that has its device first.
        idle.sort_by_key(|&slot| {
            let of_slot = &self.slots[slot];
            (of_slot.process.is_none(), !of_slot.is_warm, slot)
        });
        for (used, &slot) in idle.iter().enumerate() {
            if !self.crowd.has_room(slot) {
                continue;
            }
            let ready = self.queue.ready();
            let busy: BTreeSet<String> = self
                .running_trials()
                .map(|running| self.queue.job(running.place).cohort.clone())
                .collect();
            let Some(place) = self
                .queue
                .take(self.slots[slot].last_cohort.as_deref(), &busy)
            else {
                break;
            };
            if !self.crowd.admits(slot, &self.queue.job(place).kind) {
                // It waits for its neighbours to end, and keeps others from joining them.
                self.queue.give_back(place);
                continue;
            }
            // Trials that are about to come back for more threads share as if they were back.
            let (moving, staying): (Vec<Running>, Vec<Running>) =
                self.running_trials().partition(|running| running.moving);
            let taken: usize = staying.iter().map(|running| running.threads).sum();
            let free = self.settings.cores.saturating_sub(taken);
            let threads = if self.settings.all_at_once {
                cores::share(free, idle.len() - used + moving.len(), ready + moving.len())
            } else {
                // Others may come beside it.
                cores::share(self.settings.cores, self.slots.len(), self.slots.len())
            };
            self.start(slot, place, threads, listener);
            if self.tally.stop.is_some() {
                return;
            }
        }
        if !self.queue.may_go_on() {
            for slot in self.slots.iter_mut().filter(|slot| slot.running.is_none()) {
                slot.retire();
            }
        }
    }

    /// Hands a trial to the worker of a slot, which is started if need be.
    fn start(&mut self, slot: usize, place: usize, threads: usize, listener: &mut dyn Listener) {
        if let Err(error) = self.have_process(slot) {
            self.queue.give_back(place);
            let program = self.settings.program.program.display();
            self.stop(
                Stop::NoWorkers(format!("can't start {program}: {error}")),
                listener,
            );
            return;
        }
        let job = self.queue.job(place);
        let is_warm = self.slots[slot].is_warm;
        self.crowd.joined(slot, &job.kind, is_warm, Instant::now());
        let message = ToWorker::Run {
            threads,
            device: self.crowd.name(slot).to_owned(),
            trial: job.trial.clone(),
        };
        let worker = &mut self.slots[slot];
        worker.running = Some(Running {
            place,
            threads,
            accepted: false,
            moving: false,
            pace: None,
        });
        worker.last_cohort = Some(job.cohort.clone());
        if let Some(process) = &mut self.slots[slot].process {
            // A worker that is gone is found by its closed stdout, and the trial is given back then.
            drop(process.send(&message));
        }
    }

    /// Starts the process of a slot if it has none.
    fn have_process(&mut self, slot: usize) -> io::Result<()> {
        if self.slots[slot].process.is_some() {
            return Ok(());
        }
        self.generation += 1;
        let share = (self.settings.cores / self.slots.len()).max(1);
        let process = WorkerProcess::spawn(
            &self.settings.program,
            slot,
            self.generation,
            share,
            &self.sender,
        )?;
        self.slots[slot] = Slot {
            process: Some(process),
            generation: self.generation,
            was_prepared: self.slots[slot].was_prepared,
            ..Slot::default()
        };
        Ok(())
    }

    /// Where one more trial may soon pay, has a worker open its device meanwhile, which can take longer than a trial.
    pub(super) fn prepare_workers(&mut self) {
        if self.queue.ready() == 0 {
            return;
        }
        for place in 0..self.crowd.devices() {
            if !self.crowd.may_grow(place) {
                continue;
            }
            let mine = |slot: &usize| self.crowd.place(*slot) == place;
            let mut idle = (0..self.slots.len())
                .filter(mine)
                .filter(|&slot| self.slots[slot].running.is_none());
            if idle.clone().any(|slot| self.slots[slot].process.is_some()) {
                continue;
            }
            // One that died while it was prepared will tell of its trouble when it gets a trial.
            let Some(slot) = idle.find(|&slot| !self.slots[slot].was_prepared) else {
                continue;
            };
            self.slots[slot].was_prepared = true;
            let message = ToWorker::Prepare {
                device: self.crowd.name(slot).to_owned(),
            };
            if self.have_process(slot).is_ok()
                && let Some(process) = &mut self.slots[slot].process
            {
                drop(process.send(&message));
            }
        }
    }
}
