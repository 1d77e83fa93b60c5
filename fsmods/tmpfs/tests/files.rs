//! Regular files: native reads and writes, execution, holes, limits.
#![forbid(unsafe_code)]

mod common;

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use common::{NO_HANDLE, ROOT, Set, new, reopen};
use fuse_compat::*;

fn read_write() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    options
}

#[test]
fn native_writes_are_seen_by_the_module_and_its_by_them() {
    let t = new("");
    let (attr, descriptor) = t.create(ROOT, "f").unwrap();
    assert_eq!((attr.size, attr.blocks, attr.nlink), (0, 0, 1));
    let mut file = reopen(&descriptor, &read_write());
    let before = t.attr(attr.ino);
    sleep(Duration::from_millis(20));
    file.write_all(b"native").unwrap();
    let after = t.attr(attr.ino);
    assert_eq!((after.size, after.blocks), (6, 8));
    assert!(after.mtime > before.mtime);
    assert!(after.ctime > before.ctime);
    assert_eq!(t.read(attr.ino, 0, 100).unwrap(), b"native");
    assert_eq!(t.write(attr.ino, 6, b" and module"), Ok(11));
    let mut all = String::new();
    file.read_to_string(&mut all).unwrap();
    assert_eq!(all, " and module");
    assert_eq!(t.read(attr.ino, 7, 3).unwrap(), b"and");
    assert_eq!(t.read(attr.ino, 17, 3).unwrap(), b"");
    assert_eq!(t.read(attr.ino, u64::MAX, 3).unwrap(), b"");
}

#[test]
fn each_open_has_its_own_position_and_mode() {
    let t = new("");
    let ino = t.file(ROOT, "f");
    t.write(ino, 0, b"0123456789").unwrap();
    let mut one = t.open(ino, OpenOptions::new().read(true));
    let mut two = t.open(ino, OpenOptions::new().append(true).read(true));
    let mut buf = [0; 4];
    one.read_exact(&mut buf).unwrap();
    two.read_exact(&mut buf).unwrap();
    assert_eq!(&buf, b"0123");
    two.write_all(b"X").unwrap();
    assert_eq!(t.attr(ino).size, 11);
    assert!(one.write_all(b"y").is_err());
}

#[test]
fn unreadable_modes_do_not_lock_the_owner_of_the_view_out() {
    // Permission is the caller's business: creat(2) with mode 0 still gives a writable descriptor.
    let t = new("");
    let name = std::ffi::OsStr::new("f");
    let made = sync::create(&*t.fs, &t.req, ROOT, name, 0, 0, libc::O_RDWR).unwrap();
    assert_eq!(made.entry.attr.perm, 0);
    let mut file = reopen(&made.open.descriptor.unwrap(), &read_write());
    file.write_all(b"x").unwrap();
    assert_eq!(t.attr(made.entry.attr.ino).perm, 0);
}

#[test]
fn a_program_can_be_executed_unless_it_is_open_for_writing() {
    let t = new("");
    let program = std::fs::read("/bin/true").unwrap();
    let ino = t.file(ROOT, "true");
    t.write(ino, 0, &program).unwrap();
    t.setattr(
        ino,
        Set {
            mode: Some(0o755),
            ..Set::default()
        },
    )
    .unwrap();
    let open = sync::open(&*t.fs, &t.req, ino, OpenFlags(libc::O_RDONLY)).unwrap();
    let descriptor: OwnedFd = open.descriptor.unwrap();
    let path = format!("/proc/{}/fd/{}", std::process::id(), descriptor.as_raw_fd());
    assert!(Command::new(&path).status().unwrap().success());
    let writer = reopen(&descriptor, &read_write());
    let error = Command::new(&path).status().unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ETXTBSY));
    drop(writer);
    assert!(Command::new(&path).status().unwrap().success());
}

