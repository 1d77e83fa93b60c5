//! The module against the host itself: each change made through one is seen through the other.
#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use fuse_compat::*;
use view_bind::Bind;

const ROOT: INodeNo = INodeNo::ROOT;
const NO_HANDLE: FileHandle = FileHandle(0);

/// A bound temporary directory, removed at the end.
struct T {
    path: PathBuf,
    fs: Arc<dyn Filesystem>,
    req: Request,
}

impl Drop for T {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.path).ok();
    }
}

fn new() -> T {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let name = format!("view-bind-{}-{number}", std::process::id());
    let path = std::env::temp_dir().canonicalize().unwrap().join(name);
    fs::create_dir(&path).unwrap();
    let mut fs = Bind::new(&path).unwrap();
    let (uid, gid) = (rustix::process::getuid(), rustix::process::getgid());
    let req = Request::new(1, uid.as_raw(), gid.as_raw(), 7);
    fs.init(&req, &mut KernelConfig::default()).unwrap();
    T {
        path,
        fs: Arc::new(fs),
        req,
    }
}

impl T {
    fn host(&self, relative: &str) -> PathBuf {
        self.path.join(relative)
    }

    fn lookup(&self, parent: INodeNo, name: &str) -> Result<FileAttr, Errno> {
        sync::lookup(&*self.fs, &self.req, parent, OsStr::new(name)).map(|entry| entry.attr)
    }

    fn ino(&self, parent: INodeNo, name: &str) -> INodeNo {
        self.lookup(parent, name).unwrap().ino
    }

    fn getattr(&self, ino: INodeNo) -> Result<FileAttr, Errno> {
        sync::getattr(&*self.fs, &self.req, ino, None).map(|out| out.attr)
    }

    fn mkdir(&self, parent: INodeNo, name: &str) -> Result<FileAttr, Errno> {
        sync::mkdir(&*self.fs, &self.req, parent, OsStr::new(name), 0o755, 0).map(|out| out.attr)
    }

    fn create(&self, parent: INodeNo, name: &str, flags: i32) -> Result<CreateOut, Errno> {
        sync::create(
            &*self.fs,
            &self.req,
            parent,
            OsStr::new(name),
            0o666,
            0o022,
            flags,
        )
    }

    fn file(&self, parent: INodeNo, name: &str, text: &str) -> INodeNo {
        let ino = self
            .create(parent, name, libc::O_RDWR)
            .unwrap()
            .entry
            .attr
            .ino;
        assert_eq!(self.write(ino, 0, text.as_bytes()), Ok(text.len() as u32));
        ino
    }

    fn read(&self, ino: INodeNo) -> Result<Vec<u8>, Errno> {
        sync::read(
            &*self.fs,
            &self.req,
            ino,
            NO_HANDLE,
            0,
            1 << 30,
            OpenFlags(0),
            None,
        )
    }

    fn write(&self, ino: INodeNo, offset: u64, data: &[u8]) -> Result<u32, Errno> {
        let flags = WriteFlags::empty();
        sync::write(
            &*self.fs,
            &self.req,
            ino,
            NO_HANDLE,
            offset,
            data,
            flags,
            OpenFlags(0),
            None,
        )
    }

    fn rename(
        &self,
        from: (INodeNo, &str),
        to: (INodeNo, &str),
        flags: RenameFlags,
    ) -> Result<(), Errno> {
        let (name, new_name) = (OsStr::new(from.1), OsStr::new(to.1));
        sync::rename(&*self.fs, &self.req, from.0, name, to.0, new_name, flags)
    }

    fn unlink(&self, parent: INodeNo, name: &str) -> Result<(), Errno> {
        sync::unlink(&*self.fs, &self.req, parent, OsStr::new(name))
    }

    fn setattr(
        &self,
        ino: INodeNo,
        mode: Option<u32>,
        size: Option<u64>,
        mtime: Option<TimeOrNow>,
    ) -> Result<FileAttr, Errno> {
        sync::setattr(
            &*self.fs, &self.req, ino, mode, None, None, size, None, mtime, None, None, None, None,
            None, None,
        )
        .map(|out| out.attr)
    }
}

