//! Directories as descriptors and as working directory: getdents(2), lseek(2), chdir(2), fchdir(2), getcwd(2).

use super::injection::{self, c_string};
use super::target::{self, Target};
use crate::scalpel::{Argument, Outcome};
use crate::task::{Answer, Object, Task};
use crate::view::{Backed, OpenDirectory};
use rustix::fs::{Mode, OFlags, SeekFrom};
use rustix::io::Errno;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;
use view_sys::memory;
use view_vfs::attributes::Kind;
use view_vfs::host_ops;
use view_vfs::marker::NamedMarker;
use view_vfs::object::{DirectoryEntry, encode_dirents, encode_dirents64};
use view_vfs::permission::MAY_EXEC;
use view_vfs::place::Place;
use view_vfs::resolver::WalkFlags;

/// Cookies of names that mounts add to a host directory begin here: beyond what a filesystem uses.
const ADDED_NAMES: u64 = i64::MAX as u64 - (1 << 20);

/// Where a directory's listing goes on: the description's own position, or ours where it can't be reached.
enum Position<'d> {
    Description(OwnedFd),
    Ours(&'d OpenDirectory),
}

impl Position<'_> {
    fn get(&self) -> Result<u64, Errno> {
        match self {
            Position::Description(description) => {
                rustix::fs::seek(description, SeekFrom::Current(0))
            }
            Position::Ours(directory) => Ok(*directory.position.lock()),
        }
    }

    fn set(&self, cookie: u64) -> Result<(), Errno> {
        match self {
            Position::Description(description) => {
                rustix::fs::seek(description, SeekFrom::Start(cookie)).map(drop)
            }
            Position::Ours(directory) => {
                *directory.position.lock() = cookie;
                Ok(())
            }
        }
    }
}

/// getdents, getdents64: getdents(2)
pub fn getdents(task: &Task<'_>, is_64: bool) -> Result<Answer, Errno> {
    let descriptor = task.int(0);
    let Object::Backed(_, backed) = task.object(descriptor)? else {
        return Ok(Answer::Continue);
    };
    let Backed::Marker(directory) = &*backed else {
        return Err(Errno::NOTDIR);
    };
    let capacity = task.unsigned(2) as usize;
    let position = match task.description(descriptor) {
        Ok(description) => Position::Description(description),
        Err(Errno::NOSYS) => Position::Ours(directory),
        Err(errno) => return Err(errno),
    };
    let cookie = position.get()?;
    let encode = |entries: &[DirectoryEntry]| {
        if is_64 {
            encode_dirents64(entries, capacity)
        } else {
            encode_dirents(entries, capacity)
        }
    };
    let (bytes, next) = match &directory.place() {
        Place::Node { dentry, .. } => {
            if dentry.kind() != Kind::Directory {
                return Err(Errno::BADF);
            }
            encode(&dentry.read_directory(cookie)?)?
        }
        place @ Place::Host { .. } => encode(&host_entries(task, place, cookie)?)?,
    };
    task.write(task.argument(1), &bytes)?;
    if let Some(next) = next {
        position.set(next)?;
    }
    Ok(Answer::Value(bytes.len() as i64))
}

/// Entries of a host directory after `cookie`, with the names that mounts add at its end.
fn host_entries(task: &Task<'_>, place: &Place, cookie: u64) -> Result<Vec<DirectoryEntry>, Errno> {
    let Place::Host { mount, path } = place else {
        return Err(Errno::NOTDIR);
    };
    let added = task.table.names_added_to(mount.id(), path);
    // A filesystem's own cookies may be as large, at the end of its listing.
    let is_ours = (ADDED_NAMES..=ADDED_NAMES + added.len() as u64).contains(&cookie);
    if !is_ours {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::open(path.as_slice(), flags, Mode::empty())?;
        let entries = host_ops::read_directory(&directory, cookie)?;
        if !entries.is_empty() {
            return Ok(entries);
        }
    }
    let first = if is_ours {
        (cookie - ADDED_NAMES) as usize
    } else {
        0
    };
    Ok(added
        .into_iter()
        .enumerate()
        .skip(first)
        .map(|(index, (name, mounted))| {
            let root = mounted.root_place();
            let attributes = root.attributes().ok();
            DirectoryEntry {
                inode: attributes.as_ref().map_or(1, |attributes| attributes.inode),
                next_cookie: ADDED_NAMES + index as u64 + 1,
                kind: attributes.as_ref().map(|attributes| attributes.kind()),
                name: name.into_boxed_slice(),
            }
        })
        .collect())
}

