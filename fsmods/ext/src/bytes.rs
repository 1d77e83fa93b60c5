//! Reading integers out of foreign bytes.
//!
//! Every function answers 0 beyond the end of the slice, so that no input can make a parser panic;
//! the wire types above check the lengths that matter before they read.

fn chunk<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes
        .get(at..)
        .and_then(|rest| rest.first_chunk::<N>())
        .copied()
        .unwrap_or([0; N])
}

/// The byte at `at`.
pub(crate) fn u8_at(bytes: &[u8], at: usize) -> u8 {
    bytes.get(at).copied().unwrap_or(0)
}

/// The little-endian 16-bit integer at `at`.
pub(crate) fn le16(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(chunk(bytes, at))
}

/// The little-endian 32-bit integer at `at`.
pub(crate) fn le32(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(chunk(bytes, at))
}

/// The little-endian 64-bit integer at `at`.
pub(crate) fn le64(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(chunk(bytes, at))
}

/// The big-endian 16-bit integer at `at` (the journal is big-endian).
pub(crate) fn be16(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes(chunk(bytes, at))
}

/// The big-endian 32-bit integer at `at`.
pub(crate) fn be32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(chunk(bytes, at))
}

/// The `N` bytes at `at`.
pub(crate) fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    chunk(bytes, at)
}

/// `bytes[from..to]`, cut to what exists.
pub(crate) fn span(bytes: &[u8], from: usize, to: usize) -> &[u8] {
    let to = to.min(bytes.len());
    bytes.get(from..to).unwrap_or(&[])
}

/// Copies `data` to `bytes[at..]`, as far as there is room.
pub(crate) fn put(bytes: &mut [u8], at: usize, data: &[u8]) {
    let room = bytes.get_mut(at..).unwrap_or(&mut []);
    for (to, from) in room.iter_mut().zip(data) {
        *to = *from;
    }
}

/// Stores a little-endian 16-bit integer; nothing happens beyond the end.
pub(crate) fn put16(bytes: &mut [u8], at: usize, value: u16) {
    put(bytes, at, &value.to_le_bytes());
}

/// Stores a little-endian 32-bit integer; nothing happens beyond the end.
pub(crate) fn put32(bytes: &mut [u8], at: usize, value: u32) {
    put(bytes, at, &value.to_le_bytes());
}

/// Stores a big-endian 32-bit integer.
pub(crate) fn put_be32(bytes: &mut [u8], at: usize, value: u32) {
    put(bytes, at, &value.to_be_bytes());
}

/// Joins the two halves of a number that was widened in a later revision.
pub(crate) fn join(low: u32, high: u32) -> u64 {
    u64::from(low) | (u64::from(high) << 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_beyond_the_end_are_zero() {
        let bytes = [1, 2, 3];
        assert_eq!(le16(&bytes, 1), 0x0302);
        assert_eq!(le32(&bytes, 0), 0);
        assert_eq!(be32(&bytes, usize::MAX), 0);
        assert_eq!(span(&bytes, 2, 9), &[3]);
        assert_eq!(span(&bytes, 7, 9), &[] as &[u8]);
    }
}
