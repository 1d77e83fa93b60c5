//! What an exec makes of the caller's virtual ids: set-id bits, capabilities, and what the program is told of them.
//!
//! Neighbours: the parent module. Reference: execve(2), capabilities(7); fs/exec.c (bprm_fill_uid).

use super::Resolved;
use crate::identity::ViewIdentity;
use crate::identity::ids::{Ids, SetIds};
use crate::scalpel::IdWords;
use crate::task::Task;
use rustix::fs::StatVfsMountFlags;
use view_vfs::place::Place;

const S_ISUID: u32 = 0o4000;
const S_ISGID_AND_EXECUTABLE: u32 = 0o2010;

/// The ids after an exec, to be adopted when it is sure to succeed.
pub(super) struct ExecIds<'v> {
    identity: &'v ViewIdentity,
    before: std::sync::Arc<Ids>,
    after: Ids,
    is_secure: bool,
}

impl<'v> ExecIds<'v> {
    /// `None` in a view without an identity.
    pub(super) fn new(task: &Task<'v>, resolved: &Resolved) -> Option<Self> {
        let identity = task.view.identity.get()?;
        let before = identity.of(task.call.tid);
        let bits = set_ids(identity, &resolved.program.place);
        let (after, is_secure) = before.after_exec(bits);
        Some(ExecIds {
            identity,
            before,
            after,
            is_secure,
        })
    }

    /// The program must be told, so Linux can't do the exec alone.
    pub(super) fn must_be_told(&self) -> bool {
        self.is_secure
            || self.after.user.effective != self.before.user.effective
            || self.after.group.effective != self.before.group.effective
    }

    /// What its auxiliary vector shall say.
    pub(super) fn words(&self) -> IdWords {
        IdWords {
            uid: self.after.user.real,
            effective_uid: self.after.user.effective,
            gid: self.after.group.real,
            effective_gid: self.after.group.effective,
            secure: self.is_secure,
        }
    }

    /// The thread becomes the first of its process and has the new ids.
    pub(super) fn adopt(&self, task: &Task<'_>) {
        let process = task.process();
        if process != task.call.tid || *self.before != self.after {
            self.identity
                .threads
                .set(process, process, self.after.clone());
        }
    }
}

fn set_ids(identity: &ViewIdentity, place: &Place) -> SetIds {
    let attributes = match place {
        _ if place.mount().flags().no_suid => return SetIds::default(),
        Place::Host { path, .. } => {
            let ignores = rustix::fs::statvfs(path.as_slice())
                .is_ok_and(|found| found.f_flag.contains(StatVfsMountFlags::NOSUID));
            if ignores {
                return SetIds::default();
            }
            view_vfs::host_ops::attributes(path).map(|real| identity.shown(&real))
        }
        Place::Node { dentry, .. } => dentry.attributes(),
    };
    let Ok(attributes) = attributes else {
        return SetIds::default();
    };
    let mode = attributes.mode;
    SetIds {
        user: (mode & S_ISUID != 0).then_some(attributes.uid),
        group: (mode & S_ISGID_AND_EXECUTABLE == S_ISGID_AND_EXECUTABLE).then_some(attributes.gid),
    }
}
