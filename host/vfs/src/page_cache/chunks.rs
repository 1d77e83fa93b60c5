//! What of a file the module has, chunk by chunk: a 64-bit hash of each 4 KiB, kept since the last write-back.
//!
//! No kernel interface tells an unprivileged process which pages of another process's file changed (a write(2) moves
//! the time of the file but not where, a store through a mapping not even that; cachestat(2) tells dirty pages of a
//! disk's file, but the kernel cleans them by itself at any time). So a write-back looks at the backing file at the
//! speed of memory and hands on only the chunks whose hash differs. One gigabyte of data has 2 MiB of hashes.
//!
//! The hash is that of `view_sys::digest`, and a multiply-shift hash (Dietzfelbinger) that folds its 128 bits and the length to
//! 64. Two contents that differ have the same with a probability of less than 2^-62, whatever they are: the keys are
//! chosen at random per process. No locks.

use std::collections::BTreeMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::ops::Range;
use std::sync::OnceLock;

use view_sys::digest::{self, PAGE_BYTES, Page, digest, digest_bytes};

/// Bytes of a chunk.
pub(super) const CHUNK_BYTES: usize = PAGE_BYTES;
/// The hash of a chunk of zeros, whatever its length: that of a hole, and of what the module never had.
pub(super) const ZEROS: u64 = 0;
/// Differs from every hash: the chunk has to be written.
pub(super) const UNKNOWN: u64 = 1;

/// Entries of a page of the table; it stands for 1 MiB of the file.
const PAGE_ENTRIES: u64 = 256;

type Entries = [u64; PAGE_ENTRIES as usize];

/// The hashes of a file's chunks. Takes memory only where there is data: files may be sparse, and terabytes long.
#[derive(Debug, Default)]
pub(super) struct ChunkTable {
    pages: BTreeMap<u64, Box<Entries>>,
}

impl ChunkTable {
    /// The hash of a chunk; beyond the end there are zeros.
    pub(super) fn get(&self, index: u64) -> u64 {
        self.pages
            .get(&(index / PAGE_ENTRIES))
            .and_then(|page| page.get(place_of(index)).copied())
            .unwrap_or(ZEROS)
    }

    /// Records that the module has this chunk.
    pub(super) fn set(&mut self, index: u64, hash: u64) {
        let number = index / PAGE_ENTRIES;
        let page = match hash {
            ZEROS => self.pages.get_mut(&number),
            _ => Some(self.pages.entry(number).or_insert_with(empty_page)),
        };
        if let Some(kept) = page.and_then(|page| page.get_mut(place_of(index))) {
            *kept = hash;
        }
    }

    /// The first of these chunks whose hash is what the module has (or is not, when `is_like` is false). A hash that is not
    /// told is not.
    pub(super) fn find(
        &self,
        chunks: Range<u64>,
        is_like: bool,
        mut hash: impl FnMut(u64) -> Option<u64>,
    ) -> Option<u64> {
        let mut next = chunks.start;
        while next < chunks.end {
            let page = self.pages.get(&(next / PAGE_ENTRIES));
            let end = chunks.end.min((next / PAGE_ENTRIES + 1) * PAGE_ENTRIES);
            let found = (next..end).find(|index| {
                let known = page.and_then(|page| page.get(place_of(*index)));
                (hash(*index) == Some(known.copied().unwrap_or(ZEROS))) == is_like
            });
            if found.is_some() {
                return found;
            }
            next = end;
        }
        None
    }