#[test]
fn attributes_are_the_hosts() {
    let t = new();
    fs::write(t.host("f"), "twelve bytes").unwrap();
    let attr = t.lookup(ROOT, "f").unwrap();
    let host = fs::metadata(t.host("f")).unwrap();
    assert_eq!(attr.ino.0, host.ino());
    assert_eq!((attr.size, attr.blocks), (12, host.blocks()));
    assert_eq!((attr.uid, attr.gid), (host.uid(), host.gid()));
    assert_eq!(attr.mode(), host.mode());
    assert_eq!(attr.mtime, host.modified().unwrap());
    assert_eq!(attr.atime, host.accessed().unwrap());
    let root = t.getattr(ROOT).unwrap();
    assert_eq!((root.ino, root.kind), (ROOT, FileType::Directory));
    assert_eq!(t.fs.host_root(), Some(t.path.as_path()));
    assert_eq!(t.lookup(ROOT, "none"), Err(Errno::ENOENT));
    assert_eq!(t.lookup(attr.ino, "x"), Err(Errno::ENOTDIR));
    assert_eq!(t.lookup(ROOT, "a/b"), Err(Errno::EINVAL));
    let usage = sync::statfs(&*t.fs, &t.req, ROOT).unwrap();
    let host = rustix::fs::statvfs(&t.path).unwrap();
    assert_eq!(
        (usage.blocks, usage.frsize.into()),
        (host.f_blocks, host.f_frsize)
    );
}

#[test]
fn files_are_made_written_and_removed() {
    let t = new();
    let dir = t.mkdir(ROOT, "d").unwrap().ino;
    let made = t.create(dir, "f", libc::O_RDWR | libc::O_EXCL).unwrap();
    let file = fs::File::from(made.open.descriptor.unwrap());
    file.write_all_at(b"hello", 0).unwrap();
    assert_eq!(fs::read(t.host("d/f")).unwrap(), b"hello");
    // The umask of the caller counts, not the one of this process.
    assert_eq!(fs::metadata(t.host("d/f")).unwrap().mode() & 0o7777, 0o644);
    let ino = made.entry.attr.ino;
    assert_eq!(t.write(ino, 5, b" there"), Ok(6));
    assert_eq!(t.read(ino).unwrap(), b"hello there");
    assert_eq!(t.setattr(ino, None, Some(4), None).unwrap().size, 4);
    assert_eq!(
        t.create(dir, "f", libc::O_RDWR | libc::O_EXCL).unwrap_err(),
        Errno::EEXIST
    );
    // Without O_EXCL a file that appeared meanwhile is opened.
    let again = t.create(dir, "f", libc::O_RDWR).unwrap();
    assert_eq!((again.entry.attr.ino, again.entry.attr.size), (ino, 4));
    let rmdir = |name| sync::rmdir(&*t.fs, &t.req, ROOT, OsStr::new(name));
    assert_eq!(rmdir("d"), Err(Errno::ENOTEMPTY));
    assert_eq!(t.unlink(ROOT, "d"), Err(Errno::EISDIR));
    t.unlink(dir, "f").unwrap();
    rmdir("d").unwrap();
    assert!(!t.host("d").exists());
}

#[test]
fn set_group_id_directory_and_odd_modes() {
    let t = new();
    let dir = t.mkdir(ROOT, "d").unwrap().ino;
    t.setattr(dir, Some(0o2777), None, None).unwrap();
    let sub = t.mkdir(dir, "sub").unwrap();
    assert_eq!(sub.perm, 0o2755);
    let name = OsStr::new("f");
    let made = sync::mknod(&*t.fs, &t.req, dir, name, 0o666, 0, 0).unwrap();
    assert_eq!(
        (made.attr.perm, made.attr.kind),
        (0o666, FileType::RegularFile)
    );
    let made = sync::create(
        &*t.fs,
        &t.req,
        dir,
        OsStr::new("g"),
        0o444,
        0,
        libc::O_WRONLY,
    )
    .unwrap();
    assert_eq!(made.entry.attr.perm, 0o444);
    // Opened before the mode forbids it: creat(2) with 0444 gives a writable descriptor.
    let file = fs::File::from(made.open.descriptor.unwrap());
    file.write_all_at(b"x", 0).unwrap();
}

