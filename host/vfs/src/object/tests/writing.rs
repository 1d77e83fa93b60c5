//! Writing through the page cache: what the module gets, when, and who hears of errors.

use super::*;
use crate::page_cache::Descriptor;
use crate::permission::Caller;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::time::{Duration, Instant, SystemTime};

const RDWR: i32 = libc::O_RDWR;

fn open_as(mounted: &Mounted, path: &str, flags: i32, caller: &Caller) -> Result<File, Errno> {
    let view_path = format!("/mnt/{path}");
    match mounted
        .find(path)?
        .open(flags, view_path.as_bytes(), caller)?
    {
        Opened::File(file) => Ok(File::from(file.descriptor)),
        other => panic!("{other:?}"),
    }
}

fn open(mounted: &Mounted, path: &str, flags: i32) -> File {
    open_as(mounted, path, flags, &owner()).unwrap()
}

fn create(mounted: &Mounted, name: &str) -> File {
    let flags = RDWR | libc::O_CREAT | libc::O_TRUNC;
    let path = format!("/mnt/{name}");
    let opened =
        mounted
            .root
            .create_and_open(name.as_bytes(), flags, 0o644, path.as_bytes(), &owner());
    match opened.unwrap().1 {
        Opened::File(file) => File::from(file.descriptor),
        other => panic!("{other:?}"),
    }
}

/// Waits until the module has it.
fn wait_for(what: &str, is_so: impl Fn() -> bool) {
    let until = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < until, "{what} did not come");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until nothing is open for writing or waits to be written.
fn wait_until_clean(mounted: &Mounted) {
    wait_for("the end of writing", || !mounted.cache.has_written_files());
}

/// Waits until the module has its files back: the thread that wrote one back lets go of it last.
fn wait_until_released(mounted: &Mounted) {
    wait_for("the last release", || {
        mounted.shared.open_handles.load(Ordering::Relaxed) == 0
    });
}

fn reporter(number: i32) -> Descriptor {
    Descriptor { process: 1, number }
}

fn fsync(mounted: &Mounted, path: &str, file: &File, who: i32) -> Result<bool, Errno> {
    let identity = crate::attributes::Identity::of(file).unwrap();
    let dentry = mounted.find(path).unwrap();
    dentry.synchronize_open(identity, &reporter(who), false)
}

