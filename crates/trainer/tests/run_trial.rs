//! Trials on generated pictures: run through, interrupted and resumed, damaged, diverged.

use std::{cell::Cell, fs, path::Path};

use graft_data::{
    DataSpec, GeneratedSpec, GeneratedTask, SourceSpec, Step, Subset, TransformSpec, Views,
};
use graft_model::{BatchNormMode, ModelSpec, TransferMode, TransferSpec};
use graft_record::{EpochRow, ResultsFolder, State, TimingRow, TrialFolder, TrialKey};
use graft_trainer::{
    ClipSpec, Course, EarlyStopping, EmaSpec, FeatureCache, Like, Monitor, Observer, OptimizerSpec,
    Outcome, Plateau, Recipe, Resources, ScheduleSpec, StepProgress, TrainingMode, Trial,
    TrialSpec, WarmUp, WarmUpLength, load_best, run_trial,
};

const SIZE: u32 = 16;

fn trial(results: &Path, change: impl FnOnce(&mut TrialSpec)) -> Trial {
    ResultsFolder::create(results).unwrap();
    let mut spec = TrialSpec {
        format: 1,
        seed: 5,
        repeat: 1,
        data: DataSpec {
            source: SourceSpec::Generated(GeneratedSpec {
                task: GeneratedTask::Target,
                side: 24,
                train: 18,
                val: 10,
                test: 0,
                seed: 0,
            }),
            subset: Subset::Whole,
            transform: TransformSpec {
                size: SIZE,
                train: vec![Step::RandomResizedCrop, Step::HorizontalFlip],
                eval: vec![Step::Resize(18), Step::CenterCrop(None)],
                views: Views::Fresh,
            },
        },
        data_fingerprint: "generated".to_owned(),
        model: ModelSpec::new(
            "convnet",
            toml::toml! { depth = [4, 8]
            hidden = 16
            dropout = 0.5 },
        ),
        weights: None,
        weights_fingerprint: None,
        previous: None,
        transfer: TransferSpec::of(TransferMode::FineTune),
        recipe: Recipe::new(
            3,
            4,
            OptimizerSpec::Sgd {
                lr: 0.01,
                momentum: 0.9,
                weight_decay: 0.0,
                nesterov: false,
            },
        ),
    };
    change(&mut spec);
    Trial {
        key: TrialKey {
            variant: "v".to_owned(),
            cell: "base".to_owned(),
            repeat: spec.repeat,
            id: "0123".to_owned(),
        },
        spec,
        results: results.to_owned(),
        data_folders: Vec::new(),
        weights_file: None,
        previous: None,
        features: None,
        device: "cpu".to_owned(),
        loader_threads: 1,
        tensorboard: false,
        keep_last: 0,
        checkpoint_seconds: 1e9,
    }
}

fn folder(trial: &Trial) -> TrialFolder {
    ResultsFolder::open(&trial.results)
        .unwrap()
        .trial(&trial.key)
}

/// Stops after so many steps, training and validation counted alike.
struct StopAfter {
    steps: Cell<usize>,
    log: Vec<String>,
}

impl StopAfter {
    fn new(steps: usize) -> Self {
        Self {
            steps: Cell::new(steps),
            log: Vec::new(),
        }
    }
}

impl Observer for StopAfter {
    fn step(&mut self, progress: &StepProgress) {
        assert!(progress.batch >= 1 && progress.batch <= progress.batches);
        self.steps.set(self.steps.get().saturating_sub(1));
    }
    fn epoch(&mut self, _: &EpochRow, _: &TimingRow) {}
    fn log(&mut self, line: &str) {
        self.log.push(line.to_owned());
    }
    fn should_stop(&self) -> bool {
        self.steps.get() == 0
    }
}

fn run(trial: &Trial, steps: usize) -> Outcome {
    run_trial(trial, &mut Resources::default(), &mut StopAfter::new(steps)).unwrap()
}

/// What a test does to a file.
type Damage<'a> = &'a dyn Fn(&Path);

const NEVER: usize = usize::MAX;

