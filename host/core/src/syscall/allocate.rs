//! fallocate(2): the module does it, so that the space is reserved where it is.
//!
//! Files of the host are left to Linux, and so are arguments that it refuses before it asks a filesystem, since it says the
//! same of the backing file.

use super::sync::backed;
use crate::task::{Answer, Task};
use rustix::io::Errno;
use view_vfs::page_cache::Allocation;
use view_vfs::place::Place;

const KEEP_SIZE: i32 = libc::FALLOC_FL_KEEP_SIZE;
const PUNCH_KEEPING_SIZE: i32 = libc::FALLOC_FL_PUNCH_HOLE | KEEP_SIZE;
const ZERO: i32 = libc::FALLOC_FL_ZERO_RANGE;
const ZERO_KEEPING_SIZE: i32 = ZERO | KEEP_SIZE;

/// fallocate: fallocate(2)
pub fn fallocate(task: &Task<'_>) -> Result<Answer, Errno> {
    let mode = task.int(1);
    let (offset, length) = (task.argument(2) as i64, task.argument(3) as i64);
    let is_known = matches!(
        mode,
        0 | KEEP_SIZE
            | PUNCH_KEEPING_SIZE
            | ZERO
            | ZERO_KEEPING_SIZE
            | libc::FALLOC_FL_COLLAPSE_RANGE
            | libc::FALLOC_FL_INSERT_RANGE
    );
    let end = offset.checked_add(length);
    if !is_known || offset < 0 || length <= 0 || end.is_none() {
        return Ok(Answer::Continue);
    }
    let Some((identity, backed)) = backed(task)? else {
        return Ok(Answer::Continue);
    };
    let Place::Node { dentry, .. } = backed.place() else {
        return Ok(Answer::Continue);
    };
    let flags = task.descriptor_flags(task.int(0)).unwrap_or(libc::O_RDONLY);
    if flags & libc::O_ACCMODE == libc::O_RDONLY {
        return Ok(Answer::Continue);
    }
    // Linux says EFBIG, with the signal that belongs to it.
    if matches!(mode, 0 | ZERO) && end.unwrap_or(0) as u64 > task.file_size_limit() {
        return Ok(Answer::Continue);
    }
    task.commit()?;
    let wanted = Allocation {
        mode,
        offset: offset as u64,
        length: length as u64,
    };
    Ok(match dentry.allocate(identity, wanted)? {
        true => Answer::DONE,
        false => Answer::Continue,
    })
}