#[test]
fn every_kind_is_made() {
    let t = new();
    let fifo = sync::mknod(
        &*t.fs,
        &t.req,
        ROOT,
        OsStr::new("fifo"),
        libc::S_IFIFO | 0o600,
        0,
        0,
    );
    assert_eq!(fifo.unwrap().attr.kind, FileType::NamedPipe);
    let socket = sync::mknod(
        &*t.fs,
        &t.req,
        ROOT,
        OsStr::new("socket"),
        libc::S_IFSOCK | 0o600,
        0,
        0,
    );
    assert_eq!(socket.unwrap().attr.kind, FileType::Socket);
    let link = sync::symlink(
        &*t.fs,
        &t.req,
        ROOT,
        OsStr::new("l"),
        Path::new("../out/side"),
    )
    .unwrap();
    assert_eq!(link.attr.kind, FileType::Symlink);
    let target = sync::readlink(&*t.fs, &t.req, link.attr.ino).unwrap();
    assert_eq!(target, b"../out/side");
    assert_eq!(
        fs::read_link(t.host("l")).unwrap(),
        Path::new("../out/side")
    );
    assert_eq!(sync::readlink(&*t.fs, &t.req, ROOT), Err(Errno::EINVAL));
    let fifo = t.ino(ROOT, "fifo");
    let open = sync::open(&*t.fs, &t.req, fifo, OpenFlags(libc::O_RDONLY));
    assert_eq!(
        open.unwrap_err(),
        Errno::ENXIO,
        "a FIFO is not opened here: that could wait for ever"
    );
    let open = sync::open(&*t.fs, &t.req, ROOT, OpenFlags(libc::O_RDONLY));
    assert_eq!(open.unwrap_err(), Errno::EISDIR);
}

#[test]
fn symbolic_links_do_not_lead_out_of_the_root() {
    let t = new();
    fs::create_dir(t.host("d")).unwrap();
    fs::write(t.host("d/passwd"), "inside").unwrap();
    let dir = t.ino(ROOT, "d");
    let file = t.ino(dir, "passwd");
    assert_eq!(t.read(file).unwrap(), b"inside");
    // The directory becomes a link to one outside, behind the module's back.
    fs::rename(t.host("d"), t.host("moved")).unwrap();
    std::os::unix::fs::symlink("/etc", t.host("d")).unwrap();
    assert_eq!(t.read(file), Err(Errno::ENOENT));
    assert_eq!(t.lookup(ROOT, "d").unwrap().kind, FileType::Symlink);
    assert_eq!(t.lookup(ROOT, "..").unwrap().ino, ROOT);
    // Found again where it is now.
    let moved = t.ino(ROOT, "moved");
    assert_eq!(moved, dir);
    assert_eq!(t.read(file).unwrap(), b"inside");
    assert_eq!(t.lookup(dir, "..").unwrap().ino, ROOT);
}

#[test]
fn a_replaced_file_is_not_mistaken_for_the_old_one() {
    let t = new();
    let ino = t.file(ROOT, "f", "old");
    fs::write(t.host("new"), "new").unwrap();
    fs::rename(t.host("new"), t.host("f")).unwrap();
    assert_eq!(t.read(ino), Err(Errno::ENOENT));
    let found = t.ino(ROOT, "f");
    assert_ne!(found, ino);
    assert_eq!(t.read(found).unwrap(), b"new");
}

#[test]
fn unlinked_files_stay_until_they_are_forgotten() {
    let t = new();
    let ino = t.file(ROOT, "f", "kept");
    t.unlink(ROOT, "f").unwrap();
    assert_eq!(t.read(ino).unwrap(), b"kept");
    assert_eq!(t.getattr(ino).unwrap().nlink, 0);
    assert_eq!(
        t.setattr(ino, Some(0o600), Some(2), None).unwrap().perm,
        0o600
    );
    t.fs.forget(&t.req, ino, 1);
    assert_eq!(t.read(ino), Err(Errno::ESTALE));
    // A file replaced by rename stays too.
    let old = t.file(ROOT, "old", "old");
    t.file(ROOT, "new", "new");
    t.rename((ROOT, "new"), (ROOT, "old"), RenameFlags::empty())
        .unwrap();
    assert_eq!(t.read(old).unwrap(), b"old");
}

