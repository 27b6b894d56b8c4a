//! A reader for the part of Python's pickle format that state dicts are written in.
//!
//! Nothing is executed: the few calls that state dicts are made of are done here, and any other call ends the reading
//! with an error that names what was to be called.

mod calls;

pub(super) use graft_pickle::Value;
use graft_pickle::{Malformed, Parts};

use self::calls::TorchCalls;
use super::file::Unreadable;

/// The kinds of [`Value::Made`].
pub(super) const STORAGE: u8 = 0;
pub(super) const TENSOR: u8 = 1;

/// A storage that lies in another part of the file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Storage<'a> {
    /// PyTorch's name of its class, such as `FloatStorage`.
    pub(super) class: &'a str,
    /// Its name in the file.
    pub(super) key: &'a str,
    /// Which elements of it are meant: where they begin and how many there are.
    pub(super) begin: usize,
    pub(super) count: usize,
}

/// A view into a storage; offset and strides count elements.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct View<'a> {
    pub(super) storage: Storage<'a>,
    /// The type of its elements, where the storage's class does not tell.
    pub(super) dtype: Option<&'a str>,
    pub(super) offset: usize,
    pub(super) shape: Vec<usize>,
    pub(super) strides: Vec<usize>,
}

/// What a pickle holds.
#[derive(Debug)]
pub(super) struct Pickle<'a> {
    pub(super) root: Value<'a>,
    parts: Parts<'a>,
    calls: TorchCalls<'a>,
    length: usize,
}

impl<'a> Pickle<'a> {
    /// Reads one pickle from the beginning of `bytes`.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, Unreadable> {
        let mut calls = TorchCalls::default();
        let graft_pickle::Pickle {
            root,
            parts,
            length,
        } = graft_pickle::read(bytes, &mut calls)?;
        Ok(Self {
            root,
            parts,
            calls,
            length,
        })
    }

    /// Bytes that it takes.
    pub(super) fn length(&self) -> usize {
        self.length
    }

    /// The texts of a list.
    pub(super) fn texts(&self) -> Option<Vec<&'a str>> {
        let Value::List(list) = self.root else {
            return None;
        };
        let texts = self.parts.sequences[list].iter().map(|item| match item {
            Value::Text(text) => Some(*text),
            _ => None,
        });
        texts.collect()
    }

    /// The storages that its tensors lie in, in the order of the pickle; the same one may come several times.
    pub(super) fn storages(&self) -> &[Storage<'a>] {
        &self.calls.storages
    }

    /// The tensors of the state dict: what a training checkpoint keeps under `state_dict` or `model`, or else the pickle
    /// itself.
    pub(super) fn tensors(&self) -> Result<Vec<(&'a str, &View<'a>)>, Unreadable> {
        let Value::Dict(root) = self.root else {
            return Err(no_state_dict(self.root));
        };
        let entries = &self.parts.dicts[root];
        for wrapper in ["state_dict", "model_state_dict", "model"] {
            let wrapped = entries.iter().find(|(key, _)| *key == Value::Text(wrapper));
            if let Some((_, Value::Dict(inner))) = wrapped {
                let tensors = self.tensors_of(*inner);
                if !tensors.is_empty() {
                    return Ok(tensors);
                }
            }
        }
        let tensors = self.tensors_of(root);
        if tensors.is_empty() {
            return Err(no_state_dict(self.root));
        }
        Ok(tensors)
    }

    fn tensors_of(&self, dict: usize) -> Vec<(&'a str, &View<'a>)> {
        let entries = self.parts.dicts[dict].iter();
        let tensors = entries.filter_map(|entry| match *entry {
            (Value::Text(name), Value::Made(TENSOR, index)) => {
                Some((name, &self.calls.tensors[index]))
            }
            _ => None,
        });
        tensors.collect()
    }
}

fn no_state_dict(found: Value<'_>) -> Unreadable {
    let found = match found {
        Value::Dict(_) => "a dict without tensors",
        Value::Made(TENSOR, _) => "a single tensor",
        Value::List(_) => "a list",
        Value::Tuple(_) => "a tuple",
        Value::Text(_) => "a text",
        Value::Int(_) | Value::Long(_) => "a number",
        Value::Flag(_) | Value::Bytes(_) | Value::Made(..) | Value::Global(..) | Value::Opaque => {
            "something else"
        }
    };
    Unreadable::new(
        format!("it holds no state dict but {found}"),
        SAVE_THE_WEIGHTS,
    )
}

const SAVE_THE_WEIGHTS: &str =
    "save the weights themselves in Python: torch.save(model.state_dict(), FILE)";

impl From<Malformed> for Unreadable {
    fn from(malformed: Malformed) -> Self {
        wrong(&malformed.0)
    }
}