fn pattern(length: usize, seed: u32) -> Vec<u8> {
    (0..length as u32)
        .map(|n| (n.wrapping_add(seed).wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect()
}

fn size(mounted: &Mounted, path: &str) -> u64 {
    mounted.find(path).unwrap().attributes().unwrap().size
}

#[test]
fn what_was_written_reaches_the_module_when_the_file_is_closed() {
    let mounted = mount();
    let mut file = create(&mounted, "new");
    let bytes = pattern(300_000, 1);
    file.write_all(&bytes).unwrap();
    let number = mounted.shared.number("new").unwrap();
    assert_eq!(mounted.shared.attr(number).size, 0, "native until then");
    assert_eq!(size(&mounted, "new"), 300_000, "but the view knows");
    let mut read = Vec::new();
    let mut reader = open(&mounted, "new", libc::O_RDONLY);
    reader.read_to_end(&mut read).unwrap();
    assert!(read == bytes, "and whoever opens it reads it");
    drop((file, reader));
    wait_until_clean(&mounted);
    assert!(mounted.shared.contents(number) == bytes);
    wait_until_released(&mounted);
    // It is cached: nothing is read from the module.
    let reads = mounted.shared.reads.load(Ordering::Relaxed);
    read.clear();
    open(&mounted, "new", libc::O_RDONLY)
        .read_to_end(&mut read)
        .unwrap();
    assert!(read == bytes);
    assert_eq!(mounted.shared.reads.load(Ordering::Relaxed), reads);
}

#[test]
fn a_file_that_replaces_another_has_its_contents_by_then() {
    let mounted = mount();
    mounted.file("old", b"old");
    let bytes = pattern(70_000, 9);
    let mut file = create(&mounted, "new");
    file.write_all(&bytes).unwrap();
    let number = mounted.shared.number("new").unwrap();
    assert_eq!(mounted.shared.attr(number).size, 0);
    let root = &mounted.root;
    root.rename(b"new", false, root, b"old", false, 0, &owner())
        .unwrap();
    assert_eq!(mounted.shared.number("old"), Some(number));
    assert!(mounted.shared.contents(number) == bytes);
}

#[test]
fn only_what_changed_is_written_and_nothing_is_read_again() {
    let mounted = mount();
    let mut bytes = pattern(8 << 20, 2);
    let number = mounted.file("file", &bytes);
    let file = open(&mounted, "file", RDWR);
    let reads = mounted.shared.reads.load(Ordering::Relaxed);
    assert_eq!(reads, 8, "1 MiB at a time, once");
    file.write_all_at(b"changed", 5_000_000).unwrap();
    bytes[5_000_000..5_000_007].copy_from_slice(b"changed");
    fsync(&mounted, "file", &file, 1).unwrap();
    assert!(mounted.shared.contents(number) == bytes);
    assert_eq!(mounted.shared.bytes_written.load(Ordering::Relaxed), 4096);
    assert_eq!(mounted.shared.fsyncs.load(Ordering::Relaxed), 1);
    // Nothing changed: nothing is written, but the module is asked to make it durable.
    fsync(&mounted, "file", &file, 1).unwrap();
    drop(file);
    wait_until_clean(&mounted);
    assert_eq!(mounted.shared.bytes_written.load(Ordering::Relaxed), 4096);
    assert_eq!(mounted.shared.fsyncs.load(Ordering::Relaxed), 2);
    assert_eq!(mounted.shared.reads.load(Ordering::Relaxed), reads);
}

#[test]
fn opening_for_writing_alone_changes_nothing() {
    let mounted = mount();
    let number = mounted.file("file", b"contents");
    let before = mounted.shared.attr(number);
    drop(open(&mounted, "file", libc::O_WRONLY));
    drop(open(&mounted, "file", RDWR | libc::O_APPEND));
    wait_until_clean(&mounted);
    assert_eq!(mounted.shared.attr(number).mtime, before.mtime);
    assert_eq!(mounted.shared.writes.load(Ordering::Relaxed), 0);
    let attributes = mounted.find("file").unwrap().attributes().unwrap();
    assert_eq!(SystemTime::from(attributes.modified), before.mtime);
}

#[test]
fn appends_of_several_descriptors_do_not_overwrite_each_other() {
    let mounted = mount();
    let number = mounted.file("log", b"start\n");
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let mut file = open(&mounted, "log", libc::O_WRONLY | libc::O_APPEND);
            scope.spawn(move || {
                for line in 0..200 {
                    file.write_all(format!("{writer} {line}\n").as_bytes())
                        .unwrap();
                }
            });
        }
    });
    wait_until_clean(&mounted);
    let text = String::from_utf8(mounted.shared.contents(number)).unwrap();
    assert!(text.starts_with("start\n"));
    let mut lines: Vec<&str> = text.lines().skip(1).collect();
    lines.sort_unstable();
    lines.dedup();
    assert_eq!(lines.len(), 800);
}

#[test]
fn files_that_are_opened_while_they_are_written_back_lose_nothing() {
    let behaviour = Behaviour {
        ttl: Duration::ZERO,
        ..Behaviour::default()
    };
    let mounted = mount_with(behaviour, InstanceOptions::default());
    let number = mounted.file("log", b"");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut last = 0;
                for _ in 0..150 {
                    let mut file = open(&mounted, "log", libc::O_WRONLY | libc::O_APPEND);
                    file.write_all(b"line\n").unwrap();
                    drop(file);
                    let now = size(&mounted, "log");
                    assert!(now >= last + 5, "{now} after {last}");
                    last = now;
                }
            });
        }
    });
    wait_until_clean(&mounted);
    assert_eq!(mounted.shared.contents(number).len(), 4 * 150 * 5);
}

#[test]
fn a_shared_mapping_is_written_back_when_it_goes() {
    let Ok(version) = std::process::Command::new("python3").arg("-V").output() else {
        eprintln!("no python3: a mapping is not tested");
        return;
    };
    assert!(version.status.success());
    let mounted = mount();
    let number = mounted.file("file", &[b'a'; 200_000]);
    // The descriptor is closed long before the mapping goes.
    let script = "import mmap,os,sys\n\
        m=mmap.mmap(0,0)\n\
        os.close(0)\n\
        print('mapped',flush=True)\n\
        sys.stdin=None\n\
        import time; time.sleep(0.3)\n\
        m[150000:150006]=b'mapped'\n\
        m.close()\n";
    let file = open(&mounted, "file", RDWR);
    let before = mounted.shared.attr(number).mtime;
    let mut child = std::process::Command::new("python3")
        .args(["-c", script])
        .stdin(file)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = [0; 6];
    child
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut line)
        .unwrap();
    assert!(mounted.cache.has_written_files(), "mapped is open");
    assert!(child.wait().unwrap().success());
    wait_until_clean(&mounted);
    let contents = mounted.shared.contents(number);
    assert_eq!(&contents[149_999..150_007], b"amappeda");
    assert_eq!(contents.len(), 200_000);
    assert!(mounted.shared.attr(number).mtime > before);
    assert_eq!(mounted.shared.bytes_written.load(Ordering::Relaxed), 4096);
}

