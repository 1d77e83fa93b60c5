//! Write-backs that meet changes of the backing file: programs write, cut and lengthen it while it is read.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use rustix::fs::{FallocateFlags, MemfdFlags, fallocate, ftruncate, memfd_create};
use rustix::io::pwrite;

use super::data::{BUFFER_BYTES, read_full};
use super::*;
use crate::page_cache::Stamp;

/// A module's file in memory, and what happens during its next write.
#[derive(Default)]
struct Sink {
    bytes: Mutex<Vec<u8>>,
    cut: Mutex<Option<(OwnedFd, u64)>>,
    was_cut: AtomicBool,
    /// What the next write meets.
    error: Mutex<Option<Errno>>,
}

impl ContentSink for Sink {
    fn write(&self, offset: u64, bytes: &[u8]) -> Result<(), Errno> {
        if let Some((file, size)) = self.cut.lock().unwrap().take() {
            ftruncate(file, size)?;
            self.was_cut.store(true, Ordering::Release);
        }
        if let Some(error) = self.error.lock().unwrap().take() {
            return Err(error);
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

    fn times(&self) -> Result<ChangeTimes, Errno> {
        Err(Errno::NOENT)
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
            let bytes = (0..whole).map(|index| (index % 251) as u8 + 1).collect();
            let (file, sink, written) = both(bytes);
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

/// A file of `bytes` and a sink that has them as well.
fn both(bytes: Vec<u8>) -> (OwnedFd, Arc<Sink>, WrittenFile) {
    let file = memfd_create("test", MemfdFlags::CLOEXEC).unwrap();
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
    written.opened(libc::O_RDWR);
    (file, sink, written)
}

#[test]
fn a_file_that_is_synchronized_often_is_looked_at_and_nothing_is_missed() {
    let bytes = (0..3_000_001u32)
        .map(|index| (index % 251) as u8)
        .collect::<Vec<u8>>();
    let (file, sink, written) = both(bytes);
    let mut seed = 1u64;
    let mut random = move |most: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 33) % most
    };
    let mut was_mapped = 0;
    for round in 0..600 {
        let size = fstat(&file).unwrap().st_size as u64;
        let (offset, length) = (random(size), random(20_000) + 1);
        match random(12) {
            0 => ftruncate(&file, random(4_000_000)).unwrap(),
            1 => ftruncate(&file, size + random(100_000)).unwrap(),
            2 => {
                let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
                fallocate(&file, punch, offset, length).unwrap();
            }
            3 => {
                let nothing = vec![0; length as usize];
                pwrite(&file, &nothing, offset).unwrap();
            }
            4 => {}
            _ => {
                let news = vec![round as u8; length as usize];
                pwrite(&file, &news, offset).unwrap();
            }
        }
        assert_eq!(written.write_back(Look::Quick), Ok(()));
        was_mapped += u32::from(written.state().mapped.is_some());
        let same = *sink.bytes.lock().unwrap() == content(&file);
        assert!(same, "round {round}");
    }
    assert!(was_mapped > 400, "{was_mapped}");
}

#[test]
fn a_file_that_is_cut_while_it_is_looked_at_is_read_instead() {
    let (file, sink, written) = both(vec![7; 2 << 20]);
    for round in 0..8u8 {
        assert_eq!(written.write_back(Look::Quick), Ok(()));
        assert_eq!(pwrite(&file, &[round], 0), Ok(1));
    }
    assert!(written.state().mapped.is_some());
    // While the first byte is written the rest goes.
    *sink.cut.lock().unwrap() = Some((file.try_clone().unwrap(), 5000));
    assert_eq!(written.write_back(Look::Quick), Ok(()));
    assert!(sink.was_cut.load(Ordering::Acquire));
    assert!(written.state().mapped.is_none(), "it is damaged");
    ftruncate(&file, 3 << 20).unwrap();
    assert_eq!(written.write_back(Look::Quick), Ok(()));
    assert!(*sink.bytes.lock().unwrap() == content(&file));
}

#[test]
fn a_failed_write_is_made_again_also_where_the_file_is_mapped() {
    let (file, sink, written) = both(vec![7; (1 << 20) + 5]);
    for round in 0..8u8 {
        assert_eq!(pwrite(&file, &[round], 1 << 20), Ok(1));
        assert_eq!(pwrite(&file, &[round], 300), Ok(1));
        *sink.error.lock().unwrap() = Some(Errno::IO);
        assert_eq!(written.write_back(Look::Quick), Err(Errno::IO));
        assert_eq!(written.write_back(Look::Quick), Ok(()));
        assert!(*sink.bytes.lock().unwrap() == content(&file));
    }
}

#[test]
fn a_file_that_others_cut_and_write_all_the_time_arrives() {
    let (file, sink, written) = both(vec![7; 4 << 20]);
    let is_over = AtomicBool::new(false);
    let mut was_damaged = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0u64.. {
                if is_over.load(Ordering::Acquire) {
                    break;
                }
                ftruncate(&file, round * 7_654_321 % (4 << 20)).unwrap();
                let place = round * 1_234_567 % (4 << 20);
                pwrite(&file, &[round as u8; 60_000], place).unwrap();
                ftruncate(&file, 4 << 20).unwrap();
            }
        });
        for _ in 0..400 {
            let before = written.state().mapped.is_some();
            assert_eq!(written.write_back(Look::Quick), Ok(()));
            was_damaged += u32::from(before && written.state().mapped.is_none());
        }
        is_over.store(true, Ordering::Release);
    });
    println!("cut while it was looked at: {was_damaged} times");
    assert_eq!(written.write_back(Look::Thorough), Ok(()));
    assert!(*sink.bytes.lock().unwrap() == content(&file));
}

