//! exec of a thread that gdb or strace already traces, so that the scalpel can't have it.
//!
//! The path argument itself is replaced in the tracee's memory, by a name in the private directory, and the kernel
//! executes the call as it is; `#!` lines are then the kernel's affair and see that name. A successful exec throws the
//! changed memory away; after a failed one it is put back.

use super::Keep;
use crate::private_directory::TemporaryLink;
use crate::task::{Answer, Task};
use rustix::io::Errno;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::time::Duration;
use view_sys::memory;

/// A tracer may hold the thread at several stops before the exec is over.
const ROUNDS: u32 = 500;
const ROUND: Duration = Duration::from_millis(2);
/// A script's interpreter opens the name after the exec.
const SCRIPT_GRACE: Duration = Duration::from_secs(2);

/// The names of an exec.
pub struct Names<'n> {
    /// Keeps the name in the private directory.
    pub link: TemporaryLink,
    /// That name, at least as long as `shown`.
    pub path: &'n [u8],
    /// What the program shall find as its file name.
    pub shown: &'n [u8],
}

/// What was written over, to be put back.
#[derive(Default)]
struct Changes(Vec<(u64, Vec<u8>)>);

impl Changes {
    fn write(&mut self, thread: u32, address: u64, bytes: &[u8]) -> Result<(), Errno> {
        let mut former = vec![0u8; bytes.len()];
        memory::read_exact(thread, address, &mut former)?;
        write(thread, address, bytes)?;
        self.0.push((address, former));
        Ok(())
    }

    fn undo(self, thread: u32) {
        for (address, former) in self.0.into_iter().rev() {
            let _ = write(thread, address, &former);
        }
    }
}

/// Executes `names.path` in the place of the path of an execve(2).
pub fn run(task: &Task<'_>, names: Names<'_>, keep: Keep) -> Result<Answer, Errno> {
    if i64::from(task.call.number) != libc::SYS_execve {
        return Err(Errno::PERM);
    }
    let (thread, address) = (task.call.tid, task.argument(0));
    let mut text = names.path.to_vec();
    text.push(0);
    let mut changes = Changes::default();
    let prepared = move_strings(task, address..address + text.len() as u64, &mut changes)
        .and_then(|()| changes.write(thread, address, &text));
    if let Err(errno) = prepared {
        changes.undo(thread);
        return Err(errno);
    }
    let before = program(thread);
    if task.listener.answer_continue(task.call.id).is_err() {
        return Ok(Answer::Sent);
    }
    for _ in 0..ROUNDS {
        std::thread::sleep(ROUND);
        let mut now = vec![0u8; text.len()];
        let has_changed = program(thread) != before;
        if has_changed || memory::read_exact(thread, address, &mut now).is_err() || now != text {
            show_name(thread, &names);
            break;
        }
        if is_outside(thread) {
            // The exec failed and the thread went on.
            changes.undo(thread);
            break;
        }
    }
    std::thread::sleep(SCRIPT_GRACE);
    drop((names.link, keep));
    Ok(Answer::Sent)
}

/// Arguments and variables that lie where the path will be written (often argv\[0\] is the very same string) are copied
/// below the stack's red zone, and the arrays made to point there.
fn move_strings(task: &Task<'_>, range: Range<u64>, changes: &mut Changes) -> Result<(), Errno> {
    const MOST: u64 = 4096;
    const BELOW_STACK: u64 = 8 * 1024;
    let thread = task.call.tid;
    let mut free = crate::syscall::signal::stack_pointer(task).ok_or(Errno::FAULT)? - BELOW_STACK;
    for array in [task.argument(1), task.argument(2)]
        .into_iter()
        .filter(|&array| array != 0)
    {
        for index in 0..MOST {
            let slot = array + index * 8;
            let mut word = [0u8; 8];
            memory::read_exact(thread, slot, &mut word)?;
            let pointer = u64::from_le_bytes(word);
            if pointer == 0 {
                break;
            }
            if range.contains(&pointer) {
                let mut string = memory::read_string(thread, pointer, 128 * 1024)?;
                string.push(0);
                // Below the stack nothing may be mapped yet: the kernel extends it for such a write.
                write(thread, free, &string)?;
                changes.write(thread, slot, &free.to_le_bytes())?;
                free += string.len() as u64;
            }
        }
    }
    Ok(())
}

/// Writes to the tracee even where it may not write itself: the path may be a constant of the program. The kernel
/// gives it a page of its own then (proc(5), /proc/PID/mem).
fn write(thread: u32, address: u64, bytes: &[u8]) -> Result<(), Errno> {
    if memory::write(thread, address, bytes).is_ok() {
        return Ok(());
    }
    let path = format!("/proc/{thread}/mem");
    let memory = std::fs::OpenOptions::new().write(true).open(path);
    memory
        .and_then(|memory| memory.write_all_at(bytes, address))
        .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::FAULT))
}

/// Puts the shown name where the auxiliary vector's AT_EXECFN points (getauxval(3)), if the exec's name is there.
fn show_name(thread: u32, names: &Names<'_>) -> Option<()> {
    const AT_EXECFN: u64 = 31;
    let vector = std::fs::read(format!("/proc/{thread}/auxv")).ok()?;
    let word = |bytes: &[u8]| bytes.try_into().map(u64::from_le_bytes).ok();
    let address = vector
        .chunks_exact(16)
        .find(|pair| word(&pair[..8]) == Some(AT_EXECFN))
        .and_then(|pair| word(&pair[8..]))?;
    if memory::read_path(thread, address).ok()? != names.path {
        return None;
    }
    let mut text = names.shown.to_vec();
    text.resize(names.path.len(), 0);
    memory::write(thread, address, &text).ok()
}

fn program(thread: u32) -> Option<(u64, u64, u64)> {
    let stat = rustix::fs::stat(format!("/proc/{thread}/exe")).ok()?;
    Some((stat.st_dev, stat.st_ino, stat.st_ctime as u64))
}

/// Is the thread in another call than execve, or in none?
fn is_outside(thread: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{thread}/syscall"))
        .is_ok_and(|text| !text.starts_with("59 ") && !text.starts_with("running"))
}
