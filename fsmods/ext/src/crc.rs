//! The checksums of ext4 and of its journal.
//!
//! All are "raw": the caller gives the running value (usually starting from all ones) and nothing is
//! inverted at the end, which is how the file system stores them.

#[allow(clippy::indexing_slicing, reason = "evaluated when it is compiled")]
const fn reflected(polynomial: u32) -> [u32; 256] {
    let mut table = [0u32; 256];
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
        table[byte] = value;
        byte += 1;
    }
    table
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

static CRC32C: [u32; 256] = reflected(0x82f6_3b78);
static BY_HIGHEST_BYTE: [u8; 256] = by_highest_byte(&reflected(0x82f6_3b78));
static CRC16: [u16; 256] = reflected16(0xa001);
static CRC32_BE: [u32; 256] = straight(0x04c1_1db7);

/// An entry of a 256-entry table: the index is a byte, so it is always there.
fn pick<T: Copy>(table: &[T; 256], index: u8) -> T {
    #[allow(clippy::indexing_slicing, reason = "a u8 can't exceed a table of 256")]
    table[usize::from(index)]
}

/// CRC-32C (Castagnoli).
pub(crate) fn crc32c(crc: u32, bytes: &[u8]) -> u32 {
    !crc32c::crc32c_append(!crc, bytes)
}

/// What the running CRC-32C was before `bytes`, when it is `crc` after them.
pub(crate) fn crc32c_before(mut crc: u32, bytes: &[u8]) -> u32 {
    for byte in bytes.iter().rev() {
        let index = pick(&BY_HIGHEST_BYTE, (crc >> 24) as u8);
        crc = (crc ^ pick(&CRC32C, index)) << 8 | u32::from(index ^ byte);
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
    fn long_input_gives_what_single_bytes_give() {
        let bytes: Vec<u8> = (0..4100u32).map(|n| ((n * n) >> 5) as u8).collect();
        for length in [255, 767, 768, 769, 1007, 1008, 1009, 2015, 2016, 4084, 4100] {
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
