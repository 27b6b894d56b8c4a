use std::collections::BTreeMap;

use serde::Deserialize;

use super::*;

const LR: f64 = 0.1;

fn golden<T: for<'de> Deserialize<'de>>(name: &str) -> T {
    let path = format!("{}/tests/golden/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn assert_close(name: &str, expected: &[f64], found: &[f64]) {
    assert_eq!(expected.len(), found.len(), "{name}");
    for (i, (expected, found)) in expected.iter().zip(found).enumerate() {
        assert!(
            (expected - found).abs() <= 1e-12,
            "{name}, number {i}: expected {expected}, found {found}"
        );
    }
}

/// `scripts/golden_trainer.py`: the schedulers of PyTorch 2.15.0 over 12 epochs of 5 steps.
#[test]
fn rates_are_those_of_pytorch() {
    let cosine = |min_lr, per| Course::Cosine { min_lr, per };
    let warmed = |length| {
        Some(WarmUp {
            length,
            start: 0.01,
        })
    };
    let cases = [
        (
            "step",
            Course::Step {
                every: 5,
                factor: 0.1,
            },
            None,
        ),
        (
            "multi-step",
            Course::MultiStep {
                at: vec![3, 9],
                factor: 0.5,
            },
            None,
        ),
        ("exponential", Course::Exponential { factor: 0.9 }, None),
        ("cosine", cosine(0.001, Per::Epoch), None),
        ("cosine-by-step", cosine(0.001, Per::Step), None),
        (
            "polynomial",
            Course::Polynomial {
                power: 2.0,
                per: Per::Epoch,
            },
            None,
        ),
        (
            "polynomial-by-step",
            Course::Polynomial {
                power: 0.9,
                per: Per::Step,
            },
            None,
        ),
        (
            "one-cycle",
            Course::OneCycle {
                rise: 0.3,
                div_factor: 25.0,
                final_div_factor: 1e4,
            },
            None,
        ),
        (
            "warm-up-epochs-cosine",
            cosine(0.0, Per::Epoch),
            warmed(WarmUpLength::Epochs(3)),
        ),
        (
            "warm-up-steps-cosine-by-step",
            cosine(0.0, Per::Step),
            warmed(WarmUpLength::Steps(7)),
        ),
    ];
    let expected: BTreeMap<String, Vec<f64>> = golden("schedules");
    assert_eq!(expected.len(), cases.len());
    for (name, course, warm_up) in cases {
        let schedule = ScheduleSpec { course, warm_up };
        let (epochs, steps_per_epoch) = (12, 5);
        let found: Vec<f64> = (0..u64::from(epochs) * steps_per_epoch)
            .map(|step| {
                let time = Time {
                    epoch: (step / steps_per_epoch) as u32,
                    step,
                    epochs,
                    steps_per_epoch,
                };
                schedule.rate(LR, time)
            })
            .collect();
        assert_close(name, &expected[name], &found);
        let text = toml::to_string(&schedule).unwrap();
        assert_eq!(toml::from_str::<ScheduleSpec>(&text).unwrap(), schedule);
    }
}

fn plateau(monitor: Monitor, factor: f64, patience: u32) -> Plateau {
    Plateau {
        monitor,
        factor,
        patience,
        min_delta: 1e-4,
        cooldown: 0,
        min_lr: 0.0,
        like: Like::Pytorch,
    }
}

/// The rate after each epoch's figure.
fn lowered(plateau: &Plateau, figures: &[f64]) -> Vec<f64> {
    let mut state = PlateauState::default();
    figures
        .iter()
        .map(|&figure| {
            state.note(plateau, figure, state.rate(LR));
            state.rate(LR)
        })
        .collect()
}

#[test]
fn plateaus_are_those_of_pytorch() {
    #[derive(Deserialize)]
    struct Case {
        figures: Vec<f64>,
        rates: Vec<f64>,
    }
    let mut cases: BTreeMap<String, Case> = golden("plateaus");
    for (name, plateau) in [
        ("loss", plateau(Monitor::ValLoss, 0.1, 2)),
        (
            "cooldown",
            Plateau {
                cooldown: 2,
                min_lr: 0.02,
                ..plateau(Monitor::ValLoss, 0.5, 1)
            },
        ),
        (
            "accuracy",
            Plateau {
                min_delta: 0.05,
                ..plateau(Monitor::ValAccuracy, 0.3, 2)
            },
        ),
    ] {
        let Case { figures, rates } = cases.remove(name).unwrap();
        assert_close(name, &rates, &lowered(&plateau, &figures));
    }
    assert!(cases.is_empty());
}

/// By hand from Keras's documentation: after `patience` epochs without improvement, not one more; differences, not shares.
#[test]
fn plateaus_are_those_of_keras() {
    let keras = Plateau {
        like: Like::Keras,
        cooldown: 1,
        min_lr: 0.02,
        ..plateau(Monitor::ValLoss, 0.5, 2)
    };
    let figures = [
        1.0, 0.99995, 1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5,
    ];
    let expected = [
        0.1, 0.1, 0.05, 0.05, 0.025, 0.025, 0.025, 0.025, 0.02, 0.02, 0.02, 0.02,
    ];
    assert_close("keras", &expected, &lowered(&keras, &figures));
}

#[test]
fn a_plateau_is_not_left_by_what_is_no_number() {
    let nan = f64::NAN;
    for like in [Like::Pytorch, Like::Keras] {
        let plateau = Plateau {
            like,
            ..plateau(Monitor::ValAccuracy, 0.1, 1)
        };
        // A figure after those is an improvement, and none of them is.
        let rates = lowered(&plateau, &[nan, 0.5, 0.6, nan, nan]);
        assert_eq!(rates[2], *rates.first().unwrap(), "{like:?}");
        assert!(rates[4] < rates[2], "{like:?}: {rates:?}");
    }
}
