//! Reads the part of `MessagePack` that redisthon writes: maps of scalars, texts and bytes.

use super::value::{Reader, Value};

/// Maps in maps, at most.
const DEEPEST: usize = 4;

/// Reads a value; `None` if it is not one, or has anything else in it.
pub(crate) fn read(bytes: &[u8]) -> Option<Value> {
    let mut reader = Reader(bytes);
    let value = read_value(&mut reader, DEEPEST)?;
    reader.0.is_empty().then_some(value)
}

fn read_value(reader: &mut Reader<'_>, deepest: usize) -> Option<Value> {
    let tag = reader.byte()?;
    Some(match tag {
        0x00..=0x7f => Value::Int(tag.into()),
        0x80..=0x8f => read_map(reader, usize::from(tag & 0xf), deepest)?,
        0xa0..=0xbf => reader.text(usize::from(tag & 0x1f))?,
        0xc0 => Value::None,
        0xc2 | 0xc3 => Value::Bool,
        0xc4..=0xc6 => {
            let length = length(reader, tag - 0xc4)?;
            reader.bytes(length)?
        }
        0xca => Value::Float(f32::from_be_bytes(reader.array()?).into()),
        0xcb => Value::Float(f64::from_be_bytes(reader.array()?)),
        0xcc => Value::Int(reader.byte()?.into()),
        0xcd => Value::Int(u16::from_be_bytes(reader.array()?).into()),
        0xce => Value::Int(u32::from_be_bytes(reader.array()?).into()),
        0xcf => Value::Int(u64::from_be_bytes(reader.array()?).try_into().ok()?),
        0xd0 => Value::Int(i8::from_be_bytes(reader.array()?).into()),
        0xd1 => Value::Int(i16::from_be_bytes(reader.array()?).into()),
        0xd2 => Value::Int(i32::from_be_bytes(reader.array()?).into()),
        0xd3 => Value::Int(i64::from_be_bytes(reader.array()?)),
        0xd9..=0xdb => {
            let length = length(reader, tag - 0xd9)?;
            reader.text(length)?
        }
        0xde | 0xdf => {
            let count = length(reader, tag - 0xdd)?;
            read_map(reader, count, deepest)?
        }
        0xe0..=0xff => Value::Int(tag.cast_signed().into()),
        _ => return None,
    })
}

/// Reads a length of 1, 2 or 4 bytes.
fn length(reader: &mut Reader<'_>, size: u8) -> Option<usize> {
    match size {
        0 => reader.byte().map(usize::from),
        1 => reader.array().map(u16::from_be_bytes).map(usize::from),
        _ => usize::try_from(u32::from_be_bytes(reader.array()?)).ok(),
    }
}

fn read_map(reader: &mut Reader<'_>, count: usize, deepest: usize) -> Option<Value> {
    let deepest = deepest.checked_sub(1)?;
    // The count is not to be trusted with memory.
    let mut pairs = Vec::new();
    for _ in 0..count {
        pairs.push((read_value(reader, deepest)?, read_value(reader, deepest)?));
    }
    Some(Value::Map(pairs))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_are_read() {
        // msgpack.packb({"a": 1, "b": -1, "c": "x", "d": None, "e": b"\xff", "f": 1.5, "g": 2**40, "h": True})
        let packed = b"\x88\xa1a\x01\xa1b\xff\xa1c\xa1x\xa1d\xc0\xa1e\xc4\x01\xff\xa1f\xcb?\xf8\x00\x00\x00\x00\x00\x00\xa1g\xcf\x00\x00\x01\x00\x00\x00\x00\x00\xa1h\xc3";
        let value = read(packed).unwrap();
        assert_eq!(
            (value.get("a").int(), value.get("b").int(), value.get("g").int()),
            (Some(1), Some(-1), Some(1 << 40))
        );
        assert_eq!((value.get("c").text(), value.get("f").float()), (Some("x"), Some(1.5)));
        assert_eq!((value.get("d"), value.get("e")), (&Value::None, &Value::Bytes([0xff].into())));
        for length in 0..packed.len() {
            assert_eq!(read(&packed[..length]), None);
        }
        // Huge counts and depths.
        assert_eq!(read(b"\xdf\xff\xff\xff\xff\x01"), None);
        assert_eq!(read(&[0x81; 10_000]), None);
        assert_eq!(read(b"\xdb\xff\xff\xff\xffx"), None);
    }
}
