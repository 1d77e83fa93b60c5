//! open(2), creat(2), openat(2), openat2(2).
//!
//! A regular file of a module becomes a fresh description of its backing file; a directory becomes a marker; FIFOs and
//! O_PATH opens are run in the tracee, where the kernel does the waiting and makes the descriptor.

mod by_tracee;
mod flags;
mod text;

use super::{device_node, host_object, host_permission, loop_device, target};
use crate::task::{Answer, Task};
use by_tracee::{open_by_tracee, open_path, open_special};
use flags::{How, TMPFILE_BIT, lenient};
use rustix::io::Errno;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use text::{generated, give_text};
use view_vfs::attributes::{Identity, Kind};
use view_vfs::host_ops;
use view_vfs::mount_table::Mount;
use view_vfs::object::{Opened, OpenedFile};
use view_vfs::permission::Caller;
use view_vfs::place::Place;
use view_vfs::procfs;
use view_vfs::resolver::{Found, Last, WalkFlags};

/// open: open(2)
pub fn open(task: &Task<'_>) -> Result<Answer, Errno> {
    open_at(
        task,
        libc::AT_FDCWD,
        0,
        lenient(task.int(1), task.unsigned(2))?,
    )
}

/// creat: open(2)
pub fn creat(task: &Task<'_>) -> Result<Answer, Errno> {
    let flags = libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC;
    open_at(task, libc::AT_FDCWD, 0, lenient(flags, task.unsigned(1))?)
}

/// openat: open(2)
pub fn openat(task: &Task<'_>) -> Result<Answer, Errno> {
    open_at(
        task,
        task.int(0),
        1,
        lenient(task.int(2), task.unsigned(3))?,
    )
}

/// openat2: openat2(2)
pub fn openat2(task: &Task<'_>) -> Result<Answer, Errno> {
    open_at(task, task.int(0), 1, flags::strict(task)?)
}

fn open_at(task: &Task<'_>, directory: i32, path: usize, how: How) -> Result<Answer, Errno> {
    let result = resolve_and_open(task, directory, path, how);
    match result {
        Err(Errno::NOENT) if task.is_descriptor_table_full() => Err(Errno::MFILE),
        result => result,
    }
}

fn resolve_and_open(
    task: &Task<'_>,
    directory: i32,
    path: usize,
    how: How,
) -> Result<Answer, Errno> {
    let text = task.path(path)?;
    let creates = how.flags & libc::O_CREAT != 0;
    let exclusive = creates && how.flags & libc::O_EXCL != 0;
    let walk = WalkFlags {
        follow: how.flags & libc::O_NOFOLLOW == 0 && !exclusive,
        parent: creates,
        no_mount_crossing: how.resolve & 0x01 != 0,
        no_magic_links: how.resolve & 0x02 != 0,
        no_symlinks: how.resolve & 0x04 != 0,
        beneath: how.resolve & 0x08 != 0,
        in_root: how.resolve & 0x10 != 0,
    };
    let found = task.walk(directory, &text, walk)?;
    if how.flags & libc::O_PATH == 0
        && let Some((thread, kind)) = target::generated(task, &found)
    {
        return generated(task, thread, kind, how);
    }
    if how.wants_to_write()
        && how.flags & libc::O_PATH == 0
        && let Some(Place::Host { path, .. }) = &found.place
        && target::is_read_only_link(task, path)
    {
        return Err(Errno::ROFS);
    }
    host_permission::check_open(task, &found, how.flags)?;
    if how.flags & libc::O_PATH == 0
        && let Some(opens) = loop_device::open(task, &found, how.close_on_exec())
    {
        return match opens? {
            loop_device::Opens::StandIn(answer) => Ok(answer),
            loop_device::Opens::Image(image) => {
                let flags = how.flags & !(libc::O_ACCMODE | libc::O_EXCL | libc::O_CREAT);
                open_existing(task, &image, How { flags, ..how })
            }
        };
    }
    if found.kernel_error == Some(Errno::NOENT)
        && let Some(text) = loop_device::sysfs_text(task, directory, &text)
    {
        return give_text("loop", &text, how);
    }
    if found.kernel_agrees && !(creates && host_object::must_create(task, &found)) {
        return match &found.place {
            Some(place) if how.flags & libc::O_PATH == 0 && has_added_names(task, place) => {
                open_directory(task, place, how)
            }
            _ => Ok(Answer::Continue),
        };
    }
    if how.flags & (libc::O_CREAT | libc::O_TRUNC | TMPFILE_BIT) != 0
        && task.is_descriptor_table_full()
    {
        return Err(Errno::MFILE);
    }
    if creates && found.last != Last::Name {
        return Err(Errno::ISDIR);
    }
    match &found.place {
        None if creates => create(task, &found, how),
        None => Err(found.kernel_error.unwrap_or(Errno::NOENT)),
        Some(_) if exclusive => Err(Errno::EXIST),
        Some(place) => {
            if creates && (found.wants_directory || place.kind()? == Kind::Directory) {
                return Err(Errno::ISDIR);
            }
            open_existing(task, place, how)
        }
    }
}

