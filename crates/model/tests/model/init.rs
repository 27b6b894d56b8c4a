//! Initial weights have the distributions that PyTorch and torchvision document, and depend on names only.

use std::collections::BTreeMap;

use graft_model::{Init, ModelSpec, Network, Parameter};

use crate::{made_up::flat, network};

fn weights(network: &Network) -> BTreeMap<String, Vec<f32>> {
    network
        .parameters()
        .iter()
        .map(|p| (p.name.clone(), flat(p.values())))
        .collect()
}

/// Mean and standard deviation are those of U(±bound), and no value is outside.
fn check_uniform(name: &str, values: &[f32], bound: f64) {
    let n = values.len() as f64;
    let largest = values
        .iter()
        .fold(0f32, |largest, value| largest.max(value.abs()));
    assert!(
        f64::from(largest) <= bound,
        "{name}: {largest} is outside ±{bound}"
    );
    assert!(
        f64::from(largest) > bound * (1.0 - 20.0 / n),
        "{name}: {largest} is far inside ±{bound}"
    );
    check_moments(name, values, bound / 3f64.sqrt());
}

/// Mean and standard deviation are within five standard errors of 0 and `std`.
fn check_moments(name: &str, values: &[f32], std: f64) {
    let n = values.len() as f64;
    let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
    let variance = values.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() / n;
    assert!(mean.abs() < 5.0 * std / n.sqrt(), "{name}: mean {mean}");
    assert!(
        (variance.sqrt() / std - 1.0).abs() < 5.0 / (2.0 * n).sqrt(),
        "{name}: std {} of {std}",
        variance.sqrt()
    );
}

fn fan_in(network: &Network, name: &str) -> f64 {
    let weight = name.replace("bias", "weight");
    let parameter = network
        .parameters()
        .iter()
        .find(|p| p.name == weight)
        .unwrap();
    (parameter.var.elem_count() / parameter.var.dims()[0]) as f64
}

/// `nn.Conv2d` and `nn.Linear`: `kaiming_uniform_(a=√5)` for weights, the same bound for biases.
#[test]
fn plain_networks_start_as_pytorch_layers_do() {
    for (kind, options) in [
        ("convnet", "depth = [16, 32]"),
        ("lenet5", ""),
        ("alexnet", ""),
    ] {
        let network = network(kind, options, 10, 64);
        for (name, values) in weights(&network) {
            check_uniform(&name, &values, fan_in(&network, &name).sqrt().recip());
        }
    }
}

/// `kaiming_normal_(mode="fan_out", nonlinearity="relu")`.
fn check_fan_out(parameter: &Parameter) {
    let (name, values) = (&parameter.name, flat(parameter.values()));
    let dims = parameter.var.dims();
    let fan_out = (dims[0] * dims[2] * dims[3]) as f64;
    check_moments(name, &values, (2.0 / fan_out).sqrt());
    let beyond = values
        .iter()
        .filter(|&&v| f64::from(v) > 2.0 * (2.0 / fan_out).sqrt())
        .count();
    let share = beyond as f64 / values.len() as f64;
    assert!(
        (0.015..0.030).contains(&share),
        "{name} is not normal: {share} beyond 2 sigma"
    );
}

fn check_constant(name: &str, values: &[f32]) {
    let expected = if name.ends_with("weight") || name.ends_with("running_var") {
        1.0
    } else {
        0.0
    };
    assert!(values.iter().all(|&value| value == expected), "{name}");
}

/// torchvision's `ResNet.__init__`: `kaiming_normal_(mode="fan_out", nonlinearity="relu")`, batch norm 1 and 0.
#[test]
fn resnets_start_as_torchvisions_do() {
    for kind in ["resnet18", "resnet50"] {
        let network = network(kind, "", 200, 64);
        for parameter in network.parameters() {
            let (name, values) = (&parameter.name, flat(parameter.values()));
            if name.starts_with("fc.") {
                check_uniform(name, &values, fan_in(&network, name).sqrt().recip());
            } else if parameter.var.rank() == 4 {
                check_fan_out(parameter);
            } else {
                check_constant(name, &values);
            }
        }
        for buffer in network.buffers() {
            check_constant(&buffer.name, &flat(buffer.values()));
        }
    }
}

/// torchvision's `VGG.__init__`: convolutions and batch norm as a `ResNet`'s, linear layers N(0, 0.01²), biases 0.
pub(crate) fn check_vgg(network: &Network) {
    for parameter in network.parameters() {
        let (name, values) = (&parameter.name, flat(parameter.values()));
        match parameter.var.rank() {
            4 => check_fan_out(parameter),
            2 => check_moments(name, &values, 0.01),
            _ => check_constant(name, &values),
        }
    }
}

/// torchvision's `SqueezeNet.__init__`: `kaiming_uniform_`, the last convolution N(0, 0.01²), biases 0.
#[test]
fn squeezenets_start_as_torchvisions_do() {
    for kind in ["squeezenet1_0", "squeezenet1_1"] {
        let network = network(kind, "", 100, 64);
        for (name, values) in weights(&network) {
            if name.ends_with("bias") {
                assert!(values.iter().all(|&value| value == 0.0), "{name}");
            } else if name == "classifier.1.weight" {
                check_moments(&name, &values, 0.01);
            } else {
                check_uniform(&name, &values, (6.0 / fan_in(&network, &name)).sqrt());
            }
        }
    }
}

#[test]
fn weights_depend_on_seed_repeat_and_name_only() {
    let build = |depth: &str, seed, repeat| {
        let options = format!("depth = {depth}").parse().unwrap();
        let spec = ModelSpec::new("convnet", options);
        let init = Init { seed, repeat };
        weights(&Network::build(&spec, 2, 32, &init, &candle_core::Device::Cpu).unwrap())
    };
    let base = build("[4, 8]", 1, 2);
    assert_eq!(base, build("[4, 8]", 1, 2));
    let (seed, repeat, deeper) = (
        build("[4, 8]", 2, 2),
        build("[4, 8]", 1, 3),
        build("[4, 8, 16]", 1, 2),
    );
    for name in base.keys() {
        assert_ne!(base[name], seed[name], "{name}");
        assert_ne!(base[name], repeat[name], "{name}");
    }
    // A layer more changes nothing for the layers of the same names and shapes.
    for name in [
        "conv1.weight",
        "conv1.bias",
        "conv2.weight",
        "conv2.bias",
        "fc2.weight",
        "fc2.bias",
    ] {
        assert_eq!(base[name], deeper[name], "{name}");
    }
    assert_ne!(base["conv1.weight"][..8], base["conv2.weight"][..8]);
}
