//! What a whole network says of a picture does not depend on the pictures beside it, on how many there are, or on
//! threads: so a picture that is predicted gets the probabilities that validation gave it. On the real kernels.

mod pictures;

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use graft_model::{Entry, Init, ModelSpec, Network, Pass, registry};
use graft_ops::{Tape, softmax};
use graft_stream::{Purpose, Stream};

use pictures::pictures;

/// The bits of the logits and of the probabilities of every class, picture by picture.
fn answers(network: &Network, pictures: &[Vec<f32>], size: usize, threads: usize) -> Vec<Vec<u32>> {
    let shape = (pictures.len(), size, size, 3);
    let input = Tensor::from_vec(pictures.concat(), shape, &Device::Cpu).unwrap();
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .unwrap();
    let rows: Vec<Vec<f32>> = pool.install(|| {
        let tape = Tape::disabled();
        let logits = network.forward(&input, &Pass::evaluation(&tape)).unwrap();
        let both = Tensor::cat(&[&logits, &softmax(&logits).unwrap()], 1);
        both.unwrap().to_vec2().unwrap()
    });
    let bits = |row: Vec<f32>| row.into_iter().map(f32::to_bits).collect();
    rows.into_iter().map(bits).collect()
}

/// All networks that can be trained. Fixed extractors have no logits of their own.
fn trainable() -> impl Iterator<Item = &'static Entry> {
    registry().iter().filter(|entry| !entry.extractor)
}

/// Sets weights that let pictures through, as those that are drawn for training do not in plain deep networks and MobileNets:
/// U(±√(6/`fan_in`)), norms that change nothing, biases of 0.
fn let_through(network: &Network) {
    let fill = |(name, tensor): (String, Tensor)| {
        let values = if tensor.rank() > 1 {
            let fan_in = tensor.elem_count() / tensor.dims()[0];
            let bound = (6.0 / fan_in as f32).sqrt();
            let mut stream = Stream::named(0, Purpose::Init, &[], &name);
            let value = || bound * (2.0 * stream.unit_f32() - 1.0);
            std::iter::repeat_with(value)
                .take(tensor.elem_count())
                .collect()
        } else {
            let one = name.ends_with("weight") || name.ends_with("running_var");
            vec![f32::from(u8::from(one)); tensor.elem_count()]
        };
        let values = Tensor::from_vec(values, tensor.shape(), &Device::Cpu).unwrap();
        (name, values)
    };
    let state: BTreeMap<String, Tensor> = network.state().into_iter().map(fill).collect();
    network.restore(&state).unwrap();
}

fn check(entry: &Entry, classes: usize, size: usize, batches: &[usize]) {
    let options = (entry.check)(&toml::Table::new()).unwrap();
    let mut spec = ModelSpec::new(entry.name, options);
    if entry.name.starts_with("vgg") && entry.name != "vgg11" {
        // The linear layers are those of VGG-11, and take long to be drawn.
        spec.cut = Some("avgpool".to_owned());
    }
    let init = Init { seed: 1, repeat: 1 };
    let network = Network::build(&spec, classes, size, &init, &Device::Cpu).unwrap();
    let_through(&network);
    let most = batches.iter().copied().max().unwrap();
    let all = pictures(most, size);
    let together = answers(&network, &all, size, 2);
    assert_eq!(together[0].len(), 2 * classes);
    assert!(f32::from_bits(together[0][0]).is_finite());
    assert_ne!(together[0], together[1], "{} is blind", entry.name);
    for (number, &n) in batches.iter().enumerate() {
        // Each batch size begins at another picture, so that pictures change their places, too.
        let from = (5 * number) % (most - n + 1);
        let part = answers(&network, &all[from..from + n], size, 1 + number % 3);
        assert!(
            part == together[from..from + n],
            "{}: {n} of {most} pictures of {size} × {size} from {from} on",
            entry.name
        );
    }
}

#[test]
fn networks_in_batches_of_every_kind() {
    for entry in trainable() {
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
    for entry in trainable() {
        check(entry, 1000, entry.default_size, &[1, 2, 6]);
    }
}
