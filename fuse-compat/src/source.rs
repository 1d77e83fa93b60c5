//! [`BlockSource`]: the bytes of a disk image, wherever they come from.
//!
//! A module that reads an image takes `Arc<dyn BlockSource>`; the host passes a host file, or a file on another
//! mount of the view, so images can sit on any other filesystem.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, PoisonError};

/// A fixed-size array of bytes that can be read and written at any place. No shared position: threads may use it
/// at the same time.
pub trait BlockSource: Send + Sync {
    /// Fills `buf` with the bytes at `offset`.
    ///
    /// # Errors
    /// `UnexpectedEof` when the range does not lie inside the source; otherwise those of the medium.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()>;

    /// Writes all of `data` at `offset`.
    ///
    /// # Errors
    /// `EROFS` when the source is read-only, `ENOSPC` when the range does not lie inside it.
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()>;

    /// Makes earlier writes durable (fdatasync(2)).
    ///
    /// # Errors
    /// Those of the medium.
    fn flush(&self) -> io::Result<()>;

    /// Size in bytes.
    ///
    /// # Errors
    /// Those of the medium.
    fn size_bytes(&self) -> io::Result<u64>;

    /// True when [`BlockSource::write_at`] always fails.
    fn is_read_only(&self) -> bool {
        false
    }
}

/// Does `len` bytes at `offset` lie inside `size_bytes`?
fn is_inside(offset: u64, len: usize, size_bytes: u64) -> bool {
    u64::try_from(len)
        .ok()
        .and_then(|len| offset.checked_add(len))
        .is_some_and(|end| end <= size_bytes)
}

/// A regular file or block device of the host. Whether it can be written depends on how it was opened.
impl BlockSource for File {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        FileExt::read_exact_at(self, buf, offset)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        if self.is_read_only() {
            return Err(io::Error::from_raw_os_error(libc::EROFS));
        }
        if !is_inside(offset, data.len(), self.size_bytes()?) {
            return Err(io::Error::from_raw_os_error(libc::ENOSPC));
        }
        FileExt::write_all_at(self, data, offset)
    }

    fn flush(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn size_bytes(&self) -> io::Result<u64> {
        let metadata = self.metadata()?;
        if metadata.is_file() {
            return Ok(metadata.len());
        }
        Ok(rustix::fs::seek(self, rustix::fs::SeekFrom::End(0))?)
    }

    fn is_read_only(&self) -> bool {
        match rustix::fs::fcntl_getfl(self) {
            Ok(flags) => (flags & rustix::fs::OFlags::RWMODE) == rustix::fs::OFlags::RDONLY,
            Err(_) => true,
        }
    }
}

/// A source in memory, for tests and small images.
#[derive(Debug, Default)]
pub struct MemorySource(Mutex<Vec<u8>>);

impl MemorySource {
    /// A source with these contents.
    pub fn new(contents: Vec<u8>) -> MemorySource {
        MemorySource(Mutex::new(contents))
    }

    /// A copy of the contents.
    pub fn contents(&self) -> Vec<u8> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl BlockSource for MemorySource {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let contents = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let range = usize::try_from(offset)
            .ok()
            .and_then(|start| Some(start..start.checked_add(buf.len())?))
            .and_then(|range| contents.get(range));
        match range {
            Some(bytes) => {
                buf.copy_from_slice(bytes);
                Ok(())
            }
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut contents = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let range = usize::try_from(offset)
            .ok()
            .and_then(|start| Some(start..start.checked_add(data.len())?))
            .and_then(|range| contents.get_mut(range));
        match range {
            Some(bytes) => {
                bytes.copy_from_slice(data);
                Ok(())
            }
            None => Err(io::Error::from_raw_os_error(libc::ENOSPC)),
        }
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }

    fn size_bytes(&self) -> io::Result<u64> {
        let contents = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(contents.len() as u64)
    }
}

macro_rules! forward_block_source {
    ($($pointer:ident)*) => {
        $(impl<T: BlockSource + ?Sized> BlockSource for $pointer<T> {
            fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
                (**self).read_at(offset, buf)
            }

            fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
                (**self).write_at(offset, data)
            }

            fn flush(&self) -> io::Result<()> {
                (**self).flush()
            }

            fn size_bytes(&self) -> io::Result<u64> {
                (**self).size_bytes()
            }

            fn is_read_only(&self) -> bool {
                (**self).is_read_only()
            }
        })*
    };
}

forward_block_source! { Arc Box }

#[cfg(test)]
mod tests {
    use super::*;

    fn check(source: &dyn BlockSource) {
        let mut buf = [0u8; 3];
        source.write_at(5, b"abc").unwrap();
        source.read_at(5, &mut buf).unwrap();
        assert_eq!(&buf, b"abc");
        assert_eq!(source.size_bytes().unwrap(), 8);
        assert_eq!(
            source.read_at(6, &mut buf).unwrap_err().kind(),
            io::ErrorKind::UnexpectedEof
        );
        assert_eq!(
            source.write_at(6, b"abc").unwrap_err().raw_os_error(),
            Some(libc::ENOSPC)
        );
        assert!(source.read_at(u64::MAX, &mut buf).is_err());
        assert!(source.write_at(u64::MAX, b"abc").is_err());
        source.flush().unwrap();
        assert!(!source.is_read_only());
    }

    #[test]
    fn memory_and_file_sources_agree() {
        check(&MemorySource::new(vec![0; 8]));
        let memory_file =
            rustix::fs::memfd_create("source", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        let file = File::from(memory_file);
        file.set_len(8).unwrap();
        check(&file);
        check(&Arc::new(MemorySource::new(vec![0; 8])));
    }

    #[test]
    fn file_opened_for_reading_is_read_only() {
        let file = File::open("/proc/self/exe").unwrap();
        assert!(file.is_read_only());
        assert_eq!(
            BlockSource::write_at(&file, 0, b"x")
                .unwrap_err()
                .raw_os_error(),
            Some(libc::EROFS)
        );
    }
}