#[test]
fn truncation_reaches_open_files_at_once_and_the_module_too() {
    let mounted = mount();
    let bytes = pattern(200_000, 3);
    let number = mounted.file("file", &bytes);
    let reader = open(&mounted, "file", libc::O_RDONLY);
    let writer = open(&mounted, "file", RDWR);
    writer.write_all_at(b"dirty", 10).unwrap();
    let change = |size: u64| {
        let dentry = mounted.find("file").unwrap();
        let change = AttributeChange::Size(size);
        dentry.set_attributes(&change, &owner()).unwrap();
    };
    change(70_000);
    assert_eq!(mounted.shared.attr(number).size, 70_000);
    assert_eq!(writer.metadata().unwrap().len(), 70_000);
    // ftruncate(2) is native: the module hears of it later.
    writer.set_len(66_000).unwrap();
    writer.set_len(150_000).unwrap();
    assert_eq!(size(&mounted, "file"), 150_000);
    change(140_000);
    assert_eq!(reader.metadata().unwrap().len(), 140_000);
    drop(reader);
    drop(writer);
    wait_until_clean(&mounted);
    let mut expected = bytes[..66_000].to_vec();
    expected[10..15].copy_from_slice(b"dirty");
    expected.resize(140_000, 0);
    assert!(mounted.shared.contents(number) == expected);
    drop(open(&mounted, "file", libc::O_WRONLY | libc::O_TRUNC));
    wait_until_clean(&mounted);
    assert_eq!(mounted.shared.contents(number), b"");
}

#[test]
fn readers_and_writers_have_one_file() {
    let mounted = mount();
    mounted.file("file", b"before");
    let reader = open(&mounted, "file", libc::O_RDONLY);
    let writer = open(&mounted, "file", libc::O_WRONLY);
    writer.write_all_at(b"after!", 0).unwrap();
    let mut bytes = [0; 6];
    reader.read_exact_at(&mut bytes, 0).unwrap();
    assert_eq!(&bytes, b"after!");
    let dentry = mounted.find("file").unwrap();
    let change = AttributeChange::Size(3);
    dentry.set_attributes(&change, &owner()).unwrap();
    assert_eq!(reader.metadata().unwrap().len(), 3);
}

#[test]
fn holes_are_not_written_and_what_became_a_hole_is() {
    let mounted = mount();
    let mut file = create(&mounted, "sparse");
    file.seek(SeekFrom::Start(50 << 20)).unwrap();
    file.write_all(b"end").unwrap();
    fsync(&mounted, "sparse", &file, 1).unwrap();
    let number = mounted.shared.number("sparse").unwrap();
    assert_eq!(mounted.shared.attr(number).size, (50 << 20) + 3);
    assert_eq!(mounted.shared.bytes_written.load(Ordering::Relaxed), 3);
    file.write_all_at(&[7; 100_000], 65536).unwrap();
    fsync(&mounted, "sparse", &file, 1).unwrap();
    rustix::fs::fallocate(
        &file,
        rustix::fs::FallocateFlags::PUNCH_HOLE | rustix::fs::FallocateFlags::KEEP_SIZE,
        65536,
        1 << 20,
    )
    .unwrap();
    drop(file);
    wait_until_clean(&mounted);
    let contents = mounted.shared.contents(number);
    assert!(contents[..50 << 20].iter().all(|byte| *byte == 0));
    assert_eq!(&contents[50 << 20..], b"end");
}

