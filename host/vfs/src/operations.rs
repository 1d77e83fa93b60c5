//! What can be done with a place: the host or the module does it, under the options of the mount.
//!
//! Each function makes the checks that belong to the mount (`EROFS`, `EXDEV`, `EBUSY`) and hands on. The checks that
//! belong to the object are made by Linux on the host and by `object` in a module. No locks.
//!
//! References: the manual pages of the calls; fs/namei.c and fs/open.c for the order of errors.

use crate::attributes::{Attributes, FilesystemStatistics, Kind};
use crate::credentials::Credentials;
use crate::host_ops;
use crate::mount_table::{Mount, MountTable};
use crate::object::{AttributeChange, XattrAnswer};
use crate::permission::Caller;
use crate::place::{Place, child_path};
use crate::resolver::{Found, Last};
use rustix::io::Errno;
use std::sync::Arc;

/// Who asks for an operation.
#[derive(Clone, Debug)]
pub struct Asker {
    /// Ids.
    pub credentials: Credentials,
    /// Bits that creating calls leave out.
    pub umask: u32,
}

impl Asker {
    /// This asker, on that mount.
    pub fn on(&self, mount: &Arc<Mount>) -> Caller {
        let flags = mount.flags();
        Caller {
            credentials: self.credentials.clone(),
            umask: self.umask,
            enforces_modes: flags.default_permissions,
            mount_is_read_only: flags.read_only,
        }
    }
}

fn writable(mount: &Arc<Mount>) -> Result<(), Errno> {
    if mount.flags().read_only {
        Err(Errno::ROFS)
    } else {
        Ok(())
    }
}

/// A missing mount point has no object on the host; what the view shows there is a mount.
impl Place {
    /// stat(2) of the object itself.
    pub fn attributes(&self) -> Result<Attributes, Errno> {
        match self {
            Place::Host { path, .. } => host_ops::attributes(path),
            Place::Node { dentry, .. } => dentry.attributes(),
        }
    }

    /// The file type; a module isn't asked for it.
    pub fn kind(&self) -> Result<Kind, Errno> {
        match self {
            Place::Host { path, .. } => Ok(host_ops::attributes(path)?.kind()),
            Place::Node { dentry, .. } => Ok(dentry.kind()),
        }
    }

    /// readlink(2).
    pub fn read_link(&self) -> Result<Vec<u8>, Errno> {
        match self {
            Place::Host { path, .. } => host_ops::read_link(path),
            Place::Node { dentry, .. } => Ok(dentry.read_link()?.to_vec()),
        }
    }

    /// access(2); `mask` is of R_OK, W_OK, X_OK.
    pub fn access(&self, mask: u32, effective: bool, asker: &Asker) -> Result<(), Errno> {
        match self {
            Place::Host { mount, path } => {
                if mask & 1 != 0 && mount.flags().no_exec && self.kind()? == Kind::RegularFile {
                    return Err(Errno::ACCESS);
                }
                host_ops::access(path, mask, effective)?;
                if mask & 2 != 0 && mount.flags().read_only && is_on_disk(path) {
                    return Err(Errno::ROFS);
                }
                Ok(())
            }
            Place::Node { mount, dentry } => {
                if mask & 1 != 0 && mount.flags().no_exec && dentry.kind() == Kind::RegularFile {
                    return Err(Errno::ACCESS);
                }
                dentry.access(&asker.on(mount), mask)
            }
        }
    }

    /// chmod(2), chown(2), truncate(2), utimensat(2).
    pub fn change(&self, change: &AttributeChange, asker: &Asker) -> Result<(), Errno> {
        writable(self.mount())?;
        match self {
            Place::Host { path, .. } => match *change {
                AttributeChange::Mode(mode) => host_ops::set_mode(path, mode),
                AttributeChange::Owner { uid, gid } => host_ops::set_owner(path, uid, gid),
                AttributeChange::Size(length) => host_ops::truncate(path, length),
                AttributeChange::Times { accessed, modified } => {
                    host_ops::set_times(path, accessed, modified)
                }
            },
            Place::Node { mount, dentry } => dentry.set_attributes(change, &asker.on(mount)),
        }
    }