#[test]
fn of_a_range_only_that_is_looked_at() {
    for syncs in [0, 8] {
        let (file, sink, written) = both(vec![7; (1 << 20) + 100]);
        for _ in 0..syncs {
            assert_eq!(written.write_back(Look::Quick), Ok(()));
        }
        assert_eq!(written.state().mapped.is_some(), syncs > 0);
        let at = |place: usize| sink.bytes.lock().unwrap()[place];
        for (place, value) in [(5000, 1), (10_000, 2), (1 << 20, 3)] {
            assert_eq!(pwrite(&file, &[value], place), Ok(1));
        }
        assert_eq!(written.write_back_range(8191, 8191), Ok(()));
        assert_eq!(written.write_back_range(9000, 9001), Ok(()));
        assert_eq!((at(5000), at(10_000), at(1 << 20)), (7, 2, 7));
        assert_eq!(written.write_back_range(4097, 4098), Ok(()));
        assert_eq!((at(5000), at(10_000), at(1 << 20)), (1, 2, 7));
        // Not beyond what the module has, and behind a cut neither.
        assert_eq!(pwrite(&file, &[4; 9000], 2 << 20), Ok(9000));
        assert_eq!(written.write_back_range(0, u64::MAX), Ok(()));
        assert_eq!(
            (at(1 << 20), sink.bytes.lock().unwrap().len()),
            (3, (1 << 20) + 100)
        );
        ftruncate(&file, 300_000).unwrap();
        assert_eq!(written.write_back_range(200_000, 900_000), Ok(()));
        ftruncate(&file, 2 << 20).unwrap();
        assert_eq!(written.write_back_range(0, 500_000), Ok(()));
        assert_eq!((at(299_999), at(300_000), at(400_000)), (7, 0, 0));
        *sink.error.lock().unwrap() = Some(Errno::IO);
        assert_eq!(pwrite(&file, &[9], 0), Ok(1));
        assert_eq!(written.write_back_range(0, 1), Err(Errno::IO));
        assert_eq!(written.write_back(Look::Quick), Ok(()));
        assert!(*sink.bytes.lock().unwrap() == content(&file));
    }
}

#[test]
fn who_still_has_a_clean_file_does_not_keep_that_of_the_module() {
    let (_file, sink, written) = both(vec![7; 5000]);
    let who = Descriptor {
        process: 1,
        number: 3,
    };
    assert_eq!(written.synchronize(&who, false), Some(Ok(())));
    written.release();
    assert_eq!(Arc::strong_count(&sink), 1);
    // What is asked of it too late is asked of the module again, or there is nothing to do.
    assert_eq!(written.synchronize(&who, false), None);
    assert_eq!(written.write_back(Look::Thorough), Ok(()));
    // A write that was to be durable at once may still have to be made so.
    let (_file, sink, written) = both(vec![7; 5000]);
    written.opened(libc::O_RDWR | libc::O_DSYNC);
    written.release();
    assert_eq!(Arc::strong_count(&sink), 2);
    assert_eq!(written.make_durable(), Ok(()));
}
