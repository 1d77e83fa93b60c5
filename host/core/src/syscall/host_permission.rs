//! Permissions on objects of the host for a caller who is not the view's first user any more: by the owners and modes that
//! the view shows. Linux, for whom everybody in the view is one user, makes its own checks afterwards.
//!
//! Looked at are regular files and directories that a call is about, and the directories that names are made in or removed from. Not
//! looked at: directories on the way, devices, pipes and sockets (who made them is not known), and what lies below /proc and
//! /sys, which is the kernel's own affair.
//!
//! Neighbours: `open`, `name`, `attribute`, `stat`, `exec` (ask), `host_object` (what is shown). No locks.

use super::host_object;
use crate::identity::ViewIdentity;
use crate::task::Task;
use rustix::io::Errno;
use view_vfs::attributes::{Attributes, Kind};
use view_vfs::credentials::Credentials;
use view_vfs::permission::{self, MAY_EXEC, MAY_READ, MAY_WRITE};
use view_vfs::place::Place;
use view_vfs::resolver::Found;

/// Somebody else than the first user, without his rights.
fn stranger<'v>(task: &Task<'v>) -> Option<(&'v ViewIdentity, Credentials)> {
    let (identity, own) = host_object::foreign_creator(task)?;
    let credentials = own.credentials();
    (!credentials.is_privileged).then_some((identity, credentials))
}

fn shown(identity: &ViewIdentity, place: &Place) -> Option<Attributes> {
    let Place::Host { path, .. } = place else {
        return None;
    };
    if path.starts_with(b"/proc/") || path.starts_with(b"/sys/") {
        return None;
    }
    let real = view_vfs::host_ops::attributes(path).ok()?;
    let counts = matches!(real.kind(), Kind::RegularFile | Kind::Directory);
    counts.then(|| identity.shown(&real))
}

fn may(
    identity: &ViewIdentity,
    credentials: &Credentials,
    place: &Place,
    mask: u32,
) -> Result<(), Errno> {
    match shown(identity, place) {
        Some(shown) => permission::may_access(&shown, None, credentials, mask),
        None => Ok(()),
    }
}

/// May the caller do `mask` (a sum of `MAY_*`) with this?
pub fn check(task: &Task<'_>, place: Option<&Place>, mask: u32) -> Result<(), Errno> {
    match (stranger(task), place) {
        (Some((identity, credentials)), Some(place)) => may(identity, &credentials, place, mask),
        _ => Ok(()),
    }
}

/// The same for access(2), which asks for the real user.
pub fn check_access(
    task: &Task<'_>,
    place: &Place,
    mask: u32,
    effective: bool,
) -> Result<(), Errno> {
    let Some(identity) = task.view.identity.get() else {
        return Ok(());
    };
    let asker = if effective {
        task.asker()
    } else {
        task.real_asker()
    };
    let first = identity.threads.initial();
    let credentials = asker.credentials;
    if credentials.is_privileged || credentials.uid == first.user.real {
        return Ok(());
    }
    may(identity, &credentials, place, mask)
}

/// May the caller open what was found, or make it, with these flags of open(2)?
pub fn check_open(task: &Task<'_>, found: &Found, flags: i32) -> Result<(), Errno> {
    if flags & libc::O_PATH != 0 {
        return Ok(());
    }
    let access = match flags & libc::O_ACCMODE {
        libc::O_RDONLY => MAY_READ,
        libc::O_WRONLY => MAY_WRITE,
        _ => MAY_READ | MAY_WRITE,
    };
    let truncates = if flags & libc::O_TRUNC != 0 {
        MAY_WRITE
    } else {
        0
    };
    match &found.place {
        // What is there already is an error of its own.
        Some(_) if flags & libc::O_CREAT != 0 && flags & libc::O_EXCL != 0 => Ok(()),
        Some(place) => check(task, Some(place), access | truncates),
        None if flags & libc::O_CREAT != 0 => {
            check(task, found.parent.as_ref(), MAY_WRITE | MAY_EXEC)
        }
        None => Ok(()),
    }
}

/// May the caller make the missing name?
pub fn check_create(task: &Task<'_>, found: &Found) -> Result<(), Errno> {
    match found.place {
        Some(_) => Ok(()),
        None => check(task, found.parent.as_ref(), MAY_WRITE | MAY_EXEC),
    }
}

/// May the caller take the name away, if it is there?
pub fn check_remove(task: &Task<'_>, found: &Found) -> Result<(), Errno> {
    let (Some((identity, credentials)), Some(place), Some(parent)) =
        (stranger(task), &found.place, &found.parent)
    else {
        return Ok(());
    };
    may(identity, &credentials, parent, MAY_WRITE | MAY_EXEC)?;
    let Place::Host { path, .. } = place else {
        return Ok(());
    };
    let victim = view_vfs::host_ops::attributes(path).map(|real| identity.shown(&real));
    match (shown(identity, parent), victim) {
        (Some(parent), Ok(victim))
            if !permission::may_delete_in_sticky(&parent, &victim, &credentials) =>
        {
            Err(Errno::PERM)
        }
        _ => Ok(()),
    }
}
