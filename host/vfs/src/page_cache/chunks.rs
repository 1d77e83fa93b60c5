//! What of a file the module has, chunk by chunk: a 64-bit hash of each 64 KiB, kept since the last write-back.
//!
//! No kernel interface tells an unprivileged process which pages of another process's file changed (a write(2) moves
//! the time of the file but not where, a store through a mapping not even that), so a write-back reads the backing
//! file at the speed of memory and hands on only the chunks whose hash differs. One gigabyte has 128 KiB of hashes.
//!
//! The hash is a folded multiplication of two words at a time, on four lanes, keyed at random per process: programs
//! cannot prepare two contents that it takes for one. No locks.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::OnceLock;

/// Bytes of a chunk.
pub(super) const CHUNK_BYTES: usize = 64 * 1024;
/// The hash of a chunk of zeros, whatever its length: that of a hole, and of what the module never had.
pub(super) const ZEROS: u64 = 0;
/// Differs from every hash: the chunk has to be written.
pub(super) const UNKNOWN: u64 = 1;

/// The hashes of a file's chunks.
#[derive(Debug, Default)]
pub(super) struct ChunkTable {
    hashes: Vec<u64>,
}

impl ChunkTable {
    /// The hash of a chunk; beyond the end there are zeros.
    pub(super) fn get(&self, index: u64) -> u64 {
        usize::try_from(index)
            .ok()
            .and_then(|index| self.hashes.get(index).copied())
            .unwrap_or(ZEROS)
    }

    /// Records that the module has this chunk.
    pub(super) fn set(&mut self, index: u64, hash: u64) {
        let Ok(index) = usize::try_from(index) else {
            return;
        };
        if index >= self.hashes.len() {
            if hash == ZEROS {
                return;
            }
            self.hashes.resize(index + 1, ZEROS);
        }
        if let Some(entry) = self.hashes.get_mut(index) {
            *entry = hash;
        }
    }

    /// Number of chunks up to the last one that is not known to be zeros.
    pub(super) fn len(&self) -> u64 {
        self.hashes.len() as u64
    }

    /// The module's file was cut to (or grown to) this size.
    pub(super) fn resize(&mut self, size: u64) {
        let whole = size / CHUNK_BYTES as u64;
        let is_partial = !size.is_multiple_of(CHUNK_BYTES as u64);
        let kept = usize::try_from(whole + u64::from(is_partial)).unwrap_or(usize::MAX);
        let grows = kept > self.hashes.len();
        self.hashes.truncate(kept);
        // What is left of the last chunk has another length, and so another hash.
        if !grows
            && is_partial
            && let Some(last) = self.hashes.last_mut()
            && *last != ZEROS
        {
            *last = UNKNOWN;
        }
    }
}

/// The number of the chunk that a byte lies in.
pub(super) fn chunk_of(offset: u64) -> u64 {
    offset / CHUNK_BYTES as u64
}

/// Hashes a chunk, or what the file has of it.
pub(super) fn hash(bytes: &[u8]) -> u64 {
    if is_zero(bytes) {
        return ZEROS;
    }
    let keys = keys();
    let mut lanes = keys;
    let mut blocks = bytes.chunks_exact(64);
    for block in blocks.by_ref() {
        for (lane, (pair, key)) in lanes
            .iter_mut()
            .zip(block.chunks_exact(16).zip(keys.iter()))
        {
            *lane = fold(word(pair, 0) ^ *lane, word(pair, 8) ^ key);
        }
    }
    let mut tail = [0; 64];
    let rest = blocks.remainder();
    tail.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
    for (lane, (pair, key)) in lanes.iter_mut().zip(tail.chunks_exact(16).zip(keys.iter())) {
        *lane = fold(word(pair, 0) ^ *lane, word(pair, 8) ^ key);
    }
    let [a, b, c, d] = lanes;
    let [k0, k1, ..] = keys;
    let mixed = fold(
        fold(a ^ k1, b ^ k0),
        fold(c ^ k0, d ^ k1) ^ bytes.len() as u64,
    );
    // The two numbers below have meanings of their own.
    mixed.max(2)
}

/// Nothing but zeros?
pub(super) fn is_zero(bytes: &[u8]) -> bool {
    let mut blocks = bytes.chunks_exact(64);
    blocks
        .by_ref()
        .all(|block| block.iter().fold(0, |all, byte| all | byte) == 0)
        && blocks.remainder().iter().all(|byte| *byte == 0)
}

/// Both halves of a product, as one word.
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ ((product >> 64) as u64)
}

fn word(bytes: &[u8], at: usize) -> u64 {
    bytes
        .get(at..at + 8)
        .and_then(|bytes| bytes.try_into().ok())
        .map_or(0, u64::from_le_bytes)
}

fn keys() -> [u64; 4] {
    static KEYS: OnceLock<[u64; 4]> = OnceLock::new();
    *KEYS.get_or_init(|| {
        let state = RandomState::new();
        std::array::from_fn(|index| state.hash_one(index) | 1)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bit_and_the_length_count() {
        let bytes: Vec<u8> = (0..1000u32).map(|n| (n % 251) as u8).collect();
        let plain = hash(&bytes);
        assert_eq!(plain, hash(&bytes));
        for bit in 0..8000 {
            let mut other = bytes.clone();
            other[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(hash(&other), plain, "bit {bit}");
        }
        let mut longer = bytes.clone();
        longer.push(0);
        assert_ne!(hash(&longer), plain);
        let mut swapped = bytes;
        swapped.swap(0, 64);
        assert_ne!(hash(&swapped), plain);
    }

    #[test]
    fn zeros_of_any_length_are_a_hole() {
        for length in [0, 1, 63, 64, 65, CHUNK_BYTES] {
            assert_eq!(hash(&vec![0; length]), ZEROS);
        }
        assert!(hash(&[0, 0, 1]) > UNKNOWN);
    }

    #[test]
    fn cutting_a_file_forgets_the_chunk_that_was_cut() {
        let mut table = ChunkTable::default();
        for index in 0..4 {
            table.set(index, 100 + index);
        }
        table.resize(2 * CHUNK_BYTES as u64 + 5);
        assert_eq!(
            (table.get(1), table.get(2), table.get(3)),
            (101, UNKNOWN, ZEROS)
        );
        table.resize(2 * CHUNK_BYTES as u64);
        assert_eq!((table.get(1), table.len()), (101, 2));
        table.resize(9 * CHUNK_BYTES as u64 + 1);
        assert_eq!((table.get(1), table.get(9), table.len()), (101, ZEROS, 2));
        table.set(1 << 40, ZEROS);
        assert_eq!(table.len(), 2);
    }
}