    /// `FS_IOC_GETFLAGS` of ioctl_iflags(2).
    pub fn flags(&self) -> Result<u32, Errno> {
        match self {
            Place::Host { path, .. } => {
                let file = host_ops::open(path, libc::O_RDONLY, 0, 0)?;
                Ok(rustix::fs::ioctl_getflags(file)?.bits())
            }
            Place::Node { dentry, .. } => dentry.flags(),
        }
    }

    /// `FS_IOC_SETFLAGS` of ioctl_iflags(2).
    pub fn set_flags(&self, flags: u32, asker: &Asker) -> Result<(), Errno> {
        writable(self.mount())?;
        match self {
            Place::Host { path, .. } => {
                let file = host_ops::open(path, libc::O_RDONLY, 0, 0)?;
                rustix::fs::ioctl_setflags(file, rustix::fs::IFlags::from_bits_retain(flags))
            }
            Place::Node { mount, dentry } => dentry.set_flags(flags, &asker.on(mount)),
        }
    }

    /// getxattr(2) and its kin; `capacity` 0 asks for the length.
    pub fn get_xattr(
        &self,
        name: &[u8],
        capacity: usize,
        asker: &Asker,
    ) -> Result<XattrAnswer, Errno> {
        match self {
            Place::Host { path, .. } => host_ops::get_xattr(path, name, capacity),
            Place::Node { mount, dentry } => dentry.get_xattr(name, capacity, &asker.on(mount)),
        }
    }

    /// listxattr(2).
    pub fn list_xattr(&self, capacity: usize, asker: &Asker) -> Result<XattrAnswer, Errno> {
        match self {
            Place::Host { path, .. } => host_ops::list_xattr(path, capacity),
            Place::Node { mount, dentry } => dentry.list_xattr(capacity, &asker.on(mount)),
        }
    }

    /// setxattr(2).
    pub fn set_xattr(
        &self,
        name: &[u8],
        value: &[u8],
        flags: i32,
        asker: &Asker,
    ) -> Result<(), Errno> {
        writable(self.mount())?;
        match self {
            Place::Host { path, .. } => host_ops::set_xattr(path, name, value, flags),
            Place::Node { mount, dentry } => dentry.set_xattr(name, value, flags, &asker.on(mount)),
        }
    }

    /// removexattr(2).
    pub fn remove_xattr(&self, name: &[u8], asker: &Asker) -> Result<(), Errno> {
        writable(self.mount())?;
        match self {
            Place::Host { path, .. } => host_ops::remove_xattr(path, name),
            Place::Node { mount, dentry } => dentry.remove_xattr(name, &asker.on(mount)),
        }
    }

    /// statfs(2). The mount's own options are among the flags.
    pub fn statistics(&self) -> Result<FilesystemStatistics, Errno> {
        const ST_VALID: u64 = 0x20;
        let mut statistics = match self {
            Place::Host { path, .. } => host_ops::statistics(path)?,
            Place::Node { dentry, .. } => dentry.instance().statistics(dentry)?,
        };
        let flags = self.mount().flags();
        for (set, bit) in [
            (flags.read_only, 1),
            (flags.no_suid, 2),
            (flags.no_dev, 4),
            (flags.no_exec, 8),
        ] {
            if set {
                statistics.flags |= bit;
            }
        }
        statistics.flags |= ST_VALID;
        Ok(statistics)
    }
}

/// Writing to devices, FIFOs and sockets is allowed on a read-only mount.
fn is_on_disk(path: &[u8]) -> bool {
    host_ops::attributes(path).is_ok_and(|attributes| {
        matches!(
            attributes.kind(),
            Kind::RegularFile | Kind::Directory | Kind::Symlink
        )
    })
}

/// The parent directory and name that a creating call works on; `EEXIST` when there is no name to create.
pub fn name_to_create(found: &Found) -> Result<(&Place, &[u8]), Errno> {
    match (&found.parent, found.last) {
        (Some(parent), Last::Name) => Ok((parent, &found.name)),
        _ => Err(Errno::EXIST),
    }
}

