//! Reads the header of safetensors files: <https://huggingface.co/docs/safetensors>.

use candle_core::DType;
use safetensors::{Dtype, SafeTensors};

use super::file::{Element, Stored, Unreadable};

/// The longest header that is read, as in the reference implementation.
const LONGEST_HEADER: u64 = 100_000_000;

/// Whether a file with these first bytes has a safetensors header: a length that fits it, and then a brace.
pub(super) fn is_header(beginning: &[u8], length: u64) -> bool {
    let header = beginning
        .first_chunk()
        .map(|bytes| u64::from_le_bytes(*bytes));
    let fits = |header| header <= LONGEST_HEADER && header <= length.saturating_sub(8);
    beginning.get(8) == Some(&b'{') && header.is_some_and(fits)
}

/// Checks the length of the header against that of the file, from the file's first bytes.
pub(super) fn check_header_length(beginning: &[u8], length: u64) -> Result<(), Unreadable> {
    if length == 0 {
        return Err(Unreadable::damaged("it is empty"));
    }
    let Some(header) = beginning.first_chunk::<8>() else {
        return Err(Unreadable::damaged(format!("it has only {length} bytes")));
    };
    let header = u64::from_le_bytes(*header);
    let foreign = "it is neither a safetensors nor a .pth file";
    if header > LONGEST_HEADER || beginning.get(8).is_some_and(|&byte| byte != b'{') {
        let problem = format!("{foreign}: it does not begin with a safetensors header");
        return Err(Unreadable::new(
            problem,
            "safetensors files and .pth files that torch.save wrote are read",
        ));
    }
    if header > length - 8 {
        return Err(Unreadable::damaged(format!(
            "its header should have {header} bytes, but the whole file has {length}"
        )));
    }
    Ok(())
}

/// The tensors of a file. The library has checked that the header names all bytes of the file, each once.
pub(super) fn read(bytes: &[u8]) -> Result<Vec<Stored>, Unreadable> {
    let (header, metadata) = SafeTensors::read_metadata(bytes).map_err(|error| {
        Unreadable::damaged(format!("its safetensors header is wrong: {error}"))
    })?;
    let data = 8 + header;
    let stored = metadata.tensors().into_iter().map(|(name, info)| Stored {
        name,
        element: element(info.dtype),
        shape: info.shape.clone(),
        strides: None,
        big_endian: false,
        start: data + info.data_offsets.0,
        end: data + info.data_offsets.1,
    });
    Ok(stored.collect())
}

fn element(dtype: Dtype) -> Element {
    match dtype {
        Dtype::F16 => Element::Float(DType::F16),
        Dtype::BF16 => Element::Float(DType::BF16),
        Dtype::F32 => Element::Float(DType::F32),
        Dtype::F64 => Element::Float(DType::F64),
        other => Element::Other(format!("{other:?}")),
    }
}