/// Every file of a trial that must not depend on how it was run.
fn files(trial: &Trial) -> Vec<(&'static str, Vec<u8>)> {
    let path = folder(trial).path().to_owned();
    [
        "epochs.csv",
        "predictions.csv",
        "trial.toml",
        "last.safetensors",
        "best.safetensors",
    ]
    .into_iter()
    .map(|name| {
        (
            name,
            fs::read(path.join(name)).unwrap_or_else(|error| panic!("{name}: {error}")),
        )
    })
    .collect()
}

fn assert_same(one: &Trial, other: &Trial) {
    for ((name, one), (_, other)) in files(one).iter().zip(files(other)) {
        assert!(*one == other, "{name} differs");
    }
}

#[test]
fn a_trial_leaves_its_record() {
    let results = tempfile::tempdir().unwrap();
    let trial = trial(results.path(), |_| {});
    let Outcome::Finished {
        best_epoch,
        best_val_accuracy,
    } = run(&trial, NEVER)
    else {
        panic!("not finished")
    };
    let rows = folder(&trial).epochs().unwrap();
    // 18 pictures in batches of 4: five steps an epoch, the last with two pictures.
    assert_eq!(
        rows.iter()
            .map(|row| (row.epoch, row.step))
            .collect::<Vec<_>>(),
        [(1, 5), (2, 10), (3, 15)]
    );
    let best = graft_record::best_epoch(&rows).unwrap();
    assert_eq!(
        (best.epoch, best.val_accuracy),
        (best_epoch, best_val_accuracy)
    );
    let status = folder(&trial).status().unwrap().unwrap();
    assert_eq!(
        (status.state, status.attempts, status.steps_done),
        (State::Finished, 1, 15)
    );
    let predictions = folder(&trial).predictions().unwrap();
    let right = predictions
        .iter()
        .filter(|row| row.label == row.predicted)
        .count();
    assert_eq!(
        (predictions.len(), right as f64 / 10.0),
        (10, best_val_accuracy)
    );
    let (card, tensors) = load_best(&folder(&trial).best_checkpoint())
        .unwrap()
        .unwrap();
    assert_eq!(
        (card.epoch, card.classes.len()),
        (best_epoch, tensors["fc2.bias"].dims()[0])
    );
}

#[test]
fn a_finished_trial_is_not_touched() {
    let results = tempfile::tempdir().unwrap();
    let trial = trial(results.path(), |spec| spec.recipe.epochs = 1);
    let outcome = run(&trial, NEVER);
    let before = files(&trial);
    assert_eq!(run(&trial, NEVER), outcome);
    assert_eq!(files(&trial), before);
}

#[test]
fn interrupted_anywhere_it_ends_with_the_same_bytes() {
    let folders = tempfile::tempdir().unwrap();
    let whole = trial(&folders.path().join("whole"), |_| {});
    run(&whole, NEVER);
    // Within an epoch, at its last batch, in the validation after it, and again and again.
    for stops in [vec![2], vec![5], vec![6], vec![7, 1, 1, 3], vec![1; 17]] {
        let parts = trial(&folders.path().join(format!("{stops:?}")), |_| {});
        for &steps in &stops {
            assert!(
                matches!(run(&parts, steps), Outcome::Interrupted { .. }),
                "{stops:?}"
            );
        }
        assert!(matches!(run(&parts, NEVER), Outcome::Finished { .. }));
        assert_same(&whole, &parts);
    }
}

