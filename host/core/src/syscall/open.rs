//! open(2), creat(2), openat(2), openat2(2).
//!
//! A regular file of a module becomes a fresh description of its backing file; a directory becomes a marker; FIFOs and
//! O_PATH opens are run in the tracee, where the kernel does the waiting and makes the descriptor.

use super::injection::{self, c_string};
use super::{device_node, host_object, host_permission, loop_device, target};
use crate::scalpel::Argument;
use crate::task::{Answer, Task};
use rustix::fs::{MemfdFlags, Mode, OFlags};
use rustix::io::Errno;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use view_sys::memory;
use view_vfs::attributes::{Identity, Kind};
use view_vfs::host_ops;
use view_vfs::mount_table::Mount;
use view_vfs::object::{Opened, OpenedFile};
use view_vfs::permission::Caller;
use view_vfs::place::Place;
use view_vfs::procfs;
use view_vfs::resolver::{Found, Last, WalkFlags};

/// Flags that open(2) knows (include/linux/fcntl.h, VALID_OPEN_FLAGS).
const KNOWN_FLAGS: i32 = libc::O_ACCMODE
    | libc::O_CREAT
    | libc::O_EXCL
    | libc::O_NOCTTY
    | libc::O_TRUNC
    | libc::O_APPEND
    | libc::O_NONBLOCK
    | libc::O_SYNC
    | libc::O_DSYNC
    | libc::O_ASYNC
    | libc::O_DIRECT
    | 0o100000 // O_LARGEFILE
    | libc::O_DIRECTORY
    | libc::O_NOFOLLOW
    | libc::O_NOATIME
    | libc::O_CLOEXEC
    | libc::O_PATH
    | libc::O_TMPFILE;
const TMPFILE_BIT: i32 = libc::O_TMPFILE & !libc::O_DIRECTORY;
const PATH_FLAGS: i32 = libc::O_DIRECTORY | libc::O_NOFOLLOW | libc::O_PATH | libc::O_CLOEXEC;

#[derive(Debug, Clone, Copy, Default)]
struct How {
    flags: i32,
    mode: u32,
    resolve: u64,
}

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

/// The checks of open(2): unknown flags are ignored.
fn lenient(flags: i32, mode: u32) -> Result<How, Errno> {
    let mut flags = flags & KNOWN_FLAGS;
    if flags & libc::O_PATH != 0 {
        flags &= PATH_FLAGS;
    }
    let creates = flags & (libc::O_CREAT | TMPFILE_BIT) != 0;
    check(How {
        flags,
        mode: if creates { mode & 0o7777 } else { 0 },
        resolve: 0,
    })
}

/// What both kinds of open refuse (fs/open.c, build_open_flags).
fn check(how: How) -> Result<How, Errno> {
    let flags = how.flags;
    if flags & TMPFILE_BIT != 0 {
        if flags & libc::O_TMPFILE != libc::O_TMPFILE || flags & libc::O_CREAT != 0 {
            return Err(Errno::INVAL);
        }
        if flags & libc::O_ACCMODE == libc::O_RDONLY {
            return Err(Errno::INVAL);
        }
    }
    if flags & libc::O_CREAT != 0 && flags & libc::O_DIRECTORY != 0 {
        return Err(Errno::INVAL);
    }
    Ok(how)
}