#[test]
fn each_descriptor_hears_of_an_error_once_and_nothing_is_lost() {
    let mounted = mount();
    let number = mounted.file("file", b"old");
    let one = open(&mounted, "file", RDWR);
    let other = open(&mounted, "file", RDWR);
    one.write_all_at(b"new", 0).unwrap();
    mounted
        .shared
        .write_error
        .store(libc::EIO, Ordering::Relaxed);
    assert_eq!(fsync(&mounted, "file", &one, 1), Err(Errno::IO));
    assert_eq!(mounted.instance.synchronize(), Err(Errno::IO));
    mounted.shared.write_error.store(0, Ordering::Relaxed);
    assert_eq!(fsync(&mounted, "file", &other, 2), Err(Errno::IO));
    assert_eq!(fsync(&mounted, "file", &other, 2), Ok(true));
    assert_eq!(fsync(&mounted, "file", &one, 1), Ok(true));
    assert_eq!(mounted.shared.contents(number), b"new");
    // A descriptor that comes after all is well again hears nothing.
    let third = open(&mounted, "file", RDWR);
    assert_eq!(fsync(&mounted, "file", &third, 3), Ok(true));
    // The module's own trouble is told in the same way.
    mounted
        .shared
        .fsync_error
        .store(libc::ENOSPC, Ordering::Relaxed);
    assert_eq!(fsync(&mounted, "file", &one, 1), Err(Errno::NOSPC));
    mounted.shared.fsync_error.store(0, Ordering::Relaxed);
    assert_eq!(fsync(&mounted, "file", &other, 2), Err(Errno::NOSPC));
    assert_eq!(fsync(&mounted, "file", &one, 1), Ok(true));
}

#[test]
fn what_is_written_with_o_dsync_is_made_durable_without_being_asked_for() {
    let mounted = mount();
    let number = mounted.file("file", &pattern(700_000, 5));
    for (round, flags) in [libc::O_DSYNC, libc::O_SYNC, libc::O_DSYNC]
        .into_iter()
        .enumerate()
    {
        let file = open(&mounted, "file", libc::O_WRONLY | flags);
        for part in 0..10u8 {
            let before = mounted.shared.fsyncs.load(Ordering::Relaxed);
            let news = [round as u8, part, 7];
            file.write_all_at(&news, 600_000).unwrap();
            // The clock writes back as well, but asks nobody to make it durable.
            wait_for("the flush", || {
                mounted.shared.fsyncs.load(Ordering::Relaxed) > before
                    && mounted.shared.contents(number)[600_000..600_003] == news
            });
        }
    }
}

#[test]
fn a_full_filesystem_is_told_by_fsync_and_by_the_unmount() {
    let mounted = mount();
    mounted.shared.capacity.store(100_000, Ordering::Relaxed);
    let mut file = create(&mounted, "file");
    file.write_all(&pattern(150_000, 4)).unwrap();
    assert_eq!(fsync(&mounted, "file", &file, 1), Err(Errno::NOSPC));
    drop(file);
    let failed = mounted.instance.write_back();
    assert_eq!(failed.len(), 1);
    assert_eq!(
        (failed[0].path.as_slice(), failed[0].error),
        (b"/mnt/file".as_slice(), Errno::NOSPC)
    );
    // What is not written stays, and goes as soon as there is room.
    assert_eq!(size(&mounted, "file"), 150_000);
    mounted.shared.capacity.store(0, Ordering::Relaxed);
    assert_eq!(mounted.instance.write_back(), []);
    assert!(!mounted.cache.has_written_files());
    let number = mounted.shared.number("file").unwrap();
    assert!(mounted.shared.contents(number) == pattern(150_000, 4));
}

#[test]
fn the_clock_notices_that_there_is_no_room() {
    let mounted = mount();
    mounted.shared.capacity.store(100_000, Ordering::Relaxed);
    let mut file = create(&mounted, "file");
    file.write_all(&pattern(50_000, 4)).unwrap();
    let start = Instant::now();
    file.write_all(&pattern(2_000_000, 4)).unwrap();
    mounted.shared.capacity.store(1_100_000, Ordering::Relaxed);
    // Space is asked for a moment after the write, long before the data would be written back.
    let number = mounted.shared.number("file").unwrap();
    wait_for("the first data", || mounted.shared.attr(number).size > 0);
    assert!(start.elapsed() < Duration::from_secs(4));
    assert_eq!(fsync(&mounted, "file", &file, 1), Err(Errno::NOSPC));
}

