//! Opening, and the page cache behind it.

use super::*;
use rustix::fs::{OFlags, SeekFrom, fcntl_getfl, seek};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom as IoSeek};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{FileExt, MetadataExt};

fn open_flags(mounted: &Mounted, path: &str, flags: i32) -> Result<OpenedFile, Errno> {
    let view_path = format!("/mnt/{path}");
    match mounted
        .find(path)?
        .open(flags, view_path.as_bytes(), &owner())?
    {
        Opened::File(file) => Ok(file),
        other => panic!("{other:?}"),
    }
}

fn open(mounted: &Mounted, path: &str) -> Result<File, Errno> {
    open_flags(mounted, path, libc::O_RDONLY).map(|file| File::from(file.descriptor))
}

fn read_all(mut file: File) -> Vec<u8> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).unwrap();
    bytes
}

fn read_only_options() -> InstanceOptions {
    InstanceOptions {
        is_read_only: true,
        is_immutable: true,
        ..InstanceOptions::default()
    }
}

fn with_budget(bytes: u64) -> PageCacheOptions {
    PageCacheOptions {
        budget_bytes: Some(bytes),
        spool_directories: Vec::new(),
    }
}

#[test]
fn a_file_is_read_once_and_opened_often() {
    let mounted = mount();
    let contents: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8 + 1).collect();
    mounted.file("file", &contents);
    let mut first = open(&mounted, "file").unwrap();
    assert_eq!(
        mounted.shared.reads.load(Ordering::Relaxed),
        3,
        "1 MiB at a time"
    );
    let second = open(&mounted, "file").unwrap();
    assert_eq!(mounted.shared.reads.load(Ordering::Relaxed), 3);
    assert_eq!(mounted.shared.open_handles.load(Ordering::Relaxed), 0);
    // Each has its own position.
    first.seek(IoSeek::Start(2_999_999)).unwrap();
    assert_eq!(read_all(second), contents);
    let mut byte = [0; 10];
    assert_eq!(first.read(&mut byte).unwrap(), 1, "the size is exact");
    assert_eq!(first.metadata().unwrap().len(), 3_000_000);
    assert!(mounted.cache.used_bytes() >= 3_000_000);
}

#[test]
fn status_flags_belong_to_the_open() {
    let mounted = mount();
    mounted.file("file", b"data");
    let flags = libc::O_RDONLY | libc::O_NONBLOCK | libc::O_APPEND | libc::O_DIRECT;
    let one = open_flags(&mounted, "file", flags).unwrap();
    let other = open_flags(&mounted, "file", libc::O_RDONLY).unwrap();
    assert_eq!(one.identity, other.identity);
    assert!(!one.is_passthrough);
    let got = fcntl_getfl(&one.descriptor).unwrap();
    assert!(got.contains(OFlags::NONBLOCK | OFlags::APPEND));
    let got = fcntl_getfl(&other.descriptor).unwrap();
    assert!(!got.intersects(OFlags::NONBLOCK | OFlags::APPEND | OFlags::WRONLY | OFlags::RDWR));
    assert_eq!(
        rustix::io::fcntl_getfd(&one.descriptor).unwrap(),
        rustix::io::FdFlags::CLOEXEC
    );
}

#[test]
fn opening_checks_in_the_kernels_order() {
    let mounted = mount();
    mounted.file("file", b"");
    mounted.file("dir/x", b"");
    mounted
        .shared
        .make("link", FileType::Symlink, 0o777, b"file");
    mounted.shared.make("socket", FileType::Socket, 0o777, b"");
    mounted.shared.make("fifo", FileType::NamedPipe, 0o666, b"");
    let error = |path: &str, flags: i32, caller: &Caller| {
        let opened = mounted.find(path).unwrap().open(flags, b"/", caller);
        opened.err()
    };
    assert_eq!(error("link", libc::O_RDONLY, &owner()), Some(Errno::LOOP));
    let flags = libc::O_NOFOLLOW | libc::O_DIRECTORY;
    assert_eq!(error("link", flags, &owner()), Some(Errno::NOTDIR));
    assert_eq!(
        error("file", libc::O_DIRECTORY, &owner()),
        Some(Errno::NOTDIR)
    );
    assert_eq!(error("dir", libc::O_WRONLY, &owner()), Some(Errno::ISDIR));
    assert_eq!(error("dir", libc::O_TRUNC, &owner()), Some(Errno::ISDIR));
    assert_eq!(error("socket", libc::O_RDONLY, &owner()), Some(Errno::NXIO));
    assert_eq!(error("file", libc::O_WRONLY, &user(5)), Some(Errno::ACCESS));
    assert_eq!(error("file", libc::O_NOATIME, &user(5)), Some(Errno::PERM));
    let opened = mounted
        .find("fifo")
        .unwrap()
        .open(libc::O_RDWR, b"/", &owner());
    assert!(matches!(opened, Ok(Opened::Fifo)));
    let opened = mounted
        .find("dir")
        .unwrap()
        .open(libc::O_RDONLY, b"/", &owner());
    assert!(matches!(opened, Ok(Opened::Directory)));
    mounted.instance.set_read_only(true);
    assert_eq!(error("file", libc::O_WRONLY, &user(5)), Some(Errno::ROFS));
    assert_eq!(error("file", libc::O_TRUNC, &user(5)), Some(Errno::ROFS));
    assert_eq!(error("fifo", libc::O_RDWR, &owner()), None);
}

