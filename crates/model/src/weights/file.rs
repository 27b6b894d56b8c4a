//! A weight file in memory: named tensors, whatever the format.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    sync::OnceLock,
};

use candle_core::{DType, Device, Tensor};

use super::{safetensors_file, torch_legacy, torch_zip};
use crate::ModelError;

/// A tensor in the bytes of a file.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Stored {
    pub(crate) name: String,
    pub(crate) element: Element,
    pub(crate) shape: Vec<usize>,
    /// Elements between neighbours along each dimension; `None` for row-major order.
    pub(crate) strides: Option<Vec<usize>>,
    /// Whether the bytes of every element are in the other order.
    pub(crate) big_endian: bool,
    /// Where its first element is.
    pub(crate) start: usize,
    /// Where its storage ends.
    pub(crate) end: usize,
}

/// What a tensor is made of.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Element {
    /// A type that weights may have: f16, bf16, f32 or f64.
    Float(DType),
    /// Another one, by name.
    Other(String),
}

/// Why the bytes of a file are no weights.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unreadable {
    pub(crate) problem: String,
    pub(crate) hint: String,
}

impl Unreadable {
    pub(crate) fn new(problem: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            problem: problem.into(),
            hint: hint.into(),
        }
    }

    /// A file that ends too early or contradicts itself.
    pub(crate) fn damaged(problem: impl Into<String>) -> Self {
        Self::new(
            problem,
            "the file is damaged or incomplete: delete it and get it again",
        )
    }
}

/// A weight file, read and checked: safetensors, or a `.pth` as PyTorch writes it or wrote it before 1.6. Nothing in a
/// file is ever executed, and the tensors take no more memory than the file is long.
#[derive(Debug)]
pub struct WeightFile {
    path: PathBuf,
    bytes: Vec<u8>,
    tensors: BTreeMap<String, Stored>,
    fingerprint: OnceLock<String>,
}

