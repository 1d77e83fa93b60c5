//! Files that are a text the view makes at their opening.
//!
//! Neighbours: `proc_text` and `loop_device` (make the texts). No locks.

use super::flags::How;
use super::own_link;
use crate::task::{Answer, Task};
use rustix::fs::{MemfdFlags, Mode, OFlags};
use rustix::io::Errno;

/// A text below /proc that tells the view's names: a snapshot, as the kernel's own are.
pub fn generated(task: &Task<'_>, thread: u32, kind: &str, how: How) -> Result<Answer, Errno> {
    if how.wants_to_write() {
        return Err(Errno::ACCESS);
    }
    let text = crate::proc_text::text(task, thread, kind)?;
    give_text(&kind.replace('/', "-"), &text, how)
}

/// A file in memory, for reading.
pub fn give_text(name: &str, text: &[u8], how: How) -> Result<Answer, Errno> {
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
        close_on_exec: how.close_on_exec(),
    })
}