/// Adam, a schedule that watches, early stopping, an average of the weights and clipping, all of which remember something.
#[test]
fn everything_that_remembers_goes_on_where_it_stopped() {
    let folders = tempfile::tempdir().unwrap();
    let full = |name: &str| {
        trial(&folders.path().join(name), |spec| {
            let adam = OptimizerSpec::Adam {
                lr: 0.01,
                betas: (0.9, 0.999),
                eps: 1e-8,
                weight_decay: 0.001,
            };
            spec.recipe = Recipe {
                schedule: ScheduleSpec {
                    course: Course::Plateau(Plateau {
                        monitor: Monitor::TrainLoss,
                        factor: 0.5,
                        patience: 0,
                        min_delta: 0.05,
                        cooldown: 0,
                        min_lr: 0.0,
                        like: Like::Pytorch,
                    }),
                    warm_up: Some(WarmUp {
                        length: WarmUpLength::Steps(3),
                        start: 0.1,
                    }),
                },
                clip: ClipSpec {
                    norm: Some(1.0),
                    value: Some(0.5),
                },
                label_smoothing: 0.1,
                best: Monitor::ValLoss,
                early_stopping: Some(EarlyStopping {
                    monitor: Monitor::ValAccuracy,
                    patience: 2,
                    min_delta: 0.01,
                }),
                ema: Some(EmaSpec { decay: 0.9 }),
                ..Recipe::new(12, 4, adam)
            };
        })
    };
    let whole = full("whole");
    run(&whole, NEVER);
    let rows = folder(&whole).epochs().unwrap();
    assert!(rows.len() < 12, "it did not stop early");
    assert!(
        rows.iter().any(|row| row.lr < 0.009) && rows[0].lr == 0.01,
        "the rate did not fall: {rows:?}"
    );
    let status = folder(&whole).status().unwrap().unwrap();
    let least = rows.iter().map(|row| row.val_loss).fold(f64::MAX, f64::min);
    let best = rows.iter().find(|row| row.val_loss == least).unwrap();
    assert_eq!(status.best_epoch, Some(best.epoch));
    for stops in [vec![2], vec![6], vec![7, 1, 1, 3], vec![1; 25]] {
        let parts = full(&format!("{stops:?}"));
        for &steps in &stops {
            run(&parts, steps);
        }
        run(&parts, NEVER);
        assert_same(&whole, &parts);
    }
}

#[test]
fn the_last_epochs_are_kept_as_they_were_validated() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let trials = folders.each_ref().map(|folder| Trial {
        keep_last: 2,
        checkpoint_seconds: 0.0,
        ..trial(folder.path(), |spec| {
            spec.recipe.epochs = 5;
            spec.recipe.ema = Some(EmaSpec { decay: 0.9 });
            spec.recipe.best = Monitor::TrainLoss;
        })
    });
    let [whole, resumed] = &trials;
    run(whole, NEVER);
    while matches!(run(resumed, 7), Outcome::Interrupted { .. }) {}
    let bytes = |trial: &Trial, epoch| fs::read(folder(trial).epoch_checkpoint(epoch)).unwrap();
    for trial in &trials {
        assert_eq!(folder(trial).epoch_checkpoints().unwrap(), [4, 5]);
        let (card, _) = load_best(&folder(trial).epoch_checkpoint(4))
            .unwrap()
            .unwrap();
        assert_eq!((card.epoch, card.trial), (4, trial.key.id.clone()));
    }
    assert_ne!(bytes(whole, 4), bytes(whole, 5));
    assert!(
        [4, 5]
            .into_iter()
            .all(|epoch| bytes(whole, epoch) == bytes(resumed, epoch))
    );
    // The best one is the same network as that of its epoch.
    let (best, tensors) = load_best(&folder(whole).best_checkpoint())
        .unwrap()
        .unwrap();
    let (_, kept) = load_best(&folder(whole).epoch_checkpoint(best.epoch))
        .unwrap()
        .unwrap();
    for (name, tensor) in tensors {
        let values =
            |tensor: &candle_core::Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(values(&tensor), values(&kept[&name]), "{name}");
    }
}

#[test]
fn validations_within_epochs_are_recorded_and_resumed() {
    let folders = tempfile::tempdir().unwrap();
    let watched = |name: &str| {
        trial(&folders.path().join(name), |spec| {
            spec.recipe.validate_every = Some(2);
            spec.recipe.evaluate_train = true;
        })
    };
    let whole = watched("whole");
    run(&whole, NEVER);
    let record = folder(&whole);
    let rows = record.evaluations().unwrap();
    // 18 pictures in batches of 4 are 5 steps.
    let places: Vec<(u32, u64, &str)> = rows
        .iter()
        .map(|row| (row.epoch, row.step, row.split.as_str()))
        .collect();
    let val = |epoch, step| (epoch, step, "val");
    assert_eq!(
        places,
        [
            [val(1, 2), val(1, 4), val(1, 5), (1, 5, "train")],
            [val(2, 6), val(2, 8), val(2, 10), (2, 10, "train")],
            [val(3, 12), val(3, 14), val(3, 15), (3, 15, "train")],
        ]
        .concat()
    );
    for epoch in record.epochs().unwrap() {
        let end = rows
            .iter()
            .find(|row| row.step == epoch.step && row.split == "val");
        let end = end.unwrap();
        assert_eq!(
            (end.loss, end.accuracy),
            (epoch.val_loss, epoch.val_accuracy)
        );
    }
    let most = rows.iter().filter(|row| row.split == "val");
    let most = most.map(|row| row.accuracy).fold(0.0, f64::max);
    let status = record.status().unwrap().unwrap();
    assert_eq!(status.best_val_accuracy, Some(most));
    // The training is the same as without looking.
    let plain = trial(&folders.path().join("plain"), |_| {});
    run(&plain, NEVER);
    let train_loss = |trial: &Trial| -> Vec<f64> {
        let rows = folder(trial).epochs().unwrap();
        rows.iter().map(|row| row.train_loss).collect()
    };
    assert_eq!(train_loss(&plain), train_loss(&whole));
    for stops in [vec![2], vec![3], vec![4, 1], vec![1; 40]] {
        let parts = watched(&format!("{stops:?}"));
        for &steps in &stops {
            run(&parts, steps);
        }
        run(&parts, NEVER);
        assert_same(&whole, &parts);
        assert_eq!(folder(&parts).evaluations().unwrap(), rows);
    }
}

