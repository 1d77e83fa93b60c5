//! Attributes, times, set-id bits, extended attributes and ACLs.
#![forbid(unsafe_code)]

mod common;

use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::io::Write;
use std::thread::sleep;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use common::{GID, ROOT, Set, T, UID, new};
use fuse_compat::*;

fn tick() {
    sleep(Duration::from_millis(20));
}

#[test]
fn root_directory_is_as_the_options_say() {
    let t = new("mode=0711,uid=5,gid=6");
    let root = t.attr(ROOT);
    assert_eq!((root.kind, root.perm), (FileType::Directory, 0o711));
    assert_eq!((root.uid, root.gid, root.nlink), (5, 6, 2));
    assert_eq!((root.size, root.blksize), (40, 4096));
    t.file(ROOT, "f");
    assert_eq!(t.attr(ROOT).size, 60);
}

/// One inode of each kind.
fn one_of_each(t: &T) -> Vec<INodeNo> {
    vec![
        t.file(ROOT, "file"),
        t.mkdir(ROOT, "dir").unwrap(),
        t.symlink(ROOT, "link", "target").unwrap().ino,
        t.mknod(ROOT, "fifo", libc::S_IFIFO | 0o600, 0).unwrap().ino,
    ]
}

#[test]
fn times_are_set_to_the_nanosecond_for_every_kind() {
    let t = new("");
    for ino in one_of_each(&t) {
        let before = t.attr(ino);
        tick();
        let atime = UNIX_EPOCH + Duration::new(1_234_567_890, 123_456_789);
        let mtime = UNIX_EPOCH - Duration::new(1, 1);
        let set = Set {
            atime: Some(TimeOrNow::SpecificTime(atime)),
            mtime: Some(TimeOrNow::SpecificTime(mtime)),
            ..Set::default()
        };
        let attr = t.setattr(ino, set).unwrap();
        assert_eq!((attr.atime, attr.mtime), (atime, mtime), "{:?}", attr.kind);
        assert!(attr.ctime > before.ctime, "{:?}", attr.kind);
        tick();
        let set = Set {
            mtime: Some(TimeOrNow::Now),
            ..Set::default()
        };
        let attr = t.setattr(ino, set).unwrap();
        assert_eq!(attr.atime, atime);
        let age = SystemTime::now().duration_since(attr.mtime).unwrap();
        assert!(age < Duration::from_secs(10), "{age:?}");
        assert_eq!(t.attr(ino), attr);
        assert_eq!(attr.crtime, before.crtime);
    }
}

#[test]
fn mode_and_owner_change_for_every_kind() {
    let t = new("");
    for ino in one_of_each(&t) {
        let before = t.attr(ino);
        tick();
        let set = Set {
            mode: Some(libc::S_IFREG | 0o1712),
            ..Set::default()
        };
        let attr = t.setattr(ino, set).unwrap();
        assert_eq!((attr.perm, attr.kind), (0o1712, before.kind));
        assert!(attr.ctime > before.ctime);
        assert_eq!(attr.mtime, before.mtime);
        let set = Set {
            uid: Some(7),
            ..Set::default()
        };
        let attr = t.setattr(ino, set).unwrap();
        assert_eq!((attr.uid, attr.gid), (7, GID));
        assert_ne!(attr.uid, UID);
    }
}

#[test]
fn chown_drops_set_id_bits_of_files_only() {
    let t = new("");
    let file = t.file(ROOT, "f");
    let dir = t.mkdir(ROOT, "d").unwrap();
    let perm_after_chown = |ino, mode| {
        let set = Set {
            mode: Some(mode),
            ..Set::default()
        };
        t.setattr(ino, set).unwrap();
        let set = Set {
            gid: Some(9),
            ..Set::default()
        };
        t.setattr(ino, set).unwrap().perm
    };
    assert_eq!(perm_after_chown(file, 0o6755), 0o755);
    // Set-group-id without group execution is no identity.
    assert_eq!(perm_after_chown(file, 0o6745), 0o2745);
    assert_eq!(perm_after_chown(dir, 0o6755), 0o6755);
}

