//! A reader for the part of Python's pickle format that state dicts are written in.
//!
//! Nothing is executed: a name such as `os.system` is a name, and calling it gives an opaque value. Values are small
//! handles into vectors that grow by a fixed amount per byte read, so hostile input can neither nest deeply enough to
//! overflow the stack nor take much more memory than it is long.

use std::collections::HashMap;

use super::file::Unreadable;

/// More than the tensors of any network have.
const MOST_DIMENSIONS: usize = 8;

/// A value on the machine's stack.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value<'a> {
    Int(i64),
    Text(&'a str),
    Tuple(usize),
    Dict(usize),
    List(usize),
    Global(&'a str, &'a str),
    Storage(usize),
    Tensor(usize),
    /// Something that a state dict can hold but weights do not need.
    Opaque,
}

/// A storage that lies in another part of the file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Storage<'a> {
    /// PyTorch's name of its class, such as `FloatStorage`.
    pub(super) class: &'a str,
    /// Its name in the file.
    pub(super) key: &'a str,
    /// How many elements it has.
    pub(super) count: usize,
}

/// A view into a storage; offset and strides count elements.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct View<'a> {
    pub(super) storage: Storage<'a>,
    pub(super) offset: usize,
    pub(super) shape: Vec<usize>,
    pub(super) strides: Vec<usize>,
}

/// What a pickle holds.
#[derive(Debug)]
pub(super) struct Pickle<'a> {
    root: Value<'a>,
    machine: Machine<'a>,
}

impl<'a> Pickle<'a> {
    /// Reads one pickle from the beginning of `bytes`.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, Unreadable> {
        let mut machine = Machine {
            bytes,
            ..Machine::default()
        };
        let root = machine.run()?;
        Ok(Self { root, machine })
    }

    /// The tensors of the state dict: the pickle itself, or what a training checkpoint keeps under `state_dict` or
    /// `model`.
    pub(super) fn tensors(&self) -> Result<Vec<(&'a str, &View<'a>)>, Unreadable> {
        let Value::Dict(root) = self.root else {
            return Err(no_state_dict());
        };
        let direct = self.tensors_of(root);
        if !direct.is_empty() {
            return Ok(direct);
        }
        for wrapper in ["state_dict", "model_state_dict", "model"] {
            let entries = &self.machine.dicts[root];
            if let Some((_, Value::Dict(inner))) =
                entries.iter().find(|(key, _)| *key == Value::Text(wrapper))
            {
                return Ok(self.tensors_of(*inner));
            }
        }
        Err(no_state_dict())
    }

    fn tensors_of(&self, dict: usize) -> Vec<(&'a str, &View<'a>)> {
        let entries = self.machine.dicts[dict].iter();
        let tensors = entries.filter_map(|entry| match *entry {
            (Value::Text(name), Value::Tensor(index)) => Some((name, &self.machine.tensors[index])),
            _ => None,
        });
        tensors.collect()
    }
}

fn no_state_dict() -> Unreadable {
    Unreadable::new(
        "it holds no state dict",
        "save the weights themselves in Python: torch.save(model.state_dict(), FILE)",
    )
}

fn wrong(what: &str) -> Unreadable {
    Unreadable::damaged(format!("its description of the tensors is wrong: {what}"))
}

/// The pickle machine: a stack with marks, and a memo.
#[derive(Debug, Default)]
struct Machine<'a> {
    bytes: &'a [u8],
    position: usize,
    stack: Vec<Value<'a>>,
    marks: Vec<usize>,
    memo: HashMap<u32, Value<'a>>,
    tuples: Vec<Vec<Value<'a>>>,
    dicts: Vec<Vec<(Value<'a>, Value<'a>)>>,
    lists: usize,
    storages: Vec<Storage<'a>>,
    tensors: Vec<View<'a>>,
}

