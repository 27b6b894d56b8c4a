//! Which trial is next.

use std::collections::{BTreeMap, BTreeSet};

use super::Job;

/// The trials of a sweep and how far each is. Trials are known by their place in the plan.
pub(super) struct Queue {
    jobs: Vec<Job>,
    states: Vec<State>,
    /// The places of the trials that a trial waits for.
    needs: Vec<Vec<usize>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Waits to be released.
    Held,
    Pending,
    Running,
    Finished,
    /// Ended without its results, or given up.
    Lost,
}

impl Queue {
    /// A queue of these trials. Needed ids that are not among them count as finished.
    pub(super) fn new(jobs: Vec<Job>) -> Self {
        let places: BTreeMap<&str, usize> = jobs
            .iter()
            .enumerate()
            .map(|(place, job)| (job.id.as_str(), place))
            .collect();
        let needs = jobs
            .iter()
            .map(|job| {
                job.needs
                    .iter()
                    .filter_map(|id| places.get(id.as_str()).copied())
                    .collect()
            })
            .collect();
        let states = jobs
            .iter()
            .map(|job| {
                if job.held {
                    State::Held
                } else {
                    State::Pending
                }
            })
            .collect();
        Self {
            jobs,
            states,
            needs,
        }
    }

    pub(super) fn job(&self, place: usize) -> &Job {
        &self.jobs[place]
    }

    /// Trials that could start now.
    pub(super) fn ready(&self) -> usize {
        (0..self.jobs.len())
            .filter(|&place| self.is_ready(place))
            .count()
    }

    /// Whether any trial still waits to be started.
    pub(super) fn has_pending(&self) -> bool {
        self.states.contains(&State::Pending)
    }

    /// Whether any trial may still be started, now or when it is released.
    pub(super) fn may_go_on(&self) -> bool {
        self.has_pending() || self.states.contains(&State::Held)
    }

    /// Lets a held trial start when its needs are finished. Returns its place, and the place of a need that will never
    /// finish, if there is one.
    pub(super) fn release(&mut self, id: &str) -> Option<(usize, Option<usize>)> {
        let is_meant =
            |place: &usize| self.states[*place] == State::Held && self.jobs[*place].id == id;
        let place = (0..self.jobs.len()).find(is_meant)?;
        self.states[place] = State::Pending;
        let mut needs = self.needs[place].iter().copied();
        Some((place, needs.find(|&need| self.states[need] == State::Lost)))
    }

    /// Trials that never ran although they were to.
    pub(super) fn pending(&self) -> usize {
        self.states
            .iter()
            .filter(|state| **state == State::Pending)
            .count()
    }

    fn is_ready(&self, place: usize) -> bool {
        self.states[place] == State::Pending
            && self.needs[place]
                .iter()
                .all(|&need| self.states[need] == State::Finished)
    }

    fn is_needed(&self, place: usize) -> bool {
        (0..self.jobs.len())
            .any(|other| self.states[other] == State::Pending && self.needs[other].contains(&place))
    }

    /// Takes the next trial for a worker that last ran a trial of the cohort `last`, while others run `busy`.
    ///
    /// Trials that others wait for come first, then those that find their decoded pictures or frozen features in the
    /// worker's memory, then those that share no cohort with a running trial, then the order of the plan.
    pub(super) fn take(&mut self, last: Option<&str>, busy: &BTreeSet<String>) -> Option<usize> {
        let place = (0..self.jobs.len())
            .filter(|&place| self.is_ready(place))
            .min_by_key(|&place| {
                let cohort = self.jobs[place].cohort.as_str();
                (
                    !self.is_needed(place),
                    last != Some(cohort),
                    busy.contains(cohort),
                    place,
                )
            })?;
        self.states[place] = State::Running;
        Some(place)
    }

    /// Gives back a trial that was taken but never begun.
    pub(super) fn give_back(&mut self, place: usize) {
        self.states[place] = State::Pending;
    }

    pub(super) fn finished(&mut self, place: usize) {
        self.states[place] = State::Finished;
    }

    /// A trial ended without its results; it is not started again.
    pub(super) fn lost(&mut self, place: usize) {
        self.states[place] = State::Lost;
    }