impl WeightFile {
    /// Reads a file.
    ///
    /// # Errors
    /// When it can't be read, is truncated, damaged, or of another format.
    pub fn open(path: &Path) -> Result<Self, ModelError> {
        let read_error = |error| ModelError::Read {
            path: path.to_owned(),
            error,
        };
        let format_error = |Unreadable { problem, hint }| ModelError::Format {
            path: path.to_owned(),
            problem,
            hint,
        };
        let mut file = File::open(path).map_err(read_error)?;
        let metadata = file.metadata().map_err(read_error)?;
        if !metadata.is_file() {
            let found = if metadata.is_dir() {
                "it is a folder"
            } else {
                "it is no regular file"
            };
            return Err(format_error(Unreadable::new(
                found,
                "name the weight file itself",
            )));
        }
        let mut beginning = [0; 64];
        let known = read_up_to(&mut file, &mut beginning).map_err(read_error)?;
        let format = Format::guess(&beginning[..known], metadata.len()).map_err(format_error)?;
        file.seek(SeekFrom::Start(0)).map_err(read_error)?;
        let mut bytes = Vec::with_capacity(metadata.len() as usize);
        file.take(metadata.len())
            .read_to_end(&mut bytes)
            .map_err(read_error)?;
        let tensors = match format {
            Format::Safetensors => safetensors_file::read(&bytes),
            Format::TorchZip => torch_zip::read(&bytes),
            Format::TorchLegacy => torch_legacy::read(&bytes),
        };
        let tensors = without_wrapper(tensors.map_err(format_error)?);
        Ok(Self {
            path: path.to_owned(),
            bytes,
            tensors,
            fingerprint: OnceLock::new(),
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// BLAKE3 of the file's bytes, in hexadecimal digits.
    pub fn fingerprint(&self) -> &str {
        self.fingerprint
            .get_or_init(|| blake3::hash(&self.bytes).to_hex().to_string())
    }

    /// Names and shapes of the tensors, in the order of the names.
    pub fn shapes(&self) -> impl Iterator<Item = (&str, &[usize])> {
        self.tensors
            .iter()
            .map(|(name, tensor)| (name.as_str(), tensor.shape.as_slice()))
    }

    /// The values of the tensor `name` as 32-bit floats; `None` if there is no such tensor.
    ///
    /// # Errors
    /// When it is not of floats, or when a value is not finite.
    pub fn get(&self, name: &str, device: &Device) -> Result<Option<Tensor>, ModelError> {
        let stored = self.tensors.get(name);
        stored.map(|stored| self.tensor(stored, device)).transpose()
    }

    pub(crate) fn stored(&self) -> impl Iterator<Item = (&str, &Stored)> {
        self.tensors
            .iter()
            .map(|(name, tensor)| (name.as_str(), tensor))
    }

    /// The values of a tensor as 32-bit floats.
    pub(crate) fn tensor(&self, stored: &Stored, device: &Device) -> Result<Tensor, ModelError> {
        let problem = |problem: String, hint: &str| ModelError::Format {
            path: self.path.clone(),
            problem: format!("tensor {} {problem}", stored.name),
            hint: hint.to_owned(),
        };
        let dtype = match &stored.element {
            Element::Float(dtype) => *dtype,
            Element::Other(name) => {
                let hint =
                    "weights must be floats: f16, bf16, f32 or f64; quantised files can't be used";
                return Err(problem(format!("is of type {name}"), hint));
            }
        };
        let bytes = &self.bytes[stored.start..stored.end];
        let gathered;
        let bytes = match &stored.strides {
            None => bytes,
            Some(strides) => {
                gathered = gather(bytes, &stored.shape, strides, dtype.size_in_bytes());
                gathered.as_slice()
            }
        };
        let turned;
        let bytes = if stored.big_endian {
            turned = turn(bytes, dtype.size_in_bytes());
            &turned
        } else {
            bytes
        };
        let tensor = Tensor::from_raw_buffer(bytes, dtype, &stored.shape, &Device::Cpu)
            .and_then(|tensor| tensor.to_dtype(DType::F32));
        let tensor = tensor.map_err(ModelError::tensor("read a tensor"))?;
        let values = tensor.flatten_all().and_then(|flat| flat.to_vec1::<f32>());
        let values = values.map_err(ModelError::tensor("read a tensor"))?;
        if let Some(position) = values.iter().position(|value| !value.is_finite()) {
            let found = format!("has the value {} at element {position}", values[position]);
            return Err(problem(
                found,
                "the training that wrote the file diverged, or the file is damaged",
            ));
        }
        tensor
            .to_device(device)
            .map_err(ModelError::tensor("move a tensor to the device"))
    }
}

/// Fills `buffer` as far as the file goes.
fn read_up_to(file: &mut File, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..])? {
            0 => break,
            n => filled += n,
        }
    }
    Ok(filled)
}

/// The formats that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Safetensors,
    TorchZip,
    TorchLegacy,
}

impl Format {
    /// Tells formats by their first bytes, so that a large foreign file is refused before it is read.
    fn guess(beginning: &[u8], length: u64) -> Result<Self, Unreadable> {
        let begins = |with: &[u8]| beginning.starts_with(with);
        // The length of its header may look like the beginning of anything else.
        if safetensors_file::is_header(beginning, length) {
            return Ok(Self::Safetensors);
        }
        if begins(b"PK\x03\x04") {
            return Ok(Self::TorchZip);
        }
        if torch_legacy::is_legacy(beginning) {
            return Ok(Self::TorchLegacy);
        }
        if matches!(beginning, [0x80, 2..=5, ..]) {
            return Err(Unreadable::new(
                "it is a Python pickle, but none that PyTorch wrote",
                "save the weights in Python: torch.save(model.state_dict(), FILE)",
            ));
        }
        if begins(b"version https://g") {
            return Err(Unreadable::new(
                "it is a Git LFS pointer, not the file itself",
                "run `git lfs pull` where it was cloned",
            ));
        }
        if begins(b"<") {
            return Err(Unreadable::damaged("it is a web page, not a weight file"));
        }
        safetensors_file::check_header_length(beginning, length)?;
        Ok(Self::Safetensors)
    }
}

