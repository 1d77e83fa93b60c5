//! The checksums of ext4 and of its journal.
//!
//! All are "raw": the caller gives the running value (usually starting from all ones) and nothing is
//! inverted at the end, which is how the file system stores them.

#[allow(clippy::indexing_slicing, reason = "evaluated when it is compiled")]
const fn reflected(polynomial: u32) -> [[u32; 256]; 8] {
    let mut tables = [[0u32; 256]; 8];
    let mut byte = 0usize;
    while byte < 256 {
        let mut value = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 {
                (value >> 1) ^ polynomial
            } else {
                value >> 1
            };
            bit += 1;
        }
        tables[0][byte] = value;
        byte += 1;
    }
    let mut slice = 1;
    while slice < 8 {
        let mut byte = 0usize;
        while byte < 256 {
            let before = tables[slice - 1][byte];
            tables[slice][byte] = (before >> 8) ^ tables[0][(before & 0xff) as usize];
            byte += 1;
        }
        slice += 1;
    }
    tables
}

#[allow(clippy::indexing_slicing, reason = "evaluated when it is compiled")]
const fn reflected16(polynomial: u16) -> [u16; 256] {
    let mut table = [0u16; 256];
    let mut byte = 0usize;
    while byte < 256 {
        let mut value = byte as u16;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 {
                (value >> 1) ^ polynomial
            } else {
                value >> 1
            };
            bit += 1;
        }
        table[byte] = value;
        byte += 1;
    }
    table
}

#[allow(clippy::indexing_slicing, reason = "evaluated when it is compiled")]
const fn straight(polynomial: u32) -> [u32; 256] {
    let mut table = [0u32; 256];
    let mut byte = 0usize;
    while byte < 256 {
        let mut value = (byte as u32) << 24;
        let mut bit = 0;
        while bit < 8 {
            value = if value >> 31 == 1 {
                (value << 1) ^ polynomial
            } else {
                value << 1
            };
            bit += 1;
        }
        table[byte] = value;
        byte += 1;
    }
    table
}

/// What a running sum becomes by `LANE_BYTES` zeros, by each of its bytes: the sum is linear, so the four add up.
#[allow(clippy::indexing_slicing, reason = "evaluated when it is compiled")]
const fn behind_a_lane(table: &[u32; 256]) -> [[u32; 256]; 4] {
    let mut bits = [0u32; 32];
    let mut bit = 0;
    while bit < 32 {
        let mut value = 1u32 << bit;
        let mut byte = 0;
        while byte < LANE_BYTES {
            value = (value >> 8) ^ table[(value & 0xff) as usize];
            byte += 1;
        }
        bits[bit] = value;
        bit += 1;
    }
    let mut tables = [[0u32; 256]; 4];
    let mut place = 0;
    while place < 4 {
        let mut byte = 0usize;
        while byte < 256 {
            let mut bit = 0;
            while bit < 8 {
                if byte >> bit & 1 == 1 {
                    tables[place][byte] ^= bits[place * 8 + bit];
                }
                bit += 1;
            }
            byte += 1;
        }
        place += 1;
    }
    tables
}

/// By the highest byte of an entry of a table its index: no two have the same.
#[allow(clippy::indexing_slicing, reason = "evaluated when it is compiled")]
const fn by_highest_byte(table: &[u32; 256]) -> [u8; 256] {
    let mut indices = [0u8; 256];
    let mut byte = 0usize;
    while byte < 256 {
        indices[(table[byte] >> 24) as usize] = byte as u8;
        byte += 1;
    }
    indices
}

/// Bytes of one of three parts that are summed side by side: one sum alone waits for each look into a table before it can
/// begin the next. Three parts, four times over, are nearly a directory's block of 4 KiB.
const LANE_BYTES: usize = 336;

static CRC32C: [[u32; 256]; 8] = reflected(0x82f6_3b78);
static BEHIND_A_LANE: [[u32; 256]; 4] = behind_a_lane(&reflected(0x82f6_3b78)[0]);
static BY_HIGHEST_BYTE: [u8; 256] = by_highest_byte(&reflected(0x82f6_3b78)[0]);
static CRC16: [u16; 256] = reflected16(0xa001);
static CRC32_BE: [u32; 256] = straight(0x04c1_1db7);

/// An entry of a 256-entry table: the index is a byte, so it is always there.
fn pick<T: Copy>(table: &[T; 256], index: u8) -> T {
    #[allow(clippy::indexing_slicing, reason = "a u8 can't exceed a table of 256")]
    table[usize::from(index)]
}

