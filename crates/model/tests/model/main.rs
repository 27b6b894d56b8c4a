//! The crate's tests, one file per subject, in one program so that it is linked once.

mod backbone_golden;
mod backbones;
mod backbones_depthwise;
mod backbones_facts;
mod cuts;
mod extractors;
mod fake_hub;
mod golden;
mod hub;
mod hub_trouble;
mod init;
mod locate;
mod made_up;
mod reference;
mod summary;
mod torch_files;
mod torch_refused;
mod transfer;
mod weight_files;

use graft_model::{Init, ModelSpec, Network};

/// A network of `kind` on the CPU from seed 0.
fn network(kind: &str, options: &str, classes: usize, size: usize) -> Network {
    let spec = ModelSpec::new(kind, options.parse().unwrap());
    let init = Init { seed: 0, repeat: 0 };
    Network::build(&spec, classes, size, &init, &candle_core::Device::Cpu).unwrap()
}
