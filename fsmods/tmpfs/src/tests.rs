//! The life of inodes, which only the inside can see.

use std::ffi::OsStr;

use fuse_compat::{Errno, INodeNo, Request, sync};

use crate::Tmpfs;

#[test]
fn inodes_live_until_the_last_name_and_the_last_reference_are_gone() {
    let fs = Tmpfs::new("").unwrap();
    let req = Request::new(1, 0, 0, 0);
    let count = || fs.tree.lock().inode_count();
    let name = OsStr::new("file");
    let root = INodeNo::ROOT;
    let made = sync::create(&fs, &req, root, name, 0o644, 0, libc::O_RDWR).unwrap();
    let ino = made.entry.attr.ino;
    sync::lookup(&fs, &req, root, name).unwrap();
    assert_eq!(count(), 2);
    sync::unlink(&fs, &req, root, name).unwrap();
    assert_eq!(sync::getattr(&fs, &req, ino, None).unwrap().attr.nlink, 0);
    fuse_compat::Filesystem::forget(&fs, &req, ino, 1);
    assert_eq!(count(), 2, "one of two references is left");
    fuse_compat::Filesystem::forget(&fs, &req, ino, 1);
    assert_eq!(count(), 1);
    assert_eq!(sync::getattr(&fs, &req, ino, None), Err(Errno::ESTALE));
}

#[test]
fn forgotten_but_named_inodes_stay() {
    let fs = Tmpfs::new("").unwrap();
    let req = Request::new(1, 0, 0, 0);
    let name = OsStr::new("dir");
    let made = sync::mkdir(&fs, &req, INodeNo::ROOT, name, 0o755, 0).unwrap();
    fuse_compat::Filesystem::forget(&fs, &req, made.attr.ino, 5);
    assert_eq!(fs.tree.lock().inode_count(), 2);
    let again = sync::lookup(&fs, &req, INodeNo::ROOT, name).unwrap();
    assert_eq!(again.attr.ino, made.attr.ino);
    sync::rmdir(&fs, &req, INodeNo::ROOT, name).unwrap();
    fuse_compat::Filesystem::forget(&fs, &req, made.attr.ino, 1);
    assert_eq!(fs.tree.lock().inode_count(), 1);
}

#[test]
fn unnamed_files_go_with_their_reference() {
    let fs = Tmpfs::new("").unwrap();
    let req = Request::new(1, 0, 0, 0);
    let made = sync::tmpfile(&fs, &req, INodeNo::ROOT, 0o600, 0, libc::O_RDWR).unwrap();
    assert_eq!(made.entry.attr.nlink, 0);
    assert_eq!(fs.tree.lock().inode_count(), 2);
    fuse_compat::Filesystem::forget(&fs, &req, made.entry.attr.ino, 1);
    assert_eq!(fs.tree.lock().inode_count(), 1);
}
