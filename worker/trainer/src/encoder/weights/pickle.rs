//! Python's pickles, read but not executed: the opcodes that `torch.save` writes for state dicts (protocols 2 to 5).
//!
//! Executing a pickle is running a program that its author chose. Here names are compared with a short list, calls are
//! understood one by one ([`super::state_dict`]), and everything else is refused with what it was.

use super::names::shown;
use super::state_dict::{Global, Objects, Value, damaged, refused};
use crate::failure::Result;
use std::collections::HashMap;

/// Bounds for hostile files. The state dict of a model with 10,000 tensors needs 2 MB, 200,000 objects and, as Python
/// writes dicts in batches of 1,000, some 2,000 places on the stack.
const MOST_BYTES: usize = 8 << 20;
const MOST_OBJECTS: usize = 1 << 20;
const DEEPEST_STACK: usize = 1 << 16;

/// Reads a pickle: what was made, and the value that it is.
///
/// # Errors
///
/// A user's failure that says what is refused, or damaged.
pub(super) fn read(code: &[u8]) -> Result<(Objects<'_>, Value<'_>)> {
    if code.len() > MOST_BYTES {
        let size = code.len();
        return Err(damaged(&format!("its pickle has {size} bytes, more than {MOST_BYTES}")));
    }
    let mut reader = Reader {
        code,
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        objects: Objects::default(),
    };
    loop {
        match reader.byte()? {
            STOP => return Ok((std::mem::take(&mut reader.objects), reader.pop()?)),
            opcode => reader.step(opcode)?,
        }
        if reader.objects.count() + reader.memo.len() > MOST_OBJECTS {
            return Err(damaged(&format!("its pickle makes more than {MOST_OBJECTS} objects")));
        }
        if reader.stack.len() + reader.marks.len() > DEEPEST_STACK {
            return Err(damaged(&format!("its pickle stacks more than {DEEPEST_STACK} values")));
        }
    }
}

const STOP: u8 = b'.';

struct Reader<'a> {
    /// What comes next.
    code: &'a [u8],
    stack: Vec<Value<'a>>,
    /// Heights of the stack; what lies above one belongs together.
    marks: Vec<usize>,
    memo: HashMap<u64, Value<'a>>,
    objects: Objects<'a>,
}

impl<'a> Reader<'a> {
    /// One opcode, as `pickletools` describes them.
    fn step(&mut self, opcode: u8) -> Result<()> {
        match opcode {
            0x80 => return self.protocol(),                                    // PROTO
            0x95 => return self.number(8).and_then(|size| self.ahead(size)),   // FRAME
            b'(' => self.marks.push(self.stack.len()),                         // MARK
            b'N' => self.stack.push(Value::None),                              // NONE
            0x88 | 0x89 => self.stack.push(Value::Bool),                       // NEWTRUE, NEWFALSE
            b'J' => return self.integer(4),                                    // BININT
            b'K' => return self.natural(1),                                    // BININT1
            b'M' => return self.natural(2),                                    // BININT2
            0x8a => return self.number(1).and_then(|size| self.integer(size)), // LONG1
            b'G' => return self.float(),                                       // BINFLOAT
            b'X' => return self.text(4),                                       // BINUNICODE
            0x8c => return self.text(1),                                       // SHORT_BINUNICODE
            0x8d => return self.text(8),                                       // BINUNICODE8
            b')' => self.tuple(Vec::new()),                                    // EMPTY_TUPLE
            0x85 => return self.last(1).map(|values| self.tuple(values)),      // TUPLE1
            0x86 => return self.last(2).map(|values| self.tuple(values)),      // TUPLE2
            0x87 => return self.last(3).map(|values| self.tuple(values)),      // TUPLE3
            b't' => return self.marked().map(|values| self.tuple(values)),     // TUPLE
            b']' => self.stack.push(Value::List),                              // EMPTY_LIST
            b'a' => return self.pop().map(drop),                               // APPEND
            b'e' => return self.marked().map(drop),                            // APPENDS
            b'}' => self.dict(),                                               // EMPTY_DICT
            b's' => return self.last(2).and_then(|pair| self.set(&pair)),      // SETITEM
            b'u' => return self.marked().and_then(|pairs| self.set(&pairs)),   // SETITEMS
            b'c' => return self.global_in_lines(),                             // GLOBAL
            0x93 => return self.global_on_stack(),                             // STACK_GLOBAL
            b'R' => return self.call(),                                        // REDUCE
            b'b' => return self.build(),                                       // BUILD
            b'Q' => return self.persistent(),                                  // BINPERSID
            b'q' => return self.number(1).and_then(|at| self.keep(at)),        // BINPUT
            b'r' => return self.number(4).and_then(|at| self.keep(at)),        // LONG_BINPUT
            0x94 => return self.keep(self.memo.len() as u64),                  // MEMOIZE
            b'h' => return self.number(1).and_then(|at| self.recall(at)),      // BINGET
            b'j' => return self.number(4).and_then(|at| self.recall(at)),      // LONG_BINGET
            b'i' => return self.instance(),                                    // INST
            other => return Err(refused(&format!("uses {}", named(other)))),
        }
        Ok(())
    }

