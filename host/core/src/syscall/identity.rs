//! Calls that tell and change ids and capabilities; only notified in a view with an identity of its own.
//!
//! As in Linux each call changes the calling thread alone; the C library makes it in every thread. Neighbours:
//! `identity::ids` (the rules), `identity::threads` (who has which). Reference: credentials(7), capabilities(7).

use crate::identity::ViewIdentity;
use crate::identity::ids::{self, Ids};
use crate::task::{Answer, Task};
use rustix::io::Errno;
use view_sys::memory;

/// NGROUPS_MAX (linux/limits.h).
const MOST_GROUPS: u32 = 65536;
const PR_CAP_AMBIENT: i32 = 47;

/// The calls of this file.
pub const CALLS: [i64; 21] = [
    libc::SYS_getuid,
    libc::SYS_getgid,
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_geteuid,
    libc::SYS_getegid,
    libc::SYS_setreuid,
    libc::SYS_setregid,
    libc::SYS_getgroups,
    libc::SYS_setgroups,
    libc::SYS_setresuid,
    libc::SYS_getresuid,
    libc::SYS_setresgid,
    libc::SYS_getresgid,
    libc::SYS_setfsuid,
    libc::SYS_setfsgid,
    libc::SYS_capget,
    libc::SYS_capset,
    libc::SYS_prctl,
    libc::SYS_exit_group,
    libc::SYS_exit,
];

/// Serves the call, if it is one of these.
pub fn serve(task: &Task<'_>, identity: &ViewIdentity) -> Option<Result<Answer, Errno>> {
    let number = i64::from(task.call.number);
    if !CALLS.contains(&number) {
        return None;
    }
    let own = identity.of(task.call.tid);
    let id = |index: usize| task.unsigned(index);
    let tell = |id: u32| Some(Ok(Answer::Value(i64::from(id))));
    let change =
        |new: Result<Ids, Errno>| Some(new.and_then(|new| adopt(task, identity, &own, new)));
    match number {
        libc::SYS_getuid => tell(own.user.real),
        libc::SYS_geteuid => tell(own.user.effective),
        libc::SYS_getgid => tell(own.group.real),
        libc::SYS_getegid => tell(own.group.effective),
        libc::SYS_getresuid => Some(tell_three(task, &own.user)),
        libc::SYS_getresgid => Some(tell_three(task, &own.group)),
        libc::SYS_setuid => change(own.set_user(id(0))),
        libc::SYS_setgid => change(own.set_group(id(0))),
        libc::SYS_setreuid => change(own.set_users(id(0), id(1))),
        libc::SYS_setregid => change(own.set_group_pair(id(0), id(1))),
        libc::SYS_setresuid => change(own.set_all_users([id(0), id(1), id(2)])),
        libc::SYS_setresgid => change(own.set_all_groups([id(0), id(1), id(2)])),
        libc::SYS_setfsuid => {
            let new = own.set_file_user(id(0));
            Some(
                adopt(task, identity, &own, new)
                    .and(Ok(Answer::Value(i64::from(own.user.filesystem)))),
            )
        }
        libc::SYS_setfsgid => {
            let new = own.set_file_group(id(0));
            Some(
                adopt(task, identity, &own, new)
                    .and(Ok(Answer::Value(i64::from(own.group.filesystem)))),
            )
        }
        libc::SYS_getgroups => Some(get_groups(task, &own)),
        libc::SYS_setgroups => change(with_groups(task, &own)),
        libc::SYS_capget => Some(capget(task, identity, &own)),
        libc::SYS_capset => change(with_capabilities(task, &own)),
        libc::SYS_prctl => prctl(task, identity, &own),
        _ => {
            let whole = number == libc::SYS_exit_group;
            identity.threads.ends(task.process(), task.call.tid, whole);
            Some(Ok(Answer::Continue))
        }
    }
}

fn adopt(task: &Task<'_>, identity: &ViewIdentity, own: &Ids, new: Ids) -> Result<Answer, Errno> {
    task.commit()?;
    if *own != new {
        identity.threads.set(task.process(), task.call.tid, new);
    }
    Ok(Answer::DONE)
}

