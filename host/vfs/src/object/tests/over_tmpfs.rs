//! The layer over the module that is the reference for writing: descriptors of the module, umask, permissions.

use super::*;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;

fn tmpfs() -> Arc<Dentry> {
    let filesystem = Box::new(view_tmpfs::Tmpfs::new("mode=755").unwrap());
    let options = InstanceOptions {
        kind_name: "tmpfs".to_owned(),
        negative_ttl: std::time::Duration::from_secs(3600),
        ..InstanceOptions::default()
    };
    let cache = PageCache::new(PageCacheOptions::default());
    let instance = Instance::new(filesystem, options, cache).unwrap();
    instance.root()
}

/// A user with umask 022 who owns the root.
fn me() -> Caller {
    Caller {
        umask: 0o022,
        ..Caller::new(Credentials::current())
    }
}

fn create(root: &Arc<Dentry>, name: &str, flags: i32, mode: u32) -> (Arc<Dentry>, OpenedFile) {
    let flags = flags | libc::O_CREAT;
    let (dentry, opened, _) = root
        .create_and_open(name.as_bytes(), flags, mode, b"/t/file", &me())
        .unwrap();
    match opened {
        Opened::File(file) => (dentry, file),
        other => panic!("{other:?}"),
    }
}

fn open(dentry: &Arc<Dentry>, flags: i32) -> Result<File, Errno> {
    match dentry.open(flags, b"/t/file", &me())? {
        Opened::File(file) => Ok(File::from(file.descriptor)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_written_natively_is_seen_everywhere() {
    let root = tmpfs();
    let (dentry, opened) = create(&root, "file", libc::O_RDWR, 0o666);
    assert!(opened.is_passthrough);
    assert_eq!(dentry.attributes().unwrap().mode & 0o7777, 0o644);
    let mut file = File::from(opened.descriptor);
    file.write_all(b"0123456789").unwrap();
    assert_eq!(dentry.attributes().unwrap().size, 10);
    let mut append = open(&dentry, libc::O_WRONLY | libc::O_APPEND).unwrap();
    append.write_all(b"abc").unwrap();
    let mut text = String::new();
    open(&dentry, libc::O_RDONLY)
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    assert_eq!(text, "0123456789abc");
    // Truncation by an open, seen through an older description.
    drop(open(&dentry, libc::O_WRONLY | libc::O_TRUNC).unwrap());
    assert_eq!(file.metadata().unwrap().len(), 0);
    assert_eq!(dentry.attributes().unwrap().size, 0);
    file.write_all_at(b"x", 99).unwrap();
    assert_eq!(dentry.attributes().unwrap().size, 100);
}

#[test]
fn a_file_made_read_only_is_still_writable_for_its_maker() {
    let root = tmpfs();
    let (dentry, opened) = create(&root, "file", libc::O_RDWR | libc::O_EXCL, 0o400);
    File::from(opened.descriptor).write_all(b"x").unwrap();
    let unprivileged = Caller {
        credentials: Credentials {
            is_privileged: false,
            ..Credentials::current()
        },
        ..me()
    };
    let again = dentry.open(libc::O_WRONLY, b"/t/file", &unprivileged);
    assert_eq!(again.unwrap_err(), Errno::ACCESS);
}

#[test]
fn use_is_noticed_and_its_end_too() {
    let root = tmpfs();
    let (dentry, opened) = create(&root, "file", libc::O_RDWR, 0o600);
    assert!(dentry.is_opened_elsewhere(opened.identity));
    drop(opened.descriptor);
    assert!(!dentry.is_opened_elsewhere(opened.identity));
}

#[test]
fn an_unlinked_file_lives_while_it_is_open() {
    let root = tmpfs();
    let (dentry, opened) = create(&root, "file", libc::O_RDWR, 0o600);
    let mut file = File::from(opened.descriptor);
    root.remove_file(b"file", false, &me()).unwrap();
    file.write_all(b"still here").unwrap();
    let attributes = dentry.attributes().unwrap();
    assert_eq!((attributes.links, attributes.size), (0, 10));
    assert_eq!(root.lookup(b"file").unwrap_err(), Errno::NOENT);
}

#[test]
fn programs_written_to_it_run_once_they_are_closed() {
    let root = tmpfs();
    let program = std::fs::read("/bin/true").unwrap();
    let (dentry, opened) = create(&root, "true", libc::O_WRONLY, 0o755);
    let mut writer = File::from(opened.descriptor);
    writer.write_all(&program).unwrap();
    let reader = open(&dentry, libc::O_RDONLY).unwrap();
    rustix::io::fcntl_setfd(&reader, rustix::io::FdFlags::empty()).unwrap();
    let run = || {
        let path = format!("/proc/self/fd/{}", reader.as_raw_fd());
        std::process::Command::new(path).status()
    };
    assert_eq!(run().unwrap_err().raw_os_error(), Some(libc::ETXTBSY));
    drop(writer);
    // A test in another thread may just be between fork and exec with a copy of `writer`.
    let mut result = run();
    for _ in 0..50 {
        if result.is_ok() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
        result = run();
    }
    assert!(result.unwrap().success());
}

#[test]
fn trees_are_listed_while_they_are_removed() {
    let root = tmpfs();
    for number in 0..3000 {
        let name = format!("name-{number}");
        root.create_symlink(name.as_bytes(), b"x", false, &me())
            .unwrap();
    }
    let mut removed = 0;
    let mut cookie = 0;
    loop {
        let batch = root.read_directory(cookie).unwrap();
        let (_, last) = encode_dirents64(&batch, 4096).unwrap();
        let Some(last) = last else { break };
        for entry in batch.iter() {
            if &*entry.name != b"." && &*entry.name != b".." {
                root.remove_file(&entry.name, false, &me()).unwrap();
                removed += 1;
            }
            if entry.next_cookie == last {
                break;
            }
        }
        cookie = last;
    }
    assert_eq!(removed, 3000);
    assert_eq!(root.read_directory(0).unwrap().len(), 2);
}