    fn protocol(&mut self) -> Result<()> {
        match self.byte()? {
            2..=5 => Ok(()),
            other => Err(damaged(&format!("its pickle has protocol {other}, known are 2 to 5"))),
        }
    }

    /// The next `count` bytes.
    fn bytes(&mut self, count: u64) -> Result<&'a [u8]> {
        self.ahead(count)?;
        let (taken, rest) = self.code.split_at(count as usize);
        self.code = rest;
        Ok(taken)
    }

    /// Are there so many more bytes?
    fn ahead(&self, count: u64) -> Result<()> {
        if count > self.code.len() as u64 {
            return Err(damaged("its pickle ends too early"));
        }
        Ok(())
    }

    fn byte(&mut self) -> Result<u8> {
        Ok(self.bytes(1)?[0])
    }

    /// A little-endian number of at most 8 bytes without a sign.
    fn number(&mut self, size: u64) -> Result<u64> {
        let bytes = self.bytes(size)?;
        Ok(bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }

    fn natural(&mut self, size: u64) -> Result<()> {
        let value = self.number(size)?;
        self.stack.push(Value::Int(value as i64));
        Ok(())
    }

    /// A number with a sign, as two's complement.
    fn integer(&mut self, size: u64) -> Result<()> {
        if size > 8 {
            return Err(damaged(&format!("its pickle has a number of {size} bytes")));
        }
        let unused = 64 - 8 * size as u32;
        let value = self.number(size)?;
        let signed = value.checked_shl(unused).unwrap_or_default() as i64;
        self.stack
            .push(Value::Int(signed.checked_shr(unused).unwrap_or_default()));
        Ok(())
    }

    fn float(&mut self) -> Result<()> {
        self.bytes(8)?;
        self.stack.push(Value::Float);
        Ok(())
    }

    /// A text after its length, which has `size` bytes.
    fn text(&mut self, size: u64) -> Result<()> {
        let length = self.number(size)?;
        let text =
            std::str::from_utf8(self.bytes(length)?).map_err(|_| damaged("its pickle has a text that is none"))?;
        self.stack.push(Value::Text(text));
        Ok(())
    }

    fn tuple(&mut self, values: Vec<Value<'a>>) {
        self.objects.tuples.push(values);
        self.stack.push(Value::Tuple(self.objects.tuples.len() - 1));
    }

    fn dict(&mut self) {
        self.objects.dicts.push(Vec::new());
        self.stack.push(Value::Dict(self.objects.dicts.len() - 1));
    }

    /// Sets keys and values, one after the other, of the dict on the stack.
    fn set(&mut self, pairs: &[Value<'a>]) -> Result<()> {
        let target = self.top()?;
        let Value::Dict(dict) = target else {
            return Err(refused(&format!("sets an item of {}", target.kind())));
        };
        let (pairs, rest) = pairs.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(damaged("its pickle has a key without a value"));
        }
        self.objects.dicts[dict].extend(pairs.iter().map(|[key, value]| (*key, *value)));
        Ok(())
    }

    /// A name in two lines.
    fn global_in_lines(&mut self) -> Result<()> {
        let (module, name) = (self.line()?, self.line()?);
        self.stack.push(Value::Global(Global::named(&module, &name)?));
        Ok(())
    }

    fn line(&mut self) -> Result<String> {
        let end = self.code.iter().position(|byte| *byte == b'\n');
        let line = self.bytes(end.ok_or_else(|| damaged("its pickle ends within a name"))? as u64)?;
        self.byte()?;
        Ok(String::from_utf8_lossy(line).into_owned())
    }

    /// A name whose parts lie on the stack.
    fn global_on_stack(&mut self) -> Result<()> {
        let parts = self.last(2)?;
        let [Value::Text(module), Value::Text(name)] = parts[..] else {
            return Err(refused("asks for a global whose name is not a text"));
        };
        self.stack.push(Value::Global(Global::named(module, name)?));
        Ok(())
    }

    /// `INST` names a class and makes an object of it in one; no state dict has any.
    fn instance(&mut self) -> Result<()> {
        let (module, name) = (self.line()?, self.line()?);
        let name = shown(&format!("{module}.{name}"));
        Err(refused(&format!("asks for an object of {name}")))
    }

    fn call(&mut self) -> Result<()> {
        let (arguments, function) = (self.pop()?, self.pop()?);
        let made = self.objects.call(function, arguments)?;
        self.stack.push(made);
        Ok(())
    }

    fn build(&mut self) -> Result<()> {
        let attributes = self.pop()?;
        self.objects.set_attributes(self.top()?, attributes)
    }

    fn persistent(&mut self) -> Result<()> {
        let id = self.pop()?;
        let storage = self.objects.storage(id)?;
        self.stack.push(storage);
        Ok(())
    }

    fn keep(&mut self, at: u64) -> Result<()> {
        let value = self.top()?;
        self.memo.insert(at, value);
        Ok(())
    }

    fn recall(&mut self, at: u64) -> Result<()> {
        let value = self.memo.get(&at).copied();
        self.stack
            .push(value.ok_or_else(|| damaged("its pickle recalls what was not kept"))?);
        Ok(())
    }

    /// The last `count` values of the stack, which must not reach below a mark.
    fn last(&mut self, count: usize) -> Result<Vec<Value<'a>>> {
        let start = self.stack.len().checked_sub(count);
        match start.filter(|start| *start >= self.marks.last().copied().unwrap_or_default()) {
            Some(start) => Ok(self.stack.split_off(start)),
            None => Err(damaged("its pickle takes from an empty stack")),
        }
    }

    /// Everything above the last mark.
    fn marked(&mut self) -> Result<Vec<Value<'a>>> {
        let mark = self.marks.pop().ok_or_else(|| damaged("its pickle lacks a mark"))?;
        Ok(self.stack.split_off(mark))
    }

    fn pop(&mut self) -> Result<Value<'a>> {
        Ok(self.last(1)?[0])
    }

    fn top(&self) -> Result<Value<'a>> {
        let top = self.stack.last().copied();
        top.ok_or_else(|| damaged("its pickle has an empty stack"))
    }
}

