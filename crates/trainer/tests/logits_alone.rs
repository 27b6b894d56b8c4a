//! What a whole network says of a picture does not depend on the pictures beside it, on how many there are, or on
//! threads: so a picture that is predicted gets the probabilities that validation gave it. On the real kernels.

use candle_core::{Device, Tensor};
use graft_model::{Entry, Init, ModelSpec, Network, Pass};
use graft_ops::{Tape, softmax};

/// Made-up pictures.
fn pictures(n: usize, size: usize) -> Vec<Vec<f32>> {
    let mut state = 3_u64;
    let mut value = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        ((state >> 40) as f32 / (1 << 24) as f32 - 0.5) * 4.0
    };
    let pixels = size * size * 3;
    (0..n)
        .map(|_| (0..pixels).map(|_| value()).collect())
        .collect()
}

/// The bits of the probabilities of every class, picture by picture.
fn probabilities(
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
    let rows: Vec<Vec<f32>> = pool.install(|| {
        let tape = Tape::disabled();
        let logits = network.forward(&input, &Pass::evaluation(&tape)).unwrap();
        softmax(&logits).unwrap().to_vec2().unwrap()
    });
    let bits = |row: Vec<f32>| row.into_iter().map(f32::to_bits).collect();
    rows.into_iter().map(bits).collect()
}

/// The networks of these kinds. Others, as they are drawn, hardly see their pictures: the deepest plain ones and the MobileNets.
fn of_kinds<'a>(kinds: &'a [&str]) -> impl Iterator<Item = &'static Entry> + 'a {
    kinds.iter().map(|kind| graft_model::find(kind).unwrap())
}

fn check(entry: &Entry, classes: usize, size: usize, batches: &[usize]) {
    let options = (entry.check)(&toml::Table::new()).unwrap();
    let spec = ModelSpec::new(entry.name, options);
    let init = Init { seed: 1, repeat: 1 };
    let network = Network::build(&spec, classes, size, &init, &Device::Cpu).unwrap();
    let most = batches.iter().copied().max().unwrap();
    let all = pictures(most, size);
    let together = probabilities(&network, &all, size, 2);
    assert_eq!(together[0].len(), classes);
    assert_ne!(together[0], together[1]);
    for (number, &n) in batches.iter().enumerate() {
        // Each batch size begins at another picture, so that pictures change their places, too.
        let from = (5 * number) % (most - n + 1);
        let part = probabilities(&network, &all[from..from + n], size, 1 + number % 3);
        assert!(
            part == together[from..from + n],
            "{}: {n} of {most} pictures of {size} × {size} from {from} on",
            entry.name
        );
    }
}

#[test]
fn networks_in_batches_of_every_kind() {
    for entry in of_kinds(&["convnet", "resnet18", "resnet50", "squeezenet1_1"]) {
        let options = (entry.check)(&toml::Table::new()).unwrap();
        let size = [39, 65, 97]
            .into_iter()
            .find(|&size| (entry.check_size)(&options, size).is_ok())
            .unwrap_or(entry.default_size);
        check(entry, 3, size, &[1, 2, 3, 4, 5, 7, 8, 16, 17, 31, 32, 33]);
    }
}

#[test]
fn networks_at_their_own_sizes() {
    for entry in of_kinds(&["convnet", "resnet18", "squeezenet1_1"]) {
        check(entry, 1000, entry.default_size, &[1, 2, 6]);
    }
}
