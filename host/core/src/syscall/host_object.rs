//! Objects of the host in a view with an identity of its own: stat, chmod, chown and mknod by what the view shows.
//!
//! Without an identity none of this is asked, and Linux does these calls. Neighbours: `stat`, `attribute`, `name`, `open`
//! (call this first), `identity` (what is shown and kept). No locks.

use super::{loop_device, target};
use crate::identity::ids::{self, Ids};
use crate::identity::{HostObject, ViewIdentity};
use crate::task::{Answer, Object, Task};
use rustix::fs::{AtFlags, CWD, Mode};
use rustix::io::Errno;
use std::sync::Arc;
use view_sys::memory;
use view_vfs::attributes::{Attributes, Kind};
use view_vfs::mount_table::Mount;
use view_vfs::object::AttributeChange;
use view_vfs::permission;
use view_vfs::place::{Place, child_path};
use view_vfs::procfs;
use view_vfs::resolver::{Found, WalkFlags};

/// An object of the host that a call is about.
pub struct Located<'v> {
    /// Of the view.
    pub identity: &'v ViewIdentity,
    object: HostObject,
    /// What stat says of an object that is not there.
    made_up: Option<Attributes>,
    /// The mount it was reached through; `None`: by its own name.
    pub mount: Option<Arc<Mount>>,
}

/// Finds the object that (`directory`, path at argument `path`) names. `None`: not of the host, or there is an error for
/// Linux to find, or the view has no identity.
pub fn locate<'v>(
    task: &Task<'v>,
    directory: i32,
    path: usize,
    at_flags: i32,
) -> Result<Option<Located<'v>>, Errno> {
    let Some(identity) = task.view.identity.get() else {
        return Ok(None);
    };
    let by_descriptor = at_flags & libc::AT_EMPTY_PATH != 0;
    if task.argument(path) == 0 && by_descriptor {
        return of_descriptor(task, directory);
    }
    let text = task.path(path)?;
    if text.is_empty() && by_descriptor {
        return of_descriptor(task, directory);
    }
    let follow = at_flags & libc::AT_SYMLINK_NOFOLLOW == 0;
    let walk = if follow {
        WalkFlags::FOLLOW
    } else {
        WalkFlags::NO_FOLLOW
    };
    let found = task.walk(directory, &text, walk)?;
    if found.place.is_none() {
        let made_up = loop_device::found_node(task, &found).and_then(loop_device::made_up);
        return Ok(made_up.map(|_| Located {
            identity,
            object: HostObject {
                path: Vec::new(),
                follow: false,
            },
            made_up,
            mount: None,
        }));
    }
    let Some(Place::Host { mount, path }) = found.place else {
        return Ok(None);
    };
    let follow = follow && procfs::is_magic_link(&path);
    let object = HostObject { path, follow };
    if found.wants_directory && !object.attributes()?.0.is_directory() {
        return Ok(None);
    }
    let mount = (!found.kernel_agrees).then_some(mount);
    Ok(Some(Located {
        identity,
        object,
        made_up: None,
        mount,
    }))
}

/// The same for a descriptor or the working directory.
pub fn of_descriptor<'v>(task: &Task<'v>, descriptor: i32) -> Result<Option<Located<'v>>, Errno> {
    let Some(identity) = task.view.identity.get() else {
        return Ok(None);
    };
    let (link, mount) = if descriptor == libc::AT_FDCWD {
        let start = task.working_directory()?;
        match start.place {
            Place::Host { mount, path } if start.is_stand_in => (path, Some(mount)),
            Place::Host { .. } => (format!("/proc/{}/cwd", task.call.tid).into_bytes(), None),
            Place::Node { .. } => return Ok(None),
        }
    } else {
        match task.object(descriptor)? {
            Object::Backed(_, backed) => match backed.place() {
                Place::Host { mount, path } => (path, Some(mount)),
                Place::Node { .. } => return Ok(None),
            },
            Object::Kernel => (
                task.descriptor_link(descriptor).into_bytes(),
                target::reached_through(task, descriptor),
            ),
        }
    };
    let follow = procfs::is_magic_link(&link);
    let object = HostObject { path: link, follow };
    Ok(Some(Located {
        identity,
        object,
        made_up: None,
        mount,
    }))
}

