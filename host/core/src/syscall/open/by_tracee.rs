//! Opens that the tracee makes itself, injected: O_PATH, FIFOs, devices and what a link below /proc leads to.
//!
//! The kernel does the waiting, and makes the descriptor, which it would not pass on (O_PATH) or which means the
//! caller's own terminal (/dev/tty).
//!
//! Neighbours: `injection` (runs them), `open` (decides). Lock order: `View::special_nodes` is held over a mknod.

use super::flags::How;
use super::{open_backing, own_link};
use crate::scalpel::Argument;
use crate::syscall::injection::{self, c_string};
use crate::task::{Answer, Task};
use rustix::fs::Mode;
use rustix::io::Errno;
use view_vfs::attributes::Kind;
use view_vfs::place::Place;

/// O_PATH: the tracee opens a stand-in, because the kernel does not pass such descriptors on (ADDFD says EBADF).
pub fn open_path(task: &Task<'_>, place: &Place, how: How) -> Result<Answer, Errno> {
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

/// A path of the host.
pub fn open_by_tracee(task: &Task<'_>, path: &[u8], how: How) -> Result<Answer, Errno> {
    let text = c_string(path);
    let flags = Argument::Value((how.flags & !(libc::O_CREAT | libc::O_EXCL)) as u64);
    let arguments = [Argument::Bytes(&text), flags, Argument::Value(0)];
    injection::run(task, libc::SYS_open, &arguments, true)
}

/// A FIFO of a module: a real one stands for it, opened by the tracee itself so that the kernel does the waiting.
pub fn open_special(task: &Task<'_>, place: &Place, how: How) -> Result<Answer, Errno> {
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
