//! What a sweep has to compute with.

use std::{ffi::OsString, thread::available_parallelism};

use graft_trainer::device;

use crate::{cli::SweepArgs, failure::Failure, plan::Plan};

/// Trials on a GPU at a time at most, where nobody says how many.
const MOST_PER_GPU: usize = 8;
/// Light trials that a GPU begins with where nobody says how many, before it shows how many are worth it,
const FIRST_PER_GPU: usize = 4;
/// if it has so much memory for each, in bytes.
const MEMORY_PER_TRIAL: u64 = 4 << 30;

/// What a sweep has to compute with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Machine {
    /// The cores that this process may use.
    pub(super) cores: usize,
    /// Worker processes at most.
    pub(super) workers: usize,
    /// The devices that they are spread over.
    pub(super) devices: Vec<String>,
    /// Whether they all work from the beginning.
    pub(super) all_at_once: bool,
    /// How many light trials each device begins with if they don't.
    pub(super) at_first: usize,
}

impl Machine {
    /// The machine as the arguments want it used. On CPUs there is a worker for each core; on GPUs it shows how many are worth
    /// it.
    pub(super) fn of(args: &SweepArgs) -> Result<Self, Failure> {
        let devices = device::spread(&args.device).map_err(Failure::bad_input)?;
        if devices.iter().any(|name| name != "cpu") {
            device::check_environment().map_err(Failure::bad_input)?;
        }
        let cores = available_parallelism().map_or(1, usize::from);
        let memory = devices.iter().filter_map(|name| device::memory_of(name));
        let memory = memory.min().unwrap_or(u64::MAX);
        Ok(Self::with(cores, devices, memory, args.jobs))
    }

    /// `memory` is that of the smallest device.
    fn with(cores: usize, devices: Vec<String>, memory: u64, jobs: Option<u32>) -> Self {
        let fitting = usize::try_from(memory / MEMORY_PER_TRIAL).unwrap_or(usize::MAX);
        let has_gpu = devices.iter().any(|name| name != "cpu");
        let usual = if has_gpu {
            // A trial wants a core of its own on the way to its GPU.
            (MOST_PER_GPU * devices.len()).min(cores.max(devices.len()))
        } else {
            cores
        };
        Self {
            cores,
            workers: jobs.map_or(usual, |jobs| jobs as usize),
            devices,
            all_at_once: jobs.is_some() || !has_gpu,
            at_first: FIRST_PER_GPU.min(fitting).max(1),
        }
    }

    /// What the workers of `trials` trials find in their environment: where libraries are, so that they need not be looked for
    /// again, and how a thread waits for its GPU unless the user says so. Waiting busily answers sooner, as long as there are cores
    /// for it.
    pub(super) fn environment(&self, trials: usize) -> Vec<(String, OsString)> {
        if self.devices.iter().all(|name| name == "cpu") {
            return Vec::new();
        }
        let mut variables = device::found_libraries();
        let workers = self.workers.min(trials);
        let waiting = if workers > self.cores {
            Some("block")
        } else if 2 * workers > self.cores {
            Some("yield")
        } else {
            None
        };
        if let Some(waiting) = waiting
            && std::env::var_os(device::WAITING).is_none()
        {
            variables.push((device::WAITING.to_owned(), waiting.into()));
        }
        variables
    }

    /// Whether the devices know the numbers that the trials of a plan compute with.
    pub(super) fn check(&self, plan: &Plan) -> Result<(), Failure> {
        for trial in &plan.trials {
            for name in &self.devices {
                device::knows_precision(name, &trial.spec.recipe).map_err(Failure::bad_input)?;
            }
        }
        Ok(())
    }

    /// How many of `trials` run at a time, and where, for a reader.
    pub(super) fn describe(&self, trials: usize) -> String {
        let workers = self.workers.min(trials);
        let noun = if workers == 1 { "worker" } else { "workers" };
        let up_to = if self.all_at_once || workers == 1 {
            ""
        } else {
            "up to "
        };
        match self.devices.as_slice() {
            [cpu] if cpu == "cpu" => format!("{workers} {noun}"),
            devices => format!("{up_to}{workers} {noun} on {}", devices.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn cpus_get_a_worker_for_each_core_and_gpus_as_many_as_prove_worth_it() {
        let cpu = Machine::with(4, names(&["cpu"]), u64::MAX, None);
        assert_eq!((cpu.workers, cpu.all_at_once), (4, true));
        assert_eq!(cpu.describe(9), "4 workers");
        assert_eq!(cpu.describe(1), "1 worker");
        let gpu = Machine::with(16, names(&["cuda:0"]), 80 << 30, None);
        assert_eq!((gpu.workers, gpu.all_at_once), (8, false));
        assert_eq!(gpu.describe(30), "up to 8 workers on cuda:0");
        assert_eq!(gpu.at_first, 4);
        let both = Machine::with(4, names(&["cuda:0", "cuda:1"]), 8 << 30, None);
        assert_eq!((both.workers, both.at_first), (4, 2));
        assert_eq!(
            Machine::with(1, names(&["cuda:0", "cuda:1"]), 1 << 30, None).workers,
            2
        );
        let told = Machine::with(16, names(&["cuda:0", "cuda:1"]), 8 << 30, Some(3));
        assert_eq!((told.workers, told.all_at_once), (3, true));
        assert_eq!(told.describe(30), "3 workers on cuda:0, cuda:1");
    }

    #[test]
    fn threads_that_wait_leave_the_cores_to_others_where_these_are_few() {
        let waiting = |cores, workers| {
            let machine = Machine::with(cores, names(&["cuda:0"]), 8 << 30, Some(workers));
            let variables = machine.environment(30).into_iter();
            let mut waiting = variables.filter(|(name, _)| name == device::WAITING);
            waiting.next().map(|(_, value)| value)
        };
        assert_eq!(waiting(16, 8), None);
        assert_eq!(waiting(16, 9), Some("yield".into()));
        assert_eq!(waiting(4, 5), Some("block".into()));
        let cpu = Machine::with(4, names(&["cpu"]), u64::MAX, Some(8));
        assert!(cpu.environment(30).is_empty());
    }
}