#[test]
fn renames_are_followed() {
    let t = new();
    let a = t.mkdir(ROOT, "a").unwrap().ino;
    let b = t.mkdir(ROOT, "b").unwrap().ino;
    let sub = t.mkdir(a, "sub").unwrap().ino;
    let file = t.file(sub, "f", "text");
    t.rename((a, "sub"), (b, "moved"), RenameFlags::empty())
        .unwrap();
    assert_eq!(t.read(file).unwrap(), b"text");
    assert_eq!(fs::read(t.host("b/moved/f")).unwrap(), b"text");
    let other = t.file(ROOT, "other", "other");
    let exchange = RenameFlags::RENAME_EXCHANGE;
    t.rename((sub, "f"), (ROOT, "other"), exchange).unwrap();
    assert_eq!(t.read(file).unwrap(), b"text");
    assert_eq!(t.read(other).unwrap(), b"other");
    assert_eq!(fs::read(t.host("other")).unwrap(), b"text");
    let noreplace = RenameFlags::RENAME_NOREPLACE;
    assert_eq!(
        t.rename((ROOT, "other"), (sub, "f"), noreplace),
        Err(Errno::EEXIST)
    );
    assert_eq!(
        t.rename((ROOT, "b"), (sub, "x"), RenameFlags::empty()),
        Err(Errno::EINVAL)
    );
    assert_eq!(
        t.rename((ROOT, "none"), (ROOT, "x"), RenameFlags::empty()),
        Err(Errno::ENOENT)
    );
}

#[test]
fn hard_links_share_the_inode_and_outlive_a_name() {
    let t = new();
    let ino = t.file(ROOT, "f", "text");
    let linked = sync::link(&*t.fs, &t.req, ino, ROOT, OsStr::new("g")).unwrap();
    assert_eq!((linked.attr.ino, linked.attr.nlink), (ino, 2));
    t.unlink(ROOT, "g").unwrap();
    assert_eq!(t.getattr(ino).unwrap().nlink, 1);
    assert_eq!(t.ino(ROOT, "f"), ino);
    assert_eq!(t.read(ino).unwrap(), b"text");
    let dir = t.mkdir(ROOT, "d").unwrap().ino;
    assert_eq!(
        sync::link(&*t.fs, &t.req, dir, ROOT, OsStr::new("x")),
        Err(Errno::EPERM)
    );
}

#[test]
fn unnamed_files_get_names() {
    let t = new();
    let made = sync::tmpfile(&*t.fs, &t.req, ROOT, 0o640, 0, libc::O_RDWR).unwrap();
    let file = fs::File::from(made.open.descriptor.unwrap());
    file.write_all_at(b"unnamed", 0).unwrap();
    let ino = made.entry.attr.ino;
    let attr = t.getattr(ino).unwrap();
    assert_eq!((attr.nlink, attr.size, attr.perm), (0, 7, 0o640));
    sync::link(&*t.fs, &t.req, ino, ROOT, OsStr::new("named")).unwrap();
    assert_eq!(fs::read(t.host("named")).unwrap(), b"unnamed");
    assert_eq!(t.ino(ROOT, "named"), ino);
}

#[test]
fn times_are_set_and_links_are_not_followed() {
    let t = new();
    let time = UNIX_EPOCH + Duration::new(1_000_000_000, 987_654_321);
    let ino = t.file(ROOT, "f", "");
    std::os::unix::fs::symlink("f", t.host("l")).unwrap();
    let link = t.ino(ROOT, "l");
    for ino in [ino, link, ROOT] {
        let set = Some(TimeOrNow::SpecificTime(time));
        let attr = t.setattr(ino, None, None, set).unwrap();
        assert_eq!(attr.mtime, time);
    }
    t.setattr(link, None, None, Some(TimeOrNow::Now)).unwrap();
    assert_eq!(fs::metadata(t.host("f")).unwrap().modified().unwrap(), time);
    assert_eq!(
        t.setattr(link, Some(0o600), None, None),
        Err(Errno::EOPNOTSUPP)
    );
    assert_eq!(t.setattr(link, None, Some(0), None), Err(Errno::EINVAL));
    assert_eq!(t.setattr(ROOT, None, Some(0), None), Err(Errno::EISDIR));
}

