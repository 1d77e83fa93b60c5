//! Write-backs that meet changes of the backing file: programs write, cut and lengthen it while it is read.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::io::pwrite;

use super::data::{BUFFER_BYTES, read_full};
use super::*;

/// A module's file in memory, and what happens during its next write.
#[derive(Default)]
struct Sink {
    bytes: Mutex<Vec<u8>>,
    cut: Mutex<Option<(OwnedFd, u64)>>,
    was_cut: AtomicBool,
}

impl ContentSink for Sink {
    fn write(&self, offset: u64, bytes: &[u8]) -> Result<(), Errno> {
        if let Some((file, size)) = self.cut.lock().unwrap().take() {
            ftruncate(file, size)?;
            self.was_cut.store(true, Ordering::Release);
        }
        let mut held = self.bytes.lock().unwrap();
        let (start, end) = (offset as usize, offset as usize + bytes.len());
        if held.len() < end {
            held.resize(end, 0);
        }
        held[start..end].copy_from_slice(bytes);
        Ok(())
    }

    fn set_size(&self, size: u64) -> Result<(), Errno> {
        self.bytes.lock().unwrap().resize(size as usize, 0);
        Ok(())
    }

    fn reserve(&self, _: u64, _: u64) -> Result<(), Errno> {
        Ok(())
    }

    fn allocate(&self, _: i32, _: u64, _: u64) -> Result<Attributes, Errno> {
        Err(Errno::OPNOTSUPP)
    }

    fn set_times(&self, _: Timestamp, _: Timestamp, _: bool) -> Result<(), Errno> {
        Ok(())
    }

    fn synchronize(&self, _: bool) -> Result<(), Errno> {
        Ok(())
    }

    fn has_name(&self) -> bool {
        true
    }

    fn stored_bytes(&self) -> Result<u64, Errno> {
        Ok(self.bytes.lock().unwrap().len() as u64)
    }

    fn settled(&self) -> Option<Stamp> {
        None
    }
}

fn content(file: &OwnedFd) -> Vec<u8> {
    let size = fstat(file).unwrap().st_size as usize;
    let mut bytes = vec![0; size];
    assert_eq!(read_full(file, &mut bytes, 0), Ok(size));
    bytes
}

#[test]
fn what_a_cut_took_away_during_a_write_back_does_not_come_back() {
    let whole = (BUFFER_BYTES + CHUNK_BYTES) as u64;
    // In the chunk that is read after the cut: inside a block, between blocks, nothing left, in the chunk before.
    for left in [0x5123, 0x5000, 0, -0x2345i64] {
        let cut_to = (BUFFER_BYTES as i64 + left) as u64;
        for lengthened in [whole, cut_to, cut_to + 0x1800, whole + 5] {
            let file = memfd_create("test", MemfdFlags::CLOEXEC).unwrap();
            let bytes: Vec<u8> = (0..whole).map(|index| (index % 251) as u8 + 1).collect();
            assert_eq!(pwrite(&file, &bytes, 0), Ok(bytes.len()));
            let sink = Arc::new(Sink {
                bytes: Mutex::new(bytes),
                ..Sink::default()
            });
            let key = FileKey {
                device: 1,
                inode: 1,
            };
            let copy = Arc::new(file.try_clone().unwrap());
            let written = WrittenFile::new(key, b"/f", copy, sink.clone()).unwrap();
            assert_eq!(pwrite(&file, b"changed", 0), Ok(7));
            *sink.cut.lock().unwrap() = Some((file.try_clone().unwrap(), cut_to));
            assert_eq!(written.write_back(Look::Thorough), Ok(()));
            assert!(sink.was_cut.load(Ordering::Acquire));
            ftruncate(&file, lengthened).unwrap();
            assert_eq!(written.write_back(Look::Thorough), Ok(()));
            let same = *sink.bytes.lock().unwrap() == content(&file);
            assert!(same, "cut to {cut_to:#x}, then {lengthened:#x}");
        }
    }
}
