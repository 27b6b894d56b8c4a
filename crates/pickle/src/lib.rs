//! A reader for Python's pickles, protocols 2 to 5, that runs nothing.
//!
//! Names such as `os.system` are only names: what a call in a pickle stands for is said by an [`Interpreter`], which
//! knows the few that its kind of file is made of and refuses all others. Values are small handles into vectors that
//! grow by a fixed amount per opcode, and the opcodes are counted, so hostile input can neither nest deeply enough to
//! overflow the stack nor take much memory.

mod machine;

use self::machine::Machine;

/// Most opcodes of a pickle.
pub const MOST_OPCODES: usize = 4 << 20;

/// A value of a pickle.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// True or false.
    Flag(bool),
    /// A whole number of at most eight bytes.
    Int(i64),
    /// A whole number of more than eight bytes, the lowest first.
    Long(&'a [u8]),
    /// A text.
    Text(&'a str),
    /// Bytes, or a string of Python 2 that is not UTF-8.
    Bytes(&'a [u8]),
    /// Place in [`Parts::sequences`].
    Tuple(usize),
    /// Place in [`Parts::dicts`].
    Dict(usize),
    /// Place in [`Parts::sequences`].
    List(usize),
    /// Module and name of a class or function.
    Global(&'a str, &'a str),
    /// Something that the interpreter made: its kind and its number, as the interpreter likes.
    Made(u8, usize),
    /// Something else, such as a number with a fraction or `None`.
    Opaque,
}

impl<'a> Value<'a> {
    /// The bytes of a text or of bytes.
    pub fn bytes(self) -> Option<&'a [u8]> {
        match self {
            Self::Text(text) => Some(text.as_bytes()),
            Self::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }
}

/// What the containers of a pickle hold.
#[derive(Debug, Default)]
pub struct Parts<'a> {
    /// The items of tuples and lists.
    pub sequences: Vec<Vec<Value<'a>>>,
    /// The pairs of dicts, in the order of the pickle.
    pub dicts: Vec<Vec<(Value<'a>, Value<'a>)>>,
    /// Items copied from one container into another.
    copied: usize,
}

impl<'a> Parts<'a> {
    /// Keeps the items of a tuple or list; returns their place.
    pub fn sequence(&mut self, items: Vec<Value<'a>>) -> usize {
        self.sequences.push(items);
        self.sequences.len() - 1
    }

    /// Keeps the pairs of a dict.
    pub fn dict(&mut self, items: Vec<(Value<'a>, Value<'a>)>) -> Value<'a> {
        self.dicts.push(items);
        Value::Dict(self.dicts.len() - 1)
    }

    /// The value of a key that is a text or bytes.
    pub fn get(&self, dict: usize, key: &str) -> Option<Value<'a>> {
        let mut entries = self.dicts[dict].iter();
        let entry = entries.find(|(other, _)| other.bytes() == Some(key.as_bytes()))?;
        Some(entry.1)
    }

    /// Counts `items` that are to be copied: a short file could ask for a copy of a long list again and again.
    pub fn count_copied(&mut self, items: usize) -> Result<(), Malformed> {
        self.copied = self.copied.saturating_add(items);
        if self.copied > MOST_OPCODES {
            return Err(wrong("it is too long"));
        }
        Ok(())
    }
}

/// Why bytes are no pickle, in a few words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed(pub String);

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Malformed {}

/// Says what calls in a pickle stand for.
pub trait Interpreter<'a> {
    /// Why a pickle is refused.
    type Error: From<Malformed>;
    /// What a call would give. `function` is what is called, a [`Value::Global`] in a sound pickle, and `arguments` as a
    /// rule a tuple; `makes_object` says that a class is told to make an object.
    fn call(
        &mut self,
        parts: &mut Parts<'a>,
        function: Value<'a>,
        arguments: Value<'a>,
        makes_object: bool,
    ) -> Result<Value<'a>, Self::Error>;
    /// What a persistent id stands for.
    fn persistent(
        &mut self,
        parts: &mut Parts<'a>,
        id: Value<'a>,
    ) -> Result<Value<'a>, Self::Error>;
    /// Gives an object its state; without further word that is of no use.
    fn build(
        &mut self,
        _parts: &Parts<'a>,
        _object: Value<'a>,
        _state: Value<'a>,
    ) -> Result<(), Self::Error> {
        Ok(())
    }
}

/// A pickle that was read.
#[derive(Debug)]
pub struct Pickle<'a> {
    /// The value that it is of.
    pub root: Value<'a>,
    /// What its containers hold.
    pub parts: Parts<'a>,
    /// Bytes that it takes.
    pub length: usize,
}

/// Reads one pickle from the beginning of `bytes`.
pub fn read<'a, I: Interpreter<'a>>(
    bytes: &'a [u8],
    interpreter: &mut I,
) -> Result<Pickle<'a>, I::Error> {
    let mut machine = Machine::new(bytes, interpreter);
    let root = machine.run()?;
    Ok(Pickle {
        root,
        length: machine.position,
        parts: machine.parts,
    })
}

/// The error of a pickle that contradicts itself.
fn wrong(what: &str) -> Malformed {
    Malformed(what.to_owned())
}
