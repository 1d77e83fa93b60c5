//! Flag sets of the protocol. Values: Linux `include/uapi/linux/fuse.h`, open(2), rename(2), access(2), poll(2).

use std::fmt;

use bitflags::bitflags;

bitflags! {
    /// What access(2) asks for.
    #[derive(Copy, Clone, Debug, Eq, PartialEq, Hash)]
    pub struct AccessFlags: i32 {
        /// Existence only (zero).
        const F_OK = libc::F_OK;
        /// May it be read?
        const R_OK = libc::R_OK;
        /// May it be written?
        const W_OK = libc::W_OK;
        /// May it be executed or searched?
        const X_OK = libc::X_OK;
    }

    /// BSD chflags(2); no flag is defined on Linux.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub struct BsdFileFlags: u32 {}

    /// Flags of copy_file_range(2); none is defined.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub struct CopyFileRangeFlags: u64 {}

    /// What a module says about a file it opened.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub struct FopenFlags: u32 {
        /// Do not cache the contents.
        const FOPEN_DIRECT_IO = 1 << 0;
        /// Cached contents stay valid over this open.
        const FOPEN_KEEP_CACHE = 1 << 1;
        /// lseek(2) fails with ESPIPE.
        const FOPEN_NONSEEKABLE = 1 << 2;
        /// The listing of this directory may be cached.
        const FOPEN_CACHE_DIR = 1 << 3;
        /// There is no file position.
        const FOPEN_STREAM = 1 << 4;
        /// No flush is wanted on close.
        const FOPEN_NOFLUSH = 1 << 5;
        /// Direct writes may run at the same time.
        const FOPEN_PARALLEL_DIRECT_WRITES = 1 << 6;
        /// I/O goes straight to a descriptor of the module.
        const FOPEN_PASSTHROUGH = 1 << 7;
    }

    /// Capabilities negotiated in `init`.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub struct InitFlags: u64 {
        /// Reads may be sent before earlier ones are answered.
        const FUSE_ASYNC_READ = 1 << 0;
        /// The module implements POSIX locks.
        const FUSE_POSIX_LOCKS = 1 << 1;
        /// File handles come with getattr and setattr.
        const FUSE_FILE_OPS = 1 << 2;
        /// `open` gets O_TRUNC and truncates.
        const FUSE_ATOMIC_O_TRUNC = 1 << 3;
        /// `.` and `..` may be looked up.
        const FUSE_EXPORT_SUPPORT = 1 << 4;
        /// Writes may be longer than a page.
        const FUSE_BIG_WRITES = 1 << 5;
        /// The module applies the umask.
        const FUSE_DONT_MASK = 1 << 6;
        /// splice(2) to the device.
        const FUSE_SPLICE_WRITE = 1 << 7;
        /// splice(2) may move pages.
        const FUSE_SPLICE_MOVE = 1 << 8;
        /// splice(2) from the device.
        const FUSE_SPLICE_READ = 1 << 9;
        /// The module implements flock(2) locks.
        const FUSE_FLOCK_LOCKS = 1 << 10;
        /// ioctl(2) on directories.
        const FUSE_HAS_IOCTL_DIR = 1 << 11;
        /// Cached pages are dropped when size or mtime changes.
        const FUSE_AUTO_INVAL_DATA = 1 << 12;
        /// `readdirplus` is used.
        const FUSE_DO_READDIRPLUS = 1 << 13;
        /// `readdirplus` is used where it seems worth it.
        const FUSE_READDIRPLUS_AUTO = 1 << 14;
        /// Direct I/O may be sent before earlier I/O is answered.
        const FUSE_ASYNC_DIO = 1 << 15;
        /// Writes may be cached and sent later.
        const FUSE_WRITEBACK_CACHE = 1 << 16;
        /// `open` may answer ENOSYS once and is not called again.
        const FUSE_NO_OPEN_SUPPORT = 1 << 17;
        /// Lookups and listings of one directory may run at the same time.
        const FUSE_PARALLEL_DIROPS = 1 << 18;
        /// The module drops set-id bits itself.
        const FUSE_HANDLE_KILLPRIV = 1 << 19;
        /// The module stores POSIX ACLs, the host enforces them.
        const FUSE_POSIX_ACL = 1 << 20;
        /// An aborted connection reads ECONNABORTED.
        const FUSE_ABORT_ERROR = 1 << 21;
        /// The number of pages of a request is negotiated.
        const FUSE_MAX_PAGES = 1 << 22;
        /// Symbolic link targets may be cached.
        const FUSE_CACHE_SYMLINKS = 1 << 23;
        /// `opendir` may answer ENOSYS once and is not called again.
        const FUSE_NO_OPENDIR_SUPPORT = 1 << 24;
        /// Cached pages are dropped only on request.
        const FUSE_EXPLICIT_INVAL_DATA = 1 << 25;
        /// Alignment of DAX mappings is negotiated.
        const FUSE_MAP_ALIGNMENT = 1 << 26;
        /// Attributes may mark a submount.
        const FUSE_SUBMOUNTS = 1 << 27;
        /// Second version of dropping set-id bits.
        const FUSE_HANDLE_KILLPRIV_V2 = 1 << 28;
        /// Longer setxattr request.
        const FUSE_SETXATTR_EXT = 1 << 29;
        /// Longer init request (flags above bit 31).
        const FUSE_INIT_EXT = 1 << 30;
        /// Never set.
        const FUSE_INIT_RESERVED = 1 << 31;
        /// Create requests carry a security context.
        const FUSE_SECURITY_CTX = 1 << 32;
        /// DAX per inode.
        const FUSE_HAS_INODE_DAX = 1 << 33;
        /// Create requests carry a supplementary group.
        const FUSE_CREATE_SUPP_GROUP = 1 << 34;
        /// Entries can be expired without being dropped.
        const FUSE_HAS_EXPIRE_ONLY = 1 << 35;
        /// Direct-I/O files can be mapped shared.
        const FUSE_DIRECT_IO_ALLOW_MMAP = 1 << 36;
        /// Opens may be answered with a descriptor.
        const FUSE_PASSTHROUGH = 1 << 37;
        /// Not to be exported by NFS.
        const FUSE_NO_EXPORT_SUPPORT = 1 << 38;
        /// Requests may be sent again.
        const FUSE_HAS_RESEND = 1 << 39;
        /// id-mapped mounts are allowed.
        const FUSE_ALLOW_IDMAP = 1 << 40;
        /// Requests may travel over io_uring.
        const FUSE_OVER_IO_URING = 1 << 41;
        /// Requests may time out.
        const FUSE_REQUEST_TIMEOUT = 1 << 42;
    }

    /// Flags of an ioctl request.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub struct IoctlFlags: u32 {
        /// From a 32-bit program on a 64-bit kernel.
        const FUSE_IOCTL_COMPAT = 1 << 0;
        /// Not limited to well-formed commands.
        const FUSE_IOCTL_UNRESTRICTED = 1 << 1;
        /// Ask again with these buffers.
        const FUSE_IOCTL_RETRY = 1 << 2;
        /// 32-bit command.
        const FUSE_IOCTL_32BIT = 1 << 3;
        /// On a directory.
        const FUSE_IOCTL_DIR = 1 << 4;
        /// From an x32 program.
        const FUSE_IOCTL_COMPAT_X32 = 1 << 5;
    }

    /// Events of poll(2).
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub struct PollEvents: u32 {
        /// Readable.
        const POLLIN = libc::POLLIN as u32;
        /// Exceptional condition.
        const POLLPRI = libc::POLLPRI as u32;
        /// Writable.
        const POLLOUT = libc::POLLOUT as u32;
        /// Error.
        const POLLERR = libc::POLLERR as u32;
        /// Hang-up.
        const POLLHUP = libc::POLLHUP as u32;
        /// Not open.
        const POLLNVAL = libc::POLLNVAL as u32;
        /// Normal data readable.
        const POLLRDNORM = libc::POLLRDNORM as u32;
        /// Priority data readable.
        const POLLRDBAND = libc::POLLRDBAND as u32;
        /// Normal data writable.
        const POLLWRNORM = libc::POLLWRNORM as u32;
        /// Priority data writable.
        const POLLWRBAND = libc::POLLWRBAND as u32;
    }

    /// Flags of a poll request.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub struct PollFlags: u32 {
        /// Call the notifier when the file becomes ready.
        const FUSE_POLL_SCHEDULE_NOTIFY = 1 << 0;
    }

    /// Flags of renameat2(2).
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub struct RenameFlags: u32 {
        /// EEXIST when the new name exists.
        const RENAME_NOREPLACE = libc::RENAME_NOREPLACE;
        /// Exchange the two names.
        const RENAME_EXCHANGE = libc::RENAME_EXCHANGE;
        /// Leave a whiteout at the old name.
        const RENAME_WHITEOUT = libc::RENAME_WHITEOUT;
    }

    /// Flags of a write request.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub struct WriteFlags: u32 {
        /// A delayed write from the page cache.
        const FUSE_WRITE_CACHE = 1 << 0;
        /// The lock owner is valid.
        const FUSE_WRITE_LOCKOWNER = 1 << 1;
        /// Set-id bits are to be dropped.
        const FUSE_WRITE_KILL_SUIDGID = 1 << 2;
    }
}

