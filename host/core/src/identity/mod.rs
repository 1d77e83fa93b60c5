//! Who the processes of a view take themselves for (`view run -0`, `-u`).
//!
//! Ids and capabilities are the view's own: Linux goes on treating every process as the user who started the view. What a
//! process may do to the host is therefore what that user may do; what it may do to mounts is decided by its ids here.
//!
//! | Module    | Responsibility                                          |
//! |-----------|---------------------------------------------------------|
//! | `ids`     | the ids of a thread, and the rules for changing them    |
//! | `threads` | which thread has which                                  |
//! | `shadow`  | owner, mode and device number of objects of the host    |
//! | `loops`   | loop devices, as far as mount(8) needs them             |
//!
//! Neighbours: `syscall::identity` (the calls), `task` (asks for credentials), `syscall::{stat,attribute,name,exec}`.
//! Locks: see `threads` and `shadow`; both are leaves.

pub mod ids;
pub mod loops;
pub mod shadow;
pub mod threads;

use ids::Ids;
use loops::Loops;
use rustix::fs::{AtFlags, CWD, StatxFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use shadow::{Differs, Shadow};
use std::sync::Arc;
use threads::Threads;
use view_vfs::attributes::Attributes;

/// The ids that a view is asked to begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentitySpec {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// The ids of a view.
#[derive(Debug)]
pub struct ViewIdentity {
    /// Of the supervisor: what stands for it is shown as the first user and group of the view.
    real: (u32, u32),
    /// Who is who.
    pub threads: Threads,
    /// What the host does not know.
    pub shadow: Shadow,
    /// Loop devices.
    pub loops: Loops,
}

/// An object of the host, as a name by which the supervisor reaches it.
#[derive(Debug, Clone)]
pub struct HostObject {
    /// The name.
    pub path: Vec<u8>,
    /// It is a link below /proc that is to be followed.
    pub follow: bool,
}

impl HostObject {
    /// What the host says about it, and the id of its mount.
    pub fn attributes(&self) -> Result<(Attributes, u64), Errno> {
        let mut flags = AtFlags::NO_AUTOMOUNT;
        if !self.follow {
            flags |= AtFlags::SYMLINK_NOFOLLOW;
        }
        let wanted = StatxFlags::BASIC_STATS | StatxFlags::BTIME | StatxFlags::MNT_ID;
        let found = rustix::fs::statx(CWD, self.path.as_slice(), flags, wanted)?;
        Ok((Attributes::from_statx(&found), found.stx_mnt_id))
    }
}

impl ViewIdentity {
    /// That of a view which begins with these ids.
    pub fn new(spec: IdentitySpec) -> Self {
        ViewIdentity {
            real: (
                rustix::process::geteuid().as_raw(),
                rustix::process::getegid().as_raw(),
            ),
            threads: Threads::new(Ids::new(spec.uid, spec.gid)),
            shadow: Shadow::default(),
            loops: Loops::default(),
        }
    }

    /// The ids of a thread.
    pub fn of(&self, thread: u32) -> Arc<Ids> {
        self.threads.of(thread)
    }

    /// An object of the host as the view shows it.
    pub fn shown(&self, real: &Attributes) -> Attributes {
        let mut shown = *real;
        let first = self.threads.initial();
        if shown.uid == self.real.0 {
            shown.uid = first.user.real;
        }
        if shown.gid == self.real.1 {
            shown.gid = first.group.real;
        }
        self.shadow.of(real).apply(&mut shown);
        shown
    }

    /// Do these ids make objects that Linux would give to another owner than the view's first one?
    pub fn creates_for_another(&self, ids: &Ids) -> bool {
        let first = self.threads.initial();
        (ids.user.filesystem, ids.group.filesystem)
            != (first.user.filesystem, first.group.filesystem)
    }

    /// Notes who made the object that was just made.
    pub fn note_created(&self, real: &Attributes, ids: &Ids) {
        let bare = self.shown(real);
        self.shadow.change(real, |differs| {
            *differs = Differs::default();
            differs.uid = (bare.uid != ids.user.filesystem).then_some(ids.user.filesystem);
            // A set-group-id directory has given its own group.
            let is_inherited = real.gid != self.real.1;
            differs.gid =
                (!is_inherited && bare.gid != ids.group.filesystem).then_some(ids.group.filesystem);
        });
    }

    /// Gives an object of the host another owner, for the view. Set-id bits of files go, as chown(2) says.
    pub fn set_owner(
        &self,
        real: &Attributes,
        uid: Option<u32>,
        gid: Option<u32>,
        mode: Option<u32>,
    ) {
        self.shadow.change(real, |differs| {
            if uid.is_some() {
                differs.uid = uid;
            }
            if gid.is_some() {
                differs.gid = gid;
            }
            if mode.is_some() {
                differs.mode = mode;
            }
        });
    }
}
