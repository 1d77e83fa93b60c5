//! A whole view on whose `/written` a filesystem in memory is mounted that gives no descriptors, as an image's driver
//! does: everything that is written there goes through the page cache.
//!
//! `written_view OPTIONS DUMP COMMAND...`: OPTIONS are the mount options of the tmpfs behind it (`size=`), DUMP a
//! directory of the host: at the end, when the module is told to go, the files of its root are written there.

#![forbid(unsafe_code)]

use fuse_compat::*;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;
use view_core::control::protocol::{LogLevel, MountKind, MountSpec, Refusal, ViewSpec};
use view_core::control::{ModuleInfo, Modules, OpenModule, OpenedModule, SourceKind};
use view_core::supervisor::{self, Plan};
use view_tmpfs::Tmpfs;

/// A tmpfs without its descriptors.
struct Undescribed {
    inner: Tmpfs,
    dump: PathBuf,
}

macro_rules! forward {
    ($(fn $name:ident($($argument:ident: $kind:ty),*) -> $reply:ty;)*) => {
        $(fn $name(&self, req: &Request, $($argument: $kind,)* reply: $reply) {
            self.inner.$name(req, $($argument,)* reply);
        })*
    };
}

impl Filesystem for Undescribed {
    fn init(&mut self, req: &Request, config: &mut KernelConfig) -> std::io::Result<()> {
        self.inner.init(req, config)
    }

    fn destroy(&mut self) {
        let request = Request::new(1, 0, 0, 0);
        let entries = sync::readdir(
            &self.inner,
            &request,
            INodeNo::ROOT,
            FileHandle(0),
            0,
            1 << 20,
        );
        for entry in entries.unwrap_or_default() {
            if entry.kind != FileType::RegularFile {
                continue;
            }
            let (number, handle) = (entry.ino, FileHandle(0));
            let flags = OpenFlags(libc::O_RDONLY);
            let bytes = sync::read(
                &self.inner,
                &request,
                number,
                handle,
                0,
                1 << 30,
                flags,
                None,
            );
            let _ = std::fs::write(self.dump.join(entry.name), bytes.unwrap_or_default());
        }
        self.inner.destroy();
    }

    fn forget(&self, req: &Request, ino: INodeNo, nlookup: u64) {
        self.inner.forget(req, ino, nlookup);
    }

    fn open(&self, req: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        match sync::open(&self.inner, req, ino, flags) {
            Ok(opened) => reply.opened(opened.fh, opened.flags),
            Err(error) => reply.error(error),
        }
    }

    fn create(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        match sync::create(&self.inner, req, parent, name, mode, umask, flags) {
            Ok(CreateOut { entry, open }) => reply.created(
                &entry.attr_ttl,
                &entry.attr,
                entry.generation,
                open.fh,
                open.flags,
            ),
            Err(error) => reply.error(error),
        }
    }

    fn tmpfile(
        &self,
        req: &Request,
        parent: INodeNo,
        mode: u32,
        umask: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        match sync::tmpfile(&self.inner, req, parent, mode, umask, flags) {
            Ok(CreateOut { entry, open }) => reply.created(
                &entry.attr_ttl,
                &entry.attr,
                entry.generation,
                open.fh,
                open.flags,
            ),
            Err(error) => reply.error(error),
        }
    }

    fn setattr(
        &self,
        req: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        ctime: Option<SystemTime>,
        fh: Option<FileHandle>,
        crtime: Option<SystemTime>,
        chgtime: Option<SystemTime>,
        bkuptime: Option<SystemTime>,
        flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        self.inner.setattr(
            req, ino, mode, uid, gid, size, atime, mtime, ctime, fh, crtime, chgtime, bkuptime,
            flags, reply,
        );
    }

