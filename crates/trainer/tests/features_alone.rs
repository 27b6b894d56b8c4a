//! A picture's features do not depend on the pictures beside it, on its place in the pass, or on threads: the feature
//! cache stands on that. On the real kernels, at the size of a pass.

mod pictures;

use candle_core::{Device, Tensor};
use graft_model::{Init, ModelSpec, Network, Pass, TransferMode, TransferSpec};
use graft_ops::Tape;

use pictures::pictures;

/// Pictures in a pass of the feature cache.
const PASS: usize = 32;

fn features(
    network: &Network,
    pictures: &[Vec<f32>],
    size: usize,
    threads: usize,
) -> Vec<Vec<u32>> {
    let shape = (pictures.len(), size, size, 3);
    let input = Tensor::from_vec(pictures.concat(), shape, &Device::Cpu).unwrap();
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .unwrap();
    let features = pool.install(|| {
        let tape = Tape::disabled();
        let features = network.features(&input, &Pass::evaluation(&tape)).unwrap();
        features.flatten_from(1).unwrap().to_vec2::<f32>().unwrap()
    });
    let bits = |row: Vec<f32>| row.into_iter().map(f32::to_bits).collect();
    features.into_iter().map(bits).collect()
}

fn check(kind: &str, options: toml::Table, size: usize) {
    let spec = ModelSpec::new(kind, options);
    let init = Init { seed: 1, repeat: 1 };
    let mut network = Network::build(&spec, 2, size, &init, &Device::Cpu).unwrap();
    let frozen = TransferSpec::of(TransferMode::Frozen);
    network.set_transfer(&frozen).unwrap();
    let all = pictures(PASS, size);
    let together = features(&network, &all, size, 2);
    assert_ne!(together[0], together[1]);
    let turned: Vec<Vec<f32>> = all.iter().cycle().skip(5).take(PASS).cloned().collect();
    for (k, found) in features(&network, &turned, size, 1).iter().enumerate() {
        assert!(
            *found == together[(k + 5) % PASS],
            "{kind}: picture {k} in another place"
        );
    }
    let blank = vec![0.0; size * size * 3];
    for place in [0, 1, 30] {
        let mut alone = vec![blank.clone(); PASS];
        alone[place].clone_from(&all[17]);
        let found = features(&network, &alone, size, 2);
        assert!(
            found[place] == together[17],
            "{kind}: alone at place {place}"
        );
    }
}

#[test]
fn resnet18() {
    check("resnet18", toml::Table::new(), 224);
    check("resnet18", toml::Table::new(), 97);
}

#[test]
fn squeezenet() {
    check("squeezenet1_1", toml::Table::new(), 224);
    check("squeezenet1_1", toml::Table::new(), 65);
}

#[test]
fn convnet() {
    let options = || {
        toml::toml! { depth = [4, 8]
        hidden = 512
        dropout = 0.5 }
    };
    check("convnet", options(), 224);
    check("convnet", options(), 30);
}

/// candle's kernels. Convolutions, transformers' products over all tokens of a pass, and norms over channels.
#[test]
fn extractors() {
    check("mobilenetv4_conv_small", toml::Table::new(), 64);
    check("convnext_atto", toml::Table::new(), 33);
    check("tf_efficientnet_b0", toml::Table::new(), 33);
    check("dinov2_vits14", toml::Table::new(), 28);
}
