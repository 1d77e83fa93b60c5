//! stat(2), statx(2), statfs(2), access(2) and their relatives.

use super::host_object::{self, Located};
use super::host_permission;
use super::target::{self, Target, on_place};
use crate::task::{Answer, Task};
use rustix::fs::{AtFlags, CWD, StatxFlags};
use rustix::io::Errno;
use view_vfs::attributes::Attributes;
use view_vfs::place::Place;

const AT_NO_AUTOMOUNT: i32 = 0x800;
const AT_STATX_SYNC_TYPE: i32 = 0x6000;
const STATX_RESERVED: u32 = 0x8000_0000;
const AT_EACCESS: i32 = 0x200;

fn answer_stat(task: &Task<'_>, place: &Place, buffer: u64) -> Result<Answer, Errno> {
    task.write(buffer, &place.attributes()?.encode_stat())?;
    Ok(Answer::DONE)
}

/// The answer about an object of the host in a view that shows such objects in its own way.
fn answer_shown(
    task: &Task<'_>,
    located: Option<Located<'_>>,
    buffer: u64,
) -> Result<Option<Answer>, Errno> {
    let Some((shown, _)) = located.and_then(|located| located.shown()) else {
        return Ok(None);
    };
    task.write(buffer, &shown.encode_stat())?;
    Ok(Some(Answer::DONE))
}

/// stat: stat(2)
pub fn stat(task: &Task<'_>) -> Result<Answer, Errno> {
    let located = host_object::locate(task, libc::AT_FDCWD, 0, 0)?;
    if let Some(answer) = answer_shown(task, located, task.argument(1))? {
        return Ok(answer);
    }
    let target = target::existing(task, libc::AT_FDCWD, 0, 0)?;
    on_place(target, |place| answer_stat(task, place, task.argument(1)))
}

/// lstat: stat(2)
pub fn lstat(task: &Task<'_>) -> Result<Answer, Errno> {
    let located = host_object::locate(task, libc::AT_FDCWD, 0, libc::AT_SYMLINK_NOFOLLOW)?;
    if let Some(answer) = answer_shown(task, located, task.argument(1))? {
        return Ok(answer);
    }
    let target = target::existing(task, libc::AT_FDCWD, 0, libc::AT_SYMLINK_NOFOLLOW)?;
    on_place(target, |place| answer_stat(task, place, task.argument(1)))
}

/// fstat: stat(2)
pub fn fstat(task: &Task<'_>) -> Result<Answer, Errno> {
    if task.int(0) < 0 {
        return Err(Errno::BADF);
    }
    let located = host_object::of_descriptor(task, task.int(0))?;
    if let Some(answer) = answer_shown(task, located, task.argument(1))? {
        return Ok(answer);
    }
    let target = target::of_descriptor(task, task.int(0))?;
    on_place(target, |place| answer_stat(task, place, task.argument(1)))
}

/// newfstatat: stat(2)
pub fn newfstatat(task: &Task<'_>) -> Result<Answer, Errno> {
    let flags = task.int(3);
    if flags & !(libc::AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | libc::AT_EMPTY_PATH) != 0 {
        return Err(Errno::INVAL);
    }
    let located = host_object::locate(task, task.int(0), 1, flags)?;
    if let Some(answer) = answer_shown(task, located, task.argument(2))? {
        return Ok(answer);
    }
    let target = target::existing(task, task.int(0), 1, flags)?;
    on_place(target, |place| answer_stat(task, place, task.argument(2)))
}