#[test]
fn a_finished_trial_has_figures_of_every_class() {
    let results = tempfile::tempdir().unwrap();
    let trial = trial(results.path(), |_| {});
    run(&trial, NEVER);
    let record = folder(&trial);
    let metrics = record.metrics().unwrap();
    let value = |metric: &str, class: &str| {
        let row = metrics
            .iter()
            .find(|row| row.metric == metric && row.class == class);
        row.unwrap().value
    };
    let best = record.status().unwrap().unwrap().best_val_accuracy;
    assert_eq!(Some(value("accuracy", "")), best);
    let predictions = record.predictions().unwrap();
    let right = |label| {
        let of_class = predictions.iter().filter(|row| row.label == label);
        let right = of_class.clone().filter(|row| row.predicted == label);
        (right.count() as f64, of_class.count() as f64)
    };
    for (label, class) in (0..).zip(&record.manifest().unwrap().unwrap().classes) {
        let (right, all) = right(label);
        assert_eq!(value("recall", class), right / all);
        assert_eq!(value("pictures", class), all);
    }
    assert!(metrics.iter().all(|row| row.split == "val"));
}

#[test]
fn a_repeat_can_go_on_with_the_network_of_the_one_before() {
    let folders = tempfile::tempdir().unwrap();
    let first = trial(&folders.path().join("first"), |_| {});
    run(&first, NEVER);
    let second = |name: &str, id: &str| {
        let mut second = trial(&folders.path().join(name), |spec| {
            spec.repeat = 2;
            spec.previous = Some(id.to_owned());
        });
        second.previous = Some(folder(&first).last_checkpoint());
        second
    };
    let going_on = second("second", "0123");
    run(&going_on, NEVER);
    let afresh = trial(&folders.path().join("afresh"), |spec| spec.repeat = 2);
    run(&afresh, NEVER);
    let start = |trial: &Trial| folder(trial).epochs().unwrap()[0].train_loss;
    assert!(start(&going_on) < start(&afresh));
    // A checkpoint of another trial is not gone on with.
    let foreign = second("foreign", "4567");
    let error = run_trial(
        &foreign,
        &mut Resources::default(),
        &mut StopAfter::new(NEVER),
    );
    let message = error.unwrap_err().to_string();
    assert!(
        message.contains("belongs to trial 0123, not 4567"),
        "{message}"
    );
}

#[test]
fn after_the_first_epoch_the_network_can_stay_in_evaluation_mode() {
    let folders = tempfile::tempdir().unwrap();
    let losses = |name: &str, mode: TrainingMode| -> Vec<f64> {
        let trial = trial(&folders.path().join(name), |spec| {
            spec.recipe.training_mode = mode;
        });
        run(&trial, NEVER);
        let rows = folder(&trial).epochs().unwrap();
        rows.iter().map(|row| row.train_loss).collect()
    };
    let always = losses("always", TrainingMode::Always);
    let first = losses("first", TrainingMode::FirstEpoch);
    assert_eq!(always[0], first[0]);
    assert_ne!(always[1], first[1]);
}

