//! Written files that outgrow memory: the page cache's part, with holders that are this process's own files.

use super::*;
use crate::attributes::Identity;
use crate::page_cache::{Holders, Outgrown, reopen};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

const MIB: usize = 1 << 20;

fn mounted(budget: usize, spool: Vec<PathBuf>) -> Mounted {
    let cache = PageCacheOptions {
        budget_bytes: Some(budget as u64),
        spool_directories: spool,
    };
    let mounted = mount_cached(Behaviour::default(), InstanceOptions::default(), cache);
    mounted.cache.begin_in_memory();
    mounted
}

fn create(mounted: &Mounted, name: &str) -> File {
    let flags = libc::O_RDWR | libc::O_CREAT;
    let opened =
        mounted
            .root
            .create_and_open(name.as_bytes(), flags, 0o644, name.as_bytes(), &owner());
    match opened.unwrap().1 {
        Opened::File(file) => File::from(file.descriptor),
        other => panic!("{other:?}"),
    }
}

fn is_in_memory(file: &File) -> bool {
    let link = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).unwrap();
    link.to_string_lossy().starts_with("/memfd:")
}

fn outgrown(mounted: &Mounted) -> Outgrown {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let found = mounted.cache.wait_for_growth(Duration::from_millis(20));
        if let [file] = found.as_slice() {
            return *file;
        }
        assert!(Instant::now() < until && found.is_empty(), "{found:?}");
    }
}

/// Moves the file. A test that forks meanwhile has it open for a moment, so it is tried again.
fn move_away(mounted: &Mounted, file: File) -> File {
    let mut holders = Files(vec![file]);
    loop {
        let what = outgrown(mounted);
        assert_eq!(what.identity, Identity::of(&holders.0[0]).unwrap());
        match mounted.cache.move_to_spool(&what, &mut holders) {
            Ok(_) => return holders.0.pop().unwrap(),
            Err(error) => assert_eq!(error, Errno::BUSY),
        }
        mounted.cache.postpone_move(&what);
    }
}

/// Files that stand for descriptors of other processes.
struct Files(Vec<File>);

impl Holders for Files {
    fn replace(
        &mut self,
        old: (Identity, &OwnedFd),
        new: (Identity, &OwnedFd),
    ) -> Result<(), Errno> {
        for file in &mut self.0 {
            assert_eq!(Identity::of(&*file).unwrap(), old.0);
            let mut other = File::from(reopen(new.1.as_fd(), libc::O_RDWR)?);
            let position = file.stream_position().unwrap();
            other.seek(SeekFrom::Start(position)).unwrap();
            *file = other;
        }
        Ok(())
    }
}

fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at / 7 % 251) as u8).collect()
}

#[test]
fn a_file_that_grows_leaves_memory_and_nobody_notices() {
    let mounted = mounted(16 * MIB, Vec::new());
    let mut file = create(&mounted, "file");
    assert!(is_in_memory(&file));
    let all = bytes(5 * MIB);
    file.write_all(&all[..3 * MIB]).unwrap();
    outgrown(&mounted);
    assert!(mounted.cache.used_bytes() >= 3 * MIB as u64);
    let mut file = move_away(&mounted, file);
    assert!(!is_in_memory(&file));
    assert_eq!(mounted.cache.used_bytes(), 0);
    assert_eq!(mounted.cache.write_back_all(), []);
    assert!(mounted.cache.has_written_files(), "it still has a writer");
    file.write_all(&all[3 * MIB..]).unwrap();
    let attributes = mounted.find("file").unwrap().attributes().unwrap();
    assert_eq!(
        attributes.size,
        5 * MIB as u64,
        "the view looks at the new one"
    );
    let mut read = Vec::new();
    file.rewind().unwrap();
    file.read_to_end(&mut read).unwrap();
    assert!(read == all);
    drop(file);
    assert_eq!(mounted.cache.write_back_all(), []);
    let number = mounted.shared.number("file").unwrap();
    assert!(mounted.shared.contents(number) == all);
    assert!(!mounted.cache.has_written_files(), "its end was heard of");
}

