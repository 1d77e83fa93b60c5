//! Drives the teaching example through `sync`.
#![forbid(unsafe_code)]

use std::ffi::OsStr;
use std::sync::Arc;

use fuse_compat::*;

#[path = "../examples/hello.rs"]
mod hello;

const ROOT: INodeNo = INodeNo::ROOT;
const NO_HANDLE: FileHandle = FileHandle(0);

fn host() -> Request {
    Request::new(1, 0, 0, 0)
}

#[test]
fn hello_is_listed_in_steps_of_any_size() {
    let fs: Arc<dyn Filesystem> = Arc::new(hello::Hello);
    let all = sync::readdir(&*fs, &host(), ROOT, NO_HANDLE, 0, 4096).unwrap();
    let names: Vec<_> = all.iter().map(|entry| entry.name.clone()).collect();
    assert_eq!(names, [".", "..", "hello.txt"]);
    // 40 bytes hold one entry: the listing continues at the offset of the last one.
    let mut one_by_one = Vec::new();
    let mut offset = 0;
    loop {
        let step = sync::readdir(&*fs, &host(), ROOT, NO_HANDLE, offset, 40).unwrap();
        let Some(last) = step.last() else { break };
        assert_eq!(step.len(), 1);
        offset = last.offset;
        one_by_one.extend(step);
    }
    assert_eq!(one_by_one, all);
}

#[test]
fn hello_is_found_and_read() {
    let fs = hello::Hello;
    let entry = sync::lookup(&fs, &host(), ROOT, OsStr::new("hello.txt")).unwrap();
    assert_eq!(entry.attr.size, 13);
    assert_eq!(entry.attr.mode(), 0o100_444);
    let read = |offset, size| {
        sync::read(
            &fs,
            &host(),
            entry.attr.ino,
            NO_HANDLE,
            offset,
            size,
            OpenFlags(0),
            None,
        )
        .unwrap()
    };
    assert_eq!(read(0, 100), b"Hello, view!\n");
    assert_eq!(read(7, 4), b"view");
    assert_eq!(read(1000, 4), b"");
    assert_eq!(
        sync::lookup(&fs, &host(), ROOT, OsStr::new("other")),
        Err(Errno::ENOENT)
    );
}

#[test]
fn operations_that_hello_lacks_answer_the_defaults() {
    let fs = hello::Hello;
    let name = OsStr::new("x");
    assert_eq!(
        sync::mkdir(&fs, &host(), ROOT, name, 0o755, 0),
        Err(Errno::ENOSYS)
    );
    assert_eq!(
        sync::link(&fs, &host(), ROOT, ROOT, name),
        Err(Errno::EPERM)
    );
    assert_eq!(
        sync::tmpfile(&fs, &host(), ROOT, 0o600, 0, libc::O_RDWR).unwrap_err(),
        Errno::EOPNOTSUPP
    );
    let open = sync::open(&fs, &host(), ROOT, OpenFlags(libc::O_RDONLY)).unwrap();
    assert!(open.descriptor.is_none());
    assert!(fs.host_root().is_none());
}
