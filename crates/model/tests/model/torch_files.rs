//! `.pth` files written by PyTorch 2.15.0, of the present format and of that before 1.6; `scripts/golden_weights.py` makes
//! them.

use std::path::PathBuf;

use candle_core::{Device, Tensor};
use graft_model::WeightFile;

use crate::made_up::{flat, made_up};

pub(crate) fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name)
}

fn open(name: &str) -> WeightFile {
    WeightFile::open(&path(name)).unwrap_or_else(|error| panic!("{error}"))
}

fn tensor(file: &WeightFile, name: &str) -> Tensor {
    file.get(name, &Device::Cpu).unwrap().unwrap()
}

fn error(file: &WeightFile, name: &str) -> String {
    file.get(name, &Device::Cpu).unwrap_err().to_string()
}

#[test]
fn every_layout_and_type_is_read() {
    for name in ["plain.pth", "before-1.6.pth"] {
        let file = open(name);
        assert_eq!(file.shapes().count(), 9, "{name}");
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
        let message = error(&file, "bn.num_batches_tracked");
        assert!(message.contains("is of type I64"), "{message}");
        assert!(file.get("nowhere", &Device::Cpu).unwrap().is_none());
    }
}

/// Views into one storage, and storages of every class between them: the old format says where a storage lies only by
/// what lies before it.
#[test]
fn storages_may_be_shared_and_of_any_class() {
    for name in ["shared.pth", "shared-before-1.6.pth"] {
        let file = open(name);
        let base = made_up("base", 12);
        let values = |name| flat(&tensor(&file, name));
        assert_eq!(values("first"), base[..4], "{name}");
        assert_eq!(values("middle"), base[3..9], "{name}");
        let odd: Vec<f32> = base.iter().skip(1).step_by(2).copied().collect();
        assert_eq!(values("every_second"), odd, "{name}");
        let turned = tensor(&file, "turned").t().unwrap();
        assert_eq!(turned.dims(), [3, 4], "{name}");
        assert_eq!(flat(&turned.contiguous().unwrap()), base, "{name}");
        assert_eq!((values("base"), values("again")), (base.clone(), base));
        assert_eq!(values("nothing"), [0f32; 0], "{name}");
        assert_eq!(values("last"), made_up("last", 3), "{name}");
        for (name, class) in [
            ("flags", "BOOL"),
            ("bytes", "U8"),
            ("signed", "I8"),
            ("short", "I16"),
            ("int", "I32"),
            ("complex", "C64"),
        ] {
            let message = error(&file, name);
            assert!(
                message.contains(&format!("is of type {class}\n")),
                "{message}"
            );
        }
    }
    let file = open("float8.pth");
    assert!(error(&file, "float8").contains("is of type float8_e4m3fn"));
    assert_eq!(flat(&tensor(&file, "last")), made_up("last", 3));
}

/// PyTorch reads the same numbers from these files; the script that makes them checks that.
#[test]
fn files_of_big_endian_machines_are_read() {
    for name in ["big-endian.pth", "big-endian-before-1.6.pth"] {
        let file = open(name);
        let a = tensor(&file, "a").t().unwrap().contiguous().unwrap();
        assert_eq!(flat(&a), made_up("base", 12), "{name}");
        for (read, exact) in flat(&tensor(&file, "half")).iter().zip(made_up("half", 5)) {
            assert!(
                (read - exact).abs() <= 2f32.powi(-11) * exact.abs(),
                "{name}"
            );
        }
    }
}

/// A training checkpoint of a `DataParallel` network, pickle protocol 4, a dict of parameters, and checkpoints as the
/// scripts of torchvision and timm write them, with arguments, an optimizer and a stray tensor beside the weights.
#[test]
fn usual_wrappings_are_unwrapped() {
    for name in [
        "checkpoint.pth",
        "protocol4.pth",
        "protocol4-before-1.6.pth",
        "parameters.pth",
        "reference.pth",
        "reference-before-1.6.pth",
        "timm.pth",
    ] {
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
