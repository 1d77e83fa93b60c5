//! Names: create, link, unlink, rmdir, rename, and the errors of each.
#![forbid(unsafe_code)]

mod common;

use std::thread::sleep;
use std::time::Duration;

use common::{GID, ROOT, Set, UID, new};
use fuse_compat::*;

#[test]
fn every_kind_of_inode_can_be_made_and_found() {
    let t = new("");
    let rdev = 0x0102_0304;
    for (name, mode, kind) in [
        ("regular", libc::S_IFREG, FileType::RegularFile),
        ("fifo", libc::S_IFIFO, FileType::NamedPipe),
        ("socket", libc::S_IFSOCK, FileType::Socket),
        ("char", libc::S_IFCHR, FileType::CharDevice),
        ("block", libc::S_IFBLK, FileType::BlockDevice),
    ] {
        let made = t.mknod(ROOT, name, mode | 0o640, rdev).unwrap();
        let found = t.lookup(ROOT, name).unwrap();
        assert_eq!(found, made);
        let is_device = matches!(kind, FileType::CharDevice | FileType::BlockDevice);
        assert_eq!(found.rdev, if is_device { rdev } else { 0 }, "{name}");
        assert_eq!(
            (found.kind, found.perm, found.nlink, found.uid, found.gid),
            (kind, 0o640, 1, UID, GID)
        );
        assert_eq!(t.mknod(ROOT, name, mode, 0), Err(Errno::EEXIST));
    }
    assert_eq!(t.mknod(ROOT, "d", libc::S_IFDIR, 0), Err(Errno::EPERM));
    assert_eq!(
        t.mknod(ROOT, "plain", 0o600, 0).unwrap().kind,
        FileType::RegularFile
    );
    let link = t.symlink(ROOT, "link", "some/where").unwrap();
    assert_eq!(
        (link.kind, link.perm, link.size),
        (FileType::Symlink, 0o777, 10)
    );
    let target = sync::readlink(&*t.fs, &t.req, link.ino).unwrap();
    assert_eq!(target, b"some/where");
    assert_eq!(t.symlink(ROOT, "link", "x"), Err(Errno::EEXIST));
    assert_eq!(t.symlink(ROOT, "empty", ""), Err(Errno::ENOENT));
    assert_eq!(sync::readlink(&*t.fs, &t.req, ROOT), Err(Errno::EINVAL));
}

#[test]
fn names_of_255_bytes_fit_and_longer_ones_do_not() {
    let t = new("");
    let longest = "n".repeat(255);
    let ino = t.file(ROOT, &longest);
    assert_eq!(t.lookup(ROOT, &longest).unwrap().ino, ino);
    let longer = "n".repeat(256);
    assert_eq!(t.lookup(ROOT, &longer), Err(Errno::ENAMETOOLONG));
    assert_eq!(t.mkdir(ROOT, &longer), Err(Errno::ENAMETOOLONG));
    assert_eq!(t.unlink(ROOT, &longer), Err(Errno::ENAMETOOLONG));
    assert_eq!(
        t.rename((ROOT, &longest), (ROOT, &longer)),
        Err(Errno::ENAMETOOLONG)
    );
}

#[test]
fn lookup_errors_and_dots() {
    let t = new("");
    let dir = t.mkdir(ROOT, "d").unwrap();
    let file = t.file(dir, "f");
    assert_eq!(t.lookup(ROOT, "none"), Err(Errno::ENOENT));
    assert_eq!(t.lookup(file, "x"), Err(Errno::ENOTDIR));
    assert_eq!(t.lookup(dir, ".").unwrap().ino, dir);
    assert_eq!(t.lookup(dir, "..").unwrap().ino, ROOT);
    assert_eq!(t.lookup(ROOT, "..").unwrap().ino, ROOT);
    assert_eq!(t.mkdir(ROOT, "."), Err(Errno::EEXIST));
    assert_eq!(t.mkdir(file, "x"), Err(Errno::ENOTDIR));
}