/// mkdir(2).
pub fn create_directory(found: &Found, mode: u32, asker: &Asker) -> Result<(), Errno> {
    let (parent, name) = name_to_create(found)?;
    if found.place.is_some() {
        return Err(Errno::EXIST);
    }
    writable(parent.mount())?;
    match parent {
        Place::Host { path, .. } => {
            host_ops::create_directory(&child_path(path, name), mode, asker.umask)
        }
        Place::Node { mount, dentry } => dentry
            .create_directory(name, mode, &asker.on(mount))
            .map(drop),
    }
}

/// mknod(2).
pub fn create_node(found: &Found, mode: u32, rdev: u64, asker: &Asker) -> Result<(), Errno> {
    let (parent, name) = name_to_create(found)?;
    if found.place.is_some() {
        return Err(Errno::EXIST);
    }
    if found.wants_directory {
        return Err(Errno::NOENT);
    }
    writable(parent.mount())?;
    match parent {
        Place::Host { path, .. } => {
            host_ops::create_node(&child_path(path, name), mode, rdev, asker.umask)
        }
        Place::Node { mount, dentry } => dentry
            .create_node(name, mode, rdev, found.wants_directory, &asker.on(mount))
            .map(drop),
    }
}

/// symlink(2).
pub fn create_symlink(found: &Found, target: &[u8], asker: &Asker) -> Result<(), Errno> {
    let (parent, name) = name_to_create(found)?;
    if found.place.is_some() {
        return Err(Errno::EXIST);
    }
    if found.wants_directory {
        return Err(Errno::NOENT);
    }
    writable(parent.mount())?;
    match parent {
        Place::Host { path, .. } => host_ops::create_symlink(target, &child_path(path, name)),
        Place::Node { mount, dentry } => dentry
            .create_symlink(name, target, found.wants_directory, &asker.on(mount))
            .map(drop),
    }
}

/// link(2).
pub fn create_link(existing: &Place, found: &Found, asker: &Asker) -> Result<(), Errno> {
    let (parent, name) = name_to_create(found)?;
    if found.place.is_some() {
        return Err(Errno::EXIST);
    }
    if found.wants_directory {
        return Err(Errno::NOENT);
    }
    writable(parent.mount())?;
    if existing.mount().id() != parent.mount().id() {
        return Err(Errno::XDEV);
    }
    match (existing, parent) {
        (Place::Host { path: old, .. }, Place::Host { path, .. }) => {
            host_ops::create_link(old, &child_path(path, name))
        }
        (Place::Node { dentry: old, .. }, Place::Node { mount, dentry }) => dentry
            .create_link(name, old, found.wants_directory, &asker.on(mount))
            .map(drop),
        _ => Err(Errno::XDEV),
    }
}

/// unlink(2).
pub fn remove_file(table: &MountTable, found: &Found, asker: &Asker) -> Result<(), Errno> {
    let place = match (&found.place, found.last) {
        (_, Last::Dot | Last::DotDot | Last::Root) => return Err(Errno::ISDIR),
        (Some(place), Last::Name) => Some(place),
        (None, Last::Name) => None,
    };
    let Some(parent) = found.parent.as_ref() else {
        return Err(found.kernel_error.unwrap_or(Errno::NOENT));
    };
    writable(parent.mount())?;
    let place = place.ok_or(Errno::NOENT)?;
    if is_covered(table, place, parent) {
        return Err(if place.kind()? == Kind::Directory {
            Errno::ISDIR
        } else {
            Errno::BUSY
        });
    }
    match parent {
        Place::Host { path, .. } => {
            if found.wants_directory {
                return Err(if place.kind()? == Kind::Directory {
                    Errno::ISDIR
                } else {
                    Errno::NOTDIR
                });
            }
            host_ops::remove_file(&child_path(path, &found.name))
        }
        Place::Node { mount, dentry } => {
            dentry.remove_file(&found.name, found.wants_directory, &asker.on(mount))
        }
    }
}

