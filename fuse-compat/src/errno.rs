//! Error numbers (errno(3)) as answered by a module.

use std::fmt;
use std::io;
use std::num::NonZeroI32;

/// A positive Linux error number.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Errno(NonZeroI32);

/// Turns a non-zero constant into an `Errno` at compile time.
const fn constant(code: i32) -> Errno {
    match NonZeroI32::new(code) {
        Some(code) => Errno(code),
        None => panic!("errno constants are not zero"),
    }
}

macro_rules! errnos {
    ($($name:ident)*) => {
        impl Errno {
            $(
                #[doc = concat!("`", stringify!($name), "`, see errno(3).")]
                pub const $name: Errno = constant(libc::$name);
            )*
        }
    };
}

errnos! {
    EPERM ENOENT ESRCH EINTR EIO ENXIO E2BIG ENOEXEC EBADF ECHILD EAGAIN ENOMEM EACCES EFAULT ENOTBLK EBUSY EEXIST
    EXDEV ENODEV ENOTDIR EISDIR EINVAL ENFILE EMFILE ENOTTY ETXTBSY EFBIG ENOSPC ESPIPE EROFS EMLINK EPIPE EDOM
    ERANGE EDEADLK ENAMETOOLONG ENOLCK ENOSYS ENOTEMPTY ELOOP EWOULDBLOCK ENOMSG EIDRM EREMOTE ENOLINK EPROTO
    EMULTIHOP EBADMSG EOVERFLOW EILSEQ EUSERS ENOTSOCK EDESTADDRREQ EMSGSIZE EPROTOTYPE ENOPROTOOPT
    EPROTONOSUPPORT ESOCKTNOSUPPORT EOPNOTSUPP EPFNOSUPPORT EAFNOSUPPORT EADDRINUSE EADDRNOTAVAIL ENETDOWN
    ENETUNREACH ENETRESET ECONNABORTED ECONNRESET ENOBUFS EISCONN ENOTCONN ESHUTDOWN ETOOMANYREFS ETIMEDOUT
    ECONNREFUSED EHOSTDOWN EHOSTUNREACH EALREADY EINPROGRESS ESTALE EDQUOT ECANCELED EOWNERDEAD ENOTRECOVERABLE
    ENOTSUP ENODATA EUCLEAN
}

impl Errno {
    /// What getxattr(2) and removexattr(2) answer when there is no such attribute.
    pub const NO_XATTR: Errno = Errno::ENODATA;

    /// The error with this number; `EIO` when it is not positive.
    pub fn from_i32(err: i32) -> Errno {
        match NonZeroI32::new(err) {
            Some(code) if code.get() > 0 => Errno(code),
            _ => Errno::EIO,
        }
    }

    /// The (positive) number.
    pub fn code(self) -> i32 {
        self.0.get()
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        io::Error::from_raw_os_error(self.code()).fmt(f)
    }
}

impl std::error::Error for Errno {}

impl From<io::Error> for Errno {
    /// The system's error number; errors of std's own making map to the nearest number, others to `EIO`.
    fn from(error: io::Error) -> Errno {
        match error.raw_os_error() {
            Some(code) => Errno::from_i32(code),
            None => Errno::from(error.kind()),
        }
    }
}

impl From<io::ErrorKind> for Errno {
    fn from(kind: io::ErrorKind) -> Errno {
        match kind {
            io::ErrorKind::NotFound => Errno::ENOENT,
            io::ErrorKind::PermissionDenied => Errno::EACCES,
            io::ErrorKind::AlreadyExists => Errno::EEXIST,
            io::ErrorKind::InvalidInput => Errno::EINVAL,
            io::ErrorKind::WouldBlock => Errno::EAGAIN,
            io::ErrorKind::TimedOut => Errno::ETIMEDOUT,
            io::ErrorKind::Interrupted => Errno::EINTR,
            io::ErrorKind::Unsupported => Errno::EOPNOTSUPP,
            io::ErrorKind::OutOfMemory => Errno::ENOMEM,
            io::ErrorKind::StorageFull => Errno::ENOSPC,
            io::ErrorKind::ReadOnlyFilesystem => Errno::EROFS,
            _ => Errno::EIO,
        }
    }
}

impl From<rustix::io::Errno> for Errno {
    fn from(error: rustix::io::Errno) -> Errno {
        Errno::from_i32(error.raw_os_error())
    }
}

impl From<Errno> for io::Error {
    fn from(error: Errno) -> io::Error {
        io::Error::from_raw_os_error(error.code())
    }
}

impl From<Errno> for i32 {
    fn from(error: Errno) -> i32 {
        error.code()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_the_systems() {
        assert_eq!(Errno::ENOENT.code(), 2);
        assert_eq!(Errno::from_i32(-5), Errno::EIO);
        assert_eq!(Errno::from_i32(28), Errno::ENOSPC);
        assert_eq!(Errno::from(io::Error::from_raw_os_error(17)), Errno::EEXIST);
        assert_eq!(Errno::from(io::Error::other("no number")), Errno::EIO);
        assert!(Errno::ENOENT.to_string().contains("No such file"));
    }
}
