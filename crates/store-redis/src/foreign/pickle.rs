//! Reads pickles of plain dictionaries, of the protocols 2 to 5. Nothing is executed: what would
//! name a class or call a function is refused, as is anything that teleredis does not write.

use super::value::{Reader, Value};

/// teleredis writes a few hundred bytes.
const LONGEST: usize = 1 << 20;
const MOST_MEMOIZED: usize = 10_000;

/// What is on the stack.
enum Item {
    Mark,
    Value(Value),
}

/// Reads a pickle; `None` if it is not one, or has anything else in it.
pub(crate) fn read(bytes: &[u8]) -> Option<Value> {
    let mut reader = Reader(bytes);
    if bytes.len() > LONGEST || reader.byte()? != 0x80 || !(2..=5).contains(&reader.byte()?) {
        return None;
    }
    let mut stack: Vec<Item> = Vec::new();
    // Maps are memoized, too, but never asked for.
    let mut memo: Vec<Option<Value>> = Vec::new();
    loop {
        match reader.byte()? {
            b'.' => match (stack.pop()?, stack.is_empty()) {
                (Item::Value(value), true) => return Some(value),
                _ => return None,
            },
            // A frame is only a hint how much to read ahead.
            0x95 => drop(reader.array::<8>()?),
            b'(' => stack.push(Item::Mark),
            b's' | b'u' if stack.is_empty() => return None,
            b's' => {
                let (Item::Value(value), Item::Value(key)) = (stack.pop()?, stack.pop()?) else { return None };
                let Some(Item::Value(Value::Map(pairs))) = stack.last_mut() else { return None };
                pairs.push(flat(key, value)?);
            }
            b'u' => {
                let mark = stack.iter().rposition(|item| matches!(item, Item::Mark))?;
                let mut added = stack.drain(mark..).skip(1);
                let mut pairs = Vec::new();
                while let Some(Item::Value(key)) = added.next() {
                    let Some(Item::Value(value)) = added.next() else { return None };
                    pairs.push(flat(key, value)?);
                }
                drop(added);
                let Some(Item::Value(Value::Map(map))) = stack.last_mut() else { return None };
                map.append(&mut pairs);
            }
            b'q' => {
                let at = usize::from(reader.byte()?);
                memoize(&mut memo, at, &stack)?;
            }
            b'r' => {
                let at = usize::try_from(u32::from_le_bytes(reader.array()?)).ok()?;
                memoize(&mut memo, at, &stack)?;
            }
            0x94 => {
                let at = memo.len();
                memoize(&mut memo, at, &stack)?;
            }
            b'h' => stack.push(Item::Value(memo.get(usize::from(reader.byte()?))?.clone()?)),
            b'j' => {
                let at = usize::try_from(u32::from_le_bytes(reader.array()?)).ok()?;
                stack.push(Item::Value(memo.get(at)?.clone()?));
            }
            opcode => stack.push(Item::Value(read_scalar(opcode, &mut reader)?)),
        }
    }
}

/// Refuses maps in maps: dropping thousands in each other would overflow the call stack.
fn flat(key: Value, value: Value) -> Option<(Value, Value)> {
    let is_flat = |value: &Value| !matches!(value, Value::Map(_));
    (is_flat(&key) && is_flat(&value)).then_some((key, value))
}

fn memoize(memo: &mut Vec<Option<Value>>, at: usize, stack: &[Item]) -> Option<()> {
    let Item::Value(value) = stack.last()? else { return None };
    if at >= MOST_MEMOIZED {
        return None;
    }
    if memo.len() <= at {
        memo.resize(at + 1, None);
    }
    memo[at] = (!matches!(value, Value::Map(_))).then(|| value.clone());
    Some(())
}

