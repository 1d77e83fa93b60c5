//! Tests on a directory of the host.

use super::*;
use crate::attributes::Timestamp;
use crate::object::{TimeChange, XattrAnswer};
use rustix::io::Errno;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A directory that goes with the test. Tests run with a umask of their own, so modes are compared after masking it.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let path = std::env::temp_dir()
            .canonicalize()
            .unwrap()
            .join(format!("view-host-ops-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        Scratch(path)
    }

    fn path(&self, name: &str) -> Vec<u8> {
        self.0.join(name).as_os_str().as_bytes().to_vec()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_bytes()
}

#[test]
fn objects_are_made_and_described() {
    let scratch = Scratch::new("made");
    create_directory(&scratch.path("dir"), 0o777, 0o077).unwrap();
    let directory = attributes(&scratch.path("dir")).unwrap();
    assert!(directory.is_directory());
    assert_eq!(directory.mode & 0o777, 0o700);
    create_symlink(b"somewhere", &scratch.path("link")).unwrap();
    assert!(attributes(&scratch.path("link")).unwrap().is_symlink());
    assert_eq!(read_link(&scratch.path("link")).unwrap(), b"somewhere");
    create_node(&scratch.path("fifo"), libc::S_IFIFO | 0o644, 0, 0o044).unwrap();
    assert_eq!(
        attributes(&scratch.path("fifo")).unwrap().mode,
        libc::S_IFIFO | 0o600
    );
    create_node(&scratch.path("plain"), 0o600, 0, 0).unwrap();
    create_link(&scratch.path("plain"), &scratch.path("second")).unwrap();
    assert_eq!(attributes(&scratch.path("plain")).unwrap().links, 2);
    assert_eq!(
        create_node(&scratch.path("odd"), 0o030000, 0, 0),
        Err(Errno::INVAL)
    );
}

#[test]
fn links_are_never_followed() {
    let scratch = Scratch::new("nofollow");
    fs::write(scratch.0.join("file"), b"contents").unwrap();
    create_symlink(b"file", &scratch.path("link")).unwrap();
    let opened = open(&scratch.path("link"), libc::O_RDONLY, 0, 0);
    assert_eq!(opened.unwrap_err(), Errno::LOOP);
    let itself = open_path(&scratch.path("link")).unwrap();
    assert!(attributes_of(&itself).unwrap().is_symlink());
    assert_eq!(
        set_mode(&scratch.path("link"), 0o600),
        Err(Errno::OPNOTSUPP)
    );
    let time = TimeChange::At(Timestamp {
        seconds: 5,
        nanoseconds: 6,
    });
    set_times(&scratch.path("link"), TimeChange::Omit, time).unwrap();
    assert_eq!(
        attributes(&scratch.path("link")).unwrap().modified.seconds,
        5
    );
    assert_ne!(
        attributes(&scratch.path("file")).unwrap().modified.seconds,
        5
    );
    set_owner(&scratch.path("link"), None, None).unwrap();
    access(&scratch.path("link"), 0, true).unwrap();
    remove_file(&scratch.path("link")).unwrap();
    assert!(scratch.0.join("file").exists());
}

#[test]
fn opening_takes_the_callers_flags_and_mode() {
    let scratch = Scratch::new("open");
    let unknown_flag = 0x4000_0000;
    let flags = libc::O_CREAT | libc::O_EXCL | libc::O_RDWR | libc::O_APPEND | unknown_flag;
    let file = open(&scratch.path("file"), flags, 0o666, 0o066).unwrap();
    assert_eq!(attributes_of(&file).unwrap().mode & 0o777, 0o600);
    let got = rustix::fs::fcntl_getfl(&file).unwrap();
    assert!(got.contains(rustix::fs::OFlags::APPEND));
    rustix::io::write(&file, b"12345").unwrap();
    let again = open(&scratch.path("file"), flags, 0o666, 0);
    assert_eq!(again.unwrap_err(), Errno::EXIST);
    truncate(&scratch.path("file"), 2).unwrap();
    assert_eq!(fs::read(scratch.0.join("file")).unwrap(), b"12");
    assert_eq!(truncate(bytes(&scratch.0), 0), Err(Errno::ISDIR));
    set_mode(&scratch.path("file"), 0o4755).unwrap();
    let mode = attributes(&scratch.path("file")).unwrap().mode;
    assert_eq!(mode & 0o7777, 0o4755);
    let temporary = open(bytes(&scratch.0), libc::O_TMPFILE | libc::O_RDWR, 0o640, 0).unwrap();
    assert_eq!(attributes_of(&temporary).unwrap().links, 0);
}

#[test]
fn names_are_moved_and_removed() {
    let scratch = Scratch::new("names");
    fs::write(scratch.0.join("a"), b"a").unwrap();
    fs::write(scratch.0.join("b"), b"b").unwrap();
    const NOREPLACE: u32 = 1;
    const EXCHANGE: u32 = 2;
    let (a, b) = (scratch.path("a"), scratch.path("b"));
    assert_eq!(rename(&a, &b, NOREPLACE), Err(Errno::EXIST));
    rename(&a, &b, EXCHANGE).unwrap();
    assert_eq!(fs::read(scratch.0.join("a")).unwrap(), b"b");
    rename(&a, &b, 0).unwrap();
    assert_eq!(attributes(&a).unwrap_err(), Errno::NOENT);
    assert_eq!(remove_directory(&b), Err(Errno::NOTDIR));
    remove_file(&b).unwrap();
    create_directory(&a, 0o700, 0).unwrap();
    assert_eq!(remove_file(&a), Err(Errno::ISDIR));
    remove_directory(&a).unwrap();
}

#[test]
fn extended_attributes_follow_the_kernels_size_rules() {
    let scratch = Scratch::new("xattr");
    fs::write(scratch.0.join("file"), b"").unwrap();
    let file = scratch.path("file");
    match set_xattr(&file, b"user.key", b"value", 0) {
        // A temporary directory without user attributes (an old tmpfs): nothing to test.
        Err(Errno::OPNOTSUPP) => return,
        result => result.unwrap(),
    }
    assert_eq!(get_xattr(&file, b"user.key", 0), Ok(XattrAnswer::Length(5)));
    assert_eq!(
        get_xattr(&file, b"user.key", 100),
        Ok(XattrAnswer::Value(b"value".to_vec()))
    );
    assert_eq!(get_xattr(&file, b"user.key", 3), Err(Errno::RANGE));
    assert_eq!(get_xattr(&file, b"", 3), Err(Errno::RANGE));
    assert_eq!(set_xattr(&file, b"user.key", b"", 1), Err(Errno::EXIST));
    assert_eq!(set_xattr(&file, b"user.key", b"", 4), Err(Errno::INVAL));
    let Ok(XattrAnswer::Value(names)) = list_xattr(&file, 4096) else {
        panic!("no list");
    };
    assert!(
        names
            .split(|&byte| byte == 0)
            .any(|name| name == b"user.key")
    );
    remove_xattr(&file, b"user.key").unwrap();
    assert_eq!(get_xattr(&file, b"user.key", 0), Err(Errno::NODATA));
}

#[test]
fn listings_go_on_at_a_cookie() {
    let scratch = Scratch::new("list");
    for number in 0..2000 {
        fs::write(scratch.0.join(format!("file-{number:04}")), b"").unwrap();
    }
    let directory = open(bytes(&scratch.0), libc::O_RDONLY | libc::O_DIRECTORY, 0, 0).unwrap();
    let mut names = Vec::new();
    let mut cookie = 0;
    loop {
        let entries = read_directory(&directory, cookie).unwrap();
        let Some(last) = entries.last() else { break };
        cookie = last.next_cookie;
        names.extend(entries.iter().map(|entry| entry.name.clone()));
    }
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 2002);
    let first = read_directory(&directory, 0).unwrap();
    let rest = read_directory(&directory, first[4].next_cookie).unwrap();
    assert_eq!(rest[0], first[5]);
}