/// lseek: lseek(2); only intercepted where the position of a description can't be reached
pub fn lseek(task: &Task<'_>) -> Result<Answer, Errno> {
    let Object::Backed(_, backed) = task.object(task.int(0))? else {
        return Ok(Answer::Continue);
    };
    let Backed::Marker(directory) = &*backed else {
        return Ok(Answer::Continue);
    };
    if task.is_path_only(task.int(0)) {
        return Err(Errno::BADF);
    }
    let offset = task.argument(1) as i64;
    let mut position = directory.position.lock();
    let wanted = match task.int(2) {
        libc::SEEK_SET => offset,
        libc::SEEK_CUR => (*position as i64)
            .checked_add(offset)
            .ok_or(Errno::OVERFLOW)?,
        _ => return Err(Errno::INVAL),
    };
    if wanted < 0 {
        return Err(Errno::INVAL);
    }
    *position = wanted as u64;
    Ok(Answer::Value(wanted))
}

/// chdir: chdir(2)
pub fn chdir(task: &Task<'_>) -> Result<Answer, Errno> {
    let text = task.path(0)?;
    let found = task.walk(libc::AT_FDCWD, &text, WalkFlags::FOLLOW)?;
    if found.kernel_agrees {
        forget_assumed(task);
        return Ok(Answer::Continue);
    }
    let place = found.existing()?;
    if place.kind()? != Kind::Directory {
        return Err(Errno::NOTDIR);
    }
    match &place {
        Place::Node { mount, dentry } => dentry.check_access(&task.asker().on(mount), MAY_EXEC)?,
        Place::Host { path, .. } => host_ops::access(path, MAY_EXEC, true)?,
    }
    enter(task, place)
}

fn forget_assumed(task: &Task<'_>) {
    if task.view.has_assumed_directories.load(Ordering::Acquire) {
        task.view.assume_directory(task.process(), None);
    }
}

/// Makes `place` the working directory: the tracee enters a stand-in.
fn enter(task: &Task<'_>, place: Place) -> Result<Answer, Errno> {
    let outcome = match &place {
        Place::Host { path, .. } if place.is_plain_host() => enter_path(task, path, None),
        _ => {
            let marker = task.view.markers.named_marker()?;
            task.view.register_marker(marker.identity(), place.clone());
            let path = marker.path().as_os_str().as_encoded_bytes().to_vec();
            enter_path(task, &path, Some(marker))
        }
    };
    if outcome == Outcome::AlreadyTraced {
        // gdb or strace holds the thread: the kernel's directory stays, and the view answers for every relative path.
        task.view.assume_directory(task.process(), Some(place));
        return Ok(Answer::DONE);
    }
    forget_assumed(task);
    injection::answer(outcome)
}

fn enter_path(task: &Task<'_>, path: &[u8], marker: Option<NamedMarker>) -> Outcome {
    let arguments = [Argument::Bytes(&c_string(path))];
    // The name goes before the tracee goes on: what has a name on the host is taken for the host's.
    injection::outcome(task, libc::SYS_chdir, &arguments, false, |result| {
        drop(marker);
        result
    })
}

/// fchdir: chdir(2)
pub fn fchdir(task: &Task<'_>) -> Result<Answer, Errno> {
    if let Object::Backed(_, backed) = task.object(task.int(0))? {
        let place = backed.place();
        if place.kind()? != Kind::Directory {
            return Err(Errno::NOTDIR);
        }
        if let Place::Node { mount, dentry } = &place {
            dentry.check_access(&task.asker().on(mount), MAY_EXEC)?;
        }
    }
    forget_assumed(task);
    Ok(Answer::Continue)
}

/// getcwd: getcwd(2); the kernel's call returns the length with the NUL
pub fn getcwd(task: &Task<'_>) -> Result<Answer, Errno> {
    let place = match target::of_descriptor(task, libc::AT_FDCWD)? {
        Target::Kernel => return Ok(Answer::Continue),
        Target::Place(place) => place,
    };
    if place.is_deleted() {
        return Err(Errno::NOENT);
    }
    let path = c_string(&place.view_path());
    if path.len() > memory::PATH_MAX {
        return Err(Errno::NAMETOOLONG);
    }
    if path.len() as u64 > task.argument(1) {
        return Err(Errno::RANGE);
    }
    task.write(task.argument(0), &path)?;
    Ok(Answer::Value(path.len() as i64))
}
