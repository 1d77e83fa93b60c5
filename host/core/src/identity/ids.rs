//! The ids and capabilities of one thread, and the kernel's rules for changing them, as pure functions.
//!
//! Neighbours: `threads` keeps them, `syscall::identity` calls the rules. No locks.
//!
//! Reference: credentials(7), capabilities(7), setuid(2), setreuid(2), setresuid(2), setfsuid(2), capset(2);
//! Linux `kernel/sys.c` and `security/commoncap.c` for the order of checks.

use rustix::io::Errno;
use std::sync::Arc;
use view_vfs::credentials::Credentials;

/// "Leave it as it is" in the set*id calls; never an id.
pub const UNCHANGED: u32 = u32::MAX;

/// Numbers of capabilities (linux/capability.h) that are asked for here.
pub const CAP_CHOWN: u32 = 0;
const CAP_DAC_OVERRIDE: u32 = 1;
const CAP_FOWNER: u32 = 3;
/// May make others' set*gid calls.
pub const CAP_SETGID: u32 = 6;
/// May make others' set*uid calls.
pub const CAP_SETUID: u32 = 7;
/// May change bounding set and securebits.
pub const CAP_SETPCAP: u32 = 8;
/// May change its root.
pub const CAP_SYS_CHROOT: u32 = 18;
/// May mount.
pub const CAP_SYS_ADMIN: u32 = 21;
/// May make device nodes.
pub const CAP_MKNOD: u32 = 27;
/// The last capability of Linux 6.18 (CAP_CHECKPOINT_RESTORE).
pub const LAST_CAPABILITY: u32 = 40;
/// All capabilities.
pub const ALL_CAPABILITIES: u64 = (1 << (LAST_CAPABILITY + 1)) - 1;
/// CAP_FS_SET: CHOWN, DAC_OVERRIDE, DAC_READ_SEARCH, FOWNER, FSETID, LINUX_IMMUTABLE, MKNOD, MAC_OVERRIDE.
const FILE_CAPABILITIES: u64 = 0b1_1111 | 1 << 9 | 1 << 27 | 1 << 32;

/// SECBIT_NOROOT
pub const NO_ROOT: u32 = 1;
const NO_SETUID_FIXUP: u32 = 1 << 2;
/// SECBIT_KEEP_CAPS
pub const KEEP_CAPABILITIES: u32 = 1 << 4;
/// SECBIT_KEEP_CAPS_LOCKED
pub const KEEP_CAPABILITIES_LOCKED: u32 = 1 << 5;
/// SECBIT_NO_CAP_AMBIENT_RAISE
pub const NO_AMBIENT_RAISE: u32 = 1 << 6;
const SECURE_LOCKS: u32 = 0xaa;
const SECURE_ALL: u32 = 0xff;

/// The four ids of a kind: users or groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Four {
    /// Real.
    pub real: u32,
    /// Effective.
    pub effective: u32,
    /// Saved set-id.
    pub saved: u32,
    /// For files.
    pub filesystem: u32,
}

impl Four {
    /// All the same.
    pub fn all(id: u32) -> Self {
        Four {
            real: id,
            effective: id,
            saved: id,
            filesystem: id,
        }
    }

    fn is_real_effective_or_saved(&self, id: u32) -> bool {
        id == self.real || id == self.effective || id == self.saved
    }

    /// setuid(2), setgid(2).
    fn set(&mut self, id: u32, is_capable: bool) -> Result<(), Errno> {
        if id == UNCHANGED {
            return Err(Errno::INVAL);
        }
        if is_capable {
            (self.real, self.saved) = (id, id);
        } else if id != self.real && id != self.saved {
            return Err(Errno::PERM);
        }
        (self.effective, self.filesystem) = (id, id);
        Ok(())
    }

    /// setreuid(2), setregid(2).
    fn set_two(&mut self, real: u32, effective: u32, is_capable: bool) -> Result<(), Errno> {
        let old = *self;
        if real != UNCHANGED {
            if real != old.real && real != old.effective && !is_capable {
                return Err(Errno::PERM);
            }
            self.real = real;
        }
        if effective != UNCHANGED {
            if !old.is_real_effective_or_saved(effective) && !is_capable {
                return Err(Errno::PERM);
            }
            self.effective = effective;
        }
        if real != UNCHANGED || effective != UNCHANGED && effective != old.real {
            self.saved = self.effective;
        }
        self.filesystem = self.effective;
        Ok(())
    }

