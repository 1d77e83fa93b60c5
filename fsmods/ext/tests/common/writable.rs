//! A writable mount for tests, driven through the `Filesystem` trait.

use std::cell::RefCell;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fuse_compat::{
    BlockSource, Errno, FileHandle, Filesystem, INodeNo, OpenFlags, RenameFlags, Request,
    WriteFlags, sync,
};
use view_ext::Ext;

use super::{Lines, run};

/// A kind of image.
pub struct Kind {
    pub name: &'static str,
    pub options: &'static [&'static str],
}

/// What is tested.
pub const KINDS: &[Kind] = &[
    Kind {
        name: "ext4",
        options: &["-t", "ext4"],
    },
    Kind {
        name: "ext4-1k",
        options: &["-t", "ext4", "-b", "1024"],
    },
    Kind {
        name: "ext4-no-csum",
        options: &["-t", "ext4", "-O", "^metadata_csum,^64bit,uninit_bg"],
    },
    Kind {
        name: "ext4-no-journal",
        options: &["-t", "ext4", "-O", "^has_journal"],
    },
    Kind {
        name: "ext3",
        options: &["-t", "ext3", "-b", "1024"],
    },
    Kind {
        name: "ext2",
        options: &["-t", "ext2", "-b", "1024"],
    },
    Kind {
        name: "ext2-linear",
        options: &["-t", "ext2", "-O", "^dir_index"],
    },
];

/// An empty image.
pub fn fresh(directory: &Path, kind: &Kind, size: &str) -> PathBuf {
    let image = directory.join(kind.name);
    let _ = std::fs::remove_file(&image);
    let mut arguments = vec!["-q", "-F"];
    arguments.extend_from_slice(kind.options);
    let is_plain = kind.name.starts_with("ext2") || kind.name.contains("no-journal");
    if !is_plain && !kind.options.contains(&"-J") {
        arguments.extend_from_slice(&["-J", "size=4"]);
    }
    arguments.push(image.to_str().unwrap());
    arguments.push(size);
    run("mke2fs", &arguments, &[0]);
    image
}

/// e2fsck finds nothing.
pub fn check(image: &Path) {
    run("e2fsck", &["-fn", image.to_str().unwrap()], &[0]);
}

/// A mount.
pub struct Mounted {
    ext: Option<Arc<Ext>>,
    image: PathBuf,
    pub lines: Lines,
    references: RefCell<Vec<u64>>,
    request: Request,
}

type Answer<T> = Result<T, i32>;

fn plain<T>(answer: Result<T, Errno>) -> Answer<T> {
    answer.map_err(|error| error.code())
}

impl Mounted {
    pub fn open(image: &Path, options: &str) -> Self {
        let file = std::fs::File::options()
            .read(true)
            .write(true)
            .open(image)
            .unwrap();
        Self::over(Arc::new(file), image, options)
    }

    pub fn over(source: Arc<dyn BlockSource>, image: &Path, options: &str) -> Self {
        let lines = Lines::default();
        let ext = Ext::open(source, options, lines.sink())
            .unwrap_or_else(|error| panic!("{}: {error}", image.display()));
        assert_eq!(ext.is_writable(), options != "ro", "{:?}", lines.all());
        Self {
            ext: Some(Arc::new(ext)),
            image: image.to_owned(),
            lines,
            references: RefCell::default(),
            request: Request::new(1, 0, 0, 1),
        }
    }

    /// A mount that may fail, and be read-only.
    pub fn try_over(source: Arc<dyn BlockSource>, image: &Path) -> Option<Self> {
        let lines = Lines::default();
        let ext = Ext::open(source, "", lines.sink()).ok()?;
        Some(Self {
            ext: Some(Arc::new(ext)),
            image: image.to_owned(),
            lines,
            references: RefCell::default(),
            request: Request::new(1, 0, 0, 1),
        })
    }

