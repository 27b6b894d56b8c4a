//! `.pth` files written by PyTorch 2.15.0; `torch_files` in `scripts/golden_model.py` makes them.

use std::path::PathBuf;

use candle_core::Tensor;
use graft_model::WeightFile;

use crate::made_up::{flat, made_up};

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name)
}

fn open(name: &str) -> WeightFile {
    WeightFile::open(&path(name)).unwrap()
}

fn tensor(file: &WeightFile, name: &str) -> Tensor {
    file.get(name, &candle_core::Device::Cpu).unwrap().unwrap()
}

#[test]
fn every_layout_and_type_is_read() {
    let file = open("plain.pth");
    let shapes: Vec<(&str, &[usize])> = file.shapes().collect();
    assert_eq!(shapes.len(), 9);
    for name in ["weight", "channels_last"] {
        let tensor = tensor(&file, name);
        assert_eq!(tensor.dims(), [2, 3, 2, 2], "{name}");
        assert_eq!(flat(&tensor), made_up(name, 24), "{name}");
    }
    assert_eq!(flat(&tensor(&file, "part")), made_up("part", 10)[3..7]);
    let transposed = tensor(&file, "transposed");
    assert_eq!(transposed.dims(), [4, 3]);
    assert_eq!(
        flat(&transposed.t().unwrap().contiguous().unwrap()),
        made_up("transposed", 12)
    );
    assert_eq!(flat(&tensor(&file, "double")), made_up("double", 5));
    assert_eq!(flat(&tensor(&file, "scalar")), [0.5]);
    for (name, precision) in [("half", 2f32.powi(-11)), ("bfloat", 2f32.powi(-8))] {
        for (read, exact) in flat(&tensor(&file, name)).iter().zip(made_up(name, 5)) {
            assert!(
                (read - exact).abs() <= precision * exact.abs(),
                "{name}: {read} for {exact}"
            );
        }
    }
    let message = file
        .get("bn.num_batches_tracked", &candle_core::Device::Cpu)
        .unwrap_err()
        .to_string();
    assert!(message.contains("is of type I64"), "{message}");
    assert!(
        file.get("nowhere", &candle_core::Device::Cpu)
            .unwrap()
            .is_none()
    );
}

/// A training checkpoint of a `DataParallel` network, pickle protocol 4, and a dict of parameters.
#[test]
fn usual_wrappings_are_unwrapped() {
    for name in ["checkpoint.pth", "protocol4.pth", "parameters.pth"] {
        let file = open(name);
        let shapes: Vec<(&str, &[usize])> = file.shapes().collect();
        assert_eq!(
            shapes,
            [("bias", &[2][..]), ("weight", &[2, 3][..])],
            "{name}"
        );
        let expected: Vec<f32> = made_up("weight", 6)
            .iter()
            .map(|u| 2f64.sqrt() as f32 * u)
            .collect();
        assert_eq!(flat(&tensor(&file, "weight")), expected, "{name}");
    }
}

#[test]
fn other_files_are_refused_with_advice() {
    let message = |name: &str| WeightFile::open(&path(name)).unwrap_err().to_string();
    let old = message("before-1.6.pth");
    assert!(
        old.contains("before-1.6.pth") && old.contains("format of PyTorch before 1.6"),
        "{old}"
    );
    assert!(old.contains("save_file(torch.load("), "{old}");
    let module = message("module.pth");
    assert!(
        module.contains("holds no state dict") && module.contains("model.state_dict()"),
        "{module}"
    );
}

/// Every truncation and many single wrong bytes: an error or other numbers, never a panic.
#[test]
fn damaged_files_do_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    let damaged = folder.path().join("damaged.pth");
    let whole = std::fs::read(path("checkpoint.pth")).unwrap();
    for length in (0..whole.len()).step_by(7) {
        std::fs::write(&damaged, &whole[..length]).unwrap();
        assert!(
            WeightFile::open(&damaged).is_err(),
            "{length} of {} bytes",
            whole.len()
        );
    }
    let mut refused = 0;
    for position in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[position] ^= 0x55;
        std::fs::write(&damaged, &bytes).unwrap();
        match WeightFile::open(&damaged) {
            Err(_) => refused += 1,
            Ok(file) => {
                for (name, _) in file.shapes() {
                    let _ = file.get(name, &candle_core::Device::Cpu);
                }
            }
        }
    }
    assert!(refused > 100, "{refused}");
}