    /// setresuid(2), setresgid(2).
    fn set_three(
        &mut self,
        [real, effective, saved]: [u32; 3],
        is_capable: bool,
    ) -> Result<(), Errno> {
        let old = *self;
        for id in [real, effective, saved] {
            if id != UNCHANGED && !old.is_real_effective_or_saved(id) && !is_capable {
                return Err(Errno::PERM);
            }
        }
        let or_old = |id: u32, old: u32| if id == UNCHANGED { old } else { id };
        self.real = or_old(real, old.real);
        self.effective = or_old(effective, old.effective);
        self.saved = or_old(saved, old.saved);
        self.filesystem = self.effective;
        Ok(())
    }

    /// setfsuid(2), setfsgid(2): whether it was allowed.
    fn set_filesystem(&mut self, id: u32, is_capable: bool) {
        let may = is_capable || self.is_real_effective_or_saved(id) || id == self.filesystem;
        if id != UNCHANGED && may {
            self.filesystem = id;
        }
    }
}

/// The capability sets of a thread, a bit for each capability.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// Counts now.
    pub effective: u64,
    /// May be made effective.
    pub permitted: u64,
    /// Kept over exec, with the file's.
    pub inheritable: u64,
    /// Can be gained at all.
    pub bounding: u64,
    /// Kept over exec of ordinary programs.
    pub ambient: u64,
}

/// Everything of a thread that says who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ids {
    /// User ids.
    pub user: Four,
    /// Group ids.
    pub group: Four,
    /// Supplementary groups, in order.
    pub groups: Arc<[u32]>,
    /// Capability sets.
    pub capabilities: Capabilities,
    /// SECBIT_*
    pub securebits: u32,
    /// PR_SET_NO_NEW_PRIVS was asked for. (Linux's own attribute is set for every process of a view.)
    pub no_new_privileges: bool,
}

/// What an exec makes of the ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SetIds {
    /// Owner of a set-user-id program.
    pub user: Option<u32>,
    /// Group of a set-group-id program.
    pub group: Option<u32>,
}

impl Ids {
    /// Those that a view begins with: user 0 has every capability, others have none.
    pub fn new(uid: u32, gid: u32) -> Self {
        let held = if uid == 0 { ALL_CAPABILITIES } else { 0 };
        Ids {
            user: Four::all(uid),
            group: Four::all(gid),
            groups: Arc::from([gid].as_slice()),
            capabilities: Capabilities {
                effective: held,
                permitted: held,
                inheritable: 0,
                bounding: ALL_CAPABILITIES,
                ambient: 0,
            },
            securebits: 0,
            no_new_privileges: false,
        }
    }

    /// Is this capability effective?
    pub fn has(&self, capability: u32) -> bool {
        self.capabilities.effective & 1 << capability != 0
    }

    /// For file access.
    pub fn credentials(&self) -> Credentials {
        let all = 1 << CAP_CHOWN | 1 << CAP_DAC_OVERRIDE | 1 << CAP_FOWNER;
        Credentials {
            uid: self.user.filesystem,
            gid: self.group.filesystem,
            groups: self.groups.clone(),
            is_privileged: self.capabilities.effective & all == all,
        }
    }

    /// For access(2), which asks about the real user: capabilities count only for user 0 (fs/open.c,
    /// access_override_creds).
    pub fn real_credentials(&self) -> Credentials {
        let mut real = self.clone();
        real.user.filesystem = self.user.real;
        real.group.filesystem = self.group.real;
        if self.securebits & NO_SETUID_FIXUP == 0 {
            real.capabilities.effective = if self.user.real == 0 {
                self.capabilities.permitted
            } else {
                0
            };
        }
        real.credentials()
    }

    /// setuid(2)
    pub fn set_user(&self, id: u32) -> Result<Ids, Errno> {
        self.with_user(|user| user.set(id, self.has(CAP_SETUID)))
    }

    /// setreuid(2)
    pub fn set_users(&self, real: u32, effective: u32) -> Result<Ids, Errno> {
        self.with_user(|user| user.set_two(real, effective, self.has(CAP_SETUID)))
    }

    /// setresuid(2)
    pub fn set_all_users(&self, ids: [u32; 3]) -> Result<Ids, Errno> {
        self.with_user(|user| user.set_three(ids, self.has(CAP_SETUID)))
    }

    /// setfsuid(2), which never fails.
    pub fn set_file_user(&self, id: u32) -> Ids {
        let mut new = self.clone();
        new.user.set_filesystem(id, self.has(CAP_SETUID));
        if self.securebits & NO_SETUID_FIXUP == 0 {
            let (old, now) = (self.user.filesystem, new.user.filesystem);
            let sets = &mut new.capabilities;
            if old == 0 && now != 0 {
                sets.effective &= !FILE_CAPABILITIES;
            } else if old != 0 && now == 0 {
                sets.effective |= sets.permitted & FILE_CAPABILITIES;
            }
        }
        new
    }