fn has_added_names(task: &Task<'_>, place: &Place) -> bool {
    match place {
        Place::Host { mount, path } => {
            mount.has_children() && !task.table.names_added_to(mount.id(), path).is_empty()
        }
        Place::Node { .. } => false,
    }
}

fn create(task: &Task<'_>, found: &Found, how: How) -> Result<Answer, Errno> {
    if let Some(errno) = found.kernel_error {
        return Err(errno);
    }
    if found.wants_directory {
        return Err(Errno::ISDIR);
    }
    let parent = found.parent.as_ref().ok_or(Errno::NOENT)?;
    let creator = task.creator();
    task.commit()?;
    match parent {
        Place::Host { mount, path } => {
            if mount.flags().read_only {
                return Err(Errno::ROFS);
            }
            let mut whole = path.clone();
            if whole != b"/" {
                whole.push(b'/');
            }
            whole.extend_from_slice(&found.name);
            let descriptor = host_ops::open(&whole, how.flags, how.mode, creator.umask)?;
            host_object::note_created(task, found);
            note_alias(task, &descriptor, mount);
            Ok(Answer::Descriptor {
                descriptor,
                close_on_exec: how.close_on_exec(),
            })
        }
        Place::Node { mount, dentry } => {
            if task.view.space.is_overfull(dentry.instance()) {
                return Err(Errno::NOSPC);
            }
            let mut display = parent.view_path();
            display.push(b'/');
            display.extend_from_slice(&found.name);
            task.view.collect_nameless();
            let (dentry, opened, _) = dentry.create_and_open(
                &found.name,
                how.flags,
                how.mode,
                &display,
                &creator.on(mount),
            )?;
            let place = Place::Node {
                mount: mount.clone(),
                dentry,
            };
            answer_opened(task, place, opened, how)
        }
    }
}

fn answer_opened(task: &Task<'_>, place: Place, opened: Opened, how: How) -> Result<Answer, Errno> {
    match opened {
        Opened::File(file) => Ok(give_file(task, place, file, how)),
        Opened::Directory => give_marker(task, &place, how),
        Opened::Fifo => open_special(task, &place, how),
        Opened::Device(kind, number) => {
            match device_node::open(task, &place, kind, number, how.flags)? {
                device_node::Way::Opened(descriptor) => Ok(Answer::Descriptor {
                    descriptor,
                    close_on_exec: how.close_on_exec(),
                }),
                device_node::Way::ByTracee(path) => open_by_tracee(task, &path, how),
            }
        }
    }
}

fn give_file(task: &Task<'_>, place: Place, file: OpenedFile, how: How) -> Answer {
    if let Place::Node { dentry, .. } = &place {
        if file.is_passthrough {
            dentry.inode().note_passed_through(file.identity);
        }
        if how.flags & libc::O_ACCMODE != libc::O_RDONLY {
            task.view.space.opens(task.call.tid, dentry.instance());
        }
    }
    task.view.register_file(file.identity, place);
    Answer::Descriptor {
        descriptor: file.descriptor,
        close_on_exec: how.close_on_exec(),
    }
}

/// A marker that stands for the directory `place`.
fn give_marker(task: &Task<'_>, place: &Place, how: How) -> Result<Answer, Errno> {
    let (descriptor, identity) = task.view.markers.open_marker()?;
    task.view.register_marker(identity, place.clone());
    Ok(Answer::Descriptor {
        descriptor,
        close_on_exec: how.close_on_exec(),
    })
}