fn tell_three(task: &Task<'_>, four: &ids::Four) -> Result<Answer, Errno> {
    for (index, id) in [four.real, four.effective, four.saved]
        .into_iter()
        .enumerate()
    {
        task.write(task.argument(index), &id.to_le_bytes())?;
    }
    Ok(Answer::DONE)
}

fn get_groups(task: &Task<'_>, own: &Ids) -> Result<Answer, Errno> {
    let (room, count) = (task.int(0), own.groups.len());
    if room < 0 || room != 0 && (room as usize) < count {
        return Err(Errno::INVAL);
    }
    if room != 0 && count != 0 {
        let bytes: Vec<u8> = own
            .groups
            .iter()
            .flat_map(|group| group.to_le_bytes())
            .collect();
        task.write(task.argument(1), &bytes)?;
    }
    Ok(Answer::Value(count as i64))
}

fn with_groups(task: &Task<'_>, own: &Ids) -> Result<Ids, Errno> {
    if !own.has(ids::CAP_SETGID) {
        return Err(Errno::PERM);
    }
    let count = task.unsigned(0);
    if count > MOST_GROUPS {
        return Err(Errno::INVAL);
    }
    let mut bytes = vec![0; count as usize * 4];
    if count > 0 {
        memory::read_exact(task.call.tid, task.argument(1), &mut bytes)?;
    }
    let words = bytes.as_chunks::<4>().0;
    let mut groups: Vec<u32> = words.iter().map(|word| u32::from_le_bytes(*word)).collect();
    if groups.contains(&ids::UNCHANGED) {
        return Err(Errno::INVAL);
    }
    // The kernel keeps them sorted.
    groups.sort_unstable();
    Ok(Ids {
        groups: groups.into(),
        ..own.clone()
    })
}

/// The header of capget(2) and capset(2): how many 32-bit words a set has, and the thread.
fn capability_header(task: &Task<'_>) -> Result<Option<(usize, i32)>, Errno> {
    const VERSION_1: u32 = 0x1998_0330;
    const VERSION_2: u32 = 0x2007_1026;
    const VERSION_3: u32 = 0x2008_0522;
    let mut header = [0; 8];
    memory::read_exact(task.call.tid, task.argument(0), &mut header)?;
    let [version, thread] =
        [0, 4].map(|at| u32::from_le_bytes(header[at..at + 4].try_into().unwrap_or_default()));
    match version {
        VERSION_1 => Ok(Some((1, thread as i32))),
        VERSION_2 | VERSION_3 => Ok(Some((2, thread as i32))),
        _ => {
            task.write(task.argument(0), &VERSION_3.to_le_bytes())?;
            Ok(None)
        }
    }
}

fn capget(task: &Task<'_>, identity: &ViewIdentity, own: &Ids) -> Result<Answer, Errno> {
    let data = task.argument(1);
    let Some((words, thread)) = capability_header(task)? else {
        // Asking with no data is the way to learn the version.
        return if data == 0 {
            Ok(Answer::DONE)
        } else {
            Err(Errno::INVAL)
        };
    };
    if thread < 0 {
        return Err(Errno::INVAL);
    }
    let capabilities = match thread as u32 {
        0 => own.capabilities,
        thread => {
            if crate::task::process_of(thread).is_none() {
                return Err(Errno::SRCH);
            }
            if !crate::launch::is_below_supervisor(thread) {
                return Ok(Answer::Continue);
            }
            identity.of(thread).capabilities
        }
    };
    if data == 0 {
        return Ok(Answer::DONE);
    }
    let mut bytes = Vec::with_capacity(24);
    for word in 0..words {
        for set in [
            capabilities.effective,
            capabilities.permitted,
            capabilities.inheritable,
        ] {
            bytes.extend(((set >> (32 * word)) as u32).to_le_bytes());
        }
    }
    task.write(data, &bytes)?;
    Ok(Answer::DONE)
}

fn with_capabilities(task: &Task<'_>, own: &Ids) -> Result<Ids, Errno> {
    let Some((words, thread)) = capability_header(task)? else {
        return Err(Errno::INVAL);
    };
    if thread != 0 && thread as u32 != task.call.tid {
        return Err(Errno::PERM);
    }
    let mut bytes = vec![0; words * 12];
    memory::read_exact(task.call.tid, task.argument(1), &mut bytes)?;
    let mut sets = [0u64; 3];
    for (index, word) in bytes.as_chunks::<4>().0.iter().enumerate() {
        sets[index % 3] |= u64::from(u32::from_le_bytes(*word)) << (32 * (index / 3));
    }
    let [effective, permitted, inheritable] = sets;
    own.set_capabilities(effective, permitted, inheritable)
}