#[test]
fn threads_and_shared_resources_do_not_change_a_result() {
    let folders = tempfile::tempdir().unwrap();
    let one = trial(&folders.path().join("one"), |_| {});
    run(&one, NEVER);
    let mut resources = Resources::new(3000);
    for threads in [2, 3] {
        let mut other = trial(&folders.path().join(threads.to_string()), |_| {});
        other.loader_threads = threads;
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        let outcome =
            pool.install(|| run_trial(&other, &mut resources, &mut StopAfter::new(NEVER)).unwrap());
        assert!(matches!(outcome, Outcome::Finished { .. }));
        assert_same(&one, &other);
    }
}

#[test]
fn repeats_differ() {
    let folders = tempfile::tempdir().unwrap();
    let first = trial(&folders.path().join("1"), |_| {});
    let second = trial(&folders.path().join("2"), |spec| spec.repeat = 2);
    run(&first, NEVER);
    run(&second, NEVER);
    assert_ne!(
        folder(&first).epochs().unwrap(),
        folder(&second).epochs().unwrap()
    );
}

#[test]
fn a_damaged_or_foreign_checkpoint_costs_its_epochs_and_nothing_else() {
    let folders = tempfile::tempdir().unwrap();
    let whole = trial(&folders.path().join("whole"), |_| {});
    run(&whole, NEVER);
    let truncate = |path: &Path| {
        let bytes = fs::read(path).unwrap();
        fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
    };
    let garble =
        |path: &Path| fs::write(path, b"\xff\xff\xff\xff\xff\xff\xff\xff no checkpoint").unwrap();
    let foreign = |path: &Path| {
        let text = fs::read(path).unwrap();
        let at = text
            .windows(4)
            .position(|window| window == b"0123")
            .unwrap();
        let mut text = text.clone();
        text[at..at + 4].copy_from_slice(b"9999");
        fs::write(path, text).unwrap();
    };
    let remove_best =
        |path: &Path| fs::remove_file(path.with_file_name("best.safetensors")).unwrap();
    let garble_rows =
        |path: &Path| fs::write(path.with_file_name("epochs.csv"), "epoch\nx\n").unwrap();
    let damages: [(&str, Damage); 5] = [
        ("without its best", &remove_best),
        ("with damaged rows", &garble_rows),
        ("truncated", &truncate),
        ("garbled", &garble),
        ("foreign", &foreign),
    ];
    for (name, damage) in damages {
        let parts = trial(&folders.path().join(name), |_| {});
        run(&parts, 8);
        damage(&folder(&parts).last_checkpoint());
        let mut observer = StopAfter::new(NEVER);
        run_trial(&parts, &mut Resources::default(), &mut observer).unwrap();
        assert!(
            observer
                .log
                .iter()
                .any(|line| line.ends_with("starting over")),
            "{name}: {:?}",
            observer.log
        );
        assert_same(&whole, &parts);
    }
}

#[test]
fn damage_to_a_finished_trial_is_mended() {
    let folders = tempfile::tempdir().unwrap();
    let whole = trial(&folders.path().join("whole"), |_| {});
    run(&whole, NEVER);
    for name in [
        "best.safetensors",
        "last.safetensors",
        "epochs.csv",
        "metrics.csv",
    ] {
        let again = trial(&folders.path().join(name), |_| {});
        run(&again, NEVER);
        assert_eq!(folder(&again).damaged(), [""; 0]);
        let path = folder(&again).path().join(name);
        let mut bytes = fs::read(&path).unwrap();
        let last = bytes.len() - 3;
        bytes[last] ^= 1;
        fs::write(&path, bytes).unwrap();
        assert_eq!(folder(&again).damaged(), [name]);
        // Checkpoints are read in full only when they are used.
        assert_eq!(folder(&again).is_finished(), name.ends_with(".safetensors"));
        let mut observer = StopAfter::new(NEVER);
        run_trial(&again, &mut Resources::default(), &mut observer).unwrap();
        let starts_over = observer
            .log
            .iter()
            .any(|line| line.ends_with("starting over"));
        assert_eq!(starts_over, name != "metrics.csv", "{:?}", observer.log);
        assert_same(&whole, &again);
        assert!(folder(&again).is_finished() && folder(&again).damaged().is_empty());
    }
}

