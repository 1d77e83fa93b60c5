//! From path arguments to the object they name, or to "Linux finds the same".

use crate::task::{Answer, Object, Task};
use rustix::io::Errno;
use std::sync::Arc;
use view_vfs::attributes::Identity;
use view_vfs::mount_table::Mount;
use view_vfs::place::Place;
use view_vfs::procfs;
use view_vfs::resolver::{Found, WalkFlags};

/// What a call works on.
pub enum Target {
    /// Linux finds the same object: let it do the call.
    Kernel,
    /// This one.
    Place(Place),
}

/// Resolves an existing object by (`directory`, path at argument `path`). `at_flags` as in the `*at` calls.
pub fn existing(
    task: &Task<'_>,
    directory: i32,
    path: usize,
    at_flags: i32,
) -> Result<Target, Errno> {
    if task.argument(path) == 0 && at_flags & libc::AT_EMPTY_PATH != 0 {
        return of_descriptor(task, directory);
    }
    let text = task.path(path)?;
    if text.is_empty() && at_flags & libc::AT_EMPTY_PATH != 0 {
        return of_descriptor(task, directory);
    }
    let follow = at_flags & libc::AT_SYMLINK_NOFOLLOW == 0;
    by_text(task, directory, &text, follow)
}

/// The same for a path already read.
pub fn by_text(
    task: &Task<'_>,
    directory: i32,
    text: &[u8],
    follow: bool,
) -> Result<Target, Errno> {
    let flags = if follow {
        WalkFlags::FOLLOW
    } else {
        WalkFlags::NO_FOLLOW
    };
    let found = task.walk(directory, text, flags)?;
    if found.kernel_agrees {
        return Ok(Target::Kernel);
    }
    // A link below /proc that is to be followed means its object, wherever Linux holds it.
    found.existing().map(Target::Place)
}

/// The object of a descriptor (AT_FDCWD: the working directory).
pub fn of_descriptor(task: &Task<'_>, descriptor: i32) -> Result<Target, Errno> {
    if descriptor == libc::AT_FDCWD {
        let start = task.working_directory()?;
        return Ok(if start.is_stand_in || !start.place.is_plain_host() {
            Target::Place(start.place)
        } else {
            Target::Kernel
        });
    }
    match task.object(descriptor)? {
        Object::Backed(_, backed) => Ok(Target::Place(backed.place())),
        Object::Kernel => Ok(Target::Kernel),
    }
}

/// The object of a descriptor that an attribute is to be changed of: `EROFS` for a file of the host that was reached
/// through a read-only mount.
pub fn of_changed_descriptor(task: &Task<'_>, descriptor: i32) -> Result<Target, Errno> {
    if descriptor < 0 {
        return Err(Errno::BADF);
    }
    let target = of_descriptor(task, descriptor)?;
    match target {
        Target::Place(_) if task.is_path_only(descriptor) => Err(Errno::BADF),
        Target::Kernel
            if reached_through(task, descriptor).is_some_and(|mount| mount.flags().read_only) =>
        {
            Err(Errno::ROFS)
        }
        target => Ok(target),
    }
}

/// The mount through which a descriptor of Linux's own was reached.
pub fn reached_through(task: &Task<'_>, descriptor: i32) -> Option<Arc<Mount>> {
    if task.table.is_empty() {
        return None;
    }
    let stat = task.descriptor_stat(descriptor).ok()?;
    task.view.alias_mount(Identity {
        device: stat.st_dev,
        inode: stat.st_ino,
    })
}

/// Does this link below /proc lead to a file of the host that was reached through a read-only mount?
pub fn is_read_only_link(task: &Task<'_>, path: &[u8]) -> bool {
    procfs::is_below(path)
        && procfs::is_magic_link(path)
        && rustix::fs::stat(path)
            .ok()
            .and_then(|stat| {
                task.view.alias_mount(Identity {
                    device: stat.st_dev,
                    inode: stat.st_ino,
                })
            })
            .is_some_and(|mount| mount.flags().read_only)
}

/// Carries out `act` on the target, or lets Linux do it.
pub fn on_place(
    target: Target,
    act: impl FnOnce(&Place) -> Result<Answer, Errno>,
) -> Result<Answer, Errno> {
    match target {
        Target::Kernel => Ok(Answer::Continue),
        Target::Place(place) => act(&place),
    }
}

/// Is the found object a text below /proc that tells the view's own names?
pub fn generated<'f>(task: &Task<'_>, found: &'f Found) -> Option<(u32, &'f str)> {
    let path = found.place.as_ref()?.host_path()?;
    let (thread, rest) = procfs::split_task(path)?;
    let is_status = rest == b"status" && task.view.identity.get().is_some();
    if !is_status && !crate::proc_text::is_generated(rest) {
        return None;
    }
    Some((thread, std::str::from_utf8(rest).ok()?))
}
