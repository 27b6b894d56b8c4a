//! How many threads a trial gets.

/// Threads for a trial that starts now, while `free` cores are unused, on one of `idle` workers, when `ready` trials
/// (this one among them) could start. The free cores are shared out evenly over the trials that start now, so that
/// many trials get one each and the last ones share the machine. At least 1.
pub(super) fn share(free: usize, idle: usize, ready: usize) -> usize {
    (free / idle.min(ready).max(1)).max(1)
}

#[cfg(test)]
mod tests {
    use super::share;

    /// The threads of trials that start at once on `workers` idle workers.
    fn start_all(cores: usize, workers: usize, ready: usize) -> Vec<usize> {
        let (mut free, mut threads) = (cores, Vec::new());
        for started in 0..workers.min(ready) {
            let share = share(free, workers - started, ready - started);
            free = free.saturating_sub(share);
            threads.push(share);
        }
        threads
    }

    #[test]
    fn many_trials_get_one_core_each_and_few_share_all() {
        assert_eq!(start_all(4, 4, 30), [1, 1, 1, 1]);
        assert_eq!(start_all(4, 4, 3), [1, 1, 2]);
        assert_eq!(start_all(8, 2, 30), [4, 4]);
        assert_eq!(start_all(2, 2, 1), [2]);
    }

    #[test]
    fn more_workers_than_cores_still_get_a_thread() {
        assert_eq!(start_all(2, 5, 9), [1, 1, 1, 1, 1]);
    }
}