#[test]
fn truncate_cuts_and_grows_with_holes() {
    let t = new("");
    let ino = t.file(ROOT, "f");
    t.write(ino, 0, b"abcdef").unwrap();
    let set_size = |size| {
        t.setattr(
            ino,
            Set {
                size: Some(size),
                ..Set::default()
            },
        )
    };
    assert_eq!(set_size(3).unwrap().size, 3);
    let grown = set_size(5 << 30).unwrap();
    assert_eq!((grown.size, grown.blocks), (5 << 30, 8));
    assert_eq!(t.read(ino, 0, 5).unwrap(), b"abc\0\0");
    assert_eq!(set_size(u64::MAX), Err(Errno::EFBIG));
    let set = || Set {
        size: Some(0),
        ..Set::default()
    };
    assert_eq!(t.setattr(ROOT, set()), Err(Errno::EISDIR));
    let fifo = t.mknod(ROOT, "fifo", libc::S_IFIFO | 0o600, 0).unwrap();
    assert_eq!(t.setattr(fifo.ino, set()), Err(Errno::EINVAL));
    // Opening with O_TRUNC through the module, as it may under FUSE_ATOMIC_O_TRUNC.
    sync::open(&*t.fs, &t.req, ino, OpenFlags(libc::O_RDWR | libc::O_TRUNC)).unwrap();
    assert_eq!(t.attr(ino).size, 0);
}

#[test]
fn opening_other_kinds_fails() {
    let t = new("");
    let fifo = t.mknod(ROOT, "fifo", libc::S_IFIFO | 0o600, 0).unwrap();
    let open = |ino| sync::open(&*t.fs, &t.req, ino, OpenFlags(libc::O_RDONLY)).unwrap_err();
    assert_eq!(open(ROOT), Errno::EISDIR);
    assert_eq!(open(fifo.ino), Errno::EINVAL);
    assert_eq!(t.read(ROOT, 0, 1), Err(Errno::EISDIR));
}

#[test]
fn holes_are_found_and_punched() {
    let t = new("");
    let ino = t.file(ROOT, "f");
    let seek = |offset, whence| sync::lseek(&*t.fs, &t.req, ino, NO_HANDLE, offset, whence);
    t.write(ino, 1 << 20, &[1; 4096]).unwrap();
    assert_eq!(seek(0, libc::SEEK_DATA), Ok(1 << 20));
    assert_eq!(seek(0, libc::SEEK_HOLE), Ok(0));
    assert_eq!(seek(1 << 20, libc::SEEK_HOLE), Ok((1 << 20) + 4096));
    assert_eq!(seek(1 << 21, libc::SEEK_DATA), Err(Errno::ENXIO));
    assert_eq!(seek(-1, libc::SEEK_DATA), Err(Errno::ENXIO));
    assert_eq!(seek(0, 99), Err(Errno::EINVAL));
    let allocate = |offset, length, mode| {
        sync::fallocate(&*t.fs, &t.req, ino, NO_HANDLE, offset, length, mode)
    };
    let punch = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
    allocate(1 << 20, 4096, punch).unwrap();
    assert_eq!(t.attr(ino).blocks, 0);
    assert_eq!(seek(0, libc::SEEK_DATA), Err(Errno::ENXIO));
    allocate(0, 8192, libc::FALLOC_FL_KEEP_SIZE).unwrap();
    assert_eq!(t.attr(ino).blocks, 16);
    allocate(0, 2 << 20, 0).unwrap();
    assert_eq!(t.attr(ino).size, 2 << 20);
    assert_eq!(allocate(0, 0, 0), Err(Errno::EINVAL));
    assert_eq!(
        allocate(0, 4096, libc::FALLOC_FL_COLLAPSE_RANGE),
        Err(Errno::EOPNOTSUPP)
    );
    let fifo = t.mknod(ROOT, "p", libc::S_IFIFO, 0).unwrap().ino;
    assert_eq!(
        sync::fallocate(&*t.fs, &t.req, fifo, NO_HANDLE, 0, 1, 0),
        Err(Errno::EINVAL)
    );
}