#[test]
fn directory_link_counts_follow_their_subdirectories() {
    let t = new("");
    assert_eq!(t.attr(ROOT).nlink, 2);
    let a = t.mkdir(ROOT, "a").unwrap();
    let b = t.mkdir(a, "b").unwrap();
    t.file(a, "f");
    assert_eq!(
        (t.attr(ROOT).nlink, t.attr(a).nlink, t.attr(b).nlink),
        (3, 3, 2)
    );
    t.rename((a, "b"), (ROOT, "b")).unwrap();
    assert_eq!((t.attr(ROOT).nlink, t.attr(a).nlink), (4, 2));
    assert_eq!(t.lookup(b, "..").unwrap().ino, ROOT);
    t.rmdir(ROOT, "b").unwrap();
    assert_eq!((t.attr(ROOT).nlink, t.attr(b).nlink), (3, 0));
    assert_eq!(t.rmdir(ROOT, "a"), Err(Errno::ENOTEMPTY));
    assert_eq!(t.rmdir(a, "f"), Err(Errno::ENOTDIR));
    assert_eq!(t.unlink(ROOT, "a"), Err(Errno::EISDIR));
    assert_eq!(t.rmdir(ROOT, "none"), Err(Errno::ENOENT));
    assert_eq!(t.unlink(ROOT, "none"), Err(Errno::ENOENT));
}

#[test]
fn nothing_can_be_made_in_a_removed_directory() {
    let t = new("");
    let dir = t.mkdir(ROOT, "d").unwrap();
    let file = t.file(ROOT, "f");
    t.rmdir(ROOT, "d").unwrap();
    assert_eq!(t.mkdir(dir, "x"), Err(Errno::ENOENT));
    assert_eq!(t.create(dir, "x").unwrap_err(), Errno::ENOENT);
    assert_eq!(t.link(file, dir, "x"), Err(Errno::ENOENT));
    assert_eq!(t.rename((ROOT, "f"), (dir, "x")), Err(Errno::ENOENT));
    let made = sync::tmpfile(&*t.fs, &t.req, dir, 0o600, 0, libc::O_RDWR);
    assert_eq!(made.unwrap_err(), Errno::ENOENT);
    assert_eq!(t.lookup(dir, "x"), Err(Errno::ENOENT));
}

#[test]
fn hard_links_share_the_inode() {
    let t = new("");
    let dir = t.mkdir(ROOT, "d").unwrap();
    let ino = t.file(ROOT, "f");
    let before = t.attr(ino).ctime;
    sleep(Duration::from_millis(20));
    let linked = t.link(ino, dir, "g").unwrap();
    assert_eq!((linked.ino, linked.nlink), (ino, 2));
    assert!(linked.ctime > before);
    assert_eq!(t.link(ino, dir, "g"), Err(Errno::EEXIST));
    assert_eq!(t.link(dir, ROOT, "x"), Err(Errno::EPERM));
    t.unlink(ROOT, "f").unwrap();
    assert_eq!(t.attr(ino).nlink, 1);
    assert_eq!(t.lookup(dir, "g").unwrap().ino, ino);
    t.unlink(dir, "g").unwrap();
    assert_eq!(t.attr(ino).nlink, 0);
    assert_eq!(t.link(ino, ROOT, "again"), Err(Errno::ENOENT));
}

#[test]
fn parents_times_change_with_their_names() {
    let t = new("");
    let dir = t.mkdir(ROOT, "d").unwrap();
    let mut last = t.attr(dir).mtime;
    let mut check = |what: &str| {
        let attr = t.attr(dir);
        assert!(attr.mtime > last, "{what}");
        assert_eq!(attr.mtime, attr.ctime, "{what}");
        last = attr.mtime;
        sleep(Duration::from_millis(20));
    };
    sleep(Duration::from_millis(20));
    let ino = t.file(dir, "f");
    check("create");
    t.link(ino, dir, "g").unwrap();
    check("link");
    t.rename((dir, "g"), (ROOT, "g")).unwrap();
    check("rename away");
    t.rename((ROOT, "g"), (dir, "h")).unwrap();
    check("rename here");
    t.unlink(dir, "h").unwrap();
    check("unlink");
    t.mkdir(dir, "sub").unwrap();
    check("mkdir");
    t.rmdir(dir, "sub").unwrap();
    check("rmdir");
}