impl Located<'_> {
    /// Where it is, when it has a name.
    pub fn place(&self, task: &Task<'_>) -> Option<Place> {
        if self.made_up.is_some() || self.object.follow {
            return None;
        }
        let mount = self.mount.as_ref().unwrap_or(task.table.root()).clone();
        let path = self.object.path.clone();
        Some(Place::Host { mount, path })
    }

    /// What the view shows of it, and the id of its mount. `None`: Linux shall say what is wrong.
    pub fn shown(&self) -> Option<(Attributes, u64)> {
        if let Some(made_up) = self.made_up {
            return Some((self.identity.shown(&made_up), 0));
        }
        let (real, mount) = self.object.attributes().ok()?;
        let mount = self.mount.as_ref().map_or(mount, |mount| mount.id());
        let mut shown = self.identity.shown(&real);
        // What is below /proc/PID belongs to that process.
        if shown.uid != real.uid
            && !self.object.follow
            && let Some((process, _)) = procfs::split_task(&self.object.path)
            && crate::launch::is_below_supervisor(process)
        {
            let ids = self.identity.of(process);
            (shown.uid, shown.gid) = (ids.user.effective, ids.group.effective);
        }
        Some((shown, mount))
    }

    /// chmod(2), chown(2). Other changes are not for here.
    pub fn change(
        &self,
        task: &Task<'_>,
        change: &AttributeChange,
    ) -> Result<Option<Answer>, Errno> {
        let Ok((real, _)) = self.object.attributes() else {
            return Ok(None);
        };
        let shown = self.identity.shown(&real);
        let caller = self.identity.of(task.call.tid).credentials();
        if self
            .mount
            .as_ref()
            .is_some_and(|mount| mount.flags().read_only)
        {
            return Err(Errno::ROFS);
        }
        match *change {
            AttributeChange::Owner { uid, gid } => {
                permission::may_change_owner(&shown, &caller, uid, gid)?;
                task.commit()?;
                let mode = if shown.kind() == Kind::RegularFile {
                    permission::mode_without_set_ids(&shown, &caller)
                } else {
                    None
                };
                self.identity.set_owner(&real, uid, gid, mode);
            }
            AttributeChange::Mode(mode) => {
                if !permission::is_owner(&shown, &caller) {
                    return Err(Errno::PERM);
                }
                task.commit()?;
                let mode = permission::mode_after_chmod(&shown, &caller, mode);
                self.set_mode(&real, mode, caller.is_privileged)?;
            }
            _ => return Ok(None),
        }
        Ok(Some(Answer::DONE))
    }

    /// The host's file gets the permissions, but no set-id bits: there they would mean the user of the view. One who is
    /// root here may read and write whatever the mode is, so the file stays so for its owner.
    fn set_mode(&self, real: &Attributes, mode: u32, is_root: bool) -> Result<(), Errno> {
        let is_directory = real.is_directory();
        let mut on_host = mode & if is_directory { 0o3777 } else { 0o1777 };
        if is_root {
            on_host |= if is_directory { 0o700 } else { 0o600 };
        }
        let flags = AtFlags::empty();
        match rustix::fs::chmodat(
            CWD,
            self.object.path.as_slice(),
            Mode::from_bits_retain(on_host),
            flags,
        ) {
            // Of another user: only the view shows it.
            Ok(()) | Err(Errno::PERM) => {}
            Err(errno) => return Err(errno),
        }
        let (now, _) = self.object.attributes()?;
        self.identity.shadow.change(&now, |differs| {
            differs.mode = (now.mode & 0o7777 != mode).then_some(mode);
        });
        Ok(())
    }
}

/// setxattr(2) of an access list on the host: one that says no more than a mode is a chmod(2), as for Linux. `None`: Linux
/// does it.
pub fn set_access_list<'v>(
    task: &Task<'v>,
    located: impl FnOnce() -> Result<Option<Located<'v>>, Errno>,
    name: &[u8],
    (address, size): (u64, usize),
) -> Result<Option<Answer>, Errno> {
    const MOST: usize = 4096;
    if name != permission::ACCESS_LIST_ATTRIBUTE
        || size > MOST
        || task.view.identity.get().is_none()
    {
        return Ok(None);
    }
    let mut value = vec![0; size];
    memory::read_exact(task.call.tid, address, &mut value)?;
    let Some((mode, is_minimal)) = mode_of_access_list(&value) else {
        return Ok(None);
    };
    let Some(located) = located()? else {
        return Ok(None);
    };
    let Some((shown, _)) = located.shown() else {
        return Ok(None);
    };
    let mode = shown.mode & 0o7000 | mode;
    if is_minimal && !shown.is_symlink() {
        return located.change(task, &AttributeChange::Mode(mode));
    }
    if let Ok((real, _)) = located.object.attributes() {
        located.identity.shadow.change(&real, |differs| {
            differs.mode = differs.mode.map(|_| mode);
        });
    }
    Ok(None)
}