/// openat2: openat2(2); unknown flags and sizes are refused.
pub fn openat2(task: &Task<'_>) -> Result<Answer, Errno> {
    const SIZE: usize = 24;
    const KNOWN_RESOLVE: u64 = 0x3f;
    const BENEATH_OR_ROOT: u64 = 0x18;
    let size = task.argument(3) as usize;
    if size < SIZE {
        return Err(Errno::INVAL);
    }
    if size > 4096 {
        return Err(Errno::TOOBIG);
    }
    let mut bytes = vec![0u8; size];
    memory::read_exact(task.call.tid, task.argument(2), &mut bytes)?;
    if bytes[SIZE..].iter().any(|&byte| byte != 0) {
        return Err(Errno::TOOBIG);
    }
    let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap_or_default());
    let (flags, mode, resolve) = (word(0), word(8), word(16));
    let known = KNOWN_FLAGS as u32 as u64;
    if flags & !known != 0
        || resolve & !KNOWN_RESOLVE != 0
        || resolve & BENEATH_OR_ROOT == BENEATH_OR_ROOT
    {
        return Err(Errno::INVAL);
    }
    let flags = flags as i32;
    if flags & (libc::O_CREAT | TMPFILE_BIT) != 0 {
        if mode & !0o7777 != 0 {
            return Err(Errno::INVAL);
        }
    } else if mode != 0 {
        return Err(Errno::INVAL);
    }
    if flags & libc::O_PATH != 0 && flags & !PATH_FLAGS != 0 {
        return Err(Errno::INVAL);
    }
    // RESOLVE_CACHED can't be promised for something that would create or truncate (openat2(2)).
    if resolve & 0x20 != 0
        && flags & (libc::O_TRUNC | libc::O_CREAT | libc::O_TMPFILE & !libc::O_DIRECTORY) != 0
    {
        return Err(Errno::AGAIN);
    }
    open_at(
        task,
        task.int(0),
        1,
        check(How {
            flags,
            mode: mode as u32,
            resolve,
        })?,
    )
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
    if wants_to_write(how)
        && how.flags & libc::O_PATH == 0
        && let Some(Place::Host { path, .. }) = &found.place
        && target::is_read_only_link(task, path)
    {
        return Err(Errno::ROFS);
    }
    host_permission::check_open(task, &found, how.flags)?;
    if how.flags & libc::O_PATH == 0
        && let Some(opens) = loop_device::open(task, &found, close_on_exec(how))
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

fn close_on_exec(how: How) -> bool {
    how.flags & libc::O_CLOEXEC != 0
}

fn wants_to_write(how: How) -> bool {
    how.flags & libc::O_ACCMODE != libc::O_RDONLY || how.flags & libc::O_TRUNC != 0
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
                close_on_exec: close_on_exec(how),
            })
        }
        Place::Node { mount, dentry } => {
            let mut display = parent.view_path();
            display.push(b'/');
            display.extend_from_slice(&found.name);
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
                    close_on_exec: close_on_exec(how),
                }),
                device_node::Way::ByTracee(path) => open_by_tracee(task, &path, how),
            }
        }
    }
}

fn give_file(task: &Task<'_>, place: Place, file: OpenedFile, how: How) -> Answer {
    task.view.register_file(file.identity, place);
    Answer::Descriptor {
        descriptor: file.descriptor,
        close_on_exec: close_on_exec(how),
    }
}

/// A marker that stands for the directory `place`.
fn give_marker(task: &Task<'_>, place: &Place, how: How) -> Result<Answer, Errno> {
    let (descriptor, identity) = task.view.markers.open_marker()?;
    task.view.register_marker(identity, place.clone());
    Ok(Answer::Descriptor {
        descriptor,
        close_on_exec: close_on_exec(how),
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
                if wants_to_write(how) && mount.flags().read_only && kind == Kind::RegularFile {
                    return Err(Errno::ROFS);
                }
                let flags = how.flags & !(libc::O_CREAT | libc::O_EXCL) | libc::O_NOCTTY;
                let descriptor = host_ops::open(path, flags, 0, 0)?;
                note_alias(task, &descriptor, mount);
                Ok(Answer::Descriptor {
                    descriptor,
                    close_on_exec: close_on_exec(how),
                })
            }
        },
    }
}

fn open_by_tracee(task: &Task<'_>, path: &[u8], how: How) -> Result<Answer, Errno> {
    let text = c_string(path);
    let flags = Argument::Value((how.flags & !(libc::O_CREAT | libc::O_EXCL)) as u64);
    let arguments = [Argument::Bytes(&text), flags, Argument::Value(0)];
    injection::run(task, libc::SYS_open, &arguments, true)
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
            close_on_exec: close_on_exec(how),
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
                close_on_exec: close_on_exec(how),
            })
        }
        Place::Node { mount, dentry } => {
            let (dentry, opened) = dentry.create_temporary(
                how.flags,
                how.mode,
                &place.view_path(),
                &creator.on(mount),
            )?;
            answer_opened(
                task,
                Place::Node {
                    mount: mount.clone(),
                    dentry,
                },
                opened,
                how,
            )
        }
    }
}