    /// The same mount for another thread, which keeps its own references. Only the last one can unmount.
    pub fn shared(&self) -> Self {
        Self {
            ext: self.ext.clone(),
            image: self.image.clone(),
            lines: self.lines.clone(),
            references: RefCell::default(),
            request: Request::new(1, 0, 0, 1),
        }
    }

    fn take(&mut self) -> Ext {
        let ext = self.ext.take().unwrap();
        Arc::into_inner(ext).expect("nobody else uses the mount")
    }

    /// Unmounts, whatever is wrong.
    pub fn destroy(mut self) {
        self.take().destroy();
    }

    pub fn ext(&self) -> &Ext {
        self.ext.as_ref().unwrap()
    }

    fn refer(&self, node: INodeNo) -> u64 {
        self.references.borrow_mut().push(node.0);
        node.0
    }

    /// Hands all references back.
    pub fn forget_all(&self) {
        for node in self.references.take() {
            self.ext().forget(&self.request, INodeNo(node), 1);
        }
    }

    pub fn unmount(mut self) {
        self.take().destroy();
        let faults: Vec<_> = self.lines.all();
        assert!(
            faults
                .iter()
                .all(|line| line.contains("orphan") || line.contains("replayed")),
            "{faults:?}"
        );
    }

    pub fn remount(self) -> Self {
        let image = self.image.clone();
        self.unmount();
        Self::open(&image, "")
    }

    pub fn try_create(&self, parent: u64, name: &str) -> Answer<u64> {
        let made = sync::create(
            self.ext(),
            &self.request,
            INodeNo(parent),
            OsStr::new(name),
            0o644,
            0,
            0,
        );
        plain(made).map(|made| self.refer(made.entry.attr.ino))
    }