#[test]
fn listing_equals_the_hosts_in_steps_of_any_size() {
    let t = new();
    for number in 0..300 {
        fs::write(t.host(&format!("file{number}")), "").unwrap();
    }
    fs::create_dir(t.host("dir")).unwrap();
    let handle = sync::opendir(&*t.fs, &t.req, ROOT, OpenFlags(0))
        .unwrap()
        .fh;
    for max_bytes in [40, 300, 1 << 20] {
        let mut names = Vec::new();
        let mut offset = 0;
        loop {
            let step = sync::readdir(&*t.fs, &t.req, ROOT, handle, offset, max_bytes).unwrap();
            let Some(last) = step.last() else { break };
            offset = last.offset;
            names.extend(step);
        }
        assert_eq!(names.len(), 303, "{max_bytes}");
        let unique: BTreeSet<_> = names.iter().map(|entry| &entry.name).collect();
        assert_eq!(unique.len(), 303);
        for entry in names
            .iter()
            .filter(|entry| entry.name != "." && entry.name != "..")
        {
            let host = fs::symlink_metadata(t.path.join(&entry.name)).unwrap();
            assert_eq!(entry.ino.0, host.ino());
            assert_eq!(entry.kind == FileType::Directory, host.is_dir());
        }
    }
    let plus = sync::readdirplus(&*t.fs, &t.req, ROOT, handle, 0, 1 << 20).unwrap();
    assert_eq!(plus.len(), 303);
    assert!(plus.iter().all(|entry| entry.ino == entry.entry.attr.ino));
    sync::releasedir(&*t.fs, &t.req, ROOT, handle, OpenFlags(0)).unwrap();
    let closed = sync::readdir(&*t.fs, &t.req, ROOT, handle, 0, 4096);
    assert_eq!(closed, Err(Errno::EBADF));
    let without = sync::readdir(&*t.fs, &t.req, ROOT, NO_HANDLE, 0, 1 << 20).unwrap();
    assert_eq!(without.len(), 303);
}

#[test]
fn xattrs_are_the_hosts() {
    let t = new();
    let ino = t.file(ROOT, "f", "");
    let name = OsStr::new("user.colour");
    let set = |value: &[u8], flags| sync::setxattr(&*t.fs, &t.req, ino, name, value, flags, 0);
    match set(b"red", libc::XATTR_CREATE) {
        Err(Errno::EOPNOTSUPP) => return, // this host's temporary directory has none
        other => other.unwrap(),
    }
    assert_eq!(set(b"blue", libc::XATTR_CREATE), Err(Errno::EEXIST));
    let get = |size| sync::getxattr(&*t.fs, &t.req, ino, name, size);
    assert_eq!(get(0), Ok(XattrOut::Size(3)));
    assert_eq!(get(100), Ok(XattrOut::Data(b"red".to_vec())));
    assert_eq!(get(2), Err(Errno::ERANGE));
    let list = sync::listxattr(&*t.fs, &t.req, ino, u32::MAX).unwrap();
    assert_eq!(list, XattrOut::Data(b"user.colour\0".to_vec()));
    sync::removexattr(&*t.fs, &t.req, ino, name).unwrap();
    assert_eq!(get(100), Err(Errno::ENODATA));
    std::os::unix::fs::symlink("f", t.host("l")).unwrap();
    let link = t.ino(ROOT, "l");
    let set = sync::setxattr(&*t.fs, &t.req, link, name, b"x", 0, 0);
    assert_eq!(
        set,
        Err(Errno::EPERM),
        "a link has no user attributes, and is not followed"
    );
}

#[test]
fn holes_and_copies() {
    let t = new();
    let ino = t.file(ROOT, "f", "");
    t.write(ino, 1 << 20, b"data").unwrap();
    let seek = |offset, whence| sync::lseek(&*t.fs, &t.req, ino, NO_HANDLE, offset, whence);
    assert!(seek(0, libc::SEEK_DATA).unwrap() <= 1 << 20);
    assert_eq!(seek(1 << 21, libc::SEEK_DATA), Err(Errno::ENXIO));
    assert_eq!(seek(0, libc::SEEK_END), Err(Errno::EINVAL));
    let target = t.file(ROOT, "g", "");
    let copied = sync::copy_file_range(
        &*t.fs,
        &t.req,
        ino,
        NO_HANDLE,
        1 << 20,
        target,
        NO_HANDLE,
        0,
        100,
        CopyFileRangeFlags::empty(),
    );
    assert_eq!(copied, Ok(4));
    assert_eq!(t.read(target).unwrap(), b"data");
    sync::fallocate(&*t.fs, &t.req, target, NO_HANDLE, 0, 8192, 0).unwrap();
    assert_eq!(t.getattr(target).unwrap().size, 8192);
    sync::fsync(&*t.fs, &t.req, target, NO_HANDLE, true).unwrap();
    sync::fsyncdir(&*t.fs, &t.req, ROOT, NO_HANDLE, false).unwrap();
    assert_eq!(
        sync::access(&*t.fs, &t.req, target, AccessFlags::R_OK),
        Ok(())
    );
    assert_eq!(
        sync::access(&*t.fs, &t.req, target, AccessFlags::X_OK),
        Err(Errno::EACCES)
    );
}

