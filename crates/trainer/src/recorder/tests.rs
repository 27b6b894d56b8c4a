//! Recorded steps against computed ones. They run where `GRAFT_TEST_CUDA=1` is set or a device can be opened.

use candle_core::{Device, Tensor};
use graft_model::{Init, ModelSpec, Network};
use graft_stream::{Purpose, Stream};

use super::Recorder;
use crate::{
    OptimizerSpec, Recipe, TrainingMode, device,
    inputs::{Example, Input},
    optimizer,
    step::{Draws, Trained, step},
    targets::Targets,
};

const SIDE: usize = 16;
const BATCH: usize = 4;

/// The first GPU; none where there is none and none is demanded.
fn gpu() -> Option<Device> {
    let demanded = std::env::var_os("GRAFT_TEST_CUDA").is_some_and(|value| value == "1");
    match device::open("cuda:0") {
        Ok(device) => Some(device),
        Err(error) => {
            assert!(!demanded, "no CUDA device: {error}");
            eprintln!("skipped: no CUDA device");
            None
        }
    }
}

fn recipe() -> Recipe {
    let sgd = OptimizerSpec::Sgd {
        lr: 0.01,
        momentum: 0.9,
        weight_decay: 1e-4,
        nesterov: false,
    };
    let mut recipe = Recipe::new(2, BATCH, sgd);
    recipe.clip.norm = Some(1.0);
    recipe.class_weights = vec![1.0, 2.0, 0.5];
    recipe.label_smoothing = 0.1;
    recipe
}

fn example(n: usize, step: u64, device: &Device) -> Example {
    let mut draws = Stream::new(7, Purpose::Generate, &[step]);
    let pixels: Vec<f32> = (0..n * SIDE * SIDE * 3)
        .map(|_| 2.0 * draws.unit_f32() - 1.0)
        .collect();
    let input = Tensor::from_vec(pixels, (n, SIDE, SIDE, 3), device).unwrap();
    Example {
        input: Input::Pictures(input),
        targets: Targets::Classes((0..n).map(|_| draws.below(3) as u32).collect()),
        mixed: None,
    }
}

/// What a network and its losses are after some steps, and how many kinds of steps were replayed in the end.
fn trained(model: &str, recipe: &Recipe, records: bool, device: &Device) -> (Vec<Vec<u32>>, usize) {
    device::set_precision(device, recipe).unwrap();
    let spec: ModelSpec = toml::from_str(model).unwrap();
    let init = Init { seed: 1, repeat: 1 };
    let network = Network::build(&spec, 3, SIDE, &init, device).unwrap();
    let decays = recipe.weight_decay_on;
    let mut optimizer = optimizer::build(&recipe.optimizer, decays, &network).unwrap();
    let mut recorder = Recorder::with(records, recipe);
    let bits = |tensor: &Tensor| -> Vec<u32> {
        let values = tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        values.into_iter().map(f32::to_bits).collect()
    };
    let mut all = Vec::new();
    let mut unheard = Vec::new();
    for number in 1..=9 {
        // The fifth is the smaller rest of an epoch.
        let n = if number == 5 { 3 } else { BATCH };
        let draws = Draws {
            seed: 1,
            repeat: 1,
            epoch: 1 + u32::from(number > 5),
            step: number,
        };
        let trained = Trained {
            network: &network,
            optimizer: optimizer.as_mut(),
            recorder: &mut recorder,
        };
        let found = step(trained, recipe, &example(n, number, device), draws, 0.01).unwrap();
        if let Some(note) = recorder.take_note() {
            assert!(
                note.contains("are recorded"),
                "{model}: step {number}: {note}"
            );
        }
        unheard.push(found);
    }
    for found in unheard {
        all.push(bits(&found.loss));
        all.push(bits(&found.outputs));
    }
    for (_, tensor) in network.state() {
        all.push(bits(&tensor));
    }
    (all, recorder.proven())
}

#[test]
fn recorded_steps_have_the_bits_of_computed_ones() {
    let _alone = device::alone();
    let Some(device) = gpu() else { return };
    let recipe = recipe();
    for model in [
        "kind = 'convnet'\n[options]\ndepth = [4, 8]\nhidden = 8\ndropout = 0.3",
        "kind = 'resnet18'\n[options]",
        "kind = 'mobilenet_v2'\n[options]",
    ] {
        let (computed, none) = trained(model, &recipe, false, &device);
        let (recorded, some) = trained(model, &recipe, true, &device);
        assert_eq!((none, some), (0, 1), "{model}");
        assert!(computed == recorded, "{model}: other bits");
    }
}

/// In the first epoch dropout and the statistics of the batch are on, in the second they are off.
#[test]
fn a_step_that_cannot_be_recorded_leaves_the_device_as_it_was() {
    let _alone = device::alone();
    let Some(device) = gpu() else { return };
    let kept = std::cell::RefCell::new(None);
    let values = Tensor::from_vec(vec![1.0f32, 2.0], 2, &device).unwrap();
    let work = || -> candle_core::Result<()> {
        let copy = values.copy()?;
        // It waits for the device, which a recording can't.
        let read = copy.to_vec1::<f32>();
        *kept.borrow_mut() = Some(read.is_err());
        read.map(drop)
    };
    graft_ops::cuda::record(&device, &[], work).unwrap_err();
    assert_eq!(kept.take(), Some(true));
    let model = "kind = 'resnet18'\n[options]";
    let (computed, _) = trained(model, &recipe(), false, &device);
    let (recorded, some) = trained(model, &recipe(), true, &device);
    assert_eq!(some, 1);
    assert!(computed == recorded, "other bits");
}

#[test]
fn epochs_with_other_passes_have_recordings_of_their_own() {
    let _alone = device::alone();
    let Some(device) = gpu() else { return };
    let recipe = Recipe {
        training_mode: TrainingMode::FirstEpoch,
        ..recipe()
    };
    let model = "kind = 'resnet18'\n[options]";
    let (computed, _) = trained(model, &recipe, false, &device);
    let (recorded, some) = trained(model, &recipe, true, &device);
    assert_eq!(some, 2);
    assert!(computed == recorded, "other bits");
}