#[test]
fn unlinked_open_files_keep_their_contents() {
    let t = new("");
    let (attr, descriptor) = t.create(ROOT, "f").unwrap();
    let mut file = reopen(&descriptor, &read_write());
    file.write_all(b"kept").unwrap();
    t.unlink(ROOT, "f").unwrap();
    assert_eq!(t.read(attr.ino, 0, 10).unwrap(), b"kept");
    assert_eq!(t.attr(attr.ino).nlink, 0);
    t.forget(attr.ino, 1);
    assert_eq!(t.read(attr.ino, 0, 10), Err(Errno::ESTALE));
    // The tracee's descriptor outlives the inode.
    let mut buf = [0; 4];
    file.read_exact_at(&mut buf, 0).unwrap();
    assert_eq!(&buf, b"kept");
}

#[test]
fn size_limit_holds_for_what_goes_through_the_module() {
    let t = new("size=64k");
    let ino = t.file(ROOT, "f");
    assert_eq!(t.write(ino, 0, &[1; 60 << 10]), Ok(60 << 10));
    assert_eq!(t.write(ino, 60 << 10, &[1; 8 << 10]), Err(Errno::ENOSPC));
    // Writing over what is there needs no space, however often.
    for _ in 0..10 {
        assert_eq!(t.write(ino, 0, &[2; 60 << 10]), Ok(60 << 10));
    }
    let allocate = |offset, length, mode| {
        sync::fallocate(&*t.fs, &t.req, ino, NO_HANDLE, offset, length, mode)
    };
    assert_eq!(allocate(0, 1 << 20, 0), Err(Errno::ENOSPC));
    assert_eq!(allocate(0, 64 << 10, 0), Ok(()));
    // Filling what was allocated needs no space either.
    assert_eq!(t.write(ino, 60 << 10, &[3; 4 << 10]), Ok(4 << 10));
    let other = t.file(ROOT, "empty files take no blocks");
    assert_eq!(t.write(other, 0, &[1]), Err(Errno::ENOSPC));
    t.mkdir(ROOT, "directories take no blocks").unwrap();
    let usage = sync::statfs(&*t.fs, &t.req, ROOT).unwrap();
    assert_eq!((usage.blocks, usage.bfree, usage.bsize), (16, 0, 4096));
    let punch = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
    assert_eq!(allocate(0, 32 << 10, punch), Ok(()));
    let usage = sync::statfs(&*t.fs, &t.req, ROOT).unwrap();
    assert_eq!(usage.bavail, 8);
    assert_eq!(t.write(other, 0, &[1]), Ok(1));
}

#[test]
fn native_growth_counts_too() {
    let t = new("size=64k");
    let (_, descriptor) = t.create(ROOT, "f").unwrap();
    reopen(&descriptor, &read_write())
        .write_all(&[0; 64 << 10])
        .unwrap();
    sleep(Duration::from_millis(100));
    let other = t.file(ROOT, "g");
    assert_eq!(t.write(other, 0, &[1]), Err(Errno::ENOSPC));
}

#[test]
fn files_are_copied_inside_the_module() {
    let t = new("");
    let from = t.file(ROOT, "from");
    let to = t.file(ROOT, "to");
    t.write(from, 0, b"0123456789").unwrap();
    let copy = |offset_in, offset_out, len| {
        sync::copy_file_range(
            &*t.fs,
            &t.req,
            from,
            NO_HANDLE,
            offset_in,
            to,
            NO_HANDLE,
            offset_out,
            len,
            CopyFileRangeFlags::empty(),
        )
    };
    assert_eq!(copy(2, 1, 4), Ok(4));
    assert_eq!(t.read(to, 0, 100).unwrap(), b"\x002345");
    assert_eq!(copy(8, 0, u64::MAX), Ok(2));
    assert_eq!(copy(10, 0, 5), Ok(0));
}

#[test]
fn descriptors_are_close_on_exec() {
    let t = new("");
    let (_, descriptor) = t.create(ROOT, "f").unwrap();
    let flags = rustix::io::fcntl_getfd(&descriptor).unwrap();
    assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
    let nonblocking = reopen(
        &descriptor,
        OpenOptions::new().read(true).custom_flags(libc::O_NOATIME),
    );
    drop(nonblocking);
}
