//! What a sweep has to compute with.

use std::thread::available_parallelism;

use graft_trainer::device;

use crate::{cli::SweepArgs, failure::Failure, plan::Plan};

/// Trials on a GPU at a time at most, where nobody says how many.
const MOST_PER_GPU: usize = 8;

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
}

impl Machine {
    /// The machine as the arguments want it used. On CPUs there is a worker for each core; on GPUs it shows how many are worth
    /// it.
    pub(super) fn of(args: &SweepArgs) -> Result<Self, Failure> {
        let devices = device::spread(&args.device).map_err(Failure::bad_input)?;
        let cores = available_parallelism().map_or(1, usize::from);
        Ok(Self::with(cores, devices, args.jobs))
    }

    fn with(cores: usize, devices: Vec<String>, jobs: Option<u32>) -> Self {
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
        }
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
        let cpu = Machine::with(4, names(&["cpu"]), None);
        assert_eq!((cpu.workers, cpu.all_at_once), (4, true));
        assert_eq!(cpu.describe(9), "4 workers");
        assert_eq!(cpu.describe(1), "1 worker");
        let gpu = Machine::with(16, names(&["cuda:0"]), None);
        assert_eq!((gpu.workers, gpu.all_at_once), (8, false));
        assert_eq!(gpu.describe(30), "up to 8 workers on cuda:0");
        let both = Machine::with(4, names(&["cuda:0", "cuda:1"]), None);
        assert_eq!(both.workers, 4);
        assert_eq!(
            Machine::with(1, names(&["cuda:0", "cuda:1"]), None).workers,
            2
        );
        let told = Machine::with(16, names(&["cuda:0", "cuda:1"]), Some(3));
        assert_eq!((told.workers, told.all_at_once), (3, true));
        assert_eq!(told.describe(30), "3 workers on cuda:0, cuda:1");
    }
}
