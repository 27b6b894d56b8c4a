//! Reads `.pth` files as PyTorch wrote them before 1.6, and still does on request: pickles one after another (a magic
//! number, the version of the format, facts about the machine, the object, the keys of its storages), and then for each
//! key the number of elements and the elements themselves.

use std::collections::{BTreeMap, HashMap};

use super::{
    file::{Stored, Unreadable},
    pickle::{Pickle, Value},
    torch_storage::{LONGEST_PICKLE, Place, element, stored},
};

/// The first pickle: a number of ten bytes, the lowest first.
const MAGIC: &[u8] = b"\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";

/// The version of the format, the only one there has been.
const VERSION: i64 = 1001;

/// Whether a file of pickles that begins so is one of PyTorch's.
pub(super) fn is_legacy(beginning: &[u8]) -> bool {
    beginning.windows(MAGIC.len()).any(|window| window == MAGIC)
}

/// The tensors of a file.
pub(super) fn read(bytes: &[u8]) -> Result<Vec<Stored>, Unreadable> {
    let mut rest = Rest { bytes, position: 0 };
    if rest.pickle()?.root != Value::Long(MAGIC) {
        return Err(Unreadable::damaged(
            "it does not begin with PyTorch's magic number",
        ));
    }
    match rest.pickle()?.root {
        Value::Int(VERSION) => {}
        Value::Int(other) => {
            return Err(Unreadable::new(
                format!("its format has the version {other}, and {VERSION} is the only known one"),
                "save it again with a current PyTorch",
            ));
        }
        _ => return Err(Unreadable::damaged("its format has no version")),
    }
    // Byte order and sizes of the machine that wrote it. What follows is little-endian on every machine.
    rest.pickle()?;
    let object = rest.pickle()?;
    let keys = rest.pickle()?;
    let keys = keys
        .texts()
        .ok_or_else(|| Unreadable::damaged("it has no list of its storages"))?;
    let places = rest.places(&object, &keys)?;
    let mut tensors: BTreeMap<&str, Stored> = BTreeMap::new();
    for (name, view) in object.tensors()? {
        let place = places.get(view.storage.key).ok_or_else(|| {
            Unreadable::damaged(format!("the values of tensor {name} are not in it"))
        })?;
        tensors.insert(name, stored(name, view, place)?);
    }
    Ok(tensors.into_values().collect())
}

/// What has not been read yet.
struct Rest<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Rest<'a> {
    fn pickle(&mut self) -> Result<Pickle<'a>, Unreadable> {
        let rest = &self.bytes[self.position..];
        let pickle = Pickle::read(&rest[..rest.len().min(LONGEST_PICKLE)])?;
        self.position += pickle.length();
        Ok(pickle)
    }

    /// Where the elements of each storage are, in the order of `keys`.
    fn places<'k>(
        &mut self,
        object: &Pickle<'_>,
        keys: &[&'k str],
    ) -> Result<HashMap<&'k str, Place>, Unreadable> {
        let classes = object.storages().iter();
        let classes: HashMap<&str, &str> = classes.map(|s| (s.key, s.class)).collect();
        let mut places = HashMap::new();
        for &key in keys {
            let damaged = |problem: &str| Unreadable::damaged(format!("storage {key} {problem}"));
            let class = classes
                .get(key)
                .ok_or_else(|| damaged("belongs to nothing in it"))?;
            let (_, width) = element(class)
                .ok_or_else(|| damaged(&format!("is of the unknown class {class}")))?;
            let rest = &self.bytes[self.position..];
            let (count, values) = rest
                .split_first_chunk::<8>()
                .ok_or_else(|| damaged("is not in it"))?;
            let size = usize::try_from(u64::from_le_bytes(*count))
                .ok()
                .and_then(|count| count.checked_mul(width))
                .filter(|&size| size <= values.len())
                .ok_or_else(|| damaged("reaches beyond the end of the file"))?;
            let start = self.position + 8;
            self.position = start + size;
            let place = Place {
                bytes: start..start + size,
                big_endian: false,
            };
            if places.insert(key, place).is_some() {
                return Err(damaged("is in it twice"));
            }
        }
        Ok(places)
    }
}
