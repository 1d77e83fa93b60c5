//! A small deterministic generator (xorshift64*), so that every machine builds the same tree.
//! Source of the constants: Vigna, "An experimental exploration of Marsaglia's xorshift generators, scrambled" (2016).

/// The generator's state; never zero.
pub struct Prng(u64);

impl Prng {
    /// A generator whose whole sequence follows from `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The next 64 bits.
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number in `0..limit`; `limit` is at least 1.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// `length` bytes that do not compress.
    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length + 8);
        while bytes.len() < length {
            bytes.extend_from_slice(&self.next().to_le_bytes());
        }
        bytes.truncate(length);
        bytes
    }

    /// `length` bytes of words and lines.
    pub fn text(&mut self, length: usize) -> Vec<u8> {
        const WORDS: [&str; 16] = [
            "block", "inode", "extent", "group", "mount", "name", "entry", "cache", "journal",
            "link", "owner", "mode", "hole", "leaf", "index", "needle",
        ];
        let mut text = Vec::with_capacity(length + 16);
        while text.len() < length {
            let draw = self.next();
            text.extend_from_slice(WORDS[(draw & 15) as usize].as_bytes());
            text.push(if draw & 0x70 == 0 { b'\n' } else { b' ' });
        }
        text.truncate(length);
        text
    }
}
