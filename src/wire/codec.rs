//! Reads and writes the primitives of the protocol, such as integers, hashes and variable-length lists.
//!
//! Lengths from the wire are compared with the bytes that are present before anything is read or reserved.

use super::error::{DecodeError, EncodeError};
use super::hash::Hash;
use super::message_table::MAX_PAYLOAD;
use byteorder::{BigEndian, ByteOrder, LittleEndian};

/// The encoding of a payload, or of a part of one.
pub trait Codec: Sized {
    /// Reads a value, and moves the cursor past it.
    fn read(input: &mut Cursor<'_>) -> Result<Self, DecodeError>;

    /// How many bytes [`write`](Self::write) appends.
    fn size(&self) -> usize;

    /// Checks that the protocol can carry the value.
    fn check(&self) -> Result<(), EncodeError> {
        Ok(())
    }

    /// Appends the value, which must have passed [`check`](Self::check).
    fn write(&self, out: &mut Vec<u8>);
}

/// Reads primitives from the bytes of one payload. The `field` of each method names the part of the message in errors.
#[derive(Debug, Clone)]
pub struct Cursor<'a> {
    rest: &'a [u8],
    len: usize,
}

impl<'a> Cursor<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, len: bytes.len() }
    }

    /// The offset of the next byte.
    pub fn at(&self) -> usize {
        self.len - self.rest.len()
    }

    /// How many bytes are left.
    pub fn left(&self) -> usize {
        self.rest.len()
    }

    /// The bytes that are left. Does not move the cursor.
    pub fn peek(&self) -> &'a [u8] {
        self.rest
    }

    #[cold]
    fn truncated(&self, field: &'static str, needed: u64) -> DecodeError {
        DecodeError::Truncated { field, at: self.at(), needed, left: self.left() }
    }

    #[inline]
    pub fn bytes(&mut self, count: usize, field: &'static str) -> Result<&'a [u8], DecodeError> {
        match self.rest.split_at_checked(count) {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(taken)
            }
            None => Err(self.truncated(field, count as u64)),
        }
    }

    #[inline]
    pub fn array<const N: usize>(&mut self, field: &'static str) -> Result<&'a [u8; N], DecodeError> {
        match self.rest.split_first_chunk() {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(taken)
            }
            None => Err(self.truncated(field, N as u64)),
        }
    }

    #[inline]
    pub fn u8(&mut self, field: &'static str) -> Result<u8, DecodeError> {
        self.array(field).map(|&[byte]| byte)
    }

    #[inline]
    pub fn bool(&mut self, field: &'static str) -> Result<bool, DecodeError> {
        self.u8(field).map(|byte| byte != 0)
    }

    #[inline]
    pub fn u16_be(&mut self, field: &'static str) -> Result<u16, DecodeError> {
        self.array::<2>(field).map(|bytes| BigEndian::read_u16(bytes))
    }

    #[inline]
    pub fn u32(&mut self, field: &'static str) -> Result<u32, DecodeError> {
        self.array::<4>(field).map(|bytes| LittleEndian::read_u32(bytes))
    }

    #[inline]
    pub fn i32(&mut self, field: &'static str) -> Result<i32, DecodeError> {
        self.array::<4>(field).map(|bytes| LittleEndian::read_i32(bytes))
    }

    #[inline]
    pub fn u64(&mut self, field: &'static str) -> Result<u64, DecodeError> {
        self.array::<8>(field).map(|bytes| LittleEndian::read_u64(bytes))
    }

    #[inline]
    pub fn i64(&mut self, field: &'static str) -> Result<i64, DecodeError> {
        self.array::<8>(field).map(|bytes| LittleEndian::read_i64(bytes))
    }

    #[inline]
    pub fn hash(&mut self, field: &'static str) -> Result<Hash, DecodeError> {
        self.array(field).map(|&bytes| Hash(bytes))
    }

    #[inline]
    pub fn varint(&mut self, field: &'static str) -> Result<u64, DecodeError> {
        let at = self.at();
        let (value, width, least) = match self.u8(field)? {
            0xfd => (LittleEndian::read_u16(self.array::<2>(field)?).into(), 3, 0xfd),
            0xfe => (self.u32(field)?.into(), 5, 0x1_0000),
            0xff => (self.u64(field)?, 9, 0x1_0000_0000),
            small => return Ok(small.into()),
        };
        if value < least {
            return Err(DecodeError::NonCanonical { field, at, value, width });
        }
        Ok(value)
    }

    /// A varint that counts items or bytes. A number over `max` is an error.
    #[inline]
    pub fn count(&mut self, field: &'static str, max: u64) -> Result<usize, DecodeError> {
        let at = self.at();
        let found = self.varint(field)?;
        if found > max {
            return Err(DecodeError::TooMany { field, at, found, max });
        }
        // Fails only on 32-bit machines, and only for the length of a transaction's payload, which has no limit.
        usize::try_from(found).map_err(|_| DecodeError::TooMany { field, at, found, max })
    }

    #[inline]
    pub fn var_bytes(&mut self, field: &'static str, max: u64) -> Result<&'a [u8], DecodeError> {
        let count = self.count(field, max)?;
        self.bytes(count, field)
    }

    /// Reads `count` items. Each item takes at least `smallest` bytes. Memory is reserved for no more items than fit
    /// the bytes that are left.
    pub fn list<T>(
        &mut self,
        count: usize,
        smallest: usize,
        mut item: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        let mut items = Vec::with_capacity(count.min(self.left() / smallest));
        for _ in 0..count {
            items.push(item(self)?);
        }
        Ok(items)
    }

    /// Reads `count` hashes.
    pub fn hashes(&mut self, count: usize, field: &'static str) -> Result<Vec<Hash>, DecodeError> {
        let bytes = self.bytes(count.saturating_mul(Hash::SIZE), field)?;
        let (chunks, _) = bytes.as_chunks::<{ Hash::SIZE }>();
        Ok(chunks.iter().map(|&chunk| Hash(chunk)).collect())
    }

    /// Checks that no bytes are left.
    pub fn finish(&self) -> Result<(), DecodeError> {
        if self.rest.is_empty() { Ok(()) } else { Err(DecodeError::Trailing { at: self.at(), left: self.left() }) }
    }
}

