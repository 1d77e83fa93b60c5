//! Bytes and pointer arrays laid out for the tracee, before the address is known.

/// Every piece starts at a multiple of this.
const ALIGNMENT: usize = 8;

/// A block of memory to be: pieces at offsets, and words that shall hold addresses inside the block.
#[derive(Debug, Default, Clone)]
pub(super) struct Image {
    bytes: Vec<u8>,
    /// Offsets of words that hold an offset now and an address later.
    pointers: Vec<usize>,
}

impl Image {
    /// Appends bytes; gives their offset.
    pub(super) fn add(&mut self, bytes: &[u8]) -> u64 {
        self.bytes
            .resize(self.bytes.len().next_multiple_of(ALIGNMENT), 0);
        let offset = self.bytes.len() as u64;
        self.bytes.extend_from_slice(bytes);
        offset
    }

    /// Appends a string and its NUL; gives its offset.
    pub(super) fn add_string(&mut self, text: &[u8]) -> u64 {
        let offset = self.add(text);
        self.bytes.push(0);
        offset
    }

    /// Appends a null-terminated array: addresses of pieces of this image, then ready addresses. Gives its offset.
    pub(super) fn add_vector(&mut self, pieces: &[u64], addresses: &[u64]) -> u64 {
        let offset = self.add(&[]);
        for piece in pieces {
            self.pointers.push(self.bytes.len());
            self.bytes.extend_from_slice(&piece.to_le_bytes());
        }
        for address in addresses.iter().chain([&0]) {
            self.bytes.extend_from_slice(&address.to_le_bytes());
        }
        offset
    }

    /// Size in bytes.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The bytes as they must stand at address `base`.
    pub(super) fn at(&self, base: u64) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        for &place in &self.pointers {
            if let Some(word) = bytes
                .get_mut(place..)
                .and_then(|tail| tail.first_chunk_mut::<8>())
            {
                *word = u64::from_le_bytes(*word).wrapping_add(base).to_le_bytes();
            }
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_follow_the_base() {
        let mut image = Image::default();
        let first = image.add_string(b"interpreter");
        let second = image.add_string(b"script");
        let vector = image.add_vector(&[first, second], &[0x7fff_0000]);
        assert_eq!((first, second, vector), (0, 16, 24));
        let bytes = image.at(0x1000);
        let words: Vec<u64> = bytes[24..]
            .chunks(8)
            .map(|word| u64::from_le_bytes(word.try_into().unwrap()))
            .collect();
        assert_eq!(words, [0x1000, 0x1010, 0x7fff_0000, 0]);
        assert_eq!(&bytes[..12], b"interpreter\0");
        assert_eq!(image.len(), bytes.len());
    }
}
