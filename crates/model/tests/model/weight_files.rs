//! Safetensors files: whole, damaged, foreign and hostile; and what of them fits a network.

use std::{collections::HashMap, path::PathBuf};

use candle_core::{DType, Device, Tensor};
use graft_model::{Init, LoadReport, ModelError, ModelSpec, Network, WeightFile};
use tempfile::TempDir;

use crate::{
    made_up::{fill, flat},
    network,
};

/// A folder with one file.
struct Case {
    _folder: TempDir,
    path: PathBuf,
}

impl Case {
    fn bytes(bytes: &[u8]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.safetensors");
        std::fs::write(&path, bytes).unwrap();
        Self {
            _folder: folder,
            path,
        }
    }

    fn header(header: &str, data: &[u8]) -> Self {
        let length = (header.len() as u64).to_le_bytes();
        Self::bytes(&[&length, header.as_bytes(), data].concat())
    }

    fn tensors(tensors: &HashMap<String, Tensor>) -> Self {
        let case = Self::bytes(b"");
        candle_core::safetensors::save(tensors, &case.path).unwrap();
        case
    }

    fn open(&self) -> WeightFile {
        WeightFile::open(&self.path).unwrap()
    }

    fn error(&self) -> String {
        let message = WeightFile::open(&self.path).unwrap_err().to_string();
        assert!(
            message.contains(&self.path.display().to_string()),
            "names the file: {message}"
        );
        assert!(message.contains("\nhint: "), "{message}");
        message
    }
}

fn state(network: &Network) -> HashMap<String, Tensor> {
    network.state().into_iter().collect()
}

#[test]
fn foreign_and_damaged_files_are_refused() {
    for (bytes, expected) in [
        (&b""[..], "it is empty"),
        (b"\x08\0\0", "only 3 bytes"),
        (
            b"hello world, this is a text file",
            "neither a safetensors nor a .pth file",
        ),
        (
            b"\xff\xff\xff\xff\xff\xff\xff\xff{\"a\":",
            "does not begin with a safetensors header",
        ),
        (
            b"\x00\xe1\xf5\x05\0\0\0\0{\"a\":",
            "should have 100000000 bytes, but the whole file has 13",
        ),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
            "Git LFS pointer",
        ),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"PK\x03\x04 no zip", "zip archive is wrong"),
        (b"\x02\0\0\0\0\0\0\0{]", "header is wrong"),
    ] {
        let message = Case::bytes(bytes).error();
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn headers_that_contradict_the_file_are_refused() {
    let entry = |name: &str, dtype: &str, shape: &str, from: u64, to: u64| {
        format!(
            "\"{name}\":{{\"dtype\":\"{dtype}\",\"shape\":{shape},\"data_offsets\":[{from},{to}]}}"
        )
    };
    for (entries, data) in [
        // Overlap; hole at the beginning; beyond the end; backwards; too little and too much data for the shape.
        (
            vec![
                entry("a", "F32", "[2]", 0, 8),
                entry("b", "F32", "[2]", 4, 12),
            ],
            12,
        ),
        (vec![entry("a", "F32", "[1]", 4, 8)], 8),
        (vec![entry("a", "F32", "[4]", 0, 16)], 8),
        (vec![entry("a", "F32", "[1]", 8, 4)], 8),
        (vec![entry("a", "F32", "[4]", 0, 8)], 8),
        (vec![entry("a", "F32", "[1]", 0, 4)], 8),
        // The number of elements overflows; negative and fractional sizes; an unknown type; twice the same name.
        (
            vec![entry(
                "a",
                "F32",
                "[4294967296,4294967296,4294967296]",
                0,
                8,
            )],
            8,
        ),
        (vec![entry("a", "F32", "[-1]", 0, 4)], 4),
        (vec![entry("a", "F32", "[1.5]", 0, 4)], 4),
        (vec![entry("a", "F99", "[1]", 0, 4)], 4),
        (
            vec![
                entry("a", "F32", "[1]", 0, 4),
                entry("a", "F32", "[1]", 4, 8),
            ],
            8,
        ),
        (vec![entry("a", "F32", "[1]", 0, u64::MAX)], 4),
    ] {
        let header = format!("{{{}}}", entries.join(","));
        let message = Case::header(&header, &vec![0; data]).error();
        assert!(
            message.contains("its safetensors header is wrong"),
            "{header}: {message}"
        );
    }
    let nested = format!("{{\"a\":{}", "[".repeat(1_000_000));
    assert!(
        Case::header(&nested, b"")
            .error()
            .contains("header is wrong")
    );
}

#[test]
fn every_truncation_is_refused() {
    let network = network("convnet", "depth = [1]\nhidden = 1", 2, 4);
    let whole = std::fs::read(&Case::tensors(&state(&network)).path).unwrap();
    for length in 0..whole.len() {
        Case::bytes(&whole[..length]).error();
    }
}

#[test]
fn folders_and_missing_files_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let message = WeightFile::open(folder.path()).unwrap_err().to_string();
    assert!(message.contains("it is a folder"), "{message}");
    let message = WeightFile::open(&folder.path().join("none"))
        .unwrap_err()
        .to_string();
    assert!(
        message.starts_with("failed to read ") && message.contains("none"),
        "{message}"
    );
}