#[test]
fn a_removed_file_is_not_written_and_goes_with_its_last_user() {
    let mounted = mount();
    let number = mounted.file("file", b"old");
    let mut file = open(&mounted, "file", RDWR);
    let dentry = mounted.find("file").unwrap();
    file.write_all(b"new contents").unwrap();
    mounted.root.remove_file(b"file", false, &owner()).unwrap();
    let identity = crate::attributes::Identity::of(&file).unwrap();
    assert_eq!(
        dentry.synchronize_open(identity, &reporter(1), false),
        Ok(true)
    );
    assert_eq!(dentry.attributes().unwrap().size, 12);
    let mut bytes = Vec::new();
    file.rewind().unwrap();
    file.read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes, b"new contents");
    drop(file);
    wait_until_clean(&mounted);
    wait_for("the end of the contents", || {
        mounted.cache.descriptors() == 0
    });
    drop(dentry);
    assert_eq!(mounted.shared.writes.load(Ordering::Relaxed), 0);
    assert_eq!(mounted.shared.contents(number), b"old");
    wait_until_released(&mounted);
}

#[test]
fn renames_and_links_keep_what_was_written() {
    let mounted = mount();
    let number = mounted.file("a", b"old");
    let replaced = mounted.file("victim", b"victim");
    let dentry = mounted.find("a").unwrap();
    mounted
        .root
        .create_link(b"second", &dentry, false, &owner())
        .unwrap();
    let file = open(&mounted, "a", RDWR);
    file.write_all_at(b"new", 0).unwrap();
    let other = open(&mounted, "second", RDWR);
    other.write_all_at(b"er", 3).unwrap();
    let victim = open(&mounted, "victim", RDWR);
    victim.write_all_at(b"lost", 0).unwrap();
    mounted
        .root
        .rename(b"a", false, &mounted.root, b"victim", false, 0, &owner())
        .unwrap();
    mounted
        .root
        .remove_file(b"second", false, &owner())
        .unwrap();
    drop((file, other, victim));
    wait_until_clean(&mounted);
    assert_eq!(mounted.shared.contents(number), b"newer");
    assert_eq!(mounted.shared.contents(replaced), b"victim");
    assert_eq!(size(&mounted, "victim"), 5);
}

#[test]
fn times_that_are_set_survive_the_write_back() {
    let mounted = mount();
    let number = mounted.file("file", b"old");
    let mut file = open(&mounted, "file", RDWR);
    file.write_all(b"new contents").unwrap();
    let time = crate::attributes::Timestamp {
        seconds: 1_000_000,
        nanoseconds: 42,
    };
    let change = AttributeChange::Times {
        accessed: TimeChange::Omit,
        modified: TimeChange::At(time),
    };
    let dentry = mounted.find("file").unwrap();
    dentry.set_attributes(&change, &owner()).unwrap();
    assert_eq!(dentry.attributes().unwrap().modified, time);
    drop(file);
    wait_until_clean(&mounted);
    assert_eq!(mounted.shared.contents(number), b"new contents");
    assert_eq!(mounted.shared.attr(number).mtime, SystemTime::from(time));
    assert_eq!(dentry.attributes().unwrap().modified, time);
}

#[test]
fn detaching_lets_open_files_go_on() {
    let mounted = mount();
    let number = mounted.file("file", b"old");
    let file = open(&mounted, "file", RDWR);
    file.write_all_at(b"one", 0).unwrap();
    assert_eq!(mounted.instance.write_back(), []);
    assert_eq!(mounted.shared.contents(number), b"one");
    let Mounted {
        root,
        instance,
        shared,
        cache,
    } = mounted;
    instance.detach();
    drop((root, instance));
    assert!(!shared.is_destroyed.load(Ordering::Relaxed));
    file.write_all_at(b"two", 0).unwrap();
    drop(file);
    wait_for("the end of the module", || {
        shared.is_destroyed.load(Ordering::Relaxed)
    });
    assert_eq!(shared.contents(number), b"two");
    assert_eq!(cache.descriptors(), 0);
}

#[test]
fn a_running_program_cannot_be_written() {
    let mounted = mount();
    let program = std::fs::read("/bin/sleep").unwrap();
    mounted
        .shared
        .make("sleep", FileType::RegularFile, 0o755, &program);
    let file = open(&mounted, "sleep", libc::O_RDONLY);
    rustix::io::fcntl_setfd(&file, rustix::io::FdFlags::empty()).unwrap();
    let mut child = std::process::Command::new(format!("/proc/self/fd/{}", file.as_raw_fd()))
        .arg("1000")
        .spawn()
        .unwrap();
    let refused = open_as(&mounted, "sleep", libc::O_WRONLY, &owner());
    assert_eq!(refused.err(), Some(Errno::TXTBSY));
    let dentry = mounted.find("sleep").unwrap();
    let cut = dentry.set_attributes(&AttributeChange::Size(1), &owner());
    assert_eq!(cut, Err(Errno::TXTBSY));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(open_as(&mounted, "sleep", libc::O_WRONLY, &owner()).is_ok());
}

