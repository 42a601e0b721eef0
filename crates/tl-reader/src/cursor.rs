//! A position in received bytes, and TL's primitives there. Knows nothing of Python.

/// The bytes of the last `read` of Telethon's reader, which it keeps in `_last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Last {
    /// What the reader has.
    Unchanged,
    /// The bytes from here to there.
    Range(usize, usize),
}

/// Reads primitives one after another. A primitive that is not there, or not whole, is `None` and
/// leaves the cursor where it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor<'b> {
    bytes: &'b [u8],
    position: usize,
    last: Last,
    /// Whether each primitive counts as a `read`, or only bytes and long integers do.
    reads_numbers: bool,
}

impl<'b> Cursor<'b> {
    /// Returns a cursor at a position, which may be beyond the end.
    pub(crate) fn new(bytes: &'b [u8], position: usize, reads_numbers: bool) -> Self {
        Self { bytes, position, last: Last::Unchanged, reads_numbers }
    }

    pub(crate) fn position(&self) -> usize {
        self.position
    }

    pub(crate) fn last(&self) -> Last {
        self.last
    }

    /// Returns how many bytes are left.
    pub(crate) fn remaining(&self) -> usize {
        self.bytes.len().saturating_sub(self.position)
    }

    #[inline]
    pub(crate) fn int(&mut self) -> Option<i32> {
        self.number().map(i32::from_le_bytes)
    }

    #[inline]
    pub(crate) fn long(&mut self) -> Option<i64> {
        self.number().map(i64::from_le_bytes)
    }

    #[inline]
    pub(crate) fn double(&mut self) -> Option<f64> {
        self.number().map(f64::from_le_bytes)
    }

    /// Returns the next four bytes as a constructor's ID and stays before them.
    #[inline]
    pub(crate) fn peek_id(&self) -> Option<u32> {
        self.bytes.get(self.position..)?.first_chunk().copied().map(u32::from_le_bytes)
    }

    /// Reads `N` bytes as they are.
    #[inline]
    pub(crate) fn raw<const N: usize>(&mut self) -> Option<&'b [u8; N]> {
        let raw = self.bytes.get(self.position..)?.first_chunk()?;
        self.last = Last::Range(self.position, self.position + N);
        self.position += N;
        Some(raw)
    }

    /// Reads bytes with their length before them and padding behind them.
    #[inline]
    pub(crate) fn bytes(&mut self) -> Option<&'b [u8]> {
        let rest = self.bytes.get(self.position..)?;
        let (prefix, length) = match *rest {
            // 255 has no meaning of its own for Telethon.
            [254, a, b, c, ..] => (4, u32::from_le_bytes([a, b, c, 0]) as usize),
            [254, ..] | [] => return None,
            [length, ..] => (1, usize::from(length)),
        };
        let end = prefix + length;
        let padded = end.next_multiple_of(4);
        let bytes = rest.get(..padded)?.get(prefix..end)?;
        let start = self.position;
        self.last = if padded > end {
            Last::Range(start + end, start + padded)
        } else {
            Last::Range(start + prefix, start + end)
        };
        self.position += padded;
        Some(bytes)
    }

    #[inline]
    fn number<const N: usize>(&mut self) -> Option<[u8; N]> {
        let number = *self.bytes.get(self.position..)?.first_chunk()?;
        if self.reads_numbers {
            self.last = Last::Range(self.position, self.position + N);
        }
        self.position += N;
        Some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_little_endian_and_leave_the_cursor_where_they_end() {
        let mut cursor = Cursor::new(&[1, 0, 0, 0x80, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 7], 0, false);
        assert_eq!(cursor.peek_id(), Some(0x8000_0001));
        assert_eq!(cursor.int(), Some(i32::MIN + 1));
        assert_eq!(cursor.long(), Some(-1));
        assert_eq!((cursor.int(), cursor.long(), cursor.double(), cursor.peek_id()), (None, None, None, None));
        assert_eq!((cursor.position(), cursor.remaining(), cursor.last()), (12, 1, Last::Unchanged));
    }

    #[test]
    fn bytes_end_with_their_padding() {
        for length in [0_usize, 1, 2, 3, 4, 253, 254, 255, 256, 70_000] {
            let mut encoded = vec![9];
            if length < 254 {
                encoded.push(u8::try_from(length).unwrap_or(0));
            } else {
                encoded.push(254);
                encoded.extend(&length.to_le_bytes()[..3]);
            }
            let prefix = encoded.len();
            encoded.resize(prefix + length, b'x');
            let padded = 1 + (encoded.len() - 1).next_multiple_of(4);
            encoded.resize(padded, 0);
            for cut in 1..encoded.len().min(300) {
                let mut cursor = Cursor::new(&encoded[..cut], 1, false);
                assert_eq!((cursor.bytes(), cursor.position()), (None, 1));
            }
            let mut cursor = Cursor::new(&encoded, 1, false);
            assert_eq!(cursor.bytes(), Some(&encoded[prefix..prefix + length]));
            assert_eq!(cursor.remaining(), 0);
            let last = if padded > prefix + length { (prefix + length, padded) } else { (prefix, prefix + length) };
            assert_eq!(cursor.last(), Last::Range(last.0, last.1));
        }
    }

    #[test]
    fn a_length_of_255_is_a_short_one() {
        let mut encoded = vec![255];
        encoded.extend([b'x'; 255]);
        let mut cursor = Cursor::new(&encoded, 0, false);
        assert_eq!(cursor.bytes().map(<[u8]>::len), Some(255));
        assert_eq!(cursor.remaining(), 0);
    }

    #[test]
    fn numbers_are_the_last_read_too_if_they_count_as_reads() {
        let mut cursor = Cursor::new(&[0; 24], 4, true);
        assert_eq!((cursor.int(), cursor.last()), (Some(0), Last::Range(4, 8)));
        assert_eq!((cursor.raw::<16>().is_some(), cursor.last()), (true, Last::Range(8, 24)));
    }

    #[test]
    fn a_position_beyond_the_end_has_nothing() {
        let mut cursor = Cursor::new(&[0; 4], 9, false);
        assert_eq!((cursor.int(), cursor.bytes(), cursor.raw::<4>(), cursor.remaining()), (None, None, None, 0));
    }
}