    /// The first chunk from `from` on and before `to` that is not known to be zeros.
    pub(super) fn next_data(&self, from: u64, to: u64) -> Option<u64> {
        if from >= to {
            return None;
        }
        self.pages
            .range(from / PAGE_ENTRIES..)
            .flat_map(|(number, page)| (number * PAGE_ENTRIES..).zip(page.iter()))
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
            page.iter_mut().skip(kept).for_each(|hash| *hash = ZEROS);
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

fn empty_page() -> Box<Entries> {
    Box::new([ZEROS; PAGE_ENTRIES as usize])
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
    let sum = match bytes.try_into() {
        Ok(whole) => digest_bytes(whole, &keys.words),
        Err(_) => {
            let mut part = [0; CHUNK_BYTES];
            part.iter_mut()
                .zip(bytes)
                .for_each(|(to, from)| *to = *from);
            digest_bytes(&part, &keys.words)
        }
    };
    keys.finish(sum, bytes.len())
}

/// The hash of a whole chunk that is mapped, and may change meanwhile.
pub(super) fn hash_mapped(chunk: &Page) -> u64 {
    let keys = keys();
    match keys.finish(digest(chunk, &keys.words), CHUNK_BYTES) {
        hash if hash == keys.zeros => ZEROS,
        hash => hash,
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

/// What the hash is keyed with.
struct Keys {
    words: digest::Keys,
    fold: [u128; 4],
    /// Of a chunk of zeros.
    zeros: u64,
}

impl Keys {
    fn new() -> Keys {
        let state = RandomState::new();
        let wide = |index: u64| u128::from(state.hash_one(index)) << 64;
        let mut keys = Keys {
            words: digest::Keys(std::array::from_fn(|index| state.hash_one(index))),
            fold: [1000, 1002, 1004, 1006]
                .map(|index| wide(index) | u128::from(state.hash_one(index + 1))),
            zeros: 0,
        };
        keys.zeros = keys.finish(digest_bytes(&[0; CHUNK_BYTES], &keys.words), CHUNK_BYTES);
        keys
    }

    fn finish(&self, sum: u128, length: usize) -> u64 {
        let [low, high, count, offset] = self.fold;
        let folded = low
            .wrapping_mul(sum & u128::from(u64::MAX))
            .wrapping_add(high.wrapping_mul(sum >> 64))
            .wrapping_add(count.wrapping_mul(length as u128))
            .wrapping_add(offset);
        // The two numbers below have meanings of their own.
        ((folded >> 64) as u64).max(2)
    }
}

fn keys() -> &'static Keys {
    static KEYS: OnceLock<Keys> = OnceLock::new();
    KEYS.get_or_init(Keys::new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU64;

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
    fn what_is_mapped_has_the_same_hash() {
        let bytes: Vec<u8> = (0..CHUNK_BYTES).map(|n| (n % 253) as u8).collect();
        let mapped = |bytes: &[u8]| {
            let (words, _) = bytes.as_chunks::<8>();
            Page(std::array::from_fn(|index| {
                AtomicU64::new(u64::from_le_bytes(words[index]))
            }))
        };
        assert_eq!(hash_mapped(&mapped(&bytes)), hash(&bytes));
        assert_eq!(hash_mapped(&mapped(&[0; CHUNK_BYTES])), ZEROS);
    }

    #[test]
    fn what_differs_is_found() {
        let mut table = ChunkTable::default();
        let far = 5 * PAGE_ENTRIES;
        for index in 0..300 {
            table.set(index, 100 + index);
        }
        let same = |index: u64| if index < 300 { 100 + index } else { ZEROS };
        assert_eq!(table.find(0..far, false, |index| Some(same(index))), None);
        for changed in [0, 1, 255, 256, 299, 300, 511, 512, far - 1] {
            let hash = |index| Some(same(index) + u64::from(index == changed));
            assert_eq!(table.find(0..far, false, hash), Some(changed));
            assert_eq!(table.find(0..changed, false, hash), None);
            let after = (changed + 1 < far).then_some(changed + 1);
            assert_eq!(table.find(changed..far, true, hash), after);
        }
        assert_eq!(table.find(7..7, true, |_| None), None);
        table.set(8, UNKNOWN);
        assert_eq!(table.find(7..9, true, |_| None), None);
        assert_eq!(table.find(8..9, false, |_| None), Some(8));
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
