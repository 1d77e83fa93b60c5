//! The smallest useful module: a read-only filesystem with one file, `hello.txt`.
//!
//! Run it with `cargo run -p fuse-compat --example hello`; `tests/hello.rs` tests it.

use std::ffi::OsStr;
use std::time::{Duration, UNIX_EPOCH};

use fuse_compat::*;

const TEXT: &[u8] = b"Hello, view!\n";
const FILE: INodeNo = INodeNo(2);
/// Nothing ever changes here, so answers may be cached for long.
const TTL: Duration = Duration::from_secs(3600);

/// The filesystem: it has no state.
pub struct Hello;

fn attr(ino: INodeNo) -> FileAttr {
    let is_file = ino == FILE;
    FileAttr {
        ino,
        size: if is_file { TEXT.len() as u64 } else { 0 },
        blocks: u64::from(is_file),
        atime: UNIX_EPOCH,
        mtime: UNIX_EPOCH,
        ctime: UNIX_EPOCH,
        crtime: UNIX_EPOCH,
        kind: if is_file {
            FileType::RegularFile
        } else {
            FileType::Directory
        },
        perm: if is_file { 0o444 } else { 0o555 },
        nlink: if is_file { 1 } else { 2 },
        uid: 0,
        gid: 0,
        rdev: 0,
        blksize: 4096,
        flags: 0,
    }
}

impl Filesystem for Hello {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        match (parent, name.to_str()) {
            (INodeNo::ROOT, Some("hello.txt")) => reply.entry(&TTL, &attr(FILE), Generation(0)),
            _ => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        reply.attr(&TTL, &attr(ino));
    }

    #[rustfmt::skip]
    fn read(&self, _: &Request, _: INodeNo, _: FileHandle, offset: u64, size: u32, _: OpenFlags,
            _: Option<LockOwner>, reply: ReplyData) {
        let start = TEXT.len().min(offset as usize);
        let end = TEXT.len().min(start.saturating_add(size as usize));
        reply.data(&TEXT[start..end]);
    }

    #[rustfmt::skip]
    fn readdir(&self, _: &Request, _: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        use FileType::{Directory, RegularFile};
        let entries = [(INodeNo::ROOT, Directory, "."), (INodeNo::ROOT, Directory, ".."), (FILE, RegularFile, "hello.txt")];
        for (number, (ino, kind, name)) in entries.into_iter().enumerate().skip(offset as usize) {
            // The offset of an entry says where to continue after it.
            if reply.add(ino, number as u64 + 1, kind, name) {
                break;
            }
        }
        reply.ok();
    }
}

#[allow(dead_code)] // the test includes this file as a module
fn main() -> Result<(), Errno> {
    let host = Request::new(1, 0, 0, 0);
    for entry in sync::readdir(&Hello, &host, INodeNo::ROOT, FileHandle(0), 0, 4096)? {
        println!("{:>4} {:?}", entry.ino, entry.name);
    }
    let file = sync::lookup(&Hello, &host, INodeNo::ROOT, OsStr::new("hello.txt"))?;
    let text = sync::read(
        &Hello,
        &host,
        file.attr.ino,
        FileHandle(0),
        0,
        4096,
        OpenFlags(0),
        None,
    )?;
    print!("{}", String::from_utf8_lossy(&text));
    Ok(())
}