/// Appends primitives. Each method is named after the method of [`Cursor`] that reads the primitive.
pub(crate) trait Put {
    fn put_bytes(&mut self, bytes: &[u8]);

    fn put_u8(&mut self, value: u8) {
        self.put_bytes(&[value]);
    }

    fn put_bool(&mut self, value: bool) {
        self.put_u8(value.into());
    }

    fn put_u16_be(&mut self, value: u16) {
        let mut bytes = [0; 2];
        BigEndian::write_u16(&mut bytes, value);
        self.put_bytes(&bytes);
    }

    fn put_u32(&mut self, value: u32) {
        let mut bytes = [0; 4];
        LittleEndian::write_u32(&mut bytes, value);
        self.put_bytes(&bytes);
    }

    fn put_i32(&mut self, value: i32) {
        let mut bytes = [0; 4];
        LittleEndian::write_i32(&mut bytes, value);
        self.put_bytes(&bytes);
    }

    fn put_u64(&mut self, value: u64) {
        let mut bytes = [0; 8];
        LittleEndian::write_u64(&mut bytes, value);
        self.put_bytes(&bytes);
    }

    fn put_i64(&mut self, value: i64) {
        let mut bytes = [0; 8];
        LittleEndian::write_i64(&mut bytes, value);
        self.put_bytes(&bytes);
    }

    fn put_hash(&mut self, hash: &Hash) {
        self.put_bytes(&hash.0);
    }

    fn put_varint(&mut self, value: u64) {
        if let Ok(small @ 0..0xfd) = u8::try_from(value) {
            self.put_u8(small);
        } else if let Ok(short) = u16::try_from(value) {
            let mut bytes = [0xfd, 0, 0];
            if let Some(tail) = bytes.last_chunk_mut::<2>() {
                LittleEndian::write_u16(tail, short);
            }
            self.put_bytes(&bytes);
        } else if let Ok(word) = u32::try_from(value) {
            self.put_u8(0xfe);
            self.put_u32(word);
        } else {
            self.put_u8(0xff);
            self.put_u64(value);
        }
    }

    fn put_var_bytes(&mut self, bytes: &[u8]) {
        self.put_varint(bytes.len() as u64);
        self.put_bytes(bytes);
    }
}

impl Put for Vec<u8> {
    #[inline]
    fn put_bytes(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// How many bytes [`Put::put_varint`] appends.
pub(crate) fn varint_size(value: u64) -> usize {
    match value {
        0..0xfd => 1,
        0xfd..0x1_0000 => 3,
        0x1_0000..0x1_0000_0000 => 5,
        _ => 9,
    }
}

/// How many bytes [`Put::put_var_bytes`] appends.
pub(crate) fn var_bytes_size(bytes: &[u8]) -> usize {
    varint_size(bytes.len() as u64) + bytes.len()
}

/// The longest string or script, in bytes, by the protocol.
pub(crate) const MAX_VAR_BYTES: u64 = MAX_PAYLOAD as u64;

/// Checks the length of a list against the protocol's limit.
pub(crate) fn check_count(field: &'static str, found: usize, max: u64) -> Result<(), EncodeError> {
    let found = found as u64;
    if found > max { Err(EncodeError::TooMany { field, found, max }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn rows(group: &str) -> Vec<Value> {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/varint.json");
        let vectors: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        vectors[group].as_array().unwrap().clone()
    }

    fn bytes(row: &Value) -> Vec<u8> {
        hex::decode(row["hex"].as_str().unwrap()).unwrap()
    }

    #[test]
    fn varints_are_read_and_written_as_by_kaspad() {
        let rows = rows("canonical");
        assert_eq!(rows.len(), 31);
        for row in rows {
            let (value, bytes) = (row["value"].as_str().unwrap().parse().unwrap(), bytes(&row));
            let mut written = Vec::new();
            written.put_varint(value);
            assert_eq!(written, bytes, "{row}");
            assert_eq!(row["size"], varint_size(value), "{row}");
            let mut input = Cursor::new(&bytes);
            assert_eq!(input.varint("n"), Ok(value), "{row}");
            assert_eq!(input.finish(), Ok(()), "{row}");
        }
    }

    #[test]
    fn varints_that_kaspad_refuses_are_refused() {
        let (long, short) = (rows("non_canonical"), rows("truncated"));
        assert_eq!((long.len(), short.len()), (20, 15));
        for row in long {
            let bytes = bytes(&row);
            let mut input = Cursor::new(&bytes);
            let result = input.varint("n");
            assert!(matches!(result, Err(DecodeError::NonCanonical { at: 0, .. })), "{row}: {result:?}");
            assert_eq!(row["consumed"], input.at(), "{row}");
        }
        for row in short {
            let result = Cursor::new(&bytes(&row)).varint("n");
            assert!(matches!(result, Err(DecodeError::Truncated { .. })), "{row}: {result:?}");
        }
    }
}
