//! Extended attributes, xattr(7): get, list, set, remove, by path, descriptor and the `*at` calls of Linux 6.13.

use super::host_object;
use super::target::{self, Target, on_place};
use crate::task::{Answer, Task};
use rustix::io::Errno;
use view_sys::memory;
use view_vfs::object::XattrAnswer;
use view_vfs::place::Place;

/// Numbers that libc does not know yet (arch/x86/entry/syscalls/syscall_64.tbl).
pub const SYS_SETXATTRAT: i64 = 463;
/// getxattrat
pub const SYS_GETXATTRAT: i64 = 464;
/// listxattrat
pub const SYS_LISTXATTRAT: i64 = 465;
/// removexattrat
pub const SYS_REMOVEXATTRAT: i64 = 466;

const NAME_MAX: usize = 255;
const VALUE_MAX: usize = 65536;

fn name(task: &Task<'_>, index: usize) -> Result<Vec<u8>, Errno> {
    match memory::read_string(task.call.tid, task.argument(index), NAME_MAX + 1) {
        Ok(name) if name.is_empty() => Err(Errno::RANGE),
        Err(Errno::NAMETOOLONG) => Err(Errno::RANGE),
        other => other,
    }
}

fn by_path(task: &Task<'_>, follow: bool) -> Result<Target, Errno> {
    target::existing(
        task,
        libc::AT_FDCWD,
        0,
        if follow { 0 } else { libc::AT_SYMLINK_NOFOLLOW },
    )
}

fn by_descriptor(task: &Task<'_>) -> Result<Target, Errno> {
    let descriptor = task.int(0);
    if descriptor < 0 {
        return Err(Errno::BADF);
    }
    let target = target::of_descriptor(task, descriptor)?;
    if matches!(target, Target::Place(_)) && task.is_path_only(descriptor) {
        return Err(Errno::BADF);
    }
    Ok(target)
}

fn answer(task: &Task<'_>, buffer: u64, answer: XattrAnswer) -> Result<Answer, Errno> {
    match answer {
        XattrAnswer::Length(length) => Ok(Answer::Value(length as i64)),
        XattrAnswer::Value(value) => {
            task.write(buffer, &value)?;
            Ok(Answer::Value(value.len() as i64))
        }
    }
}

fn do_get(
    task: &Task<'_>,
    target: Target,
    name: &[u8],
    buffer: u64,
    size: usize,
) -> Result<Answer, Errno> {
    on_place(target, |place| {
        answer(
            task,
            buffer,
            place.get_xattr(name, size.min(VALUE_MAX), &task.asker())?,
        )
    })
}

fn do_list(task: &Task<'_>, target: Target, buffer: u64, size: usize) -> Result<Answer, Errno> {
    on_place(target, |place| {
        answer(
            task,
            buffer,
            place.list_xattr(size.min(VALUE_MAX), &task.asker())?,
        )
    })
}

fn do_set(
    task: &Task<'_>,
    target: impl FnOnce() -> Result<Target, Errno>,
    name_index: usize,
    (address, size): (u64, usize),
    flags: i32,
) -> Result<Answer, Errno> {
    if flags & !3 != 0 {
        return Err(Errno::INVAL);
    }
    let name = name(task, name_index)?;
    if size > VALUE_MAX {
        return Err(Errno::TOOBIG);
    }
    let mut value = vec![0; size];
    memory::read_exact(task.call.tid, address, &mut value)?;
    on_place(target()?, |place: &Place| {
        task.commit()?;
        place.set_xattr(&name, &value, flags, &task.asker())?;
        Ok(Answer::DONE)
    })
}

fn do_remove(task: &Task<'_>, target: Target, name: &[u8]) -> Result<Answer, Errno> {
    on_place(target, |place| {
        task.commit()?;
        place.remove_xattr(name, &task.asker())?;
        Ok(Answer::DONE)
    })
}

/// getxattr, lgetxattr
pub fn get(task: &Task<'_>, follow: bool) -> Result<Answer, Errno> {
    let name = name(task, 1)?;
    do_get(
        task,
        by_path(task, follow)?,
        &name,
        task.argument(2),
        task.argument(3) as usize,
    )
}