/// rmdir(2).
pub fn remove_directory(table: &MountTable, found: &Found, asker: &Asker) -> Result<(), Errno> {
    let place = match (&found.place, found.last) {
        (_, Last::Dot) => return Err(Errno::INVAL),
        (_, Last::DotDot) => return Err(Errno::NOTEMPTY),
        (_, Last::Root) => return Err(Errno::BUSY),
        (Some(place), Last::Name) => Some(place),
        (None, Last::Name) => None,
    };
    let Some(parent) = found.parent.as_ref() else {
        return Err(found.kernel_error.unwrap_or(Errno::NOENT));
    };
    writable(parent.mount())?;
    let place = place.ok_or(Errno::NOENT)?;
    if is_covered(table, place, parent) {
        return Err(if place.kind()? == Kind::Directory {
            Errno::BUSY
        } else {
            Errno::NOTDIR
        });
    }
    match parent {
        Place::Host { path, .. } => host_ops::remove_directory(&child_path(path, &found.name)),
        Place::Node { mount, dentry } => dentry.remove_directory(&found.name, &asker.on(mount)),
    }
}

/// The name is a mount point: what the walk found lies in another mount than the directory that holds the name.
fn is_covered(table: &MountTable, place: &Place, parent: &Place) -> bool {
    place.mount().id() != parent.mount().id() || table.covering(place).is_some()
}

/// Is it a directory of the host with mounts below it? They are found by path, so they can't move along as they do on
/// Linux; left behind, they would uncover what they hide.
pub fn leaves_mounts_behind(table: &MountTable, found: &Found) -> bool {
    match &found.place {
        Some(Place::Host { mount, path }) => table.has_points_below(mount.id(), path),
        _ => false,
    }
}

/// rename(2), renameat2(2).
pub fn rename(
    table: &MountTable,
    old: &Found,
    new: &Found,
    flags: u32,
    asker: &Asker,
) -> Result<(), Errno> {
    const NOREPLACE: u32 = 1;
    const EXCHANGE: u32 = 2;
    if old.last != Last::Name || new.last != Last::Name {
        return Err(if old.last == Last::Name && flags & NOREPLACE != 0 {
            Errno::EXIST
        } else {
            Errno::BUSY
        });
    }
    let (Some(old_parent), Some(new_parent)) = (&old.parent, &new.parent) else {
        return Err(old
            .kernel_error
            .or(new.kernel_error)
            .unwrap_or(Errno::NOENT));
    };
    if old_parent.mount().id() != new_parent.mount().id() {
        return Err(Errno::XDEV);
    }
    writable(old_parent.mount())?;
    let Some(source) = &old.place else {
        return Err(Errno::NOENT);
    };
    if flags & NOREPLACE != 0 && new.place.is_some() {
        return Err(Errno::EXIST);
    }
    if flags & EXCHANGE != 0 && new.place.is_none() {
        return Err(Errno::NOENT);
    }
    if is_covered(table, source, old_parent)
        || new
            .place
            .as_ref()
            .is_some_and(|target| is_covered(table, target, new_parent))
    {
        return Err(Errno::BUSY);
    }
    if leaves_mounts_behind(table, old) || flags & EXCHANGE != 0 && leaves_mounts_behind(table, new)
    {
        return Err(Errno::BUSY);
    }
    match (old_parent, new_parent) {
        (Place::Host { path: a, .. }, Place::Host { path: b, .. }) => {
            let slash = |found: &Found| {
                if found.wants_directory {
                    &b"/"[..]
                } else {
                    b""
                }
            };
            let mut from = child_path(a, &old.name);
            from.extend_from_slice(slash(old));
            let mut to = child_path(b, &new.name);
            to.extend_from_slice(slash(new));
            host_ops::rename(&from, &to, flags)
        }
        (Place::Node { dentry: a, .. }, Place::Node { mount, dentry: b }) => a.rename(
            &old.name,
            old.wants_directory,
            b,
            &new.name,
            new.wants_directory,
            flags,
            &asker.on(mount),
        ),
        _ => Err(Errno::XDEV),
    }
}
