//! What decides the features of a picture.

use std::{fmt::Write, sync::OnceLock};

use candle_core::Device;
use graft_data::{SourceSpec, Split, Transform};
use graft_model::{Network, Part};

use crate::{TrainError, TrialSpec};

/// Raised when features of the same key are computed in another way.
const VERSION: u32 = 1;

/// A hash of everything that decides the features of the pictures of a split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key(blake3::Hash);

impl Key {
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self(blake3::hash(bytes))
    }

    /// The key of the views of `split` that `network` sees, whose backbone has the hash `backbone`.
    pub(crate) fn new(
        spec: &TrialSpec,
        split: Split,
        transform: &Transform,
        network: &Network,
        backbone: &str,
        device: &Device,
    ) -> Self {
        let TrialSpec { data, model, .. } = spec;
        let mut text = format!(
            "features {VERSION} of {} format {} on {}\n",
            program(),
            spec.format,
            machine(device),
        );
        let (mean, std) = network.normalization();
        let bits = |values: [f32; 3]| values.map(f32::to_bits);
        let _ = write!(
            text,
            "{}\n{}\n{backbone}\n{:?} {:?}\n{}\n{}\n{split} {} ",
            model.kind,
            model.options,
            bits(mean),
            bits(std),
            spec.data_fingerprint,
            match &data.source {
                generated @ SourceSpec::Generated(_) => format!("{generated:?}"),
                // What it is is in its fingerprint, and where it lies does not count.
                _ => String::new(),
            },
            transform.size(),
        );
        let _ = match split {
            Split::Val | Split::Test => write!(text, "{:?}", data.transform.eval),
            Split::Train => write!(
                text,
                "{:?} {:?} {}",
                data.transform.train,
                data.transform.fixed_views(),
                spec.seed
            ),
        };
        Self::of(text.as_bytes())
    }

    pub(super) fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// The name of its folder.
    pub(super) fn folder_name(&self) -> String {
        self.0.to_hex()[..32].to_owned()
    }
}

/// A hash of everything in the backbone that a forward pass reads.
pub(crate) fn hash_backbone(network: &Network) -> Result<String, TrainError> {
    let parameters = network.parameters().iter();
    let parameters = parameters.map(|p| (p.part, &p.name, p.values()));
    let buffers = network.buffers().iter();
    let buffers = buffers.map(|b| (b.part, &b.name, b.values()));
    let mut hasher = blake3::Hasher::new();
    // The same tensors serve a backbone that is cut behind the last of them or a pool later.
    let (kind, last) = (network.entry().name, network.last_layer());
    hasher.update(format!("{kind} {last}\n").as_bytes());
    let mut bytes = Vec::new();
    for (part, name, values) in parameters.chain(buffers) {
        if part != Part::Backbone {
            continue;
        }
        hasher.update(format!("{name} {:?}\n", values.dims()).as_bytes());
        bytes.clear();
        for value in values.flatten_all()?.to_vec1::<f32>()? {
            bytes.extend(value.to_le_bytes());
        }
        hasher.update(&bytes);
    }
    Ok(hasher.finalize().to_hex().to_string())
}

/// A hash of the running program: another build may round in another way.
fn program() -> &'static str {
    static HASH: OnceLock<String> = OnceLock::new();
    HASH.get_or_init(|| {
        let bytes = std::env::current_exe().and_then(std::fs::read);
        // Where a program can't read itself, its version has to do.
        bytes.map_or_else(
            |_| env!("CARGO_PKG_VERSION").to_owned(),
            |bytes| blake3::hash(&bytes).to_hex().to_string(),
        )
    })
}

/// The kind of device and, for a CPU, of processor: the last bits of a result depend on it.
fn machine(device: &Device) -> String {
    match device {
        Device::Cpu => {
            let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
            let model = info.lines().find(|line| line.starts_with("model name"));
            format!(
                "{} {} {}",
                std::env::consts::ARCH,
                model.unwrap_or_default(),
                vector_instructions()
            )
        }
        other => format!("{:?}", other.location()),
    }
}

#[cfg(target_arch = "x86_64")]
fn vector_instructions() -> String {
    format!(
        "avx2 {} fma {} avx512f {}",
        std::is_x86_feature_detected!("avx2"),
        std::is_x86_feature_detected!("fma"),
        std::is_x86_feature_detected!("avx512f")
    )
}

#[cfg(not(target_arch = "x86_64"))]
fn vector_instructions() -> String {
    String::new()
}
