//! Who asks: [`Credentials`] of a process as far as file access goes, and [`Caller`], what an operation gets of it.
//!
//! Neighbours: [`crate::permission`] decides with them; the task layer fills them in from /proc. No locks.
//!
//! Reference: credentials(7), capabilities(7).

use std::sync::Arc;

/// Filesystem ids of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// Filesystem user id.
    pub uid: u32,
    /// Filesystem group id.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Arc<[u32]>,
    /// Stands for CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_CHOWN, CAP_FSETID, CAP_MKNOD and CAP_SYS_ADMIN at once.
    pub is_privileged: bool,
}

impl Credentials {
    /// Those of this process. User 0 counts as privileged.
    pub fn current() -> Credentials {
        let uid = rustix::process::geteuid().as_raw();
        let groups = rustix::process::getgroups().unwrap_or_default();
        Credentials {
            uid,
            gid: rustix::process::getegid().as_raw(),
            groups: groups.into_iter().map(|group| group.as_raw()).collect(),
            is_privileged: uid == 0,
        }
    }

    /// Is `gid` the group or a supplementary group?
    pub fn in_group(&self, gid: u32) -> bool {
        self.gid == gid || self.groups.contains(&gid)
    }
}

/// Who asks for an operation, and under which rules.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Who.
    pub credentials: Credentials,
    /// File mode creation mask.
    pub umask: u32,
    /// Are permission bits, owners and access lists enforced (`default_permissions`, tmpfs)? When not, only kinds,
    /// structure and read-only mounts are checked, and the module may refuse.
    pub enforces_modes: bool,
    /// The mount is read-only even if the filesystem is not.
    pub mount_is_read_only: bool,
}

impl Caller {
    /// A caller with these credentials, umask 0, modes enforced, on a writable mount.
    pub fn new(credentials: Credentials) -> Caller {
        Caller {
            credentials,
            umask: 0,
            enforces_modes: true,
            mount_is_read_only: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_the_primary_and_the_supplementary_ones() {
        let credentials = Credentials {
            uid: 1000,
            gid: 100,
            groups: Arc::from([4, 27].as_slice()),
            is_privileged: false,
        };
        assert!(credentials.in_group(100) && credentials.in_group(27));
        assert!(!credentials.in_group(1000));
        assert_eq!(
            Credentials::current().uid,
            rustix::process::geteuid().as_raw()
        );
    }
}