    /// setgid(2)
    pub fn set_group(&self, id: u32) -> Result<Ids, Errno> {
        self.with_group(|group| group.set(id, self.has(CAP_SETGID)))
    }

    /// setregid(2)
    pub fn set_group_pair(&self, real: u32, effective: u32) -> Result<Ids, Errno> {
        self.with_group(|group| group.set_two(real, effective, self.has(CAP_SETGID)))
    }

    /// setresgid(2)
    pub fn set_all_groups(&self, ids: [u32; 3]) -> Result<Ids, Errno> {
        self.with_group(|group| group.set_three(ids, self.has(CAP_SETGID)))
    }

    /// setfsgid(2), which never fails.
    pub fn set_file_group(&self, id: u32) -> Ids {
        let mut new = self.clone();
        new.group.set_filesystem(id, self.has(CAP_SETGID));
        new
    }

    fn with_group(
        &self,
        change: impl FnOnce(&mut Four) -> Result<(), Errno>,
    ) -> Result<Ids, Errno> {
        let mut new = self.clone();
        change(&mut new.group)?;
        Ok(new)
    }

    fn with_user(&self, change: impl FnOnce(&mut Four) -> Result<(), Errno>) -> Result<Ids, Errno> {
        let mut new = self.clone();
        change(&mut new.user)?;
        if self.securebits & NO_SETUID_FIXUP == 0 {
            let any_root = |user: &Four| user.is_real_effective_or_saved(0);
            let sets = &mut new.capabilities;
            if any_root(&self.user) && !any_root(&new.user) {
                if self.securebits & KEEP_CAPABILITIES == 0 {
                    (sets.permitted, sets.effective) = (0, 0);
                }
                sets.ambient = 0;
            }
            if self.user.effective == 0 && new.user.effective != 0 {
                sets.effective = 0;
            } else if self.user.effective != 0 && new.user.effective == 0 {
                sets.effective = sets.permitted;
            }
        }
        Ok(new)
    }

    /// capset(2)
    pub fn set_capabilities(
        &self,
        effective: u64,
        permitted: u64,
        inheritable: u64,
    ) -> Result<Ids, Errno> {
        let old = self.capabilities;
        let [effective, permitted, inheritable] =
            [effective, permitted, inheritable].map(|set| set & ALL_CAPABILITIES);
        let within = |set: u64, limit: u64| set & !limit == 0;
        if !self.has(CAP_SETPCAP) && !within(inheritable, old.inheritable | old.permitted)
            || !within(inheritable, old.inheritable | old.bounding)
            || !within(permitted, old.permitted)
            || !within(effective, permitted)
        {
            return Err(Errno::PERM);
        }
        let mut new = self.clone();
        let ambient = old.ambient & permitted & inheritable;
        new.capabilities = Capabilities {
            effective,
            permitted,
            inheritable,
            ambient,
            ..old
        };
        Ok(new)
    }

    /// prctl(PR_SET_SECUREBITS)
    pub fn set_securebits(&self, bits: u32) -> Result<Ids, Errno> {
        let old = self.securebits;
        let changes_locked = (old & SECURE_LOCKS) >> 1 & (old ^ bits) != 0;
        let unlocks = old & SECURE_LOCKS & !bits != 0;
        if changes_locked || unlocks || bits & !SECURE_ALL != 0 || !self.has(CAP_SETPCAP) {
            return Err(Errno::PERM);
        }
        Ok(Ids {
            securebits: bits,
            ..self.clone()
        })
    }