fn read_scalar(opcode: u8, reader: &mut Reader<'_>) -> Option<Value> {
    let length = |length: u64| usize::try_from(length).ok();
    Some(match opcode {
        b'N' => Value::None,
        0x88 | 0x89 => Value::Bool,
        b'}' => Value::Map(Vec::new()),
        b'K' => Value::Int(reader.byte()?.into()),
        b'M' => Value::Int(u16::from_le_bytes(reader.array()?).into()),
        b'J' => Value::Int(i32::from_le_bytes(reader.array()?).into()),
        0x8a => {
            let count = usize::from(reader.byte()?);
            Value::Int(read_long(reader.take(count)?)?)
        }
        b'G' => Value::Float(f64::from_be_bytes(reader.array()?)),
        0x8c => {
            let count = usize::from(reader.byte()?);
            reader.text(count)?
        }
        b'X' => {
            let count = length(u32::from_le_bytes(reader.array()?).into())?;
            reader.text(count)?
        }
        0x8d => {
            let count = length(u64::from_le_bytes(reader.array()?))?;
            reader.text(count)?
        }
        b'C' => {
            let count = usize::from(reader.byte()?);
            reader.bytes(count)?
        }
        b'B' => {
            let count = length(u32::from_le_bytes(reader.array()?).into())?;
            reader.bytes(count)?
        }
        0x8e => {
            let count = length(u64::from_le_bytes(reader.array()?))?;
            reader.bytes(count)?
        }
        _ => return None,
    })
}

/// Reads an integer of up to 64 bits, little-endian, in two's complement.
fn read_long(bytes: &[u8]) -> Option<i64> {
    let Some(last) = bytes.last() else { return Some(0) };
    let mut long = [if *last >= 0x80 { 0xff } else { 0 }; 8];
    long.get_mut(..bytes.len())?.copy_from_slice(bytes);
    Some(i64::from_le_bytes(long))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `pickle.dumps({"id": -5, "hash": 2**40, "username": None, "phone": "7", "t": 1.5, "md5": b"\xff"}, 4)`
    const FOUR: &[u8] = b"\x80\x04\x953\x00\x00\x00\x00\x00\x00\x00}\x94(\x8c\x02id\x94J\xfb\xff\xff\xff\x8c\x04hash\x94\x8a\x06\x00\x00\x00\x00\x00\x01\x8c\x08username\x94N\x8c\x05phone\x94\x8c\x017\x94\x8c\x01t\x94G?\xf8\x00\x00\x00\x00\x00\x00\x8c\x03md5\x94C\x01\xff\x94u.";

    #[test]
    fn dictionaries_are_read() {
        let value = read(FOUR).unwrap();
        assert_eq!((value.get("id").int(), value.get("hash").int()), (Some(-5), Some(1 << 40)));
        assert_eq!((value.get("username"), value.get("phone").text()), (&Value::None, Some("7")));
        assert_eq!((value.get("t").float(), value.get("md5")), (Some(1.5), &Value::Bytes([0xff].into())));
        // Protocol 2, with BINPUT, BINGET and SETITEM.
        let value = read(b"\x80\x02}q\x00X\x01\x00\x00\x00aq\x01h\x01s.").unwrap();
        assert_eq!(value.get("a").text(), Some("a"));
    }

    #[test]
    fn everything_else_is_refused() {
        for length in 0..FOUR.len() {
            assert_eq!(read(&FOUR[..length]), None);
        }
        for at in 0..FOUR.len() {
            for byte in 0..=255 {
                let mut damaged = FOUR.to_vec();
                damaged[at] = byte;
                read(&damaged);
            }
        }
        let deep = [b"\x80\x04", &b"}".repeat(200_000)[..], &b"Ns".repeat(200_000), b"."].concat();
        assert_eq!(read(&deep), None);
        for pickle in [
            &b"cos\nsystem\n(S'true'\ntR."[..],
            b"\x80\x04\x8c\x02os\x8c\x06system\x93.",
            b"\x80\x02cposix\nsystem\nX\x01\x00\x00\x00x\x85R.",
            b"\x80\x04u.",
            b"\x80\x04(.",
            b"\x80\x04}(.",
            b"\x80\x04}r\xff\xff\xff\xff.",
            b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\xff.",
            b"\x80\x06N.",
        ] {
            assert_eq!(read(pickle), None);
        }
    }
}
