//! Inode flags, ioctl_iflags(2): read from and set by the module. What they forbid the module refuses, but for opens.

use fuse_compat::{FileHandle, IoctlFlags, sync};
use rustix::io::Errno;

use super::dentry::Dentry;
use super::instance::Operation;
use super::module_error;
use crate::attributes::Kind;
use crate::credentials::Caller;
use crate::permission;

const FS_IOC_GETFLAGS: u32 = 0x8008_6601;
const FS_IOC_SETFLAGS: u32 = 0x4008_6602;
const FS_IMMUTABLE_FL: u32 = 0x10;
const FS_APPEND_FL: u32 = 0x20;

impl Dentry {
    /// `FS_IOC_GETFLAGS`.
    ///
    /// # Errors
    /// `ENOTTY` when the module has no flags, others of the module.
    pub fn flags(&self) -> Result<u32, Errno> {
        let bytes = self.module_ioctl(FS_IOC_GETFLAGS, &[])?;
        let bytes = bytes.first_chunk().ok_or(Errno::IO)?;
        Ok(u32::from_ne_bytes(*bytes))
    }

    /// `FS_IOC_SETFLAGS`.
    ///
    /// # Errors
    /// `ENOTTY`, `EROFS`; `EPERM` for who is not the owner, or changes what only CAP_LINUX_IMMUTABLE may; those of the module
    /// (`EOPNOTSUPP`).
    pub fn set_flags(&self, flags: u32, caller: &Caller) -> Result<(), Errno> {
        let before = self.flags()?;
        self.check_writable(caller)?;
        let credentials = &caller.credentials;
        let attributes = self.attributes()?;
        let is_owner = !caller.enforces_modes || permission::is_owner(&attributes, credentials);
        let is_guarded = (before ^ flags) & (FS_IMMUTABLE_FL | FS_APPEND_FL) != 0;
        if !is_owner || is_guarded && !credentials.is_privileged {
            return Err(Errno::PERM);
        }
        if self.kind() == Kind::RegularFile {
            // What was written before was allowed.
            self.write_back()?;
        }
        self.module_ioctl(FS_IOC_SETFLAGS, &flags.to_ne_bytes())
            .map(drop)
    }

    /// Do the flags allow an open of the file, as Linux's `inode_permission` and `may_open` have it?
    ///
    /// # Errors
    /// `EPERM`.
    pub(super) fn may_open(&self, open: i32) -> Result<(), Errno> {
        let truncates = open & libc::O_TRUNC != 0;
        if open & libc::O_ACCMODE == libc::O_RDONLY && !truncates {
            return Ok(());
        }
        // A module without flags forbids nothing.
        let flags = self.flags().unwrap_or(0);
        let appends = open & libc::O_APPEND != 0 && !truncates;
        if flags & FS_IMMUTABLE_FL != 0 || flags & FS_APPEND_FL != 0 && !appends {
            return Err(Errno::PERM);
        }
        Ok(())
    }

    fn module_ioctl(&self, command: u32, data: &[u8]) -> Result<Vec<u8>, Errno> {
        let instance = self.instance();
        if instance.lacks(Operation::Ioctl) {
            return Err(Errno::NOTTY);
        }
        let answer = sync::ioctl(
            instance.module(),
            &instance.own_request(),
            self.inode().number(),
            FileHandle(0),
            IoctlFlags::empty(),
            command,
            data,
            size_of::<u32>() as u32,
        );
        match answer {
            Ok(out) => Ok(out.data),
            Err(fuse_compat::Errno::ENOSYS) => {
                instance.note_missing(Operation::Ioctl);
                Err(Errno::NOTTY)
            }
            Err(error) => Err(module_error(error)),
        }
    }
}