#[test]
fn a_loss_that_is_not_finite_ends_the_trial_as_diverged() {
    let results = tempfile::tempdir().unwrap();
    let trial = trial(results.path(), |spec| {
        spec.recipe.optimizer = OptimizerSpec::Sgd {
            lr: 1e30,
            momentum: 0.9,
            weight_decay: 0.0,
            nesterov: false,
        };
    });
    assert!(matches!(
        run(&trial, NEVER),
        Outcome::Diverged { epoch: 1, .. }
    ));
    let status = folder(&trial).status().unwrap().unwrap();
    assert_eq!(status.state, State::Diverged);
    assert!(status.error.unwrap().contains("smaller learning rate"));
}

#[test]
fn a_validation_loss_that_is_not_finite_ends_the_trial_as_diverged() {
    let results = tempfile::tempdir().unwrap();
    // One step an epoch, so that the first bad loss is that of the validation after it.
    let trial = trial(results.path(), |spec| {
        spec.recipe.batch_size = 18;
        spec.recipe.optimizer = OptimizerSpec::Sgd {
            lr: 1e30,
            momentum: 0.0,
            weight_decay: 0.0,
            nesterov: false,
        };
    });
    assert_eq!(run(&trial, NEVER), Outcome::Diverged { epoch: 1, step: 1 });
    assert!(folder(&trial).epochs().unwrap().is_empty());
}

#[test]
fn a_frozen_backbone_stays_and_a_fine_tuned_one_moves() {
    let folders = tempfile::tempdir().unwrap();
    let parent = trial(&folders.path().join("parent"), |spec| spec.seed = 9);
    run(&parent, NEVER);
    let weights = folder(&parent).best_checkpoint();
    let (_, before) = load_best(&weights).unwrap().unwrap();
    for (mode, moves) in [
        (TransferMode::Frozen, false),
        (TransferMode::FineTune, true),
    ] {
        let mut child = trial(&folders.path().join(format!("{mode:?}")), |spec| {
            spec.transfer = TransferSpec {
                batch_norm: BatchNormMode::Running,
                ..TransferSpec::of(mode)
            };
        });
        child.weights_file = Some(weights.clone());
        run(&child, NEVER);
        let (_, after) = load_best(&folder(&child).best_checkpoint())
            .unwrap()
            .unwrap();
        for (name, tensor) in &before {
            let values = |tensor: &candle_core::Tensor| {
                tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap()
            };
            let moved = values(tensor) != values(&after[name]);
            assert_eq!(
                moved,
                moves || name.starts_with("fc2"),
                "{name} of {mode:?}"
            );
        }
    }
}

#[test]
fn a_failure_is_recorded() {
    let results = tempfile::tempdir().unwrap();
    let mut trial = trial(results.path(), |_| {});
    trial.weights_file = Some(results.path().join("missing.safetensors"));
    let error = run_trial(
        &trial,
        &mut Resources::default(),
        &mut StopAfter::new(NEVER),
    )
    .unwrap_err()
    .to_string();
    assert!(error.contains("missing.safetensors"), "{error}");
    let status = folder(&trial).status().unwrap().unwrap();
    assert_eq!((status.state, status.error), (State::Failed, Some(error)));
}

/// A frozen child of a trained parent, with these views and this cache.
fn frozen(
    folder: &Path,
    weights: &Path,
    views: Views,
    repeat: u32,
    cache: Option<&FeatureCache>,
) -> Trial {
    let mut child = trial(folder, |spec| {
        spec.transfer = TransferSpec::of(TransferMode::Frozen);
        spec.data.transform.views = views;
        spec.repeat = repeat;
        spec.recipe.epochs = 5;
        // 42 pictures: a pass of 32 and a part of one.
        if let SourceSpec::Generated(generated) = &mut spec.data.source {
            generated.train = 42;
        }
    });
    child.weights_file = Some(weights.to_owned());
    child.features = cache.cloned();
    child
}

fn parent_weights(folder: &Path) -> std::path::PathBuf {
    let parent = trial(&folder.join("parent"), |spec| spec.seed = 9);
    run(&parent, NEVER);
    self::folder(&parent).best_checkpoint()
}