#[test]
fn creating_opens_what_is_there_and_makes_what_is_not() {
    for has_create in [true, false] {
        let behaviour = Behaviour {
            has_create,
            ..Behaviour::default()
        };
        let mounted = mount_with(behaviour, InstanceOptions::default());
        mounted.file("old", b"data");
        mounted.file("dir/x", b"");
        let root = &mounted.root;
        let create = |name: &[u8], flags: i32, caller: &Caller| {
            root.create_and_open(name, flags | libc::O_CREAT, 0o664, b"/mnt/f", caller)
                .map(|(dentry, _, created)| (dentry, created))
        };
        let (dentry, created) = create(b"new", libc::O_RDONLY, &owner()).unwrap();
        assert!(created);
        assert_eq!(dentry.attributes().unwrap().mode & 0o7777, 0o664);
        let (again, created) = create(b"new", libc::O_RDONLY, &owner()).unwrap();
        assert!(!created && Arc::ptr_eq(&dentry, &again));
        let error = |name: &[u8], flags: i32, caller: &Caller| create(name, flags, caller).err();
        assert_eq!(error(b"old", libc::O_EXCL, &owner()), Some(Errno::EXIST));
        assert_eq!(error(b"dir", libc::O_RDONLY, &owner()), Some(Errno::ISDIR));
        assert_eq!(
            error(b"none", libc::O_RDONLY, &user(5)),
            Some(Errno::ACCESS)
        );
        mounted.instance.set_read_only(true);
        assert_eq!(error(b"none", libc::O_RDONLY, &user(5)), Some(Errno::ROFS));
        assert!(create(b"old", libc::O_RDONLY, &owner()).is_ok());
        assert_eq!(mounted.shared.open_handles.load(Ordering::Relaxed), 0);
    }
}

#[test]
fn a_temporary_file_has_no_name_until_it_is_linked() {
    let mounted = mount();
    let root = &mounted.root;
    let make = |flags: i32| root.create_temporary(flags, 0o600, b"/mnt/t", &owner());
    assert_eq!(make(libc::O_RDONLY).unwrap_err(), Errno::INVAL);
    let (file, opened) = make(libc::O_RDWR).unwrap();
    let Opened::File(opened) = opened else {
        panic!("{opened:?}");
    };
    assert!(opened.is_passthrough);
    let descriptor = File::from(opened.descriptor);
    descriptor.write_all_at(b"written", 0).unwrap();
    assert!(file.is_deleted());
    assert_eq!(file.attributes().unwrap().links, 0);
    root.create_link(b"named", &file, false, &owner()).unwrap();
    assert_eq!(
        mounted.find("named").unwrap().attributes().unwrap().links,
        1
    );
    let (file, _) = make(libc::O_RDWR | libc::O_EXCL).unwrap();
    let linked = root.create_link(b"never", &file, false, &owner());
    assert_eq!(linked.unwrap_err(), Errno::NOENT);
}

