//! The pickle machine: a stack with marks, and a memo.

use std::collections::HashMap;

use crate::{Interpreter, MOST_OPCODES, Malformed, Parts, Value, wrong};

pub(super) struct Machine<'a, 'i, I> {
    bytes: &'a [u8],
    pub(super) position: usize,
    interpreter: &'i mut I,
    pub(super) parts: Parts<'a>,
    stack: Vec<Value<'a>>,
    marks: Vec<usize>,
    memo: HashMap<u32, Value<'a>>,
}

impl<'a, 'i, I: Interpreter<'a>> Machine<'a, 'i, I> {
    pub(super) fn new(bytes: &'a [u8], interpreter: &'i mut I) -> Self {
        Self {
            bytes,
            position: 0,
            interpreter,
            parts: Parts::default(),
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
        }
    }

    pub(super) fn run(&mut self) -> Result<Value<'a>, I::Error> {
        for _ in 0..MOST_OPCODES {
            let opcode = self.byte()?;
            if opcode == b'.' {
                return Ok(self.pop()?);
            }
            self.step(opcode)?;
        }
        Err(wrong("it is too long").into())
    }

    /// Executes one opcode; their meaning is that of CPython's `pickletools`.
    fn step(&mut self, opcode: u8) -> Result<(), I::Error> {
        match opcode {
            0x80 => self.protocol()?,
            0x95 => self.skip(8)?,
            b'(' => self.marks.push(self.stack.len()),
            b'0' => drop(self.pop()?),
            b'1' => drop(self.pop_to_mark()?),
            b'b' => {
                let state = self.pop()?;
                let object = self.top()?;
                self.interpreter.build(&self.parts, object, state)?;
            }
            b'q' | b'r' | 0x94 => self.remember(opcode)?,
            b's' | b'u' | b'a' | b'e' | 0x90 => self.fill(opcode)?,
            _ => {
                let value = self.value(opcode)?;
                self.stack.push(value);
            }
        }
        Ok(())
    }

    /// Opcodes that push one value.
    fn value(&mut self, opcode: u8) -> Result<Value<'a>, I::Error> {
        Ok(match opcode {
            // None, a set.
            b'N' | 0x8f => Value::Opaque,
            0x88 | 0x89 => Value::Flag(opcode == 0x88),
            b'2' => self.top()?,
            b'K' => Value::Int(i64::from(self.byte()?)),
            b'M' => Value::Int(self.unsigned(2)? as i64),
            b'J' => Value::Int(i64::from(self.unsigned(4)? as u32 as i32)),
            0x8a => self.long(1)?,
            0x8b => self.long(4)?,
            b'G' => self.skip(8).map(|()| Value::Opaque)?,
            b'X' => self.text(4)?,
            0x8c => self.text(1)?,
            0x8d => self.text(8)?,
            b'T' => self.old_text(4)?,
            b'U' => self.old_text(1)?,
            b'B' => self.counted(4).map(Value::Bytes)?,
            b'C' => self.counted(1).map(Value::Bytes)?,
            0x8e | 0x96 => self.counted(8).map(Value::Bytes)?,
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
            b')' => Value::Tuple(self.parts.sequence(Vec::new())),
            b']' => Value::List(self.parts.sequence(Vec::new())),
            b't' => {
                let items = self.pop_to_mark()?;
                Value::Tuple(self.parts.sequence(items))
            }
            0x85..=0x87 => {
                let items = self.pop_many(usize::from(opcode - 0x84))?;
                Value::Tuple(self.parts.sequence(items))
            }
            b'}' => self.parts.dict(Vec::new()),
            b'Q' => {
                let id = self.pop()?;
                self.interpreter.persistent(&mut self.parts, id)?
            }
            b'R' | b'i' | b'o' | 0x81 | 0x92 => self.any_call(opcode)?,
            other => {
                let what = format!("opcode {other:#04x} at byte {}", self.position - 1);
                return Err(wrong(&what).into());
            }
        })
    }

    fn protocol(&mut self) -> Result<(), Malformed> {
        match self.byte()? {
            2..=5 => Ok(()),
            other => Err(wrong(&format!("pickle protocol {other}"))),
        }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let rest = self.bytes.get(self.position..).unwrap_or_default();
        let taken = rest
            .get(..count)
            .ok_or_else(|| wrong("it ends too early"))?;
        self.position += count;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, Malformed> {
        Ok(self.take(1)?[0])
    }

    fn skip(&mut self, count: usize) -> Result<(), Malformed> {
        self.take(count).map(drop)
    }

    /// Bytes after their number, which has `width` bytes.
    fn counted(&mut self, width: usize) -> Result<&'a [u8], Malformed> {
        let count = self.unsigned(width)? as usize;
        self.take(count)
    }

    fn unsigned(&mut self, width: usize) -> Result<u64, Malformed> {
        let bytes = self.take(width)?;
        Ok(bytes
            .iter()
            .rev()
            .fold(0, |number, &byte| number << 8 | u64::from(byte)))
    }

    /// A signed number after its length, which has `width` bytes.
    fn long(&mut self, width: usize) -> Result<Value<'a>, Malformed> {
        let length = self.unsigned(width)? as usize;
        let bytes = self.take(length)?;
        if length > 8 {
            return Ok(Value::Long(bytes));
        }
        let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
        let mut wide = [if negative { 0xff } else { 0 }; 8];
        wide[..length].copy_from_slice(bytes);
        Ok(Value::Int(i64::from_le_bytes(wide)))
    }

    /// What Python 2 called a string: a text, or bytes of any kind.
    fn old_text(&mut self, width: usize) -> Result<Value<'a>, Malformed> {
        let bytes = self.counted(width)?;
        Ok(std::str::from_utf8(bytes).map_or(Value::Bytes(bytes), Value::Text))
    }

    fn text(&mut self, width: usize) -> Result<Value<'a>, Malformed> {
        std::str::from_utf8(self.counted(width)?)
            .map(Value::Text)
            .map_err(|_| wrong("a name is not UTF-8"))
    }

    fn line(&mut self) -> Result<&'a str, Malformed> {
        let rest = self.bytes.get(self.position..).unwrap_or_default();
        let length = rest
            .iter()
            .position(|&byte| byte == b'\n')
            .ok_or_else(|| wrong("it ends too early"))?;
        self.position += length + 1;
        std::str::from_utf8(&rest[..length]).map_err(|_| wrong("a name is not UTF-8"))
    }

    fn top(&self) -> Result<Value<'a>, Malformed> {
        let top = self.stack.last().copied();
        top.ok_or_else(|| wrong("its stack is empty"))
    }

    fn pop(&mut self) -> Result<Value<'a>, Malformed> {
        let bottom = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= bottom {
            return Err(wrong("its stack is empty"));
        }
        self.stack.pop().ok_or_else(|| wrong("its stack is empty"))
    }

    fn pop_many(&mut self, count: usize) -> Result<Vec<Value<'a>>, Malformed> {
        let mut items = (0..count)
            .map(|_| self.pop())
            .collect::<Result<Vec<_>, _>>()?;
        items.reverse();
        Ok(items)
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Value<'a>>, Malformed> {
        let mark = self.marks.pop().ok_or_else(|| wrong("a mark is missing"))?;
        Ok(self.stack.split_off(mark.min(self.stack.len())))
    }

    fn remember(&mut self, opcode: u8) -> Result<(), Malformed> {
        let key = match opcode {
            b'q' => u32::from(self.byte()?),
            b'r' => self.unsigned(4)? as u32,
            _ => self.memo.len() as u32,
        };
        let value = self.top()?;
        self.memo.insert(key, value);
        Ok(())
    }

    fn recall(&self, key: u32) -> Result<Value<'a>, Malformed> {
        self.memo
            .get(&key)
            .copied()
            .ok_or_else(|| wrong("it refers to a value that is not there"))
    }

    /// Puts one or more items into the dict, list or set below them.
    fn fill(&mut self, opcode: u8) -> Result<(), Malformed> {
        let items = match opcode {
            b's' => self.pop_many(2)?,
            b'a' => self.pop_many(1)?,
            _ => self.pop_to_mark()?,
        };
        match self.stack.last() {
            Some(&Value::Dict(dict)) if items.len().is_multiple_of(2) => {
                let pairs = items.chunks_exact(2).map(|pair| (pair[0], pair[1]));
                self.parts.dicts[dict].extend(pairs);
                Ok(())
            }
            Some(&Value::List(list)) => {
                self.parts.sequences[list].extend(items);
                Ok(())
            }
            Some(Value::Opaque) => Ok(()),
            _ => Err(wrong("items without a container")),
        }
    }

    fn named_global(&mut self) -> Result<Value<'a>, Malformed> {
        match self.pop_many(2)?[..] {
            [Value::Text(module), Value::Text(name)] => Ok(Value::Global(module, name)),
            _ => Err(wrong("a class without a name")),
        }
    }

    /// The calls, whose operands are written in five ways.
    fn any_call(&mut self, opcode: u8) -> Result<Value<'a>, I::Error> {
        let (function, arguments) = match opcode {
            b'i' => {
                let function = Value::Global(self.line()?, self.line()?);
                let arguments = self.pop_to_mark()?;
                (function, Value::Tuple(self.parts.sequence(arguments)))
            }
            b'o' => {
                let mut items = self.pop_to_mark()?;
                if items.is_empty() {
                    return Err(wrong("a call of nothing").into());
                }
                let arguments = items.split_off(1);
                (items[0], Value::Tuple(self.parts.sequence(arguments)))
            }
            _ => {
                if opcode == 0x92 {
                    self.pop()?;
                }
                let arguments = self.pop()?;
                (self.pop()?, arguments)
            }
        };
        let makes_object = matches!(opcode, 0x81 | 0x92);
        self.interpreter
            .call(&mut self.parts, function, arguments, makes_object)
    }
}