/// The running CRC-32C behind one more word.
#[inline(always)]
fn behind_word(crc: u32, word: [u8; 8]) -> u32 {
    let [t0, t1, t2, t3, t4, t5, t6, t7] = &CRC32C;
    let [a, b, c, d, e, f, g, h] = word;
    let [p, q, r, s] = (crc ^ u32::from_le_bytes([a, b, c, d])).to_le_bytes();
    pick(t7, p)
        ^ pick(t6, q)
        ^ pick(t5, r)
        ^ pick(t4, s)
        ^ pick(t3, e)
        ^ pick(t2, f)
        ^ pick(t1, g)
        ^ pick(t0, h)
}

/// The running CRC-32C behind [`LANE_BYTES`] zeros.
fn behind_lane(crc: u32) -> u32 {
    let [t0, t1, t2, t3] = &BEHIND_A_LANE;
    let [a, b, c, d] = crc.to_le_bytes();
    pick(t0, a) ^ pick(t1, b) ^ pick(t2, c) ^ pick(t3, d)
}

/// CRC-32C (Castagnoli), eight bytes at a time, and three of these where there is enough.
pub(crate) fn crc32c(mut crc: u32, bytes: &[u8]) -> u32 {
    const LANE_WORDS: usize = LANE_BYTES / 8;
    let [t0, ..] = &CRC32C;
    let (words, rest) = bytes.as_chunks::<8>();
    let mut groups = words.chunks_exact(3 * LANE_WORDS);
    for group in &mut groups {
        let (first, others) = group.split_at(LANE_WORDS);
        let (second, third) = others.split_at(LANE_WORDS);
        let (mut two, mut three) = (0, 0);
        for ((a, b), c) in first.iter().zip(second).zip(third) {
            crc = behind_word(crc, *a);
            two = behind_word(two, *b);
            three = behind_word(three, *c);
        }
        crc = behind_lane(behind_lane(crc) ^ two) ^ three;
    }
    for word in groups.remainder() {
        crc = behind_word(crc, *word);
    }
    for byte in rest {
        crc = (crc >> 8) ^ pick(t0, (crc as u8) ^ byte);
    }
    crc
}

/// What the running CRC-32C was before `bytes`, when it is `crc` after them.
pub(crate) fn crc32c_before(mut crc: u32, bytes: &[u8]) -> u32 {
    let [table, ..] = &CRC32C;
    for byte in bytes.iter().rev() {
        let index = pick(&BY_HIGHEST_BYTE, (crc >> 24) as u8);
        crc = (crc ^ pick(table, index)) << 8 | u32::from(index ^ byte);
    }
    crc
}

/// CRC-16 (ANSI), used by the `gdt_csum` feature.
pub(crate) fn crc16(mut crc: u16, bytes: &[u8]) -> u16 {
    for byte in bytes {
        crc = (crc >> 8) ^ pick(&CRC16, (crc as u8) ^ byte);
    }
    crc
}

/// Big-endian CRC-32 (IEEE polynomial), used by version 1 of the journal's checksums.
pub(crate) fn crc32_be(mut crc: u32, bytes: &[u8]) -> u32 {
    for byte in bytes {
        crc = (crc << 8) ^ pick(&CRC32_BE, ((crc >> 24) as u8) ^ byte);
    }
    crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_values_of_the_catalogue() {
        let text = b"123456789";
        assert_eq!(!crc32c(!0, text), 0xe306_9283);
        assert_eq!(crc16(0, text), 0xbb3d);
        assert_eq!(!crc32_be(!0, text), 0xfc89_1918);
    }

    #[test]
    fn crc32c_can_be_taken_back() {
        let bytes: Vec<u8> = (3..250u8).collect();
        for start in [0, !0, 0x1234_5678] {
            assert_eq!(crc32c_before(crc32c(start, &bytes), &bytes), start);
        }
    }

    #[test]
    fn lanes_give_what_single_bytes_give() {
        let bytes: Vec<u8> = (0..4100u32).map(|n| ((n * n) >> 5) as u8).collect();
        for length in [1007, 1008, 1009, 2015, 2016, 4084, 4100] {
            let mut one_by_one = 0x1234_5678;
            for byte in &bytes[..length] {
                one_by_one = crc32c(one_by_one, std::slice::from_ref(byte));
            }
            assert_eq!(crc32c(0x1234_5678, &bytes[..length]), one_by_one);
        }
    }

    #[test]
    fn split_input_gives_the_same_sum() {
        let bytes: Vec<u8> = (0..100u8).collect();
        let whole = crc32c(!0, &bytes);
        for cut in 0..bytes.len() {
            let (left, right) = bytes.split_at(cut);
            assert_eq!(crc32c(crc32c(!0, left), right), whole);
        }
    }
}