#[test]
fn holes_stay_holes() {
    for has_lseek in [true, false] {
        let behaviour = Behaviour {
            has_lseek,
            ..Behaviour::default()
        };
        let mounted = mount_with(behaviour, InstanceOptions::default());
        let (size, at) = (200_000_000, 123 * 4096 * 100);
        mounted.shared.make_sparse("sparse", size, at);
        let file = open(&mounted, "sparse").unwrap();
        assert_eq!(file.metadata().unwrap().len(), size);
        assert!(file.metadata().unwrap().blocks() <= 16);
        let mut block = [0; 4096];
        file.read_exact_at(&mut block, at).unwrap();
        assert_eq!(block, [0xaa; 4096]);
        assert_eq!(seek(&file, SeekFrom::Data(0)), Ok(at));
        file.read_exact_at(&mut block, at + 4096).unwrap();
        assert_eq!(block, [0; 4096]);
        let read = mounted.shared.bytes_read.load(Ordering::Relaxed);
        assert_eq!(read, if has_lseek { 4096 } else { size });
        assert!(mounted.cache.used_bytes() < 100_000);
    }
}

#[test]
fn a_failed_read_is_reported_and_not_remembered() {
    let mounted = mount_with(Behaviour::default(), read_only_options());
    let contents = vec![7; 2_000_000];
    mounted.file("file", &contents);
    mounted.shared.fails_reads.store(true, Ordering::Relaxed);
    assert_eq!(open(&mounted, "file").unwrap_err(), Errno::UCLEAN);
    assert_eq!(
        (mounted.cache.used_bytes(), mounted.cache.descriptors()),
        (0, 0)
    );
    mounted.shared.fails_reads.store(false, Ordering::Relaxed);
    assert_eq!(read_all(open(&mounted, "file").unwrap()), contents);
    assert_eq!(mounted.shared.open_handles.load(Ordering::Relaxed), 0);
}

#[test]
fn new_contents_are_seen_by_the_next_open() {
    let behaviour = Behaviour {
        ttl: std::time::Duration::ZERO,
        ..Behaviour::default()
    };
    let mounted = mount_with(behaviour, InstanceOptions::default());
    let number = mounted.file("file", b"old");
    let dentry = mounted.find("file").unwrap();
    let before = open_flags(&mounted, "file", libc::O_RDONLY).unwrap();
    mounted.shared.set_contents(number, b"new contents");
    let after = open_flags(&mounted, "file", libc::O_RDONLY).unwrap();
    assert_ne!(before.identity, after.identity);
    assert!(dentry.is_opened_elsewhere(before.identity));
    assert!(dentry.is_opened_elsewhere(after.identity));
    assert_eq!(read_all(File::from(before.descriptor)), b"old");
    assert_eq!(read_all(File::from(after.descriptor)), b"new contents");
    assert!(!dentry.is_opened_elsewhere(before.identity));
    assert!(!dentry.is_opened_elsewhere(after.identity));
}

#[test]
fn concurrent_opens_read_the_file_once() {
    let mounted = mount_with(Behaviour::default(), read_only_options());
    let contents: Vec<u8> = (0..5_000_000u32).map(|n| (n % 250) as u8 + 1).collect();
    mounted.file("file", &contents);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert_eq!(read_all(open(&mounted, "file").unwrap()), contents));
        }
    });
    let read = mounted.shared.bytes_read.load(Ordering::Relaxed);
    assert_eq!(read, contents.len() as u64);
}

#[test]
fn unopened_files_make_room_least_recently_used_first() {
    let cache = with_budget(10 << 20);
    let mounted = mount_cached(Behaviour::default(), read_only_options(), cache);
    let contents = vec![1; 1 << 20];
    for number in 0..30 {
        mounted.file(&format!("file-{number}"), &contents);
    }
    let kept = open(&mounted, "file-0").unwrap();
    for number in 1..30 {
        drop(open(&mounted, &format!("file-{number}")).unwrap());
        assert!(mounted.cache.used_bytes() <= 10 << 20);
    }
    let reads = mounted.shared.reads.load(Ordering::Relaxed);
    drop(open(&mounted, "file-0").unwrap());
    drop(open(&mounted, "file-29").unwrap());
    assert_eq!(
        mounted.shared.reads.load(Ordering::Relaxed),
        reads,
        "open, or recent"
    );
    drop(open(&mounted, "file-1").unwrap());
    assert_eq!(mounted.shared.reads.load(Ordering::Relaxed), reads + 1);
    assert_eq!(read_all(kept), contents);
    mounted.cache.shrink();
    assert_eq!(
        (mounted.cache.used_bytes(), mounted.cache.descriptors()),
        (0, 0)
    );
}