/// fgetxattr
pub fn fget(task: &Task<'_>) -> Result<Answer, Errno> {
    let target = by_descriptor(task)?;
    let name = name(task, 1)?;
    do_get(
        task,
        target,
        &name,
        task.argument(2),
        task.argument(3) as usize,
    )
}

/// listxattr, llistxattr
pub fn list(task: &Task<'_>, follow: bool) -> Result<Answer, Errno> {
    do_list(
        task,
        by_path(task, follow)?,
        task.argument(1),
        task.argument(2) as usize,
    )
}

/// flistxattr
pub fn flist(task: &Task<'_>) -> Result<Answer, Errno> {
    do_list(
        task,
        by_descriptor(task)?,
        task.argument(1),
        task.argument(2) as usize,
    )
}

/// setxattr, lsetxattr
pub fn set(task: &Task<'_>, follow: bool) -> Result<Answer, Errno> {
    let value = (task.argument(2), task.argument(3) as usize);
    let flags = if follow { 0 } else { libc::AT_SYMLINK_NOFOLLOW };
    let located = || host_object::locate(task, libc::AT_FDCWD, 0, flags);
    if let Some(answer) = host_object::set_access_list(task, located, &name(task, 1)?, value)? {
        return Ok(answer);
    }
    do_set(task, || by_path(task, follow), 1, value, task.int(4))
}

/// fsetxattr
pub fn fset(task: &Task<'_>) -> Result<Answer, Errno> {
    let value = (task.argument(2), task.argument(3) as usize);
    let located = || host_object::of_descriptor(task, task.int(0));
    if let Some(answer) = host_object::set_access_list(task, located, &name(task, 1)?, value)? {
        return Ok(answer);
    }
    do_set(
        task,
        || target::of_changed_descriptor(task, task.int(0)),
        1,
        value,
        task.int(4),
    )
}

/// removexattr, lremovexattr
pub fn remove(task: &Task<'_>, follow: bool) -> Result<Answer, Errno> {
    let name = name(task, 1)?;
    do_remove(task, by_path(task, follow)?, &name)
}

/// fremovexattr
pub fn fremove(task: &Task<'_>) -> Result<Answer, Errno> {
    let target = target::of_changed_descriptor(task, task.int(0))?;
    let name = name(task, 1)?;
    do_remove(task, target, &name)
}

fn at_target(task: &Task<'_>) -> Result<Target, Errno> {
    let flags = task.int(2);
    if flags & !(libc::AT_SYMLINK_NOFOLLOW | libc::AT_EMPTY_PATH) != 0 {
        return Err(Errno::INVAL);
    }
    target::existing(task, task.int(0), 1, flags)
}

/// `struct xattr_args`: value address, size, flags.
fn at_arguments(task: &Task<'_>) -> Result<(u64, usize, i32), Errno> {
    if task.argument(5) < 16 {
        return Err(Errno::INVAL);
    }
    let mut bytes = [0u8; 16];
    memory::read_exact(task.call.tid, task.argument(4), &mut bytes)?;
    let address = u64::from_le_bytes(bytes[..8].try_into().unwrap_or_default());
    let size = u32::from_le_bytes(bytes[8..12].try_into().unwrap_or_default());
    let flags = i32::from_le_bytes(bytes[12..].try_into().unwrap_or_default());
    Ok((address, size as usize, flags))
}

/// setxattrat
pub fn setat(task: &Task<'_>) -> Result<Answer, Errno> {
    let (address, size, flags) = at_arguments(task)?;
    do_set(task, || at_target(task), 3, (address, size), flags)
}

/// getxattrat
pub fn getat(task: &Task<'_>) -> Result<Answer, Errno> {
    let (address, size, flags) = at_arguments(task)?;
    if flags != 0 {
        return Err(Errno::INVAL);
    }
    let name = name(task, 3)?;
    do_get(task, at_target(task)?, &name, address, size)
}

/// listxattrat
pub fn listat(task: &Task<'_>) -> Result<Answer, Errno> {
    do_list(
        task,
        at_target(task)?,
        task.argument(3),
        task.argument(4) as usize,
    )
}

/// removexattrat
pub fn removeat(task: &Task<'_>) -> Result<Answer, Errno> {
    let name = name(task, 3)?;
    do_remove(task, at_target(task)?, &name)
}
