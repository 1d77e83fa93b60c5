//! Calls that change attributes: chmod, chown, truncate, utime and their relatives.

use super::host_object::{self, Located};
use super::host_permission;
use super::target::{self, Target, on_place};
use crate::task::{Answer, Task};
use rustix::io::Errno;
use view_sys::memory;
use view_vfs::attributes::{Kind, Timestamp};
use view_vfs::object::{AttributeChange, TimeChange};
use view_vfs::permission::MAY_WRITE;

const UTIME_NOW: i64 = 0x3fff_ffff;
const UTIME_OMIT: i64 = 0x3fff_fffe;

/// The change on an object of the host, in a view that keeps such changes for itself.
fn change_kept(
    task: &Task<'_>,
    located: Option<Located<'_>>,
    change: &AttributeChange,
) -> Result<Option<Answer>, Errno> {
    located.map_or(Ok(None), |located| located.change(task, change))
}

fn change(task: &Task<'_>, target: Target, change: &AttributeChange) -> Result<Answer, Errno> {
    on_place(target, |place| {
        task.commit()?;
        place.change(change, &task.asker())?;
        Ok(Answer::DONE)
    })
}

/// chmod, fchmodat, fchmodat2: chmod(2)
pub fn chmod(task: &Task<'_>, directory: i32, path: usize, flags: i32) -> Result<Answer, Errno> {
    if flags & !(libc::AT_SYMLINK_NOFOLLOW | libc::AT_EMPTY_PATH) != 0 {
        return Err(Errno::INVAL);
    }
    let target = target::existing(task, directory, path, flags)?;
    if let Target::Place(place) = &target
        && place.kind()? == Kind::Symlink
    {
        return Err(Errno::OPNOTSUPP);
    }
    let mode = AttributeChange::Mode(task.unsigned(path + 1) & 0o7777);
    let located = host_object::locate(task, directory, path, flags)?.filter(|located| {
        located
            .shown()
            .is_some_and(|(shown, _)| !shown.is_symlink())
    });
    match change_kept(task, located, &mode)? {
        Some(answer) => Ok(answer),
        None => change(task, target, &mode),
    }
}

/// The descriptor of fchmod and fchown, unless Linux has to refuse it.
fn changed_descriptor<'v>(task: &Task<'v>) -> Result<Option<Located<'v>>, Errno> {
    if task.is_path_only(task.int(0)) {
        return Ok(None);
    }
    host_object::of_descriptor(task, task.int(0))
}

/// fchmod: chmod(2)
pub fn fchmod(task: &Task<'_>) -> Result<Answer, Errno> {
    let target = target::of_changed_descriptor(task, task.int(0))?;
    let mode = AttributeChange::Mode(task.unsigned(1) & 0o7777);
    match change_kept(task, changed_descriptor(task)?, &mode)? {
        Some(answer) => Ok(answer),
        None => change(task, target, &mode),
    }
}

fn owner(uid: u32, gid: u32) -> AttributeChange {
    AttributeChange::Owner {
        uid: (uid != u32::MAX).then_some(uid),
        gid: (gid != u32::MAX).then_some(gid),
    }
}

/// chown, lchown, fchownat: chown(2)
pub fn chown(task: &Task<'_>, directory: i32, path: usize, flags: i32) -> Result<Answer, Errno> {
    if flags & !(libc::AT_SYMLINK_NOFOLLOW | libc::AT_EMPTY_PATH) != 0 {
        return Err(Errno::INVAL);
    }
    let target = target::existing(task, directory, path, flags)?;
    let owner = owner(task.unsigned(path + 1), task.unsigned(path + 2));
    let located = host_object::locate(task, directory, path, flags)?;
    match change_kept(task, located, &owner)? {
        Some(answer) => Ok(answer),
        None => change(task, target, &owner),
    }
}

/// fchown: chown(2)
pub fn fchown(task: &Task<'_>) -> Result<Answer, Errno> {
    let target = target::of_changed_descriptor(task, task.int(0))?;
    let owner = owner(task.unsigned(1), task.unsigned(2));
    match change_kept(task, changed_descriptor(task)?, &owner)? {
        Some(answer) => Ok(answer),
        None => change(task, target, &owner),
    }
}

