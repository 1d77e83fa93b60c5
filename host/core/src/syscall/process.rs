//! prctl(2), chroot(2) and umask(2).

use crate::control::protocol::{MountKind, MountSpec};
use crate::identity::ids::CAP_SYS_CHROOT;
use crate::mounting;
use crate::task::{Answer, Task};
use rustix::io::Errno;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use view_vfs::attributes::Kind;
use view_vfs::resolver::WalkFlags;

/// umask: Linux does it; what was known of masks is old
pub fn umask(task: &Task<'_>) -> Result<Answer, Errno> {
    task.view.callers.changes_umask(task.call.tid);
    Ok(Answer::Continue)
}

/// prctl: only PR_SET_DUMPABLE and PR_GET_DUMPABLE are notified: a process that the supervisor can't read would lose
/// the view, so that attribute is only remembered
pub fn prctl(task: &Task<'_>) -> Result<Answer, Errno> {
    let mut undumpable = task.view.undumpable.lock();
    let process = task.process();
    match (task.int(0), task.argument(1)) {
        (libc::PR_SET_DUMPABLE, 0) => {
            if undumpable.len() > 1024 {
                undumpable.retain(|process| crate::task::process_of(*process).is_some());
            }
            undumpable.insert(process);
            Ok(Answer::DONE)
        }
        (libc::PR_SET_DUMPABLE, 1) => {
            undumpable.remove(&process);
            Ok(Answer::Continue)
        }
        (libc::PR_GET_DUMPABLE, _) if undumpable.contains(&process) => Ok(Answer::Value(0)),
        // A forked child has its parent's state until it executes a program.
        (libc::PR_GET_DUMPABLE, _)
            if crate::task::parent_of(process).is_some_and(|parent| {
                undumpable.contains(&parent) && has_same_program(parent, process)
            }) =>
        {
            undumpable.insert(process);
            Ok(Answer::Value(0))
        }
        _ => Ok(Answer::Continue),
    }
}

fn has_same_program(one: u32, other: u32) -> bool {
    let program =
        |process: u32| rustix::fs::readlink(format!("/proc/{process}/exe"), Vec::new()).ok();
    program(one).is_some_and(|path| program(other) == Some(path))
}

/// chroot: for who has the capability in a view with ids of its own, a namespace whose root is bound; else refused, as for
/// every ordinary user
pub fn chroot(task: &Task<'_>) -> Result<Answer, Errno> {
    let text = task.path(0)?;
    let place = task
        .walk(libc::AT_FDCWD, &text, WalkFlags::FOLLOW)?
        .existing()?;
    if place.kind()? != Kind::Directory {
        return Err(Errno::NOTDIR);
    }
    let identity = task.view.identity.get().ok_or(Errno::PERM)?;
    if !identity.of(task.call.tid).has(CAP_SYS_CHROOT) {
        return Err(Errno::PERM);
    }
    task.commit()?;
    let path = place.view_path();
    if path == b"/" {
        return Ok(Answer::DONE);
    }
    let namespace = task.namespace.child();
    let root = MountSpec {
        filesystem: None,
        source: OsString::from_vec(path),
        target: "/".into(),
        options: String::new(),
        kind: MountKind::Bind,
    };
    let process = task.process();
    mounting::mount_by(task.view, &namespace, process, &root)
        .map_err(|refusal| Errno::from_raw_os_error(refusal.errno))?;
    task.view.add_namespace(process, namespace);
    Ok(Answer::DONE)
}