    pub fn create(&self, parent: u64, name: &str) -> u64 {
        self.try_create(parent, name)
            .unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    pub fn tmpfile(&self, parent: u64) -> u64 {
        let made = sync::tmpfile(self.ext(), &self.request, INodeNo(parent), 0o600, 0, 0);
        self.refer(made.unwrap().entry.attr.ino)
    }

    pub fn try_mkdir(&self, parent: u64, name: &str) -> Answer<u64> {
        let made = sync::mkdir(
            self.ext(),
            &self.request,
            INodeNo(parent),
            OsStr::new(name),
            0o755,
            0,
        );
        plain(made).map(|made| self.refer(made.attr.ino))
    }

    pub fn mkdir(&self, parent: u64, name: &str) -> u64 {
        self.try_mkdir(parent, name)
            .unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    pub fn symlink(&self, parent: u64, name: &str, target: &str) {
        let made = sync::symlink(
            self.ext(),
            &self.request,
            INodeNo(parent),
            OsStr::new(name),
            Path::new(target),
        );
        self.refer(made.unwrap().attr.ino);
    }

    pub fn try_link(&self, node: u64, parent: u64, name: &str) -> Answer<()> {
        let made = sync::link(
            self.ext(),
            &self.request,
            INodeNo(node),
            INodeNo(parent),
            OsStr::new(name),
        );
        plain(made).map(|made| {
            self.refer(made.attr.ino);
        })
    }

    pub fn link(&self, node: u64, parent: u64, name: &str) {
        self.try_link(node, parent, name)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
    }

    pub fn unlink(&self, parent: u64, name: &str) -> Answer<()> {
        plain(sync::unlink(
            self.ext(),
            &self.request,
            INodeNo(parent),
            OsStr::new(name),
        ))
    }

    pub fn rmdir(&self, parent: u64, name: &str) -> Answer<()> {
        plain(sync::rmdir(
            self.ext(),
            &self.request,
            INodeNo(parent),
            OsStr::new(name),
        ))
    }

    pub fn rename(&self, from: (u64, &str), to: (u64, &str), flags: RenameFlags) -> Answer<()> {
        plain(sync::rename(
            self.ext(),
            &self.request,
            INodeNo(from.0),
            OsStr::new(from.1),
            INodeNo(to.0),
            OsStr::new(to.1),
            flags,
        ))
    }

    pub fn lookup(&self, parent: u64, name: &str) -> Answer<u64> {
        let found = sync::lookup(self.ext(), &self.request, INodeNo(parent), OsStr::new(name));
        match plain(found)?.attr.ino {
            INodeNo(0) => Err(libc::ENOENT),
            node => Ok(if self.ext().is_writable() {
                self.refer(node)
            } else {
                node.0
            }),
        }
    }

    pub fn try_write(&self, node: u64, offset: u64, data: &[u8]) -> Answer<usize> {
        let written = sync::write(
            self.ext(),
            &self.request,
            INodeNo(node),
            FileHandle(0),
            offset,
            data,
            WriteFlags::empty(),
            OpenFlags(libc::O_RDWR),
            None,
        );
        plain(written).map(|count| count as usize)
    }

    pub fn write(&self, node: u64, offset: u64, data: &[u8]) {
        assert_eq!(self.try_write(node, offset, data), Ok(data.len()));
    }

    pub fn try_truncate(&self, node: u64, size: u64) -> Answer<()> {
        self.set_attributes(node, None, (None, None), Some(size))
    }

    pub fn chmod(&self, node: u64, mode: u32) {
        self.set_attributes(node, Some(mode), (None, None), None)
            .unwrap();
    }

    pub fn chown(&self, node: u64, uid: u32, gid: u32) {
        self.set_attributes(node, None, (Some(uid), Some(gid)), None)
            .unwrap();
    }

    pub fn attributes(&self, node: u64) -> fuse_compat::FileAttr {
        sync::getattr(self.ext(), &self.request, INodeNo(node), None)
            .unwrap()
            .attr
    }

    /// Unmounts, and looks at the image.
    pub fn remount_read_only(self, image: &Path, look: impl Fn(&Self)) {
        self.unmount();
        look(&Self::open(image, "ro"));
    }

    fn set_attributes(
        &self,
        node: u64,
        mode: Option<u32>,
        owner: (Option<u32>, Option<u32>),
        size: Option<u64>,
    ) -> Answer<()> {
        let (request, ext) = (&self.request, self.ext());
        plain(sync::setattr(
            ext,
            request,
            INodeNo(node),
            mode,
            owner.0,
            owner.1,
            size,
            None,
            None,
            None,
            None,
            None,
            None,
            None,
            None,
        ))
        .map(|_| ())
    }

    pub fn truncate(&self, node: u64, size: u64) {
        self.try_truncate(node, size).unwrap();
    }

    pub fn fallocate(&self, node: u64, offset: u64, length: u64, mode: i32) -> Answer<()> {
        plain(sync::fallocate(
            self.ext(),
            &self.request,
            INodeNo(node),
            FileHandle(0),
            offset,
            length,
            mode,
        ))
    }

    pub fn size(&self, node: u64) -> u64 {
        sync::getattr(self.ext(), &self.request, INodeNo(node), None)
            .unwrap()
            .attr
            .size
    }

    pub fn links(&self, node: u64) -> u32 {
        sync::getattr(self.ext(), &self.request, INodeNo(node), None)
            .unwrap()
            .attr
            .nlink
    }

    pub fn read_all(&self, node: u64) -> Vec<u8> {
        let size = u32::try_from(self.size(node)).unwrap();
        sync::read(
            self.ext(),
            &self.request,
            INodeNo(node),
            FileHandle(0),
            0,
            size,
            OpenFlags(0),
            None,
        )
        .unwrap()
    }

    pub fn read_link(&self, node: u64) -> String {
        String::from_utf8(sync::readlink(self.ext(), &self.request, INodeNo(node)).unwrap())
            .unwrap()
    }

    /// The names in a directory, sorted, without `.` and `..`.
    pub fn names(&self, node: u64) -> Vec<String> {
        let directory = self
            .ext()
            .volume()
            .inode(if node == 1 { 2 } else { node as u32 })
            .unwrap();
        let mut names = Vec::new();
        self.ext()
            .volume()
            .list(&directory, 0, &mut |entry| {
                if entry.name != b"." && entry.name != b".." {
                    names.push(String::from_utf8_lossy(entry.name).into_owned());
                }
                std::ops::ControlFlow::Continue(())
            })
            .unwrap();
        names.sort();
        names
    }

    /// Lists a directory in small pieces, with something happening between.
    pub fn list_while(&self, node: u64, happens: impl Fn(usize)) -> Vec<String> {
        let (ext, request) = (self.ext(), &self.request);
        let opened = sync::opendir(ext, request, INodeNo(node), OpenFlags(0)).unwrap();
        let mut names = Vec::new();
        let mut offset = 0;
        for round in 0.. {
            let some = sync::readdir(ext, request, INodeNo(node), opened.fh, offset, 512).unwrap();
            let Some(last) = some.last() else { break };
            offset = last.offset;
            names.extend(
                some.iter()
                    .map(|entry| entry.name.to_string_lossy().into_owned()),
            );
            happens(round);
        }
        sync::releasedir(ext, request, INodeNo(node), opened.fh, OpenFlags(0)).unwrap();
        names
    }

    pub fn set_xattr(&self, node: u64, name: &str, value: &[u8]) -> Answer<()> {
        plain(sync::setxattr(
            self.ext(),
            &self.request,
            INodeNo(node),
            OsStr::new(name),
            value,
            0,
            0,
        ))
    }

    pub fn remove_xattr(&self, node: u64, name: &str) -> Answer<()> {
        plain(sync::removexattr(
            self.ext(),
            &self.request,
            INodeNo(node),
            OsStr::new(name),
        ))
    }

    pub fn xattr(&self, node: u64, name: &str) -> Answer<Vec<u8>> {
        match plain(sync::getxattr(
            self.ext(),
            &self.request,
            INodeNo(node),
            OsStr::new(name),
            65536,
        ))? {
            fuse_compat::XattrOut::Data(data) => Ok(data),
            fuse_compat::XattrOut::Size(_) => Ok(Vec::new()),
        }
    }

    pub fn sync(&self) {
        self.ext().sync().unwrap();
    }

    /// fdatasync(2).
    pub fn sync_content(&self) {
        self.ext().sync_content().unwrap();
    }

    /// Free blocks and inodes.
    pub fn free(&self) -> (u64, u64) {
        let figures = self.ext().statistics();
        (figures.free_blocks, figures.free_inodes)
    }
}

/// What one thread of several does: files come, are read back, and half of them go.
pub fn work(ext: &Ext, thread: u64) {
    let request = Request::new(thread, 0, 0, 1);
    let name = format!("thread-{thread}");
    let made = sync::mkdir(ext, &request, INodeNo(1), OsStr::new(&name), 0o755, 0).unwrap();
    let parent = made.attr.ino;
    let mut random = super::Random::new(thread);
    for number in 0..40 {
        let name = format!("file-{number}");
        let name = OsStr::new(&name);
        let made = sync::create(ext, &request, parent, name, 0o644, 0, 0).unwrap();
        let node = made.entry.attr.ino;
        let size = random.below(60_000) as usize + 1;
        let data = random.bytes(size);
        let none = WriteFlags::empty();
        let flags = OpenFlags(libc::O_RDWR);
        let handle = FileHandle(0);
        sync::write(ext, &request, node, handle, 0, &data, none, flags, None).unwrap();
        let length = u32::try_from(data.len()).unwrap();
        let back = sync::read(ext, &request, node, handle, 0, length, flags, None).unwrap();
        assert!(back == data, "thread {thread}, file {number}");
        if number % 5 == 0 {
            ext.sync().unwrap();
        }
        if number % 2 == 0 {
            sync::unlink(ext, &request, parent, name).unwrap();
        }
        ext.forget(&request, node, 1);
        sync::lookup(ext, &request, INodeNo(1), OsStr::new("lost+found")).unwrap();
    }
}