fn wrong(what: &str) -> Unreadable {
    Unreadable::damaged(format!("its description of the tensors is wrong: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_call_something_is_refused_by_name() {
        for (pickle, name) in [
            // pickle.dumps of an object whose __reduce__ is (os.system, ("touch x",)), protocol 2.
            (
                &b"\x80\x02cposix\nsystem\nq\x00X\x07\x00\x00\x00touch xq\x01\x85q\x02Rq\x03."[..],
                "posix.system",
            ),
            (
                b"\x80\x04\x8c\x02os\x8c\x04exec\x93\x8c\x01x\x85R.",
                "os.exec",
            ),
            (b"\x80\x02(X\x01\0\0\0xios\nsystem\n.", "os.system"),
            (b"\x80\x02(cos\nsystem\nX\x01\0\0\0xo.", "os.system"),
            (b"\x80\x02c__main__\nNet\n)\x81.", "__main__.Net"),
            (b"\x80\x04cm\nC\n)}\x92.", "m.C"),
            (
                b"\x80\x02ctorch.storage\n_load_from_bytes\nC\x01x\x85R.",
                "_load_from_bytes",
            ),
            (b"\x80\x02c__builtin__\ngetattr\n)R.", "__builtin__.getattr"),
            // What a call gives is no function, nor is a number.
            (b"\x80\x02c__builtin__\nset\n)R)R.", "a value"),
            (b"\x80\x02K\x01)R.", "a value"),
        ] {
            let Unreadable { problem, hint } = Pickle::read(pickle).unwrap_err();
            assert!(problem.contains(name), "{problem}");
            assert!(
                problem.contains("would call") || problem.contains("of the class"),
                "{problem}"
            );
            assert!(hint.contains("nothing of it was run"), "{hint}");
        }
    }

    #[test]
    fn harmless_calls_are_passed_over() {
        for pickle in [
            &b"\x80\x02cargparse\nNamespace\n)\x81}b."[..],
            b"\x80\x02c_codecs\nencode\nX\x01\0\0\0xX\x06\0\0\0latin1\x86R.",
            b"\x80\x04\x8f(K\x01K\x02\x90.",
            b"\x80\x02c__builtin__\nset\n](K\x01e\x85R.",
        ] {
            let root = Pickle::read(pickle).unwrap().root;
            assert_eq!(root, Value::Opaque, "{pickle:?}");
        }
    }

    /// As Python 2 writes `OrderedDict([("a", …)])`: a list of pairs.
    #[test]
    fn dicts_of_python_2_are_read() {
        let dict = [
            &b"\x80\x02ccollections\nOrderedDict\n]](U\x01actorch._utils\n_rebuild_tensor\n("[..],
            b"(U\x07storagectorch\nFloatStorage\nU\x010U\x03cpuK\x06(U\x02v0K\x02K\x03ttQ",
            b"K\x01(K\x02t(K\x01ttRea\x85R.",
        ];
        let whole = dict.concat();
        let pickle = Pickle::read(&whole).unwrap();
        let tensors = pickle.tensors().unwrap();
        let (name, view) = tensors[0];
        assert_eq!((name, view.offset, &view.shape[..]), ("a", 1, &[2][..]));
        // The view of the storage has the elements 2, 3 and 4.
        assert_eq!((view.storage.begin, view.storage.count), (2, 3));
    }

    #[test]
    fn tensors_of_many_dimensions_are_refused() {
        let read = |dimensions| {
            let sizes = b"K\x01".repeat(dimensions);
            let storage =
                b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x01tQ";
            let tensor = [
                b"\x80\x02}X\x01\0\0\0actorch._utils\n_rebuild_tensor_v2\n(",
                &storage[..],
                b"K\0(",
                &sizes,
                b"t(",
                &sizes,
                b"t\x89NtRs.",
            ];
            Pickle::read(&tensor.concat()).and_then(|pickle| Ok(pickle.tensors()?.len()))
        };
        assert_eq!(read(8), Ok(1));
        assert_eq!(read(9), Err(wrong("a tensor of too many dimensions")));
    }

    #[test]
    fn every_beginning_of_a_pickle_is_an_error() {
        let whole = b"\x80\x02}q\x00X\x01\x00\x00\x00aK\x01s.";
        assert!(Pickle::read(whole).is_ok());
        for length in 0..whole.len() {
            assert!(Pickle::read(&whole[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn deep_nesting_and_wrong_opcodes_are_harmless() {
        let mut deep = vec![0x80, 2, b'N'];
        deep.extend(std::iter::repeat_n(0x85, 1_000_000));
        deep.push(b'.');
        assert!(Pickle::read(&deep).unwrap().tensors().is_err());
        for wrong in [
            &b"\x80\x09."[..],
            b"\x80\x02s.",
            b"\x80\x02t.",
            b"\x80\x02h\x07.",
            b"\x80\x02(R.",
            b"i",
        ] {
            assert!(Pickle::read(wrong).is_err(), "{wrong:?}");
        }
    }
}