/// truncate: truncate(2)
pub fn truncate(task: &Task<'_>) -> Result<Answer, Errno> {
    let length = task.argument(1) as i64;
    if length < 0 {
        return Err(Errno::INVAL);
    }
    if let Some(located) = host_object::locate(task, libc::AT_FDCWD, 0, 0)? {
        host_permission::check(task, located.place(task).as_ref(), MAY_WRITE)?;
    }
    let target = target::existing(task, libc::AT_FDCWD, 0, 0)?;
    if let Target::Place(place) = &target {
        match place.kind()? {
            Kind::Directory => return Err(Errno::ISDIR),
            Kind::RegularFile => {}
            _ => return Err(Errno::INVAL),
        }
        if length as u64 > task.file_size_limit() && length as u64 > place.attributes()?.size {
            if let Some(process) = rustix::process::Pid::from_raw(task.process() as i32) {
                let _ = rustix::process::kill_process(process, rustix::process::Signal::XFSZ);
            }
            return Err(Errno::FBIG);
        }
    }
    change(task, target, &AttributeChange::Size(length as u64))
}

fn words<const N: usize>(task: &Task<'_>, address: u64) -> Result<[i64; N], Errno> {
    let mut bytes = [0u8; 32];
    let bytes = &mut bytes[..N * 8];
    memory::read_exact(task.call.tid, address, bytes)?;
    let mut out = [0i64; N];
    for (word, chunk) in out.iter_mut().zip(bytes.chunks_exact(8)) {
        *word = i64::from_le_bytes(chunk.try_into().unwrap_or_default());
    }
    Ok(out)
}

fn at(seconds: i64, nanoseconds: i64) -> TimeChange {
    TimeChange::At(Timestamp {
        seconds,
        nanoseconds: nanoseconds as u32,
    })
}

/// utime: utime(2)
pub fn utime(task: &Task<'_>) -> Result<Answer, Errno> {
    let (accessed, modified) = if task.argument(1) == 0 {
        (TimeChange::Now, TimeChange::Now)
    } else {
        let [accessed, modified] = words(task, task.argument(1))?;
        (at(accessed, 0), at(modified, 0))
    };
    let target = target::existing(task, libc::AT_FDCWD, 0, 0)?;
    change(task, target, &AttributeChange::Times { accessed, modified })
}

/// utimes, futimesat: utime(2)
pub fn utimes(task: &Task<'_>, directory: i32, path: usize) -> Result<Answer, Errno> {
    let address = task.argument(path + 1);
    let (accessed, modified) = if address == 0 {
        (TimeChange::Now, TimeChange::Now)
    } else {
        let [s0, us0, s1, us1] = words(task, address)?;
        if !(0..1_000_000).contains(&us0) || !(0..1_000_000).contains(&us1) {
            return Err(Errno::INVAL);
        }
        (at(s0, us0 * 1000), at(s1, us1 * 1000))
    };
    let target = if path == 1 && task.argument(path) == 0 {
        target::of_changed_descriptor(task, directory)?
    } else {
        target::existing(task, directory, path, 0)?
    };
    change(task, target, &AttributeChange::Times { accessed, modified })
}

/// utimensat: utimensat(2); a null path means the descriptor itself (futimens)
pub fn utimensat(task: &Task<'_>) -> Result<Answer, Errno> {
    let address = task.argument(2);
    let (accessed, modified) = if address == 0 {
        (Ok(TimeChange::Now), Ok(TimeChange::Now))
    } else {
        let [s0, ns0, s1, ns1] = words(task, address)?;
        if ns0 == UTIME_OMIT && ns1 == UTIME_OMIT {
            return Ok(Answer::DONE);
        }
        (one_time(s0, ns0), one_time(s1, ns1))
    };
    let flags = task.int(3);
    let target = if task.argument(1) == 0 && task.int(0) != libc::AT_FDCWD {
        if flags != 0 {
            return Err(Errno::INVAL);
        }
        target::of_changed_descriptor(task, task.int(0))?
    } else {
        if flags & !(libc::AT_SYMLINK_NOFOLLOW | libc::AT_EMPTY_PATH) != 0 {
            return Err(Errno::INVAL);
        }
        target::existing(task, task.int(0), 1, flags)?
    };
    // A bad time is only found once the object is.
    change(
        task,
        target,
        &AttributeChange::Times {
            accessed: accessed?,
            modified: modified?,
        },
    )
}

fn one_time(seconds: i64, nanoseconds: i64) -> Result<TimeChange, Errno> {
    match nanoseconds {
        UTIME_NOW => Ok(TimeChange::Now),
        UTIME_OMIT => Ok(TimeChange::Omit),
        0..=999_999_999 => Ok(at(seconds, nanoseconds)),
        _ => Err(Errno::INVAL),
    }
}