#[test]
fn set_id_bits_lost_by_the_memfd_are_lost_by_the_file() {
    let t = new("");
    let ino = t.file(ROOT, "f");
    let set = |mode| Set {
        mode: Some(mode),
        ..Set::default()
    };
    assert_eq!(t.setattr(ino, set(0o6755)).unwrap().perm, 0o6755);
    let mut file = t.open(ino, OpenOptions::new().write(true));
    let is_root = rustix::process::geteuid().is_root();
    file.write_all(b"x").unwrap();
    // Root keeps them (CAP_FSETID), anybody else loses them: as on any Linux filesystem.
    let expected = if is_root { 0o6755 } else { 0o755 };
    assert_eq!(t.attr(ino).perm, expected);
    // What the kernel does for others, done here by hand.
    rustix::fs::fchmod(&file, rustix::fs::Mode::from_raw_mode(0o755)).unwrap();
    assert_eq!(t.attr(ino).perm, 0o755);
    assert_eq!(t.setattr(ino, set(0o4711)).unwrap().perm, 0o4711);
    // A write through the module on behalf of somebody else.
    let flags = WriteFlags::FUSE_WRITE_KILL_SUIDGID;
    let handle = FileHandle(0);
    sync::write(
        &*t.fs,
        &t.req,
        ino,
        handle,
        0,
        b"y",
        flags,
        OpenFlags(0),
        None,
    )
    .unwrap();
    assert_eq!(t.attr(ino).perm, 0o711);
}

#[test]
fn listing_and_readlink_set_atime_relatively() {
    let t = new("");
    let dir = t.mkdir(ROOT, "d").unwrap();
    tick();
    t.list(dir);
    let first = t.attr(dir);
    assert!(first.atime > first.mtime);
    tick();
    t.list(dir);
    assert_eq!(t.attr(dir).atime, first.atime);
    t.file(dir, "f");
    tick();
    t.list(dir);
    assert!(t.attr(dir).atime > first.atime);
}

#[test]
fn xattrs_are_created_replaced_listed_and_removed() {
    let t = new("");
    let ino = t.file(ROOT, "f");
    let before = t.attr(ino).ctime;
    tick();
    t.set_xattr(ino, "user.a", b"one", 0).unwrap();
    assert!(t.attr(ino).ctime > before);
    assert_eq!(t.xattr(ino, "user.a").unwrap(), b"one");
    assert_eq!(
        t.set_xattr(ino, "user.a", b"x", libc::XATTR_CREATE),
        Err(Errno::EEXIST)
    );
    assert_eq!(
        t.set_xattr(ino, "user.b", b"x", libc::XATTR_REPLACE),
        Err(Errno::ENODATA)
    );
    t.set_xattr(ino, "user.a", b"", libc::XATTR_REPLACE)
        .unwrap();
    assert_eq!(t.xattr(ino, "user.a").unwrap(), b"");
    t.set_xattr(ino, "trusted.t", b"\0\xff", libc::XATTR_CREATE)
        .unwrap();
    t.set_xattr(ino, "security.s", b"s", 0).unwrap();
    let list = |size| sync::listxattr(&*t.fs, &t.req, ino, size);
    let names = b"security.s\0trusted.t\0user.a\0";
    assert_eq!(list(1000), Ok(XattrOut::Data(names.to_vec())));
    assert_eq!(list(0), Ok(XattrOut::Size(names.len() as u32)));
    assert_eq!(list(names.len() as u32 - 1), Err(Errno::ERANGE));
    let get = |size| sync::getxattr(&*t.fs, &t.req, ino, OsStr::new("trusted.t"), size);
    assert_eq!(get(0), Ok(XattrOut::Size(2)));
    assert_eq!(get(1), Err(Errno::ERANGE));
    assert_eq!(get(2), Ok(XattrOut::Data(b"\0\xff".to_vec())));
    let remove = |name: &str| sync::removexattr(&*t.fs, &t.req, ino, OsStr::new(name));
    assert_eq!(remove("user.a"), Ok(()));
    assert_eq!(remove("user.a"), Err(Errno::ENODATA));
    assert_eq!(t.xattr(ino, "user.a"), Err(Errno::ENODATA));
}

