//! Permission checks on a dentry: what Linux's `inode_permission` and access(2) do.

use std::sync::Arc;

use fuse_compat::{AccessFlags, sync};
use rustix::io::Errno;

use super::dentry::Dentry;
use super::instance::Operation;
use super::module_error;
use crate::attributes::{Attributes, Kind};
use crate::credentials::{Caller, Credentials};
use crate::permission::{self, AccessList, MAY_EXEC, MAY_WRITE};

/// Any execute bit.
const S_IXUGO: u32 = 0o111;
/// Group bits: the mask of an access list.
const S_IRWXG: u32 = 0o070;

impl Dentry {
    /// May the caller do `mask` (a sum of `MAY_*`)?
    ///
    /// # Errors
    /// `EROFS` for writing on a read-only filesystem, then `EACCES`; those of the module.
    pub fn check_access(&self, caller: &Caller, mask: u32) -> Result<(), Errno> {
        let is_on_disk = matches!(
            self.kind(),
            Kind::RegularFile | Kind::Directory | Kind::Symlink
        );
        if mask & MAY_WRITE != 0 && is_on_disk && self.instance().is_read_only() {
            return Err(Errno::ROFS);
        }
        if mask == 0 {
            return Ok(());
        }
        if !caller.enforces_modes {
            // As the kernel's FUSE without default_permissions: only what is executable for somebody is executed.
            if mask & MAY_EXEC != 0 && self.kind() == Kind::RegularFile {
                return match self.attributes()?.mode & S_IXUGO {
                    0 => Err(Errno::ACCESS),
                    _ => Ok(()),
                };
            }
            return Ok(());
        }
        let attributes = self.inode().access_attributes()?;
        let list = self.access_list_for(&attributes, &caller.credentials)?;
        permission::may_access(&attributes, list.as_deref(), &caller.credentials, mask)
    }

    /// The answer to access(2), `mask` 0 for `F_OK`.
    ///
    /// # Errors
    /// `EACCES`, `EROFS`; those of the module, which is asked when modes are not enforced here.
    pub fn access(&self, caller: &Caller, mask: u32) -> Result<(), Errno> {
        self.check_access(caller, mask)?;
        let instance = self.instance();
        if !caller.enforces_modes && mask != 0 && !instance.lacks(Operation::Access) {
            let flags = AccessFlags::from_bits_truncate(mask as i32); // three bits
            let request = instance.request_of(&caller.credentials);
            match sync::access(instance.module(), &request, self.inode().number(), flags) {
                Ok(()) => {}
                Err(fuse_compat::Errno::ENOSYS) => instance.note_missing(Operation::Access),
                Err(error) => return Err(module_error(error)),
            }
        }
        let is_special = matches!(
            self.kind(),
            Kind::CharDevice | Kind::BlockDevice | Kind::NamedPipe | Kind::Socket
        );
        if mask & MAY_WRITE != 0 && !is_special && caller.mount_is_read_only {
            return Err(Errno::ROFS);
        }
        Ok(())
    }

    /// The access list, if it can matter for these credentials.
    pub(super) fn access_list_for(
        &self,
        attributes: &Attributes,
        credentials: &Credentials,
    ) -> Result<Option<Arc<AccessList>>, Errno> {
        let cannot_matter = attributes.uid == credentials.uid
            || attributes.mode & S_IRWXG == 0
            || attributes.is_symlink();
        if cannot_matter {
            return Ok(None);
        }
        self.inode().access_list()
    }

    /// Does the inode belong to the caller, where that is enforced?
    pub(super) fn is_owned_by(&self, caller: &Caller) -> Result<bool, Errno> {
        if !caller.enforces_modes {
            return Ok(true);
        }
        Ok(permission::is_owner(
            &self.attributes()?,
            &caller.credentials,
        ))
    }
}
