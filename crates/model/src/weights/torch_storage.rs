//! Where the tensors of `.pth` files lie in their storages; of both kinds of file.

use std::ops::Range;

use candle_core::DType;

use super::{
    file::{Element, Stored, Unreadable},
    pickle::View,
};

/// More than the description of any network: those of the largest take a few megabytes.
pub(super) const LONGEST_PICKLE: usize = 64 << 20;

/// The bytes of a storage in the file.
pub(super) struct Place {
    pub(super) bytes: Range<usize>,
    pub(super) big_endian: bool,
}

/// Checks that a tensor lies inside its storage.
pub(super) fn stored(name: &str, view: &View<'_>, place: &Place) -> Result<Stored, Unreadable> {
    let View {
        storage,
        offset,
        shape,
        strides,
        ..
    } = view;
    let (element, width) = match (view.dtype, element(storage.class)) {
        (None, Some(known)) => known,
        // Nothing of such a tensor is ever read.
        (dtype, _) => (Element::Other(dtype.unwrap_or(storage.class).to_owned()), 0),
    };
    let outside = || Unreadable::damaged(format!("tensor {name} reaches beyond its values"));
    let end = storage.begin.checked_add(storage.count);
    if shape.len() != strides.len()
        || end
            .and_then(|end| end.checked_mul(width))
            .is_none_or(|size| size > place.bytes.len())
    {
        return Err(outside());
    }
    let start = place.bytes.start + storage.begin * width;
    let mut stored = Stored {
        name: name.to_owned(),
        element,
        shape: shape.clone(),
        strides: None,
        big_endian: place.big_endian,
        start,
        end: start,
    };
    if width == 0 {
        return Ok(stored);
    }
    // Overlapping views could blow a small file up, and no weight is one: every element is at most stored once.
    let count = shape
        .iter()
        .try_fold(1usize, |count, &size| count.checked_mul(size));
    let count = count
        .filter(|&count| count <= storage.count)
        .ok_or_else(outside)?;
    let last = shape
        .iter()
        .zip(strides)
        .try_fold(*offset, |last, (&size, &stride)| {
            last.checked_add(size.saturating_sub(1).checked_mul(stride)?)
        });
    if count > 0 && last.is_none_or(|last| last >= storage.count) || *offset > storage.count {
        return Err(outside());
    }
    stored.start += offset * width;
    if is_contiguous(shape, strides) {
        stored.end = stored.start + count * width;
    } else {
        stored.end = start + storage.count * width;
        stored.strides = Some(strides.clone());
    }
    Ok(stored)
}

/// Whether elements follow one another in row-major order.
fn is_contiguous(shape: &[usize], strides: &[usize]) -> bool {
    let mut expected = 1;
    shape.iter().zip(strides).rev().all(|(&size, &stride)| {
        let fits = size == 1 || stride == expected;
        expected *= size.max(1);
        fits
    })
}

/// The elements of a class of storages and their width in bytes.
pub(super) fn element(class: &str) -> Option<(Element, usize)> {
    let other = |name: &str| Element::Other(name.to_owned());
    Some(match class {
        "FloatStorage" => (Element::Float(DType::F32), 4),
        "DoubleStorage" => (Element::Float(DType::F64), 8),
        "HalfStorage" => (Element::Float(DType::F16), 2),
        "BFloat16Storage" => (Element::Float(DType::BF16), 2),
        "LongStorage" => (other("I64"), 8),
        "IntStorage" => (other("I32"), 4),
        "ShortStorage" => (other("I16"), 2),
        "CharStorage" => (other("I8"), 1),
        "ByteStorage" | "UntypedStorage" => (other("U8"), 1),
        "BoolStorage" => (other("BOOL"), 1),
        "ComplexFloatStorage" => (other("C64"), 8),
        "ComplexDoubleStorage" => (other("C128"), 16),
        "QInt8Storage" | "QUInt8Storage" | "QUInt4x2Storage" | "QUInt2x4Storage" => {
            (other(class.trim_end_matches("Storage")), 1)
        }
        "QInt32Storage" => (other("QInt32"), 4),
        _ => return None,
    })
}