#[test]
fn all_float_types_are_read_as_f32() {
    let exact = Tensor::new(&[0.5f32, -2.0, 0.0], &Device::Cpu).unwrap();
    for dtype in [DType::F16, DType::BF16, DType::F32, DType::F64] {
        let tensors = HashMap::from([("a".to_owned(), exact.to_dtype(dtype).unwrap())]);
        let read = Case::tensors(&tensors)
            .open()
            .get("a", &Device::Cpu)
            .unwrap()
            .unwrap();
        assert_eq!(
            (read.dtype(), flat(&read)),
            (DType::F32, vec![0.5, -2.0, 0.0])
        );
    }
    let counters = HashMap::from([("a".to_owned(), Tensor::new(&[1i64], &Device::Cpu).unwrap())]);
    let message = Case::tensors(&counters)
        .open()
        .get("a", &Device::Cpu)
        .unwrap_err()
        .to_string();
    assert!(message.contains("tensor a is of type I64"), "{message}");
    for value in [f32::NAN, f32::INFINITY] {
        let tensors = HashMap::from([(
            "a".to_owned(),
            Tensor::new(&[1.0, value], &Device::Cpu).unwrap(),
        )]);
        let message = Case::tensors(&tensors)
            .open()
            .get("a", &Device::Cpu)
            .unwrap_err()
            .to_string();
        assert!(
            message.contains(&format!("tensor a has the value {value} at element 1")),
            "{message}"
        );
    }
}

#[test]
fn fingerprints_are_of_the_bytes() {
    let tensors = |value: f32| {
        HashMap::from([("a".to_owned(), Tensor::new(&[value], &Device::Cpu).unwrap())])
    };
    let fingerprint = |value| {
        Case::tensors(&tensors(value))
            .open()
            .fingerprint()
            .to_owned()
    };
    assert_eq!(fingerprint(1.0), fingerprint(1.0));
    assert_ne!(fingerprint(1.0), fingerprint(2.0));
    assert_eq!(fingerprint(1.0).len(), 64);
}

/// A ResNet for 7 classes in a file with the counters that torchvision keeps, loaded into one for 3.
#[test]
fn the_backbone_is_loaded_and_the_head_is_new() {
    let source = network("resnet18", "", 7, 32);
    fill(&source);
    let mut tensors = state(&source);
    for name in source
        .buffers()
        .iter()
        .filter_map(|buffer| buffer.name.strip_suffix("running_mean"))
    {
        tensors.insert(
            format!("{name}num_batches_tracked"),
            Tensor::new(5i64, &Device::Cpu).unwrap(),
        );
    }
    let file = Case::tensors(&tensors).open();
    let fresh = network("resnet18", "", 3, 32);
    let mut target = network("resnet18", "", 3, 32);
    let report = target.load_backbone(&file).unwrap();
    assert_eq!((report.loaded.len(), report.ignored.len()), (100, 20));
    assert_eq!(report.skipped, ["fc.weight", "fc.bias"]);
    assert!(report.fits());
    assert_eq!(
        report.to_string(),
        "100 tensors loaded; the classifier skipped: fc.weight, fc.bias; 20 batch counters ignored"
    );
    for (name, tensor) in target.state() {
        let expected = if name.starts_with("fc.") {
            &state(&fresh)[&name]
        } else {
            &tensors[&name]
        };
        assert_eq!(flat(&tensor), flat(expected), "{name}");
    }
    // The short cut gives the same network.
    let spec = ModelSpec::new("resnet18", toml::Table::new());
    let init = Init { seed: 0, repeat: 0 };
    let (direct, again) = Network::pretrained(&spec, 3, 32, &init, &Device::Cpu, &file).unwrap();
    assert_eq!(again, report);
    for ((name, a), (_, b)) in direct.state().into_iter().zip(target.state()) {
        assert_eq!(flat(&a), flat(&b), "{name}");
    }
}

/// A replaced `classifier[1] = nn.Conv2d(512, classes, 1)` has PyTorch's default, not torchvision's own.
#[test]
fn a_replaced_head_is_drawn_as_pytorch_layers_are() {
    let source = network("squeezenet1_1", "", 4, 32);
    let file = Case::tensors(&state(&source)).open();
    let mut target = network("squeezenet1_1", "", 100, 32);
    target.load_backbone(&file).unwrap();
    let bound = 512f32.sqrt().recip();
    for name in ["classifier.1.weight", "classifier.1.bias"] {
        let values = flat(&state(&target)[name]);
        let largest = values
            .iter()
            .fold(0f32, |largest, value| largest.max(value.abs()));
        assert!(
            largest <= bound && largest > 0.9 * bound,
            "{name}: {largest} of {bound}"
        );
    }
}