fn cache_files(cache: &FeatureCache) -> Vec<std::path::PathBuf> {
    let keys = fs::read_dir(&cache.folder).unwrap();
    let files = keys.flat_map(|key| fs::read_dir(key.unwrap().path()).unwrap());
    let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some());
    files.sort();
    files
}

#[test]
fn the_feature_cache_changes_no_byte() {
    let folders = tempfile::tempdir().unwrap();
    let weights = parent_weights(folders.path());
    let cache = FeatureCache {
        folder: folders.path().join("cache/features"),
        limit: 1 << 30,
    };
    for views in [Views::Fixed(3), Views::Fresh] {
        let new = |name: &str, repeat, cache| {
            let folder = folders.path().join(format!("{views}-{name}-{repeat}"));
            frozen(&folder, &weights, views, repeat, cache)
        };
        for repeat in [1, 2] {
            let off = new("off", repeat, None);
            run(&off, NEVER);
            for name in ["cold", "warm"] {
                let other = new(name, repeat, Some(&cache));
                run(&other, NEVER);
                assert_same(&off, &other);
            }
            // One worker for both repeats, on two threads.
            let mut resources = Resources::default();
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(2)
                .build()
                .unwrap();
            for repeat in [repeat, 1] {
                let mut other = new("shared", repeat, None);
                other.results = other.results.join(format!("{repeat}"));
                ResultsFolder::create(&other.results).unwrap();
                other.loader_threads = 2;
                pool.install(|| {
                    run_trial(&other, &mut resources, &mut StopAfter::new(NEVER)).unwrap()
                });
                assert_same(&new("off", repeat, None), &other);
            }
        }
    }
    assert!(!cache_files(&cache).is_empty());
}

#[test]
fn a_damaged_or_forbidden_feature_cache_changes_no_byte() {
    let folders = tempfile::tempdir().unwrap();
    let weights = parent_weights(folders.path());
    let views = Views::Fixed(3);
    let off = frozen(&folders.path().join("off"), &weights, views, 1, None);
    run(&off, NEVER);
    let cache = FeatureCache {
        folder: folders.path().join("cache"),
        limit: 1 << 30,
    };
    let new = |name: &str, cache: &FeatureCache| {
        frozen(&folders.path().join(name), &weights, views, 1, Some(cache))
    };
    run(&new("cold", &cache), NEVER);
    let cut = |path: &Path| {
        let bytes = fs::read(path).unwrap();
        fs::write(path, &bytes[..bytes.len() * 2 / 3]).unwrap();
    };
    let flip = |path: &Path| {
        let mut bytes = fs::read(path).unwrap();
        for at in (100..bytes.len()).step_by(331) {
            bytes[at] ^= 4;
        }
        fs::write(path, bytes).unwrap();
    };
    let empty = |path: &Path| fs::write(path, b"").unwrap();
    let garbage = |path: &Path| fs::write(path, [7; 5000]).unwrap();
    let damages: [(&str, Damage); 4] = [
        ("cut", &cut),
        ("flipped", &flip),
        ("emptied", &empty),
        ("garbage", &garbage),
    ];
    for (name, damage) in damages {
        for path in cache_files(&cache) {
            damage(&path);
        }
        let other = new(name, &cache);
        run(&other, NEVER);
        assert_same(&off, &other);
    }
    let small = FeatureCache {
        folder: folders.path().join("small"),
        limit: 3000,
    };
    run(&new("limited", &small), NEVER);
    assert_same(&off, &new("limited", &small));
    let bytes: u64 = cache_files(&small)
        .iter()
        .map(|path| fs::metadata(path).unwrap().len())
        .sum();
    assert!(bytes <= 3000, "{bytes}");

    fs::write(folders.path().join("taken"), "no folder").unwrap();
    let unusable = new(
        "unusable",
        &FeatureCache {
            folder: folders.path().join("taken"),
            limit: 1 << 30,
        },
    );
    let mut observer = StopAfter::new(NEVER);
    run_trial(&unusable, &mut Resources::default(), &mut observer).unwrap();
    assert_same(&off, &unusable);
    assert!(
        observer
            .log
            .iter()
            .any(|line| line.contains("features are not kept there")),
        "{:?}",
        observer.log
    );
}

