//! What of a file the module has, chunk by chunk: a 64-bit hash of each 64 KiB, kept since the last write-back.
//!
//! No kernel interface tells an unprivileged process which pages of another process's file changed (a write(2) moves
//! the time of the file but not where, a store through a mapping not even that), so a write-back reads the backing
//! file at the speed of memory and hands on only the chunks whose hash differs. One gigabyte of data has 128 KiB of hashes.
//!
//! The hash is a folded multiplication of two words at a time, on four lanes, keyed at random per process: programs
//! cannot prepare two contents that it takes for one. No locks.

use std::collections::BTreeMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::OnceLock;

/// Bytes of a chunk.
pub(super) const CHUNK_BYTES: usize = 64 * 1024;
/// The hash of a chunk of zeros, whatever its length: that of a hole, and of what the module never had.
pub(super) const ZEROS: u64 = 0;
/// Differs from every hash: the chunk has to be written.
pub(super) const UNKNOWN: u64 = 1;

/// Entries of a page of the table; it stands for 16 MiB of the file.
const PAGE_ENTRIES: u64 = 256;

/// Which blocks of a chunk may hold something else than zeros at the module, the first in the lowest bit.
pub(super) type BlockMask = u16;
/// Bytes of a block: smaller holes are not kept.
pub(super) const BLOCK_BYTES: usize = CHUNK_BYTES / BlockMask::BITS as usize;

#[derive(Debug)]
struct Page {
    hashes: [u64; PAGE_ENTRIES as usize],
    blocks: [BlockMask; PAGE_ENTRIES as usize],
}

impl Page {
    fn empty() -> Box<Page> {
        Box::new(Page {
            hashes: [ZEROS; PAGE_ENTRIES as usize],
            blocks: [0; PAGE_ENTRIES as usize],
        })
    }
}

/// The hashes of a file's chunks. Takes memory only where there is data: files may be sparse, and terabytes long.
#[derive(Debug, Default)]
pub(super) struct ChunkTable {
    pages: BTreeMap<u64, Box<Page>>,
}

impl ChunkTable {
    /// The hash of a chunk; beyond the end there are zeros.
    pub(super) fn get(&self, index: u64) -> u64 {
        self.entry(index).0
    }

    /// Hash and blocks of a chunk.
    pub(super) fn entry(&self, index: u64) -> (u64, BlockMask) {
        self.pages
            .get(&(index / PAGE_ENTRIES))
            .and_then(|page| {
                let place = place_of(index);
                Some((*page.hashes.get(place)?, *page.blocks.get(place)?))
            })
            .unwrap_or((ZEROS, 0))
    }

    /// Records that the module has this chunk, perhaps without holes.
    pub(super) fn set(&mut self, index: u64, hash: u64) {
        let blocks = match hash {
            ZEROS => 0,
            _ => BlockMask::MAX,
        };
        self.set_entry(index, hash, blocks);
    }

    /// Records that the module has this chunk, with zeros in all but these blocks.
    pub(super) fn set_entry(&mut self, index: u64, hash: u64, blocks: BlockMask) {
        let number = index / PAGE_ENTRIES;
        let page = match hash {
            ZEROS => self.pages.get_mut(&number),
            _ => Some(self.pages.entry(number).or_insert_with(Page::empty)),
        };
        let place = place_of(index);
        if let Some(page) = page
            && let (Some(kept_hash), Some(kept_blocks)) =
                (page.hashes.get_mut(place), page.blocks.get_mut(place))
        {
            *kept_hash = hash;
            *kept_blocks = blocks;
        }
    }

    /// The first chunk from `from` on and before `to` that is not known to be zeros.
    pub(super) fn next_data(&self, from: u64, to: u64) -> Option<u64> {
        if from >= to {
            return None;
        }
        self.pages
            .range(from / PAGE_ENTRIES..)
            .flat_map(|(number, page)| (number * PAGE_ENTRIES..).zip(page.hashes.iter()))
            .find(|(index, hash)| *index >= from && **hash != ZEROS)
            .map(|(index, _)| index)
            .filter(|index| *index < to)
    }