#[test]
fn a_mapped_file_is_in_use() {
    let mounted = mount_with(Behaviour::default(), read_only_options());
    mounted.file("file", &[5; 8192]);
    let file = open(&mounted, "file").unwrap();
    // A child process has the file as its standard input, and nobody else has it open.
    let mut child = std::process::Command::new("sleep")
        .arg("1000")
        .stdin(file)
        .spawn()
        .unwrap();
    mounted.cache.shrink();
    assert_eq!(mounted.cache.descriptors(), 1);
    child.kill().unwrap();
    child.wait().unwrap();
    mounted.cache.shrink();
    assert_eq!(mounted.cache.descriptors(), 0);
}

#[test]
fn large_files_go_to_the_spool() {
    let directory = std::env::temp_dir();
    let cache = PageCacheOptions {
        budget_bytes: Some(4 << 20),
        spool_directories: vec!["/nonexistent".into(), directory.clone()],
    };
    let mounted = mount_cached(Behaviour::default(), read_only_options(), cache);
    let contents: Vec<u8> = (0..3 << 20).map(|n: u32| (n % 250) as u8 + 1).collect();
    mounted.file("large", &contents);
    mounted.file("small", &[3; 1000]);
    let large = open(&mounted, "large").unwrap();
    let spool = std::fs::metadata(&directory).unwrap().dev();
    assert_eq!(large.metadata().unwrap().dev(), spool);
    assert!(mounted.cache.used_bytes() < 4096);
    assert_eq!(read_all(large), contents);
    let small = open(&mounted, "small").unwrap();
    assert_ne!(small.metadata().unwrap().dev(), spool);
    // Without a usable spool the file is held in memory all the same.
    let cache = PageCacheOptions {
        budget_bytes: Some(4 << 20),
        spool_directories: vec!["/nonexistent".into()],
    };
    let mounted = mount_cached(Behaviour::default(), read_only_options(), cache);
    mounted.file("large", &contents);
    assert_eq!(read_all(open(&mounted, "large").unwrap()), contents);
}

#[test]
fn files_on_a_mount_can_be_run() {
    let mounted = mount_with(Behaviour::default(), read_only_options());
    let program = std::fs::read("/bin/true").unwrap();
    mounted
        .shared
        .make("true", FileType::RegularFile, 0o755, &program);
    mounted.file("data", &program);
    let run = |path: &str| {
        let file = open(&mounted, path).unwrap();
        // The child finds the file at the number that the parent has.
        rustix::io::fcntl_setfd(&file, rustix::io::FdFlags::empty()).unwrap();
        std::process::Command::new(format!("/proc/self/fd/{}", file.as_raw_fd())).status()
    };
    assert!(run("true").unwrap().success());
    let refused = run("data").unwrap_err();
    // User 0 is refused as well: no execute bit at all.
    assert_eq!(refused.raw_os_error(), Some(libc::EACCES));
}

#[test]
fn contents_of_a_read_only_filesystem_cannot_be_written_by_any_way() {
    let mounted = mount_with(Behaviour::default(), read_only_options());
    mounted.file("file", b"precious");
    let file = open(&mounted, "file").unwrap();
    let link = format!("/proc/self/fd/{}", file.as_raw_fd());
    let again = std::fs::OpenOptions::new().write(true).open(link).unwrap();
    assert!(again.write_all_at(b"x", 0).is_err());
    assert!(again.set_len(0).is_err());
    assert_eq!(read_all(open(&mounted, "file").unwrap()), b"precious");
}

#[test]
fn the_memory_file_is_named_by_the_view() {
    let mounted = mount();
    mounted.file("file", b"x");
    let file = mounted.find("file").unwrap();
    let long = format!("/mnt/{}/file", "d".repeat(300));
    let Opened::File(opened) = file
        .open(libc::O_RDONLY, long.as_bytes(), &owner())
        .unwrap()
    else {
        panic!("no file");
    };
    let name = link_of(&opened.descriptor);
    assert!(
        name.starts_with("/memfd:") && name.ends_with("ddd/file (deleted)"),
        "{name}"
    );
}

fn link_of(descriptor: &OwnedFd) -> String {
    let link = format!("/proc/self/fd/{}", descriptor.as_raw_fd());
    std::fs::read_link(link)
        .unwrap()
        .to_str()
        .unwrap()
        .to_owned()
}