/// What messages call an opcode that no state dict needs.
fn named(opcode: u8) -> String {
    let name = match opcode {
        b'o' => "OBJ (an object of a class)",
        0x81 => "NEWOBJ (an object of a class)",
        0x92 => "NEWOBJ_EX (an object of a class)",
        0x82..=0x84 => "EXT (a function of Python's extension registry)",
        b'P' => "PERSID (a persistent id as text)",
        b'B' | b'C' | 0x8e => "BINBYTES (bytes)",
        0x96 => "BYTEARRAY8 (bytes)",
        0x97 | 0x98 => "NEXT_BUFFER (data outside the file)",
        0x8f..=0x91 => "EMPTY_SET (a set)",
        b'0' | b'1' | b'2' => "POP or DUP",
        _ => return format!("the opcode {opcode:#04x}"),
    };
    format!("the opcode {name}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;

    /// Whole opcodes with their arguments, so that chance gets further than one step.
    const PIECES: [&[u8]; 34] = [
        b"(",
        b")",
        b"N",
        b"t",
        b"u",
        b"s",
        b"e",
        b"a",
        b"}",
        b"]",
        b"R",
        b"b",
        b"Q",
        b".",
        b"0",
        b"\x85",
        b"\x86",
        b"\x87",
        b"\x88",
        b"\x93",
        b"\x94",
        b"K\x03",
        b"q\x01",
        b"h\x01",
        b"J\xff\xff\xff\xff",
        b"\x8a\x00",
        b"\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f",
        b"X\x01\x00\x00\x00a",
        b"\x8c\x07storage",
        b"ccollections\nOrderedDict\n",
        b"ctorch\nFloatStorage\n",
        b"ctorch\nSize\n",
        b"ctorch._utils\n_rebuild_tensor_v2\n",
        b"ctorch._utils\n_rebuild_parameter\n",
    ];

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: 4000,
            rng_seed: RngSeed::Fixed(9),
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn no_program_makes_the_reader_panic(
            pieces in proptest::collection::vec(proptest::sample::select(&PIECES), 0..60),
        ) {
            if let Ok((objects, value)) = read(&pieces.concat()) {
                let _ = objects.state_dict(value);
            }
        }
    }

    #[test]
    fn numbers_are_read_as_python_writes_them() {
        // pickle.dumps((0, 200, 70000, -1, -70000, 2**40, -2**40), 2)
        let code = b"\x80\x02(K\x00K\xc8Jp\x11\x01\x00J\xff\xff\xff\xffJ\x90\xee\xfe\xff\x8a\x06\x00\x00\x00\x00\x00\x01\x8a\x06\x00\x00\x00\x00\x00\xfftq\x00.";
        let Ok((objects, Value::Tuple(at))) = read(code) else {
            panic!("not a tuple");
        };
        let number = |value: &Value<'_>| {
            if let Value::Int(number) = value {
                *number
            } else {
                panic!("{value:?}")
            }
        };
        let numbers: Vec<i64> = objects.tuples[at].iter().map(number).collect();
        assert_eq!(numbers, [0, 200, 70_000, -1, -70_000, 1 << 40, -(1 << 40)]);
    }
}