/// The elements of a strided tensor in row-major order. The caller has checked that all of them are inside.
fn gather(bytes: &[u8], shape: &[usize], strides: &[usize], width: usize) -> Vec<u8> {
    let count: usize = shape.iter().product();
    let mut gathered = Vec::with_capacity(count * width);
    let mut index = vec![0; shape.len()];
    for _ in 0..count {
        let offset: usize = index
            .iter()
            .zip(strides)
            .map(|(i, stride)| i * stride)
            .sum();
        gathered.extend_from_slice(&bytes[offset * width..(offset + 1) * width]);
        for (i, &size) in index.iter_mut().zip(shape).rev() {
            *i += 1;
            if *i < size {
                break;
            }
            *i = 0;
        }
    }
    gathered
}

/// The bytes of every element in the other order.
fn turn(bytes: &[u8], width: usize) -> Vec<u8> {
    let elements = bytes.chunks_exact(width);
    elements
        .flat_map(|element| element.iter().rev().copied())
        .collect()
}

/// By name, without the `module.` that `DataParallel` puts before every name, and the `_orig_mod.` of `torch.compile`.
fn without_wrapper(tensors: Vec<Stored>) -> BTreeMap<String, Stored> {
    let mut prefix = 0;
    while let Some(wrapper) = ["module.", "_orig_mod."].into_iter().find(|wrapper| {
        let mut names = tensors.iter().map(|tensor| &tensor.name[prefix..]);
        !tensors.is_empty() && names.all(|name| name.starts_with(wrapper))
    }) {
        prefix += wrapper.len();
    }
    tensors
        .into_iter()
        .map(|tensor| (tensor.name[prefix..].to_owned(), tensor))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strided_tensors_are_gathered() {
        // A (2, 3) tensor stored by columns.
        let bytes = [0, 3, 1, 4, 2, 5];
        assert_eq!(gather(&bytes, &[2, 3], &[1, 2], 1), [0, 1, 2, 3, 4, 5]);
        assert_eq!(gather(&bytes, &[], &[], 1), [0]);
        assert_eq!(gather(&bytes, &[0, 3], &[1, 2], 1), [0u8; 0]);
        assert_eq!(turn(&bytes, 2), [3, 0, 4, 1, 5, 2]);
    }

    #[test]
    fn wrappers_are_taken_off() {
        let names = |names: &[&str]| -> Vec<String> {
            let stored = names.iter().map(|name| Stored {
                name: (*name).to_owned(),
                element: Element::Float(DType::F32),
                shape: vec![],
                strides: None,
                big_endian: false,
                start: 0,
                end: 4,
            });
            without_wrapper(stored.collect()).into_keys().collect()
        };
        assert_eq!(
            names(&["module._orig_mod.a", "module._orig_mod.b"]),
            ["a", "b"]
        );
        assert_eq!(names(&["module.a", "b"]), ["b", "module.a"]);
        assert!(names(&[]).is_empty());
    }

    #[test]
    fn foreign_files_are_told_by_their_beginning() {
        for (beginning, expected) in [
            (&b"\x80\x02}q\x00."[..], "Python pickle"),
            (b"version https://git-lfs.github.com/spec/v1", "Git LFS"),
            (b"<!DOCTYPE html>", "web page"),
            (b"", "empty"),
            (b"abc", "3 bytes"),
            (b"\xff\xff\xff\xff\xff\xff\xff\x7f{\"a", "header"),
        ] {
            let error = Format::guess(
                &beginning[..beginning.len().min(64)],
                beginning.len() as u64,
            )
            .unwrap_err();
            assert!(error.problem.contains(expected), "{error:?}");
        }
    }
}