    /// After the exec of a program with these set-id bits; and whether it is a secure execution (AT_SECURE).
    pub fn after_exec(&self, bits: SetIds) -> (Ids, bool) {
        let mut new = self.clone();
        if let (Some(user), false) = (bits.user, self.no_new_privileges) {
            new.user.effective = user;
        }
        if let (Some(group), false) = (bits.group, self.no_new_privileges) {
            new.group.effective = group;
        }
        // Compared with the real ids (security/commoncap.c, __is_setuid).
        let is_set_id =
            new.user.effective != self.user.real || new.group.effective != self.group.real;
        let sets = &mut new.capabilities;
        if is_set_id {
            sets.ambient = 0;
        }
        let is_root = |id: u32| id == 0 && self.securebits & NO_ROOT == 0;
        let (mut gains, mut are_effective) = (0, false);
        if is_root(new.user.effective) || is_root(new.user.real) {
            gains = sets.bounding | sets.inheritable;
            are_effective = is_root(new.user.effective);
        }
        sets.permitted = gains | sets.ambient;
        sets.effective = if are_effective {
            sets.permitted
        } else {
            sets.ambient
        };
        for four in [&mut new.user, &mut new.group] {
            (four.saved, four.filesystem) = (four.effective, four.effective);
        }
        new.securebits &= !KEEP_CAPABILITIES;
        let gained = is_root(new.user.effective) && new.user.real != 0;
        (new, is_set_id || gained)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_drops_for_good_and_a_saved_id_brings_it_back() {
        let root = Ids::new(0, 0);
        let dropped = root.set_user(1000).unwrap();
        assert_eq!(dropped.user, Four::all(1000));
        assert_eq!(dropped.capabilities.permitted, 0);
        assert_eq!(dropped.set_user(0), Err(Errno::PERM));
        assert_eq!(dropped.set_user(UNCHANGED), Err(Errno::INVAL));
        let low = root.set_all_users([UNCHANGED, 42, UNCHANGED]).unwrap();
        assert!(!low.has(CAP_SETUID) && low.capabilities.permitted == ALL_CAPABILITIES);
        assert_eq!(
            (
                low.user.real,
                low.user.effective,
                low.user.saved,
                low.user.filesystem
            ),
            (0, 42, 0, 42)
        );
        assert_eq!(
            low.set_all_users([7, UNCHANGED, UNCHANGED]),
            Err(Errno::PERM)
        );
        assert!(
            low.set_all_users([UNCHANGED, 0, UNCHANGED])
                .unwrap()
                .has(CAP_SETUID)
        );
    }

    #[test]
    fn saved_id_of_setreuid() {
        let root = Ids::new(0, 0);
        assert_eq!(root.set_users(UNCHANGED, 5).unwrap().user.saved, 5);
        let user = Ids::new(5, 5);
        assert_eq!(user.set_users(UNCHANGED, 6), Err(Errno::PERM));
        assert_eq!(
            root.set_group_pair(3, UNCHANGED).unwrap().group,
            Four {
                real: 3,
                effective: 0,
                saved: 0,
                filesystem: 0
            }
        );
    }

    #[test]
    fn keep_caps_and_file_ids() {
        let root = Ids::new(0, 0);
        let keeping = root.set_securebits(KEEP_CAPABILITIES).unwrap();
        let kept = keeping.set_user(9).unwrap();
        assert_eq!(
            (kept.capabilities.permitted, kept.capabilities.effective),
            (ALL_CAPABILITIES, 0)
        );
        let files = root.set_file_user(9);
        assert!(
            !files.has(CAP_CHOWN) && files.has(CAP_SETUID) && !files.credentials().is_privileged
        );
        assert_eq!(
            files.set_file_user(0).capabilities.effective,
            ALL_CAPABILITIES
        );
        assert_eq!(Ids::new(5, 5).set_file_user(6).user.filesystem, 5);
    }

    #[test]
    fn capset_only_gives_up() {
        let root = Ids::new(0, 0);
        let some = root.set_capabilities(0b11, 0b111, 0).unwrap();
        assert_eq!(some.set_capabilities(0b11, 0b1111, 0), Err(Errno::PERM));
        assert_eq!(some.set_capabilities(0b1000, 0b111, 0), Err(Errno::PERM));
        assert_eq!(some.set_securebits(1), Err(Errno::PERM));
    }

    #[test]
    fn exec_of_set_user_id_programs() {
        let user = Ids::new(1000, 1000);
        let (same, secure) = user.after_exec(SetIds::default());
        assert_eq!((same, secure), (user.clone(), false));
        let (root, secure) = user.after_exec(SetIds {
            user: Some(0),
            group: None,
        });
        assert!(secure && root.has(CAP_SETUID));
        assert_eq!(
            (root.user.real, root.user.effective, root.user.saved),
            (1000, 0, 0)
        );
        let stubborn = Ids {
            no_new_privileges: true,
            ..user
        };
        assert_eq!(
            stubborn.after_exec(SetIds {
                user: Some(0),
                group: None
            }),
            (stubborn.clone(), false)
        );
        let (dropped, secure) = Ids::new(0, 0).after_exec(SetIds {
            user: Some(7),
            group: None,
        });
        assert!(
            secure
                && !dropped.has(CAP_SETUID)
                && dropped.capabilities.permitted == ALL_CAPABILITIES
        );
    }
}