#[test]
fn much_more_than_the_budget_can_be_written() {
    let cache = PageCacheOptions {
        budget_bytes: Some(4 << 20),
        spool_directories: Vec::new(),
    };
    let mounted = mount_cached(Behaviour::default(), InstanceOptions::default(), cache);
    let mut large = create(&mounted, "large");
    let part = pattern(1 << 20, 5);
    for _ in 0..32 {
        large.write_all(&part).unwrap();
        assert!(mounted.cache.used_bytes() <= 4 << 20);
    }
    drop(large);
    for number in 0..40 {
        create(&mounted, &format!("small-{number}"))
            .write_all(&part[..200_000])
            .unwrap();
        assert!(mounted.cache.used_bytes() <= 4 << 20);
    }
    wait_until_clean(&mounted);
    let number = mounted.shared.number("large").unwrap();
    assert!(
        mounted
            .shared
            .contents(number)
            .chunks(1 << 20)
            .all(|chunk| chunk == part)
    );
    mounted.cache.shrink();
    assert_eq!(mounted.cache.descriptors(), 0);
}

#[test]
fn a_program_that_was_just_written_can_be_run() {
    let mounted = mount();
    let mut file = create(&mounted, "true");
    file.write_all(&std::fs::read("/bin/true").unwrap())
        .unwrap();
    let dentry = mounted.find("true").unwrap();
    dentry
        .set_attributes(&AttributeChange::Mode(0o755), &owner())
        .unwrap();
    drop(file);
    let file = open(&mounted, "true", libc::O_RDONLY);
    rustix::io::fcntl_setfd(&file, rustix::io::FdFlags::empty()).unwrap();
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    assert!(std::process::Command::new(path).status().unwrap().success());
    assert_ne!(file.metadata().unwrap().mode() & 0o100, 0);
}

#[test]
fn backing_files_are_told_of_before_they_go() {
    let mounted = mount();
    let gone: Arc<parking_lot::Mutex<Vec<_>>> = Arc::default();
    let told = Arc::clone(&gone);
    mounted
        .cache
        .on_release(Box::new(move |identity| told.lock().push(identity)));
    let file = create(&mounted, "file");
    let identity = crate::attributes::Identity::of(&file).unwrap();
    drop(file);
    wait_until_clean(&mounted);
    assert!(gone.lock().is_empty());
    // The thread that found it clean may still hold it.
    wait_for("the end of the file", || {
        mounted.cache.shrink();
        !gone.lock().is_empty()
    });
    assert_eq!(*gone.lock(), [identity]);
}

#[test]
fn a_small_change_keeps_the_holes_around_it() {
    let mounted = mount();
    let number = mounted.file("file", b"");
    let file = open(&mounted, "file", RDWR);
    file.write_all_at(b"data", 8192).unwrap();
    assert_eq!(fsync(&mounted, "file", &file, 1), Ok(true));
    let before = mounted.shared.bytes_written.load(Ordering::Relaxed);
    file.write_all_at(b"DATA", 8192).unwrap();
    file.write_all_at(b"more", 40_000).unwrap();
    assert_eq!(fsync(&mounted, "file", &file, 1), Ok(true));
    let bytes = mounted.shared.bytes_written.load(Ordering::Relaxed) - before;
    // Two blocks of the chunk, the second up to the end of the file.
    assert_eq!(bytes, 4096 + (40_004 - 36_864));
    let contents = mounted.shared.contents(number);
    assert_eq!(contents.len(), 40_004);
    assert_eq!(
        (&contents[8192..8196], &contents[40_000..]),
        (&b"DATA"[..], &b"more"[..])
    );
    // Zeros over data are data.
    file.write_all_at(&[0; 4], 8192).unwrap();
    assert_eq!(fsync(&mounted, "file", &file, 1), Ok(true));
    assert!(
        mounted.shared.contents(number)[..40_000]
            .iter()
            .all(|byte| *byte == 0)
    );
}