#[test]
fn paths_longer_than_the_kernel_takes_work() {
    let scratch = Scratch::new("long");
    let mut path = scratch.path("x");
    create_directory(&path, 0o700, 0).unwrap();
    let name = vec![b'n'; 250];
    while path.len() < 9000 {
        path.push(b'/');
        path.extend_from_slice(&name);
        create_directory(&path, 0o700, 0).unwrap();
    }
    assert!(attributes(&path).unwrap().is_directory());
    path.extend_from_slice(b"/file");
    drop(open(&path, libc::O_CREAT | libc::O_WRONLY, 0o600, 0).unwrap());
    assert!(attributes(&path).unwrap().is_regular());
    assert!(list_xattr(&path, 4096).is_ok());
    statistics(&path).unwrap();
    remove_file(&path).unwrap();
    // fs::remove_dir_all walks with descriptors, so the scratch directory can be removed.
}

#[test]
fn statistics_are_the_kernels() {
    let ours = statistics(b"/proc").unwrap();
    let kernels = rustix::fs::statfs("/proc").unwrap();
    assert_eq!(ours.kind, kernels.f_type);
    assert_eq!(ours.block_size, kernels.f_bsize as u64);
    let bytes = ours.encode_statfs();
    assert_eq!(bytes[0..8], kernels.f_type.to_ne_bytes());
    assert_eq!(bytes[80..88], (kernels.f_flags as u64 | 0x20).to_ne_bytes());
}
