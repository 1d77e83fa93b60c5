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

static CRC32C: [[u32; 256]; 8] = reflected(0x82f6_3b78);
static CRC16: [u16; 256] = reflected16(0xa001);
static CRC32_BE: [u32; 256] = straight(0x04c1_1db7);

/// An entry of a 256-entry table: the index is a byte, so it is always there.
fn pick<T: Copy>(table: &[T; 256], index: u8) -> T {
    #[allow(clippy::indexing_slicing, reason = "a u8 can't exceed a table of 256")]
    table[usize::from(index)]
}

/// CRC-32C (Castagnoli), eight bytes at a time.
pub(crate) fn crc32c(mut crc: u32, bytes: &[u8]) -> u32 {
    let [t0, t1, t2, t3, t4, t5, t6, t7] = &CRC32C;
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        let [a, b, c, d, e, f, g, h] = *word;
        let [p, q, r, s] = (crc ^ u32::from_le_bytes([a, b, c, d])).to_le_bytes();
        crc = pick(t7, p)
            ^ pick(t6, q)
            ^ pick(t5, r)
            ^ pick(t4, s)
            ^ pick(t3, e)
            ^ pick(t2, f)
            ^ pick(t1, g)
            ^ pick(t0, h);
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
        // No two entries of the table have the same highest byte.
        let high = crc >> 24;
        let index = (0..=255u8)
            .find(|index| pick(table, *index) >> 24 == high)
            .unwrap_or(0);
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
    fn split_input_gives_the_same_sum() {
        let bytes: Vec<u8> = (0..100u8).collect();
        let whole = crc32c(!0, &bytes);
        for cut in 0..bytes.len() {
            let (left, right) = bytes.split_at(cut);
            assert_eq!(crc32c(crc32c(!0, left), right), whole);
        }
    }
}