#[test]
fn a_single_file_can_be_the_root() {
    let t = new();
    fs::write(t.host("f"), "alone").unwrap();
    fs::set_permissions(t.host("f"), fs::Permissions::from_mode(0o640)).unwrap();
    let bind = Bind::new(t.host("f")).unwrap();
    let attr = sync::getattr(&bind, &t.req, ROOT, None).unwrap().attr;
    assert_eq!(
        (attr.ino, attr.kind, attr.perm),
        (ROOT, FileType::RegularFile, 0o640)
    );
    let open = sync::open(&bind, &t.req, ROOT, OpenFlags(libc::O_RDONLY)).unwrap();
    let descriptor = open.descriptor.unwrap();
    let target = fs::read_link(format!("/proc/self/fd/{}", descriptor.as_raw_fd())).unwrap();
    assert_eq!(target, t.host("f"));
    let lookup = sync::lookup(&bind, &t.req, ROOT, OsStr::new("x"));
    assert_eq!(lookup, Err(Errno::ENOTDIR));
    let listing = sync::readdir(&bind, &t.req, ROOT, NO_HANDLE, 0, 4096);
    assert_eq!(listing, Err(Errno::ENOTDIR));
    assert!(Bind::new(t.host("none")).is_err());
}

#[test]
fn deep_trees_beyond_path_max_are_reached() {
    let t = new();
    let name = "n".repeat(200);
    let mut here = ROOT;
    for _ in 0..40 {
        here = t.mkdir(here, &name).unwrap().ino;
    }
    let file = t.file(here, "deep", "found");
    assert_eq!(t.read(file).unwrap(), b"found");
    t.unlink(here, "deep").unwrap();
    // std's remove_dir_all goes by descriptors, so the clean-up works as well.
}

#[test]
fn requests_of_another_user_make_files_of_that_user_when_we_may() {
    let t = new();
    let other = Request::new(1, 1234, 5678, 0);
    let made = sync::mkdir(&*t.fs, &other, ROOT, OsStr::new("d"), 0o700, 0);
    if rustix::process::geteuid().is_root() {
        let attr = made.unwrap().attr;
        assert_eq!((attr.uid, attr.gid, attr.perm), (1234, 5678, 0o700));
    } else {
        assert_eq!(made.unwrap().attr.uid, t.req.uid());
    }
}

#[test]
fn what_is_mounted_below_the_root_has_its_own_numbers() {
    let t = new();
    let bind = Bind::new("/").unwrap();
    let lookup = |parent, name| {
        let found = sync::lookup(&bind, &t.req, parent, OsStr::new(name));
        found.map(|entry| entry.attr)
    };
    let proc = lookup(ROOT, "proc").unwrap();
    let host = fs::metadata("/proc").unwrap();
    assert_ne!(host.dev(), fs::metadata("/").unwrap().dev());
    assert_ne!(proc.ino.0, host.ino());
    assert_eq!(lookup(ROOT, "proc").unwrap().ino, proc.ino);
    let version = lookup(proc.ino, "version").unwrap();
    // Files of /proc say that they are empty.
    assert_eq!(version.size, 0);
    let file = version.ino;
    let text = sync::read(&bind, &t.req, file, NO_HANDLE, 0, 4096, OpenFlags(0), None);
    assert_eq!(text.unwrap(), fs::read("/proc/version").unwrap());
    assert_eq!(lookup(proc.ino, "..").unwrap().ino, ROOT);
}