#[test]
fn rename_replaces_what_fits() {
    let t = new("");
    let f = t.file(ROOT, "f");
    let g = t.file(ROOT, "g");
    t.rename((ROOT, "f"), (ROOT, "g")).unwrap();
    assert_eq!(t.lookup(ROOT, "g").unwrap().ino, f);
    assert_eq!(t.lookup(ROOT, "f"), Err(Errno::ENOENT));
    assert_eq!(t.attr(g).nlink, 0);
    let d = t.mkdir(ROOT, "d").unwrap();
    let e = t.mkdir(ROOT, "e").unwrap();
    t.rename((ROOT, "d"), (ROOT, "e")).unwrap();
    assert_eq!(t.lookup(ROOT, "e").unwrap().ino, d);
    assert_eq!((t.attr(e).nlink, t.attr(ROOT).nlink), (0, 3));
    assert_eq!(t.list(ROOT), ["g", "e"]);
}

#[test]
fn rename_refuses_what_does_not_fit() {
    let t = new("");
    let d = t.mkdir(ROOT, "d").unwrap();
    let sub = t.mkdir(d, "sub").unwrap();
    t.file(sub, "deep");
    t.file(ROOT, "f");
    let rename = |from, to| t.rename(from, to).unwrap_err();
    assert_eq!(rename((ROOT, "none"), (ROOT, "x")), Errno::ENOENT);
    assert_eq!(rename((ROOT, "f"), (ROOT, "d")), Errno::EISDIR);
    assert_eq!(rename((ROOT, "d"), (ROOT, "f")), Errno::ENOTDIR);
    assert_eq!(rename((ROOT, "d"), (sub, "x")), Errno::EINVAL);
    assert_eq!(rename((ROOT, "d"), (d, "x")), Errno::EINVAL);
    assert_eq!(rename((d, "sub"), (ROOT, "d")), Errno::ENOTEMPTY);
    let other = t.mkdir(ROOT, "other").unwrap();
    t.file(other, "x");
    assert_eq!(rename((ROOT, "d"), (ROOT, "other")), Errno::ENOTEMPTY);
    assert_eq!(t.list(ROOT), ["d", "f", "other"]);
}

#[test]
fn rename_onto_another_name_of_the_same_inode_does_nothing() {
    let t = new("");
    let ino = t.file(ROOT, "a");
    t.link(ino, ROOT, "b").unwrap();
    t.rename((ROOT, "a"), (ROOT, "b")).unwrap();
    assert_eq!(t.list(ROOT), ["a", "b"]);
    assert_eq!(t.attr(ino).nlink, 2);
}

#[test]
fn rename_noreplace_and_exchange() {
    let t = new("");
    let d = t.mkdir(ROOT, "d").unwrap();
    let sub = t.mkdir(d, "sub").unwrap();
    let f = t.file(ROOT, "f");
    let exchange = RenameFlags::RENAME_EXCHANGE;
    let noreplace = RenameFlags::RENAME_NOREPLACE;
    let rename = |from, to, flags| t.rename_with(from, to, flags);
    assert_eq!(
        rename((ROOT, "f"), (ROOT, "d"), noreplace),
        Err(Errno::EEXIST)
    );
    rename((ROOT, "f"), (ROOT, "g"), noreplace).unwrap();
    assert_eq!(
        rename((ROOT, "g"), (ROOT, "none"), exchange),
        Err(Errno::ENOENT)
    );
    assert_eq!(
        rename((ROOT, "d"), (d, "sub"), exchange),
        Err(Errno::EINVAL)
    );
    assert_eq!(
        rename((d, "sub"), (ROOT, "d"), exchange),
        Err(Errno::EINVAL)
    );
    // A file and a directory of different parents change places.
    rename((ROOT, "g"), (d, "sub"), exchange).unwrap();
    assert_eq!(t.lookup(ROOT, "g").unwrap().ino, sub);
    assert_eq!(t.lookup(d, "sub").unwrap().ino, f);
    assert_eq!(t.lookup(sub, "..").unwrap().ino, ROOT);
    assert_eq!((t.attr(ROOT).nlink, t.attr(d).nlink), (4, 2));
    let both = noreplace | exchange;
    assert_eq!(rename((ROOT, "g"), (d, "sub"), both), Err(Errno::EINVAL));
    let unknown = RenameFlags::from_bits_retain(1 << 20);
    assert_eq!(
        rename((ROOT, "g"), (ROOT, "h"), unknown),
        Err(Errno::EINVAL)
    );
}

