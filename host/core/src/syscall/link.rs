//! readlink(2), and what the magic links below /proc say.

use super::target::{self, Target};
use crate::task::{Answer, Task};
use rustix::io::Errno;
use view_vfs::attributes::{Identity, Kind};
use view_vfs::place::Place;
use view_vfs::procfs;
use view_vfs::resolver::WalkFlags;

/// readlink, readlinkat: readlink(2)
pub fn readlink(task: &Task<'_>, directory: i32, path: usize) -> Result<Answer, Errno> {
    let size = task.int(path + 2);
    if size <= 0 {
        return Err(Errno::INVAL);
    }
    let text = task.path(path)?;
    let place = if text.is_empty() {
        if path == 0 {
            return Err(Errno::NOENT);
        }
        match target::of_descriptor(task, directory)? {
            Target::Kernel => return Ok(Answer::Continue),
            // A descriptor that is no link: ENOENT, as readlinkat(2) says of an empty path.
            Target::Place(place) if place.kind()? != Kind::Symlink => return Err(Errno::NOENT),
            Target::Place(place) => place,
        }
    } else {
        let found = task.walk(directory, &text, WalkFlags::NO_FOLLOW)?;
        if let Some(text) = found
            .place
            .as_ref()
            .and_then(|place| magic_text(task, place))
        {
            return answer(task, path, &text, size);
        }
        if found.kernel_agrees {
            return Ok(Answer::Continue);
        }
        found.existing()?
    };
    answer(task, path, &place.read_link()?, size)
}

fn answer(task: &Task<'_>, path: usize, text: &[u8], size: i32) -> Result<Answer, Errno> {
    let length = text.len().min(size as usize);
    task.write(task.argument(path + 1), &text[..length])?;
    Ok(Answer::Value(length as i64))
}

/// What a link below /proc says when its object is one of the view's, or the caller.
fn magic_text(task: &Task<'_>, place: &Place) -> Option<Vec<u8>> {
    let path = place.host_path()?;
    match path {
        b"/proc/self" => return Some(task.process().to_string().into_bytes()),
        b"/proc/thread-self" => {
            return Some(format!("{}/task/{}", task.process(), task.call.tid).into_bytes());
        }
        _ => {}
    }
    if !procfs::is_below(path) || !procfs::is_magic_link(path) {
        return None;
    }
    let stat = rustix::fs::stat(path).ok()?;
    let identity = Identity {
        device: stat.st_dev,
        inode: stat.st_ino,
    };
    match task.view.backings.find(identity) {
        Some(backed) => Some(crate::names::shown_path(&backed.place())),
        None => task.view.alias(
            identity,
            &rustix::fs::readlink(path, Vec::new()).ok()?.into_bytes(),
        ),
    }
}