    /// Gives up the pending trials that wait, directly or through others, for `place`, in the order of the plan.
    pub(super) fn give_up_dependents(&mut self, place: usize) -> Vec<usize> {
        let mut given_up: Vec<usize> = Vec::new();
        loop {
            let next = (0..self.jobs.len()).find(|&other| {
                self.states[other] == State::Pending
                    && self.needs[other]
                        .iter()
                        .any(|need| *need == place || given_up.contains(need))
            });
            let Some(other) = next else { return given_up };
            self.states[other] = State::Lost;
            given_up.push(other);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(id: &str, needs: &[&str], cohort: &str) -> Job {
        Job {
            id: id.to_owned(),
            needs: needs.iter().map(|&need| need.to_owned()).collect(),
            cohort: cohort.to_owned(),
            kind: String::new(),
            is_light: false,
            trial: serde_json::Value::Null,
            held: false,
        }
    }

    #[test]
    fn a_held_trial_waits_to_be_released() {
        let held = Job {
            held: true,
            ..job("held", &["first"], "")
        };
        let mut queue = Queue::new(vec![job("first", &[], ""), held]);
        let none = BTreeSet::new();
        assert_eq!(queue.take(None, &none), Some(0));
        queue.finished(0);
        assert_eq!((queue.take(None, &none), queue.pending()), (None, 0));
        assert!(!queue.has_pending() && queue.may_go_on());
        assert_eq!(queue.release("other"), None);
        assert_eq!(queue.release("held"), Some((1, None)));
        assert_eq!(queue.release("held"), None);
        assert_eq!(queue.take(None, &none), Some(1));
        assert!(!queue.may_go_on());
    }

    #[test]
    fn a_trial_that_is_released_after_its_need_was_lost_is_known() {
        let held = Job {
            held: true,
            ..job("held", &["first"], "")
        };
        let mut queue = Queue::new(vec![job("first", &[], ""), held]);
        queue.take(None, &BTreeSet::new());
        queue.lost(0);
        assert!(queue.give_up_dependents(0).is_empty());
        assert_eq!(queue.release("held"), Some((1, Some(0))));
    }

    #[test]
    fn a_trial_that_others_wait_for_comes_first_and_they_wait() {
        let mut queue = Queue::new(vec![
            job("child", &["parent"], "a"),
            job("free", &[], "a"),
            job("parent", &[], "b"),
        ]);
        let none = BTreeSet::new();
        assert_eq!(queue.ready(), 2);
        assert_eq!(queue.take(Some("a"), &none), Some(2));
        assert_eq!(queue.take(Some("b"), &none), Some(1));
        assert_eq!(queue.take(None, &none), None);
        queue.finished(2);
        assert_eq!(queue.take(None, &none), Some(0));
        assert!(!queue.has_pending());
    }

    #[test]
    fn a_worker_keeps_to_its_cohort_and_a_new_one_takes_another() {
        let jobs = ["a", "a", "b", "b"].iter().enumerate();
        let mut queue = Queue::new(
            jobs.map(|(i, cohort)| job(&i.to_string(), &[], cohort))
                .collect(),
        );
        let none = BTreeSet::new();
        assert_eq!(queue.take(None, &none), Some(0));
        assert_eq!(queue.take(None, &BTreeSet::from(["a".to_owned()])), Some(2));
        assert_eq!(
            queue.take(Some("b"), &BTreeSet::from(["a".to_owned()])),
            Some(3)
        );
        assert_eq!(
            queue.take(Some("b"), &BTreeSet::from(["a".to_owned()])),
            Some(1)
        );
    }

    #[test]
    fn dependents_of_dependents_are_given_up_and_the_rest_stays() {
        let mut queue = Queue::new(vec![
            job("grandchild", &["child"], ""),
            job("child", &["parent"], ""),
            job("other", &[], ""),
            job("parent", &[], ""),
        ]);
        assert_eq!(queue.take(None, &BTreeSet::new()), Some(3));
        queue.lost(3);
        assert_eq!(queue.give_up_dependents(3), [1, 0]);
        assert_eq!(queue.take(None, &BTreeSet::new()), Some(2));
        assert_eq!(queue.pending(), 0);
    }

    #[test]
    fn a_need_outside_of_the_plan_counts_as_finished() {
        let mut queue = Queue::new(vec![job("child", &["finished yesterday"], "")]);
        assert_eq!(queue.take(None, &BTreeSet::new()), Some(0));
    }
}