fn open_existing(task: &Task<'_>, place: &Place, how: How) -> Result<Answer, Errno> {
    if how.flags & libc::O_PATH != 0 {
        return open_path(task, place, how);
    }
    if how.flags & TMPFILE_BIT != 0 {
        return open_temporary(task, place, how);
    }
    match place {
        Place::Node { mount, dentry } => {
            let caller = task.asker().on(mount);
            let opened = dentry.open(how.flags, &place.view_path(), &caller)?;
            answer_opened(task, place.clone(), opened, how)
        }
        Place::Host { mount, path } => match host_ops::attributes(path)?.kind() {
            Kind::Directory => open_directory(task, place, how),
            // What a link below /proc leads to, of Linux's own: a pipe, say. It means the caller's, not ours.
            Kind::Symlink if procfs::is_magic_link(path) && how.flags & libc::O_NOFOLLOW == 0 => {
                open_by_tracee(task, path, how)
            }
            Kind::Symlink if how.flags & libc::O_DIRECTORY != 0 => Err(Errno::NOTDIR),
            Kind::Symlink => Err(Errno::LOOP),
            Kind::CharDevice | Kind::BlockDevice if mount.flags().no_dev => Err(Errno::ACCESS),
            // The caller waits, and it is the caller's terminal that /dev/tty means.
            Kind::NamedPipe | Kind::CharDevice => open_by_tracee(task, path, how),
            kind => {
                if how.wants_to_write() && mount.flags().read_only && kind == Kind::RegularFile {
                    return Err(Errno::ROFS);
                }
                let flags = how.flags & !(libc::O_CREAT | libc::O_EXCL) | libc::O_NOCTTY;
                let descriptor = host_ops::open(path, flags, 0, 0)?;
                note_alias(task, &descriptor, mount);
                Ok(Answer::Descriptor {
                    descriptor,
                    close_on_exec: how.close_on_exec(),
                })
            }
        },
    }
}

fn note_alias(task: &Task<'_>, descriptor: &OwnedFd, mount: &Arc<Mount>) {
    if let Ok(identity) = Identity::of(descriptor) {
        task.view.note_alias_of(identity, mount);
    }
}

/// A directory of the host: Linux's own where names agree, a marker otherwise.
fn open_directory(task: &Task<'_>, place: &Place, how: How) -> Result<Answer, Errno> {
    let path = place.host_path().ok_or(Errno::NOTDIR)?;
    let descriptor = host_ops::open(path, how.flags & !(libc::O_CREAT | libc::O_EXCL), 0, 0)?;
    if place.is_plain_host() && !has_added_names(task, place) {
        return Ok(Answer::Descriptor {
            descriptor,
            close_on_exec: how.close_on_exec(),
        });
    }
    give_marker(task, place, how)
}

fn open_temporary(task: &Task<'_>, place: &Place, how: How) -> Result<Answer, Errno> {
    let creator = task.creator();
    task.commit()?;
    match place {
        Place::Host { mount, path } => {
            if mount.flags().read_only {
                return Err(Errno::ROFS);
            }
            let descriptor = host_ops::open(path, how.flags, how.mode, creator.umask)?;
            note_alias(task, &descriptor, mount);
            Ok(Answer::Descriptor {
                descriptor,
                close_on_exec: how.close_on_exec(),
            })
        }
        Place::Node { mount, dentry } => {
            let (dentry, opened) = dentry.create_temporary(
                how.flags,
                how.mode,
                &place.view_path(),
                &creator.on(mount),
            )?;
            let place = Place::Node {
                mount: mount.clone(),
                dentry: dentry.clone(),
            };
            let answer = answer_opened(task, place, opened, how);
            task.view.note_nameless(&dentry);
            answer
        }
    }
}

/// A descriptor of the supervisor for a module's regular file, known by its identity from now on.
pub fn open_backing(task: &Task<'_>, place: &Place, caller: &Caller) -> Result<OpenedFile, Errno> {
    let Place::Node { dentry, .. } = place else {
        return Err(Errno::INVAL);
    };
    match dentry.open(libc::O_RDONLY, &place.view_path(), caller)? {
        Opened::File(file) => {
            task.view.register_file(file.identity, place.clone());
            Ok(file)
        }
        _ => Err(Errno::ACCESS),
    }
}

/// The link by which a tracee reaches a descriptor of the supervisor.
pub fn own_link(descriptor: &OwnedFd) -> Vec<u8> {
    format!("/proc/{}/fd/{}", std::process::id(), descriptor.as_raw_fd()).into_bytes()
}
