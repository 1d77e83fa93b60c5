//! A source that fails after some writes.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};

use fuse_compat::{BlockSource, MemorySource};

/// An image in memory whose writes can be made to fail.
pub struct Failing {
    image: MemorySource,
    left: AtomicI64,
    errno: i32,
}

impl Failing {
    pub fn new(image: &Path, errno: i32) -> Self {
        Self {
            image: MemorySource::new(std::fs::read(image).unwrap()),
            left: AtomicI64::new(i64::MAX),
            errno,
        }
    }

    /// So many writes and flushes still succeed.
    pub fn fail_after(&self, count: i64) {
        self.left.store(count, Ordering::SeqCst);
    }

    pub fn contents(&self) -> Vec<u8> {
        self.image.contents()
    }

    fn count(&self) -> io::Result<()> {
        match self.left.fetch_sub(1, Ordering::SeqCst) {
            left if left > 0 => Ok(()),
            _ => Err(io::Error::from_raw_os_error(self.errno)),
        }
    }
}

impl BlockSource for Failing {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.image.read_at(offset, buf)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        if let Err(error) = self.count() {
            // As a full disk does, up to a sector somewhere inside.
            let part = data.len() / 1024 * 512;
            self.image.write_at(offset, &data[..part])?;
            return Err(error);
        }
        self.image.write_at(offset, data)
    }

    fn flush(&self) -> io::Result<()> {
        self.count()
    }

    fn size_bytes(&self) -> io::Result<u64> {
        self.image.size_bytes()
    }
}