#[test]
fn xattr_names_and_values_have_limits() {
    let t = new("");
    let ino = t.file(ROOT, "f");
    let set = |name: &str, value: &[u8], flags| t.set_xattr(ino, name, value, flags);
    assert_eq!(set("user.", b"", 0), Err(Errno::EINVAL));
    assert_eq!(set("user", b"", 0), Err(Errno::EOPNOTSUPP));
    assert_eq!(set("system.other", b"", 0), Err(Errno::EOPNOTSUPP));
    assert_eq!(
        set(&format!("user.{}", "n".repeat(251)), b"", 0),
        Err(Errno::ERANGE)
    );
    assert_eq!(set(&format!("user.{}", "n".repeat(250)), b"", 0), Ok(()));
    assert_eq!(set("user.big", &[0; 65537], 0), Err(Errno::E2BIG));
    assert_eq!(set("user.big", &[0; 65536], 0), Ok(()));
    assert_eq!(set("user.x", b"", 8), Err(Errno::EINVAL));
    let mut count = 0;
    let full = loop {
        match set(&format!("user.{count:0>200}"), b"", 0) {
            Ok(()) => count += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(full, Errno::ENOSPC);
    assert!(count > 300, "{count}");
    let link = t.symlink(ROOT, "l", "x").unwrap().ino;
    assert_eq!(t.set_xattr(link, "user.a", b"", 0), Err(Errno::EPERM));
    assert_eq!(t.set_xattr(link, "trusted.a", b"", 0), Ok(()));
    assert_eq!(t.xattr(link, "user.a"), Err(Errno::ENODATA));
}

/// An ACL as an attribute value: (tag, permission, id).
fn acl(entries: &[(u16, u16, u32)]) -> Vec<u8> {
    let mut bytes = 2u32.to_le_bytes().to_vec();
    for (tag, perm, id) in entries {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(perm.to_le_bytes());
        bytes.extend(id.to_le_bytes());
    }
    bytes
}

const NO_ID: u32 = u32::MAX;
const ACCESS: &str = "system.posix_acl_access";
const DEFAULT: &str = "system.posix_acl_default";

fn with_user(mask: u16) -> Vec<u8> {
    acl(&[
        (1, 7, NO_ID),
        (2, 7, 42),
        (4, 5, NO_ID),
        (0x10, mask, NO_ID),
        (0x20, 0, NO_ID),
    ])
}

#[test]
fn access_acl_and_mode_are_one_thing() {
    let t = new("");
    let ino = t.file(ROOT, "f");
    t.set_xattr(ino, ACCESS, &with_user(6), 0).unwrap();
    assert_eq!(t.attr(ino).perm, 0o760);
    let set = Set {
        mode: Some(0o640),
        ..Set::default()
    };
    t.setattr(ino, set).unwrap();
    let expected = acl(&[
        (1, 6, NO_ID),
        (2, 7, 42),
        (4, 5, NO_ID),
        (0x10, 4, NO_ID),
        (0x20, 0, NO_ID),
    ]);
    assert_eq!(t.xattr(ino, ACCESS).unwrap(), expected);
    // A list that says no more than the mode is not kept.
    let minimal = acl(&[(1, 7, NO_ID), (4, 5, NO_ID), (0x20, 5, NO_ID)]);
    t.set_xattr(ino, ACCESS, &minimal, 0).unwrap();
    assert_eq!(t.attr(ino).perm, 0o755);
    assert_eq!(t.xattr(ino, ACCESS), Err(Errno::ENODATA));
    assert_eq!(
        t.set_xattr(ino, ACCESS, b"nonsense", 0),
        Err(Errno::EOPNOTSUPP)
    );
    assert_eq!(t.set_xattr(ino, DEFAULT, &minimal, 0), Err(Errno::EACCES));
    sync::removexattr(&*t.fs, &t.req, ino, OsStr::new(ACCESS)).unwrap();
}

#[test]
fn default_acl_is_inherited_instead_of_the_umask() {
    let t = new("");
    let dir = t.mkdir(ROOT, "d").unwrap();
    t.set_xattr(dir, DEFAULT, &with_user(7), 0).unwrap();
    assert_eq!(t.attr(dir).perm, 0o755);
    let made = sync::mknod(&*t.fs, &t.req, dir, OsStr::new("f"), 0o666, 0o077, 0).unwrap();
    assert_eq!(made.attr.perm, 0o660);
    assert!(t.xattr(made.attr.ino, ACCESS).is_ok());
    assert_eq!(t.xattr(made.attr.ino, DEFAULT), Err(Errno::ENODATA));
    let sub = sync::mkdir(&*t.fs, &t.req, dir, OsStr::new("sub"), 0o777, 0o077).unwrap();
    assert_eq!(sub.attr.perm, 0o770);
    assert_eq!(t.xattr(sub.attr.ino, DEFAULT).unwrap(), with_user(7));
    let link = t.symlink(dir, "link", "x").unwrap();
    assert_eq!(t.xattr(link.ino, ACCESS), Err(Errno::ENODATA));
}
