//! prctl(2) and chroot(2).

use crate::task::{Answer, Task};
use rustix::io::Errno;

/// prctl — only PR_SET_DUMPABLE is notified: a process that the supervisor can't read would lose the view
pub fn prctl(task: &Task<'_>) -> Result<Answer, Errno> {
    if task.int(0) == libc::PR_SET_DUMPABLE && task.argument(1) == 0 {
        return Ok(Answer::DONE);
    }
    Ok(Answer::Continue)
}

/// chroot — needs a privilege natively, and the view has no other root to give
pub fn chroot(task: &Task<'_>) -> Result<Answer, Errno> {
    task.path(0)?;
    Err(Errno::PERM)
}