#[test]
fn rename_whiteout_leaves_a_device_zero() {
    let t = new("");
    let ino = t.file(ROOT, "f");
    t.rename_with((ROOT, "f"), (ROOT, "g"), RenameFlags::RENAME_WHITEOUT)
        .unwrap();
    let left = t.lookup(ROOT, "f").unwrap();
    assert_eq!((left.kind, left.rdev), (FileType::CharDevice, 0));
    assert_eq!(t.lookup(ROOT, "g").unwrap().ino, ino);
}

#[test]
fn set_group_id_directories_hand_down_their_group() {
    let t = new("");
    let dir = t.mkdir(ROOT, "d").unwrap();
    let set = Set {
        mode: Some(0o2775),
        gid: Some(77),
        ..Set::default()
    };
    t.setattr(dir, set).unwrap();
    let sub = t.attr(t.mkdir(dir, "sub").unwrap());
    let file = t.attr(t.file(dir, "file"));
    assert_eq!((sub.gid, sub.perm), (77, 0o2755));
    assert_eq!((file.gid, file.perm), (77, 0o644));
    let outside = t.attr(t.file(ROOT, "file"));
    assert_eq!(outside.gid, GID);
}

#[test]
fn umask_is_applied_by_the_module() {
    let t = new("");
    let name = std::ffi::OsStr::new("f");
    let made = sync::mknod(&*t.fs, &t.req, ROOT, name, libc::S_IFREG | 0o4777, 0o027, 0).unwrap();
    assert_eq!(made.attr.perm, 0o4750);
    let name = std::ffi::OsStr::new("d");
    let made = sync::mkdir(&*t.fs, &t.req, ROOT, name, 0o7777, 0o022).unwrap();
    assert_eq!(made.attr.perm, 0o1755);
}

#[test]
fn unnamed_files_can_get_a_name_unless_exclusive() {
    let t = new("");
    let made = sync::tmpfile(&*t.fs, &t.req, ROOT, 0o600, 0, libc::O_RDWR).unwrap();
    assert!(made.open.descriptor.is_some());
    let ino = made.entry.attr.ino;
    assert!(t.list(ROOT).is_empty());
    assert_eq!(t.link(ino, ROOT, "named").unwrap().nlink, 1);
    assert_eq!(t.lookup(ROOT, "named").unwrap().ino, ino);
    let flags = libc::O_RDWR | libc::O_EXCL;
    let made = sync::tmpfile(&*t.fs, &t.req, ROOT, 0o600, 0, flags).unwrap();
    assert_eq!(t.link(made.entry.attr.ino, ROOT, "x"), Err(Errno::ENOENT));
}

#[test]
fn inode_limit_is_enospc() {
    let t = new("nr_inodes=3");
    t.file(ROOT, "a");
    t.mkdir(ROOT, "b").unwrap();
    assert_eq!(t.mkdir(ROOT, "c"), Err(Errno::ENOSPC));
    assert_eq!(t.create(ROOT, "c").unwrap_err(), Errno::ENOSPC);
    let usage = sync::statfs(&*t.fs, &t.req, ROOT).unwrap();
    assert_eq!((usage.files, usage.ffree), (3, 0));
    t.rmdir(ROOT, "b").unwrap();
    t.forget(t.lookup(ROOT, "a").unwrap().ino, 1);
}
