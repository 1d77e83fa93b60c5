//! inotify_add_watch(2) and name_to_handle_at(2) on objects of a mount.

use super::open::{open_backing, own_link};
use super::target::{self, on_place};
use crate::task::{Answer, Task};
use rustix::fs::inotify::{self, WatchFlags};
use rustix::io::Errno;
use view_vfs::attributes::Kind;
use view_vfs::place::Place;

/// inotify_add_watch: the backing file is watched; watches of directories on a mount are refused
pub fn inotify_add_watch(task: &Task<'_>) -> Result<Answer, Errno> {
    const DONT_FOLLOW: u32 = 0x0200_0000;
    const ONLY_DIRECTORY: u32 = 0x0100_0000;
    let mask = task.unsigned(2);
    let at_flags = if mask & DONT_FOLLOW != 0 {
        libc::AT_SYMLINK_NOFOLLOW
    } else {
        0
    };
    let target = target::existing(task, libc::AT_FDCWD, 1, at_flags)?;
    on_place(target, |place| {
        let kind = place.kind()?;
        if mask & ONLY_DIRECTORY != 0 && kind != Kind::Directory {
            return Err(Errno::NOTDIR);
        }
        let instance = task.description(task.int(0)).map_err(|errno| match errno {
            // Where descriptors of the tracee can't be reached.
            Errno::NOSYS => Errno::NOSPC,
            other => other,
        })?;
        let watch = WatchFlags::from_bits_retain(mask & !(DONT_FOLLOW | ONLY_DIRECTORY));
        let number = match place {
            Place::Host { path, .. } => inotify::add_watch(&instance, path.as_slice(), watch)?,
            Place::Node { mount, .. } if kind == Kind::RegularFile => {
                let mut caller = task.asker().on(mount);
                caller.enforces_modes = false;
                let file = open_backing(task, place, &caller)?;
                inotify::add_watch(&instance, own_link(&file.descriptor), watch)?
            }
            // No event would come, and a watch that says nothing is worse than none.
            Place::Node { .. } => return Err(Errno::OPNOTSUPP),
        };
        Ok(Answer::Value(i64::from(number)))
    })
}

/// name_to_handle_at: there are no file handles on a mount
pub fn name_to_handle_at(task: &Task<'_>) -> Result<Answer, Errno> {
    const AT_HANDLE_FID: i32 = 0x200;
    let flags = task.int(4);
    if flags & !(libc::AT_SYMLINK_FOLLOW | libc::AT_EMPTY_PATH | AT_HANDLE_FID) != 0 {
        return Ok(Answer::Continue);
    }
    let nofollow = if flags & libc::AT_SYMLINK_FOLLOW == 0 {
        libc::AT_SYMLINK_NOFOLLOW
    } else {
        0
    };
    let target = target::existing(task, task.int(0), 1, flags & libc::AT_EMPTY_PATH | nofollow)?;
    on_place(target, |_| Err(Errno::OPNOTSUPP))
}
