//! The image as bytes: the only place that calls `BlockSource`.

use std::io;
use std::sync::Arc;

use fuse_compat::BlockSource;

/// An image, from the mount's offset on.
pub(crate) struct Device {
    source: Arc<dyn BlockSource>,
    offset: u64,
    size: u64,
}

impl Device {
    /// The part of `source` that starts at byte `offset`.
    ///
    /// # Errors
    /// The source can't tell its size.
    pub(crate) fn new(source: Arc<dyn BlockSource>, offset: u64) -> io::Result<Self> {
        let size = source.size_bytes()?.saturating_sub(offset);
        Ok(Self {
            source,
            offset,
            size,
        })
    }

    /// Bytes after the offset.
    pub(crate) fn size_bytes(&self) -> u64 {
        self.size
    }

    /// Fills `buf` from byte `at`.
    ///
    /// # Errors
    /// The source's own, or `UnexpectedEof` when the image ends before.
    pub(crate) fn read_exact_at(&self, buf: &mut [u8], at: u64) -> io::Result<()> {
        let end = at
            .checked_add(buf.len() as u64)
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        let place = at
            .checked_add(self.offset)
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        if end > self.size {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.source.read_at(place, buf)
    }

    /// Writes `data` at byte `at`.
    ///
    /// # Errors
    /// The source's own, or ENOSPC beyond the image's end.
    pub(crate) fn write_all_at(&self, data: &[u8], at: u64) -> io::Result<()> {
        let out = || io::Error::from_raw_os_error(libc::ENOSPC);
        let end = at.checked_add(data.len() as u64).ok_or_else(out)?;
        let place = at.checked_add(self.offset).ok_or_else(out)?;
        if end > self.size {
            return Err(out());
        }
        self.source.write_at(place, data)
    }

    /// Makes earlier writes durable.
    ///
    /// # Errors
    /// The source's own.
    pub(crate) fn flush(&self) -> io::Result<()> {
        self.source.flush()
    }
}