/// `None`: not about ids.
fn prctl(task: &Task<'_>, identity: &ViewIdentity, own: &Ids) -> Option<Result<Answer, Errno>> {
    let value = task.argument(1);
    let rest_is_zero = (2..5).all(|index| task.argument(index) == 0);
    let capability = || {
        (value <= u64::from(ids::LAST_CAPABILITY))
            .then_some(1u64 << (value & 63))
            .ok_or(Errno::INVAL)
    };
    let flag = |is_set: bool| Some(Ok(Answer::Value(i64::from(is_set))));
    let change =
        |new: Result<Ids, Errno>| Some(new.and_then(|new| adopt(task, identity, own, new)));
    match task.int(0) {
        libc::PR_GET_KEEPCAPS => flag(own.securebits & ids::KEEP_CAPABILITIES != 0),
        libc::PR_SET_KEEPCAPS => change(match value {
            0 | 1 if own.securebits & ids::KEEP_CAPABILITIES_LOCKED != 0 => Err(Errno::PERM),
            0 => Ok(Ids {
                securebits: own.securebits & !ids::KEEP_CAPABILITIES,
                ..own.clone()
            }),
            1 => Ok(Ids {
                securebits: own.securebits | ids::KEEP_CAPABILITIES,
                ..own.clone()
            }),
            _ => Err(Errno::INVAL),
        }),
        libc::PR_GET_SECUREBITS => Some(Ok(Answer::Value(i64::from(own.securebits)))),
        libc::PR_SET_SECUREBITS => change(
            u32::try_from(value)
                .map_err(|_| Errno::PERM)
                .and_then(|bits| own.set_securebits(bits)),
        ),
        libc::PR_CAPBSET_READ => match capability() {
            Ok(bit) => flag(own.capabilities.bounding & bit != 0),
            Err(errno) => Some(Err(errno)),
        },
        libc::PR_CAPBSET_DROP => change(if own.has(ids::CAP_SETPCAP) {
            capability().map(|bit| {
                let mut new = own.clone();
                new.capabilities.bounding &= !bit;
                new
            })
        } else {
            Err(Errno::PERM)
        }),
        libc::PR_GET_NO_NEW_PRIVS if value == 0 && rest_is_zero => flag(own.no_new_privileges),
        libc::PR_SET_NO_NEW_PRIVS if value == 1 && rest_is_zero => change(Ok(Ids {
            no_new_privileges: true,
            ..own.clone()
        })),
        PR_CAP_AMBIENT => Some(ambient(task, identity, own)),
        _ => None,
    }
}

fn ambient(task: &Task<'_>, identity: &ViewIdentity, own: &Ids) -> Result<Answer, Errno> {
    const IS_SET: u64 = 1;
    const RAISE: u64 = 2;
    const LOWER: u64 = 3;
    const CLEAR_ALL: u64 = 4;
    let (operation, which) = (task.argument(1), task.argument(2));
    let rest_is_zero = task.argument(3) == 0 && task.argument(4) == 0;
    let mut new = own.clone();
    let sets = &mut new.capabilities;
    if operation == CLEAR_ALL {
        if which != 0 || !rest_is_zero {
            return Err(Errno::INVAL);
        }
        sets.ambient = 0;
        return adopt(task, identity, own, new);
    }
    if !rest_is_zero || which > u64::from(ids::LAST_CAPABILITY) {
        return Err(Errno::INVAL);
    }
    let bit = 1u64 << which;
    match operation {
        IS_SET => return Ok(Answer::Value(i64::from(sets.ambient & bit != 0))),
        RAISE => {
            let may = sets.permitted & sets.inheritable & bit != 0;
            if !may || own.securebits & ids::NO_AMBIENT_RAISE != 0 {
                return Err(Errno::PERM);
            }
            sets.ambient |= bit;
        }
        LOWER => sets.ambient &= !bit,
        _ => return Err(Errno::INVAL),
    }
    adopt(task, identity, own, new)
}