/// statx: statx(2)
pub fn statx(task: &Task<'_>) -> Result<Answer, Errno> {
    let (flags, mask) = (task.int(2), task.unsigned(3));
    if mask & STATX_RESERVED != 0 || flags & AT_STATX_SYNC_TYPE == AT_STATX_SYNC_TYPE {
        return Err(Errno::INVAL);
    }
    if flags
        & !(libc::AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | libc::AT_EMPTY_PATH | AT_STATX_SYNC_TYPE)
        != 0
    {
        return Err(Errno::INVAL);
    }
    const MOUNT_ROOT: u64 = 0x2000;
    if let Some(located) = host_object::locate(task, task.int(0), 1, flags)?
        && located.mount.is_none()
        && let Some((shown, mount)) = located.shown()
    {
        task.write(task.argument(4), &shown.encode_statx(mask, mount))?;
        return Ok(Answer::DONE);
    }
    let target = target::existing(task, task.int(0), 1, flags)?;
    let (mut attributes, mount, is_root) = match &target {
        Target::Place(place) => (
            place.attributes()?,
            place.mount().clone(),
            place.is_mount_root(),
        ),
        // Linux's own file, reached through a mount: only the mount's id differs.
        Target::Kernel => match target::reached_through(task, task.int(0)) {
            Some(mount)
                if flags & libc::AT_EMPTY_PATH != 0
                    && task.path(1).is_ok_and(|path| path.is_empty()) =>
            {
                let link = task.descriptor_link(task.int(0));
                let found = rustix::fs::statx(
                    CWD,
                    link,
                    AtFlags::empty(),
                    StatxFlags::BASIC_STATS | StatxFlags::BTIME,
                )?;
                (Attributes::from_statx(&found), mount, false)
            }
            _ => return Ok(Answer::Continue),
        },
    };
    if let Some(identity) = task.view.identity.get()
        && !matches!(&target, Target::Place(Place::Node { .. }))
    {
        attributes = identity.shown(&attributes);
    }
    attributes.flags_mask |= MOUNT_ROOT;
    if is_root {
        attributes.flags |= MOUNT_ROOT;
    }
    task.write(task.argument(4), &attributes.encode_statx(mask, mount.id()))?;
    Ok(Answer::DONE)
}

/// statfs: statfs(2)
pub fn statfs(task: &Task<'_>) -> Result<Answer, Errno> {
    let target = target::existing(task, libc::AT_FDCWD, 0, 0)?;
    on_place(target, |place| {
        task.write(task.argument(1), &place.statistics()?.encode_statfs())?;
        Ok(Answer::DONE)
    })
}

/// fstatfs: statfs(2)
pub fn fstatfs(task: &Task<'_>) -> Result<Answer, Errno> {
    let target = target::of_descriptor(task, task.int(0))?;
    on_place(target, |place| {
        task.write(task.argument(1), &place.statistics()?.encode_statfs())?;
        Ok(Answer::DONE)
    })
}

/// access: access(2)
pub fn access(task: &Task<'_>) -> Result<Answer, Errno> {
    access_at(task, libc::AT_FDCWD, 0, task.int(1), 0)
}

/// faccessat: access(2); the kernel's call has no flags
pub fn faccessat(task: &Task<'_>) -> Result<Answer, Errno> {
    access_at(task, task.int(0), 1, task.int(2), 0)
}

/// faccessat2: access(2)
pub fn faccessat2(task: &Task<'_>) -> Result<Answer, Errno> {
    access_at(task, task.int(0), 1, task.int(2), task.int(3))
}

fn access_at(
    task: &Task<'_>,
    directory: i32,
    path: usize,
    mode: i32,
    flags: i32,
) -> Result<Answer, Errno> {
    if mode & !7 != 0
        || flags & !(AT_EACCESS | libc::AT_SYMLINK_NOFOLLOW | libc::AT_EMPTY_PATH) != 0
    {
        return Err(Errno::INVAL);
    }
    if mode != 0
        && let Some(located) = host_object::locate(task, directory, path, flags)?
        && let Some(place) = located.place(task)
    {
        host_permission::check_access(task, &place, mode as u32, flags & AT_EACCESS != 0)?;
    }
    let target = target::existing(task, directory, path, flags)?;
    on_place(target, |place| {
        if mode == 0 {
            place.attributes()?;
        } else {
            let effective = flags & AT_EACCESS != 0;
            let asker = if effective {
                task.asker()
            } else {
                task.real_asker()
            };
            place.access(mode as u32, effective, &asker)?;
        }
        Ok(Answer::DONE)
    })
}