    forward! {
        fn lookup(parent: INodeNo, name: &OsStr) -> ReplyEntry;
        fn getattr(ino: INodeNo, fh: Option<FileHandle>) -> ReplyAttr;
        fn readlink(ino: INodeNo) -> ReplyData;
        fn mknod(parent: INodeNo, name: &OsStr, mode: u32, umask: u32, rdev: u32) -> ReplyEntry;
        fn mkdir(parent: INodeNo, name: &OsStr, mode: u32, umask: u32) -> ReplyEntry;
        fn unlink(parent: INodeNo, name: &OsStr) -> ReplyEmpty;
        fn rmdir(parent: INodeNo, name: &OsStr) -> ReplyEmpty;
        fn symlink(parent: INodeNo, name: &OsStr, target: &Path) -> ReplyEntry;
        fn rename(parent: INodeNo, name: &OsStr, newparent: INodeNo, newname: &OsStr, flags: RenameFlags) -> ReplyEmpty;
        fn link(ino: INodeNo, newparent: INodeNo, newname: &OsStr) -> ReplyEntry;
        fn read(ino: INodeNo, fh: FileHandle, offset: u64, size: u32, flags: OpenFlags, owner: Option<LockOwner>) -> ReplyData;
        fn write(ino: INodeNo, fh: FileHandle, offset: u64, data: &[u8], how: WriteFlags, flags: OpenFlags, owner: Option<LockOwner>) -> ReplyWrite;
        fn readdir(ino: INodeNo, fh: FileHandle, offset: u64) -> ReplyDirectory;
        fn readdirplus(ino: INodeNo, fh: FileHandle, offset: u64) -> ReplyDirectoryPlus;
        fn statfs(ino: INodeNo) -> ReplyStatfs;
        fn getxattr(ino: INodeNo, name: &OsStr, size: u32) -> ReplyXattr;
        fn setxattr(ino: INodeNo, name: &OsStr, value: &[u8], flags: i32, position: u32) -> ReplyEmpty;
        fn listxattr(ino: INodeNo, size: u32) -> ReplyXattr;
        fn removexattr(ino: INodeNo, name: &OsStr) -> ReplyEmpty;
        fn fallocate(ino: INodeNo, fh: FileHandle, offset: u64, length: u64, mode: i32) -> ReplyEmpty;
        fn lseek(ino: INodeNo, fh: FileHandle, offset: i64, whence: i32) -> ReplyLseek;
    }
}

struct Registry {
    dump: PathBuf,
}

impl Modules for Registry {
    fn open(&self, request: OpenModule<'_>) -> Result<OpenedModule, Refusal> {
        let inner = Tmpfs::new(&request.options.rest_text())
            .map_err(|error| Refusal::new(libc::EINVAL, error.to_string()))?;
        let dump = self.dump.clone();
        Ok(OpenedModule {
            filesystem: Box::new(Undescribed { inner, dump }),
            name: "undescribed".into(),
            is_read_only: false,
        })
    }

    fn types(&self) -> &'static [ModuleInfo] {
        &[ModuleInfo {
            name: "undescribed",
            source: SourceKind::None,
            can_write: true,
            about: "files in memory, without descriptors",
        }]
    }
}

fn main() {
    let mut arguments = std::env::args_os().skip(1);
    let mut next = || arguments.next().expect("OPTIONS DUMP COMMAND...");
    let (options, dump) = (next(), PathBuf::from(next()));
    let command: Vec<OsString> = arguments.collect();
    let plan = Plan {
        spec: ViewSpec {
            name: None,
            mounts: vec![MountSpec {
                filesystem: Some("undescribed".into()),
                source: "memory".into(),
                target: "/written".into(),
                options: options.to_string_lossy().into_owned(),
                kind: MountKind::Filesystem,
            }],
            command,
            environment: Vec::new(),
            directory: None,
            cache_size_bytes: None,
            identity: None,
            log_level: LogLevel::Debug,
        },
        environment: std::env::vars_os().collect(),
        modules: Arc::new(Registry { dump }),
        explain: || None,
        mount_failure_code: 125,
    };
    let code = supervisor::run(plan).unwrap_or_else(|error| {
        eprintln!("written_view: {error}");
        125
    });
    std::process::exit(code);
}