/// The permission bits that an access list stands for, and whether it has no entry but those of a mode (acl(5)).
fn mode_of_access_list(value: &[u8]) -> Option<(u32, bool)> {
    const USER: u16 = 1;
    const GROUP: u16 = 4;
    const MASK: u16 = 16;
    const OTHER: u16 = 32;
    let (mut mode, mut mask, mut is_minimal) = (0, None, true);
    let (entries, []) = value.get(4..)?.as_chunks::<8>() else {
        return None;
    };
    for entry in entries {
        let tag = u16::from_le_bytes([entry[0], entry[1]]);
        let granted = u32::from(entry[2] & 7);
        match tag {
            USER => mode |= granted << 6,
            GROUP => mode |= granted << 3,
            OTHER => mode |= granted,
            MASK => (mask, is_minimal) = (Some(granted), false),
            _ => is_minimal = false,
        }
    }
    if let Some(mask) = mask {
        mode = mode & 0o707 | mask << 3;
    }
    Some((mode, is_minimal && entries.len() == 3))
}

/// The ids of the caller, when what it makes on the host is to be shown as somebody else's.
pub fn foreign_creator<'v>(task: &Task<'v>) -> Option<(&'v ViewIdentity, Arc<Ids>)> {
    let identity = task.view.identity.get()?;
    let own = identity.of(task.call.tid);
    identity
        .creates_for_another(&own)
        .then_some((identity, own))
}

/// Does this creating call, of which Linux could do its part, have to be done here, so that its owner is noted?
pub fn must_create(task: &Task<'_>, found: &Found) -> bool {
    found.place.is_none()
        && found.kernel_error.is_none()
        && matches!(found.parent, Some(Place::Host { .. }))
        && foreign_creator(task).is_some()
}

/// Notes the owner of the name that was just made.
pub fn note_created(task: &Task<'_>, found: &Found) {
    if let Some((identity, own)) = foreign_creator(task)
        && let Some(Place::Host { path, .. }) = &found.parent
        && let Ok(real) = view_vfs::host_ops::attributes(&child_path(path, &found.name))
    {
        identity.note_created(&real, &own);
    }
}

/// mknod(2) of a device node on the host: an empty file stands for it. `None`: not that.
pub fn make_device(
    task: &Task<'_>,
    found: &Found,
    mode: u32,
    device: u64,
) -> Result<Option<Answer>, Errno> {
    let kind = mode & libc::S_IFMT;
    let Some(identity) = task.view.identity.get() else {
        return Ok(None);
    };
    let own = identity.of(task.call.tid);
    let Some(Place::Host { mount, path }) = &found.parent else {
        return Ok(None);
    };
    if !matches!(kind, libc::S_IFCHR | libc::S_IFBLK)
        || found.place.is_some()
        || found.wants_directory
    {
        return Ok(None);
    }
    if !own.has(ids::CAP_MKNOD) {
        return Err(Errno::PERM);
    }
    if mount.flags().read_only {
        return Err(Errno::ROFS);
    }
    let creator = task.creator();
    task.commit()?;
    let path = child_path(path, &found.name);
    let shown = mode & 0o7777 & !creator.umask;
    view_vfs::host_ops::create_node(&path, libc::S_IFREG | 0o600, 0, 0)?;
    let real = view_vfs::host_ops::attributes(&path)?;
    identity.note_created(&real, &own);
    identity.shadow.change(&real, |differs| {
        differs.mode = Some(shown);
        differs.device = Some((kind, device));
    });
    Ok(Some(Answer::DONE))
}

#[cfg(test)]
mod tests {
    use super::mode_of_access_list;

    #[test]
    fn access_lists_as_modes() {
        let list = |entries: &[(u8, u8)]| {
            let entry = |&(tag, bits): &(u8, u8)| [tag, 0, bits, 0, 0xff, 0xff, 0xff, 0xff];
            let bytes: Vec<u8> = entries.iter().flat_map(entry).collect();
            mode_of_access_list(&[&[2, 0, 0, 0], bytes.as_slice()].concat())
        };
        assert_eq!(list(&[(1, 6), (4, 4), (32, 0)]), Some((0o640, true)));
        let named = [(1, 7), (2, 7), (4, 0), (16, 5), (32, 4)];
        assert_eq!(list(&named), Some((0o754, false)));
        assert_eq!(mode_of_access_list(&[2, 0, 0, 0, 1]), None);
        assert_eq!(mode_of_access_list(&[]), None);
    }
}