    /// The module has zeros from this chunk on.
    pub(super) fn clear_from(&mut self, index: u64) {
        let kept = place_of(index);
        let mut gone = self.pages.split_off(&(index / PAGE_ENTRIES));
        if kept > 0
            && let Some(mut page) = gone.remove(&(index / PAGE_ENTRIES))
        {
            page.hashes
                .iter_mut()
                .skip(kept)
                .for_each(|hash| *hash = ZEROS);
            page.blocks.iter_mut().skip(kept).for_each(|mask| *mask = 0);
            self.pages.insert(index / PAGE_ENTRIES, page);
        }
    }

    /// The module's file was cut to (or grown to) this size.
    pub(super) fn resize(&mut self, size: u64) {
        let whole = size / CHUNK_BYTES as u64;
        let is_partial = !size.is_multiple_of(CHUNK_BYTES as u64);
        self.clear_from(whole + u64::from(is_partial));
        // What is left of the last chunk has another length, and so another hash.
        if is_partial && self.get(whole) != ZEROS {
            self.set(whole, UNKNOWN);
        }
    }
}

/// Where in its page a chunk is.
fn place_of(index: u64) -> usize {
    (index % PAGE_ENTRIES) as usize
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

/// The blocks of a chunk that are not all zeros.
pub(super) fn blocks(chunk: &[u8]) -> BlockMask {
    chunk
        .chunks(BLOCK_BYTES)
        .take(BlockMask::BITS as usize)
        .enumerate()
        .filter(|(_, block)| !is_zero(block))
        .fold(0, |mask, (place, _)| mask | 1 << place)
}

/// The blocks that the first `length` bytes of a chunk lie in.
pub(super) fn blocks_within(length: usize) -> BlockMask {
    let count = length.div_ceil(BLOCK_BYTES) as u32;
    match BlockMask::MAX.checked_shl(count) {
        Some(rest) => !rest,
        None => BlockMask::MAX,
    }
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
    fn blocks_without_data_are_told() {
        let mut chunk = vec![0; CHUNK_BYTES - 1];
        assert_eq!(blocks(&chunk), 0);
        chunk[BLOCK_BYTES] = 1;
        *chunk.last_mut().unwrap() = 1;
        assert_eq!(blocks(&chunk), 1 << 1 | 1 << 15);
        assert_eq!(blocks_within(0), 0);
        assert_eq!(blocks_within(BLOCK_BYTES + 1), 0b11);
        assert_eq!(blocks_within(CHUNK_BYTES - 1), BlockMask::MAX);
        assert_eq!(blocks_within(CHUNK_BYTES), BlockMask::MAX);
        let mut table = ChunkTable::default();
        table.set_entry(9, hash(&chunk), blocks(&chunk));
        assert_eq!(table.entry(9).1, 1 << 1 | 1 << 15);
        table.resize(9 * CHUNK_BYTES as u64 + 1);
        assert_eq!(table.entry(9), (UNKNOWN, BlockMask::MAX));
        table.set(9, ZEROS);
        assert_eq!(table.entry(9), (ZEROS, 0));
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
        assert_eq!((table.get(1), table.next_data(2, 9)), (101, None));
        table.resize(9 * CHUNK_BYTES as u64 + 1);
        assert_eq!((table.get(1), table.get(9)), (101, ZEROS));
    }

    #[test]
    fn holes_of_terabytes_take_no_memory_and_no_time() {
        let far = 1 << 40;
        let mut table = ChunkTable::default();
        table.set(far, ZEROS);
        assert!(table.pages.is_empty());
        for index in [3, 255, 256, far] {
            table.set(index, 7 + index);
        }
        assert_eq!(table.pages.len(), 3);
        let mut found = Vec::new();
        let mut next = 0;
        while let Some(index) = table.next_data(next, far) {
            found.push(index);
            next = index + 1;
        }
        assert_eq!(found, [3, 255, 256]);
        assert_eq!(table.next_data(257, far + 1), Some(far));
        table.clear_from(256);
        assert_eq!((table.get(255), table.get(256)), (262, ZEROS));
        assert_eq!(table.next_data(256, u64::MAX), None);
        table.clear_from(4);
        assert_eq!((table.get(3), table.get(255)), (10, ZEROS));
    }
}