macro_rules! display_bits {
    ($($name:ident)*) => {
        $(impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.bits(), f)
            }
        })*
    };
}

display_bits! { AccessFlags IoctlFlags PollEvents PollFlags RenameFlags }

/// Access mode of an open.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Hash)]
#[repr(i32)]
#[allow(non_camel_case_types)]
pub enum OpenAccMode {
    /// Reading only.
    O_RDONLY = libc::O_RDONLY,
    /// Writing only.
    O_WRONLY = libc::O_WRONLY,
    /// Both.
    O_RDWR = libc::O_RDWR,
}

/// Flags of open(2).
#[derive(Copy, Clone, Debug, Eq, PartialEq, Hash)]
pub struct OpenFlags(pub i32);

impl OpenFlags {
    /// The access mode; the undefined mode 3 counts as reading.
    pub fn acc_mode(self) -> OpenAccMode {
        match self.0 & libc::O_ACCMODE {
            libc::O_WRONLY => OpenAccMode::O_WRONLY,
            libc::O_RDWR => OpenAccMode::O_RDWR,
            _ => OpenAccMode::O_RDONLY,
        }
    }
}

impl fmt::LowerHex for OpenFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::LowerHex::fmt(&self.0, f)
    }
}

impl fmt::UpperHex for OpenFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::UpperHex::fmt(&self.0, f)
    }
}