#[test]
fn zeros_that_were_written_stay_data() {
    let mounted = mounted(16 * MIB, Vec::new());
    let mut file = create(&mounted, "file");
    file.write_all(&bytes(MIB)).unwrap();
    file.seek(SeekFrom::Start(4 * MIB as u64)).unwrap();
    file.write_all(&vec![0; 2 * MIB]).unwrap();
    let parts = |file: &File| {
        let hole = rustix::fs::seek(file, rustix::fs::SeekFrom::Hole(0)).unwrap();
        let data = rustix::fs::seek(file, rustix::fs::SeekFrom::Data(hole)).unwrap();
        let end = rustix::fs::seek(file, rustix::fs::SeekFrom::Hole(data)).unwrap();
        [hole, data, end].map(|place| place as usize / MIB)
    };
    assert_eq!(parts(&file), [1, 4, 6]);
    let file = move_away(&mounted, file);
    assert_eq!(parts(&file), [1, 4, 6]);
}

#[test]
fn a_file_that_somebody_unknown_has_open_stays() {
    let mounted = mounted(16 * MIB, Vec::new());
    let mut file = create(&mounted, "file");
    let all = bytes(4 * MIB);
    file.write_all(&all[..3 * MIB]).unwrap();
    let unknown = File::open(format!("/proc/self/fd/{}", file.as_raw_fd())).unwrap();
    let what = outgrown(&mounted);
    let mut holders = Files(vec![file]);
    let moved = mounted.cache.move_to_spool(&what, &mut holders);
    assert_eq!(moved.err(), Some(Errno::BUSY));
    mounted.cache.postpone_move(&what);
    let mut file = holders.0.pop().unwrap();
    assert!(is_in_memory(&file));
    file.write_all(&all[3 * MIB..]).unwrap();
    let mut seen = Vec::new();
    (&unknown).read_to_end(&mut seen).unwrap();
    assert!(seen == all, "still the same file");
    drop(unknown);
    // It is tried again, later.
    drop(move_away(&mounted, file));
    assert_eq!(mounted.cache.write_back_all(), []);
    let number = mounted.shared.number("file").unwrap();
    assert!(mounted.shared.contents(number) == all);
}

#[test]
fn without_a_spool_it_stays() {
    let mounted = mounted(16 * MIB, vec![PathBuf::from("/nonexistent")]);
    let mut file = create(&mounted, "file");
    file.write_all(&bytes(3 * MIB)).unwrap();
    let what = outgrown(&mounted);
    let mut holders = Files(vec![file]);
    assert!(mounted.cache.move_to_spool(&what, &mut holders).is_err());
    assert!(is_in_memory(&holders.0[0]));
}

#[test]
fn many_files_leave_memory_when_they_are_too_much_together() {
    let mounted = mounted(16 * MIB, Vec::new());
    let mut files: Vec<File> = (0..6)
        .map(|number| create(&mounted, &format!("file-{number}")))
        .collect();
    for file in &mut files {
        file.write_all(&bytes(3 * MIB / 2)).unwrap();
    }
    let until = Instant::now() + Duration::from_secs(20);
    let found = loop {
        let found = mounted.cache.wait_for_growth(Duration::from_millis(20));
        if !found.is_empty() {
            break found;
        }
        assert!(Instant::now() < until);
    };
    assert_eq!(found.len(), 1, "eight of nine MiB may stay");
    // Nobody else begins in memory meanwhile.
    assert!(!is_in_memory(&create(&mounted, "another")));
}

#[test]
fn with_little_memory_files_begin_on_disk() {
    let mounted = mounted(MIB, Vec::new());
    assert!(!is_in_memory(&create(&mounted, "file")));
}