#[test]
fn a_frozen_trial_interrupted_anywhere_ends_with_the_same_bytes() {
    let folders = tempfile::tempdir().unwrap();
    let weights = parent_weights(folders.path());
    for views in [Views::Fixed(2), Views::Fresh] {
        let new = |name: &str| {
            let folder = folders.path().join(format!("{views}-{name}"));
            let mut trial = frozen(&folder, &weights, views, 1, None);
            // Groups of seven batches: an epoch of nine has one and a part of one.
            trial.spec.recipe.batch_size = 5;
            trial
        };
        let whole = new("whole");
        run(&whole, NEVER);
        // An epoch has nine steps and one of validation.
        for stops in [vec![3], vec![7], vec![8], vec![9], vec![10, 16, 1, 2]] {
            let mut parts = new(&format!("{stops:?}"));
            parts.features = Some(FeatureCache {
                folder: folders.path().join(format!("{views}-{stops:?}-cache")),
                limit: 1 << 30,
            });
            for &steps in &stops {
                let outcome = run(&parts, steps);
                assert!(matches!(outcome, Outcome::Interrupted { .. }));
            }
            run(&parts, NEVER);
            assert_same(&whole, &parts);
        }
    }
}

#[test]
fn a_fixed_number_of_views_is_what_all_variants_see() {
    let folders = tempfile::tempdir().unwrap();
    let results = |name: &str, views, repeat| {
        let trial = trial(&folders.path().join(name), |spec| {
            spec.data.transform.views = views;
            spec.repeat = repeat;
        });
        run(&trial, NEVER);
        folder(&trial).epochs().unwrap()
    };
    let fresh = results("fresh", Views::Fresh, 1);
    let fixed = results("fixed", Views::Fixed(2), 1);
    assert_ne!(fresh, fixed);
    assert_ne!(fixed, results("repeat", Views::Fixed(2), 2));
}

/// Mixed pictures: another result than without, the same one however it is interrupted, with and without a fixed backbone,
/// of whose training pictures nothing is kept.
#[test]
fn mixed_pictures_are_the_same_ones_after_an_interruption() {
    let folders = tempfile::tempdir().unwrap();
    let weights = parent_weights(folders.path());
    let cache = FeatureCache {
        folder: folders.path().join("cache/features"),
        limit: 1 << 30,
    };
    for is_frozen in [false, true] {
        let new = |name: &str, mixup: f64, cutmix: f64| {
            let folder = folders.path().join(format!("{name}-{is_frozen}"));
            let mut trial = if is_frozen {
                frozen(&folder, &weights, Views::Fresh, 1, Some(&cache))
            } else {
                trial(&folder, |_| {})
            };
            // A group of a fixed backbone takes seven batches.
            trial.spec.recipe.batch_size = 5;
            trial.spec.recipe.epochs = 2;
            trial.spec.recipe.label_smoothing = 0.1;
            (trial.spec.recipe.mixup, trial.spec.recipe.cutmix) = (mixup, cutmix);
            // One view, whose features would be kept if it were not mixed.
            trial.spec.data.transform.train = vec![Step::Resize(18), Step::CenterCrop(None)];
            trial
        };
        let (plain, whole) = (new("plain", 0.0, 0.0), new("whole", 0.4, 1.0));
        let (mixup, cutmix) = (new("mixup", 0.4, 0.0), new("cutmix", 0.0, 1.0));
        let rows = [&plain, &whole, &mixup, &cutmix].map(|trial| {
            run(trial, NEVER);
            folder(trial).epochs().unwrap()
        });
        for (i, one) in rows.iter().enumerate() {
            assert!(one.iter().all(|row| row.train_loss.is_finite()));
            assert!(
                rows[..i].iter().all(|other| one != other),
                "{is_frozen} {i}"
            );
        }
        for stops in [vec![2], vec![4], vec![7, 1, 1], vec![9, 1]] {
            let parts = new(&format!("{stops:?}"), 0.4, 1.0);
            for &steps in &stops {
                run(&parts, steps);
            }
            run(&parts, NEVER);
            assert_same(&whole, &parts);
        }
    }
    // The training pictures of the plain frozen trial, and the validation pictures of all.
    let logs = cache_files(&cache);
    let keys: std::collections::BTreeSet<_> = logs.iter().map(|log| log.parent()).collect();
    assert_eq!(keys.len(), 2, "{logs:?}");
}