impl<'a> Machine<'a> {
    fn run(&mut self) -> Result<Value<'a>, Unreadable> {
        loop {
            let opcode = self.byte()?;
            if opcode == b'.' {
                return self.pop();
            }
            self.step(opcode)?;
        }
    }

    /// Executes one opcode; their meaning is that of CPython's `pickletools`.
    fn step(&mut self, opcode: u8) -> Result<(), Unreadable> {
        match opcode {
            0x80 => return self.protocol(),
            0x95 => return self.skip(8),
            b'(' => self.marks.push(self.stack.len()),
            // POP, and BUILD, whose attributes are of no use here.
            b'0' | b'b' => return self.pop().map(drop),
            b'q' | b'r' | 0x94 => return self.remember(opcode),
            b's' | b'u' | b'a' | b'e' => return self.fill(opcode),
            _ => {
                let value = self.value(opcode)?;
                self.stack.push(value);
            }
        }
        Ok(())
    }

    /// Opcodes that push one value.
    fn value(&mut self, opcode: u8) -> Result<Value<'a>, Unreadable> {
        Ok(match opcode {
            b'N' | 0x88 | 0x89 => Value::Opaque,
            b'K' => Value::Int(i64::from(self.byte()?)),
            b'M' => Value::Int(self.unsigned(2)? as i64),
            b'J' => Value::Int(i64::from(self.unsigned(4)? as u32 as i32)),
            0x8a => self.long()?,
            b'G' => self.skip(8).map(|()| Value::Opaque)?,
            b'X' | b'T' => self.text(4)?,
            0x8c | b'U' => self.text(1)?,
            0x8d => self.text(8)?,
            b'B' => self.skip_counted(4)?,
            b'C' => self.skip_counted(1)?,
            b'c' => Value::Global(self.line()?, self.line()?),
            0x93 => self.named_global()?,
            b'h' => {
                let key = u32::from(self.byte()?);
                self.recall(key)?
            }
            b'j' => {
                let key = self.unsigned(4)? as u32;
                self.recall(key)?
            }
            b')' => self.tuple(Vec::new()),
            b't' => {
                let items = self.pop_to_mark()?;
                self.tuple(items)
            }
            0x85..=0x87 => {
                let items = self.pop_many(usize::from(opcode - 0x84))?;
                self.tuple(items)
            }
            b'}' => self.dict(),
            b']' => {
                self.lists += 1;
                Value::List(self.lists)
            }
            b'Q' => self.storage()?,
            b'R' | 0x81 => self.call()?,
            other => {
                return Err(wrong(&format!(
                    "opcode {other:#04x} at byte {}",
                    self.position - 1
                )));
            }
        })
    }

    fn protocol(&mut self) -> Result<(), Unreadable> {
        match self.byte()? {
            2..=5 => Ok(()),
            other => Err(wrong(&format!("pickle protocol {other}"))),
        }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Unreadable> {
        let rest = self.bytes.get(self.position..).unwrap_or_default();
        let taken = rest
            .get(..count)
            .ok_or_else(|| wrong("it ends too early"))?;
        self.position += count;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, Unreadable> {
        Ok(self.take(1)?[0])
    }

    fn skip(&mut self, count: usize) -> Result<(), Unreadable> {
        self.take(count).map(drop)
    }

    fn skip_counted(&mut self, width: usize) -> Result<Value<'a>, Unreadable> {
        let count = self.unsigned(width)? as usize;
        self.skip(count).map(|()| Value::Opaque)
    }

    fn unsigned(&mut self, width: usize) -> Result<u64, Unreadable> {
        let bytes = self.take(width)?;
        Ok(bytes
            .iter()
            .rev()
            .fold(0, |number, &byte| number << 8 | u64::from(byte)))
    }

    /// A signed number of up to eight bytes; longer ones are of no use here.
    fn long(&mut self) -> Result<Value<'a>, Unreadable> {
        let width = usize::from(self.byte()?);
        let bytes = self.take(width)?;
        if width > 8 {
            return Ok(Value::Opaque);
        }
        let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
        let mut wide = [if negative { 0xff } else { 0 }; 8];
        wide[..width].copy_from_slice(bytes);
        Ok(Value::Int(i64::from_le_bytes(wide)))
    }

    fn text(&mut self, width: usize) -> Result<Value<'a>, Unreadable> {
        let count = self.unsigned(width)? as usize;
        let bytes = self.take(count)?;
        std::str::from_utf8(bytes)
            .map(Value::Text)
            .map_err(|_| wrong("a name is not UTF-8"))
    }

    fn line(&mut self) -> Result<&'a str, Unreadable> {
        let rest = self.bytes.get(self.position..).unwrap_or_default();
        let length = rest
            .iter()
            .position(|&byte| byte == b'\n')
            .ok_or_else(|| wrong("it ends too early"))?;
        self.position += length + 1;
        std::str::from_utf8(&rest[..length]).map_err(|_| wrong("a name is not UTF-8"))
    }

    fn pop(&mut self) -> Result<Value<'a>, Unreadable> {
        let bottom = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= bottom {
            return Err(wrong("its stack is empty"));
        }
        self.stack.pop().ok_or_else(|| wrong("its stack is empty"))
    }

    fn pop_many(&mut self, count: usize) -> Result<Vec<Value<'a>>, Unreadable> {
        let mut items = (0..count)
            .map(|_| self.pop())
            .collect::<Result<Vec<_>, _>>()?;
        items.reverse();
        Ok(items)
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Value<'a>>, Unreadable> {
        let mark = self.marks.pop().ok_or_else(|| wrong("a mark is missing"))?;
        Ok(self.stack.split_off(mark.min(self.stack.len())))
    }

    fn remember(&mut self, opcode: u8) -> Result<(), Unreadable> {
        let key = match opcode {
            b'q' => u32::from(self.byte()?),
            b'r' => self.unsigned(4)? as u32,
            _ => self.memo.len() as u32,
        };
        let value = *self
            .stack
            .last()
            .ok_or_else(|| wrong("its stack is empty"))?;
        self.memo.insert(key, value);
        Ok(())
    }

    fn recall(&self, key: u32) -> Result<Value<'a>, Unreadable> {
        self.memo
            .get(&key)
            .copied()
            .ok_or_else(|| wrong("it refers to a value that is not there"))
    }

    fn tuple(&mut self, items: Vec<Value<'a>>) -> Value<'a> {
        self.tuples.push(items);
        Value::Tuple(self.tuples.len() - 1)
    }

    fn dict(&mut self) -> Value<'a> {
        self.dicts.push(Vec::new());
        Value::Dict(self.dicts.len() - 1)
    }

    /// Puts one or more items into the dict or list below them. What a list holds is of no use here.
    fn fill(&mut self, opcode: u8) -> Result<(), Unreadable> {
        let items = match opcode {
            b's' => self.pop_many(2)?,
            b'a' => self.pop_many(1)?,
            _ => self.pop_to_mark()?,
        };
        match self.stack.last() {
            Some(&Value::Dict(dict)) if items.len().is_multiple_of(2) => {
                let pairs = items.chunks_exact(2).map(|pair| (pair[0], pair[1]));
                self.dicts[dict].extend(pairs);
                Ok(())
            }
            Some(Value::List(_) | Value::Opaque) => Ok(()),
            _ => Err(wrong("items without a container")),
        }
    }

    fn named_global(&mut self) -> Result<Value<'a>, Unreadable> {
        match self.pop_many(2)?[..] {
            [Value::Text(module), Value::Text(name)] => Ok(Value::Global(module, name)),
            _ => Err(wrong("a class without a name")),
        }
    }

    /// The persistent id of a storage: `("storage", class, key, location, count)`.
    fn storage(&mut self) -> Result<Value<'a>, Unreadable> {
        let Value::Tuple(id) = self.pop()? else {
            return Err(wrong("a storage without a description"));
        };
        match self.tuples[id][..] {
            [
                Value::Text("storage"),
                Value::Global("torch", class),
                Value::Text(key),
                _,
                Value::Int(count),
            ] => {
                let count =
                    usize::try_from(count).map_err(|_| wrong("a storage of negative size"))?;
                self.storages.push(Storage { class, key, count });
                Ok(Value::Storage(self.storages.len() - 1))
            }
            _ => Err(wrong("a storage without a description")),
        }
    }

    /// What a call would give, for the few functions that state dicts are made with; nothing is called.
    fn call(&mut self) -> Result<Value<'a>, Unreadable> {
        let arguments = self.pop()?;
        let function = self.pop()?;
        let arguments = match arguments {
            Value::Tuple(index) => self.tuples[index].clone(),
            _ => return Ok(Value::Opaque),
        };
        match function {
            Value::Global("collections", "OrderedDict") if arguments.is_empty() => Ok(self.dict()),
            Value::Global("torch._utils", "_rebuild_parameter") => {
                Ok(arguments.first().copied().unwrap_or(Value::Opaque))
            }
            Value::Global("torch._utils", "_rebuild_tensor_v2") => self.tensor(&arguments),
            _ => Ok(Value::Opaque),
        }
    }

    /// `_rebuild_tensor_v2(storage, offset, shape, strides, …)`.
    fn tensor(&mut self, arguments: &[Value<'a>]) -> Result<Value<'a>, Unreadable> {
        let [
            Value::Storage(storage),
            Value::Int(offset),
            Value::Tuple(shape),
            Value::Tuple(strides),
            ..,
        ] = *arguments
        else {
            return Err(wrong("a tensor without a description"));
        };
        let view = View {
            storage: self.storages[storage],
            offset: usize::try_from(offset).map_err(|_| wrong("a negative offset"))?,
            shape: self.sizes(shape)?,
            strides: self.sizes(strides)?,
        };
        self.tensors.push(view);
        Ok(Value::Tensor(self.tensors.len() - 1))
    }

    fn sizes(&self, tuple: usize) -> Result<Vec<usize>, Unreadable> {
        if self.tuples[tuple].len() > MOST_DIMENSIONS {
            return Err(wrong("a tensor of too many dimensions"));
        }
        let sizes = self.tuples[tuple].iter().map(|value| match value {
            Value::Int(size) => usize::try_from(*size).ok(),
            _ => None,
        });
        sizes
            .collect::<Option<_>>()
            .ok_or_else(|| wrong("a shape that is not of whole numbers"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_not_executed() {
        // pickle.dumps of an object whose __reduce__ is (os.system, ("touch x",)), protocol 2.
        let hostile = b"\x80\x02cposix\nsystem\nq\x00X\x07\x00\x00\x00touch xq\x01\x85q\x02Rq\x03.";
        let pickle = Pickle::read(hostile).unwrap();
        assert_eq!(pickle.root, Value::Opaque);
        assert_eq!(pickle.tensors().unwrap_err(), no_state_dict());
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