/// O_PATH: the tracee opens a stand-in, because the kernel does not pass such descriptors on (ADDFD says EBADF).
fn open_path(task: &Task<'_>, place: &Place, how: How) -> Result<Answer, Errno> {
    let kind = place.kind()?;
    if how.flags & libc::O_DIRECTORY != 0 && kind != Kind::Directory {
        return Err(Errno::NOTDIR);
    }
    let flags = libc::O_PATH | how.flags & libc::O_CLOEXEC;
    match place {
        Place::Node { mount, .. } if kind == Kind::RegularFile => {
            let mut caller = task.asker().on(mount);
            caller.enforces_modes = false;
            let file = open_backing(task, place, &caller)?;
            let text = c_string(&own_link(&file.descriptor));
            inject_open(task, &text, flags)
        }
        Place::Host { path, .. } if kind != Kind::Directory || place.is_plain_host() => {
            let nofollow = how.flags & libc::O_NOFOLLOW;
            task.view.note_alias(path, place.mount());
            inject_open(task, &c_string(path), flags | nofollow)
        }
        _ => {
            let marker = task.view.markers.named_marker()?;
            task.view.register_marker(marker.identity(), place.clone());
            let text = c_string(marker.path().as_os_str().as_encoded_bytes());
            let arguments = [
                Argument::Bytes(&text),
                Argument::Value(flags as u64),
                Argument::Value(0),
            ];
            injection::run_then(task, libc::SYS_open, &arguments, false, |result| {
                drop(marker);
                result
            })
        }
    }
}

fn inject_open(task: &Task<'_>, path: &[u8], flags: i32) -> Result<Answer, Errno> {
    let arguments = [
        Argument::Bytes(path),
        Argument::Value(flags as u64),
        Argument::Value(0),
    ];
    injection::run(task, libc::SYS_open, &arguments, false)
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

/// A FIFO of a module: a real one stands for it, opened by the tracee itself so that the kernel does the waiting.
fn open_special(task: &Task<'_>, place: &Place, how: How) -> Result<Answer, Errno> {
    let path = special_node(task, place)?;
    let flags = how.flags & !(libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW | libc::O_TRUNC);
    let text = c_string(&path);
    let arguments = [
        Argument::Bytes(&text),
        Argument::Value(flags as u64),
        Argument::Value(0),
    ];
    injection::run(task, libc::SYS_open, &arguments, true)
}

/// The real FIFO behind a module's FIFO, made at its first use.
fn special_node(task: &Task<'_>, place: &Place) -> Result<Vec<u8>, Errno> {
    let identity = place.attributes()?.identity();
    let mut nodes = task.view.special_nodes.lock();
    if let Some(path) = nodes.get(&identity) {
        return Ok(path.clone());
    }
    let path = task.view.private.node_path();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        path.as_slice(),
        rustix::fs::FileType::Fifo,
        Mode::RUSR | Mode::WUSR,
        0,
    )?;
    let real = crate::task::host_identity(&path).ok_or(Errno::IO)?;
    task.view.register_file(real, place.clone());
    nodes.insert(identity, path.clone());
    Ok(path)
}

/// A text below /proc that tells the view's names: a snapshot, as the kernel's own are.
fn generated(task: &Task<'_>, thread: u32, kind: &str, how: How) -> Result<Answer, Errno> {
    if wants_to_write(how) {
        return Err(Errno::ACCESS);
    }
    let text = crate::proc_text::text(task, thread, kind)?;
    give_text(&kind.replace('/', "-"), &text, how)
}

/// A file in memory, for reading.
fn give_text(name: &str, text: &[u8], how: How) -> Result<Answer, Errno> {
    let memory = rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC)?;
    let mut rest = text;
    while !rest.is_empty() {
        let count = rustix::io::write(&memory, rest)?;
        rest = &rest[count..];
    }
    let descriptor = rustix::fs::open(
        own_link(&memory),
        OFlags::RDONLY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    Ok(Answer::Descriptor {
        descriptor,
        close_on_exec: close_on_exec(how),
    })
}