/// The length of a header can begin as a pickle of protocol 2 does, or as a zip archive nearly does.
#[test]
fn headers_of_every_length_are_headers() {
    for length in [0x280, 0x3c, 0x380, 0x4b50] {
        let mut header = r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#.to_owned();
        header += &" ".repeat(length - header.len());
        let file = Case::header(&header, &2.5f32.to_le_bytes()).open();
        let names: Vec<&str> = file.shapes().map(|(name, _)| name).collect();
        assert_eq!(names, ["a"], "{length:#x}");
    }
}

#[test]
fn everything_unexplained_is_an_error() {
    let source = network("resnet18", "", 7, 32);
    let mut tensors = state(&source);
    tensors.remove("layer1.0.conv1.weight");
    tensors.remove("bn1.running_mean");
    tensors.insert(
        "extra.weight".into(),
        Tensor::new(&[0f32], &Device::Cpu).unwrap(),
    );
    tensors.insert(
        "conv1.weight".into(),
        Tensor::zeros((64, 3, 3, 3), DType::F32, &Device::Cpu).unwrap(),
    );
    let case = Case::tensors(&tensors);
    let mut target = network("resnet18", "", 3, 32);
    let before: Vec<Vec<f32>> = target
        .state()
        .iter()
        .map(|(_, tensor)| flat(tensor))
        .collect();
    let error = target.load_backbone(&case.open()).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "the weights of {} do not fit resnet18: 97 tensors loaded; the classifier skipped: fc.weight, fc.bias; 2 \
             missing: layer1.0.conv1.weight, bn1.running_mean; 1 unexpected: extra.weight; 1 of another shape: \
             conv1.weight (expected [64, 3, 7, 7], found [64, 3, 3, 3])\nhint: check that the file was made for resnet18",
            case.path.display()
        )
    );
    let ModelError::Weights { report, .. } = error else {
        panic!("{error}")
    };
    let LoadReport {
        missing,
        unexpected,
        wrong_shape,
        ..
    } = *report;
    assert_eq!(
        (missing.len(), unexpected.len(), wrong_shape.len()),
        (2, 1, 1)
    );
    let after: Vec<Vec<f32>> = target
        .state()
        .iter()
        .map(|(_, tensor)| flat(tensor))
        .collect();
    assert_eq!(before, after, "nothing is changed");
}

#[test]
fn weights_of_another_network_and_without_head_are_told_apart() {
    let squeezenet = Case::tensors(&state(&network("squeezenet1_1", "", 4, 32))).open();
    let message = network("resnet18", "", 4, 32)
        .load_backbone(&squeezenet)
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("100 missing: ") && message.contains("52 unexpected: "),
        "{message}"
    );

    let mut tensors = state(&network("resnet18", "", 4, 32));
    tensors.retain(|name, _| !name.starts_with("fc."));
    let headless = Case::tensors(&tensors).open();
    let mut target = network("resnet18", "", 4, 32);
    assert!(target.load_backbone(&headless).unwrap().skipped.is_empty());
    let message = target.load_all(&headless).unwrap_err().to_string();
    assert!(
        message.contains("2 missing: fc.weight, fc.bias"),
        "{message}"
    );
}

#[test]
fn a_head_for_other_classes_can_not_be_loaded_whole() {
    let file = Case::tensors(&state(&network("convnet", "hidden = 8", 4, 16))).open();
    let mut target = network("convnet", "hidden = 8", 5, 16);
    let message = target.load_all(&file).unwrap_err().to_string();
    assert!(
        message.contains("fc2.weight (expected [5, 8], found [4, 8])"),
        "{message}"
    );
    target.load_backbone(&file).unwrap();
}

#[test]
fn a_tensor_that_is_not_finite_changes_nothing() {
    let mut tensors = state(&network("convnet", "hidden = 8", 4, 16));
    let broken = Tensor::full(f32::NAN, 8, &Device::Cpu).unwrap();
    tensors.insert("fc1.bias".into(), broken);
    let mut target = network("convnet", "hidden = 8", 4, 16);
    let before = flat(&state(&target)["conv1.weight"]);
    fill(&network("convnet", "hidden = 8", 4, 16));
    let message = target
        .load_backbone(&Case::tensors(&tensors).open())
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("tensor fc1.bias has the value NaN"),
        "{message}"
    );
    assert_eq!(flat(&state(&target)["conv1.weight"]), before);
}
