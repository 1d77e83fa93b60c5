//! rt_sigreturn(2): a call that a signal interrupted before the supervisor had received it is made again.
//!
//! Until a notification is received the tracee sleeps interruptibly, and a handler without SA_RESTART makes the call
//! fail with EINTR although it never began (seccomp_unotify(2)). Most intercepted calls can't fail so on Linux. When
//! the handler returns, the frame on the stack tells whether such a call was interrupted: the saved result is EINTR
//! and the instruction before the saved address is the `syscall` of a number that is intercepted with these arguments.
//! The frame is then set back to the call itself. Opening a FIFO or a device may legitimately be interrupted, but for
//! the memory devices (/dev/null and its like); calls on sockets are told apart by having been received.
//!
//! Looking at a stack takes time (its address is not told while the thread is still on its way to sleep, which on a busy
//! machine lasts), so it is done only while there are calls that nobody received: `intercept::unreceived`.
//!
//! The same holds for rt_sigreturn itself, when a second signal comes while it waits to be received.
//!
//! Limits: a handler must return within a minute; the number must be readable from the code (`mov $number, %eax` or
//! `%rax`, then `syscall`), as in the C library's wrappers.
//!
//! Lock: `Received` is a leaf.
//!
//! Reference: struct rt_sigframe, arch/x86/include/asm/sigframe.h and uapi sigcontext.h.

use super::table;
use crate::task::{Answer, Task};
use parking_lot::Mutex;
use rustix::io::Errno;
use std::collections::HashMap;
use view_sys::memory;
use view_vfs::attributes::{Attributes, Kind};
use view_vfs::place::Place;
use view_vfs::resolver::WalkFlags;

/// Offsets in `struct ucontext` of the arguments of a call: rdi, rsi, rdx, r10, r8, r9.
const ARGUMENTS: [u64; 6] = [104, 112, 136, 56, 40, 48];
const RAX: u64 = 144;
const RIP: u64 = 168;
const SYSCALL: [u8; 2] = [0x0f, 0x05];
/// `mov $number, %eax`: one byte, or two with a ModRM byte (which the form for %rax has after its prefix, too).
const MOV_EAX: u8 = 0xb8;
const MOV_MODRM: [u8; 2] = [0xc7, 0xc0];
/// Major number of the memory devices (null, zero, full, random ...), which open at once; drivers/char/mem.c.
const MEMORY_DEVICES: u32 = 1;
/// How long to wait for a tracee that was received before it had gone to sleep.
const NAP: std::time::Duration = std::time::Duration::from_micros(20);
/// Calls of a thread that are remembered: handlers may nest.
const DEPTH: usize = 4;
const THREADS: usize = 4096;

/// Which calls that may block were received, by thread: number and return address.
#[derive(Debug, Default)]
pub struct Received(Mutex<HashMap<u32, [(i32, u64); DEPTH]>>);

/// Calls on a socket, of which only having been received tells whether they may be made again.
fn is_on_socket(number: i64) -> bool {
    matches!(number, libc::SYS_connect | libc::SYS_sendto)
}

impl Received {
    fn note(&self, thread: u32, number: i32, address: u64) {
        let mut threads = self.0.lock();
        if threads.len() > THREADS {
            threads.retain(|thread, _| crate::task::process_of(*thread).is_some());
        }
        let calls = threads.entry(thread).or_default();
        if calls[0] != (number, address) {
            calls.rotate_right(1);
            calls[0] = (number, address);
        }
    }

    fn has(&self, thread: u32, number: i32, address: u64) -> bool {
        self.0
            .lock()
            .get(&thread)
            .is_some_and(|calls| calls.contains(&(number, address)))
    }
}

/// Remembers a call that may be interrupted with good reason.
pub fn note_received(task: &Task<'_>) {
    if is_on_socket(i64::from(task.call.number)) {
        task.view.received.note(
            task.call.tid,
            task.call.number,
            task.call.instruction_pointer,
        );
    }
}

/// rt_sigreturn: sigreturn(2)
pub fn sigreturn(task: &Task<'_>) -> Result<Answer, Errno> {
    let unreceived = &task.calls.unreceived;
    // Whatever can't be read is left to the kernel.
    if unreceived.any() && set_back(task).is_some() {
        unreceived.made_again();
    }
    Ok(Answer::Continue)
}

fn set_back(task: &Task<'_>) -> Option<()> {
    let frame = stack_pointer(task)?;
    let mut saved = [0u8; (RIP + 8) as usize];
    memory::read_exact(task.call.tid, frame, &mut saved).ok()?;
    let register = |offset: u64| {
        let offset = offset as usize;
        Some(u64::from_le_bytes(
            saved.get(offset..offset + 8)?.try_into().ok()?,
        ))
    };
    if register(RAX)? as i64 != -i64::from(libc::EINTR) {
        return None;
    }
    let address = register(RIP)?;
    let mut code = [0u8; 8];
    memory::read_exact(task.call.tid, address.checked_sub(8)?, &mut code).ok()?;
    let is_mov = code[1] == MOV_EAX || code[..2] == MOV_MODRM;
    if !is_mov || code[6..] != SYSCALL {
        return None;
    }
    let number = i32::from_le_bytes(code[2..6].try_into().ok()?);
    let mut arguments = [0; 6];
    for (argument, offset) in arguments.iter_mut().zip(ARGUMENTS) {
        *argument = register(offset)?;
    }
    let needs = crate::handler::filter_needs(task.view.identity.get().is_some());
    if !table::is_notified(number as u32, &arguments, needs) {
        return None;
    }
    let [first, second, ..] = arguments;
    let is_legitimate = match i64::from(number) {
        libc::SYS_open | libc::SYS_creat => waits(task, libc::AT_FDCWD, first),
        libc::SYS_openat | libc::SYS_openat2 => waits(task, first as i32, second),
        other if is_on_socket(other) => task.view.received.has(task.call.tid, number, address),
        _ => false,
    };
    if is_legitimate {
        return None;
    }
    memory::write(task.call.tid, frame + RAX, &i64::from(number).to_le_bytes()).ok()?;
    memory::write(
        task.call.tid,
        frame + RIP,
        &(address - SYSCALL.len() as u64).to_le_bytes(),
    )
    .ok()
}

/// Can opening this wait for something, so that EINTR is an answer of its own?
fn waits(task: &Task<'_>, directory: i32, path: u64) -> bool {
    let found = memory::read_path(task.call.tid, path)
        .and_then(|text| task.walk(directory, &text, WalkFlags::FOLLOW))
        .and_then(|found| found.existing())
        .and_then(|place| match &place {
            // What a magic link leads to counts.
            Place::Host { path, .. } => {
                let attributes = Attributes::from_stat(&rustix::fs::stat(path.as_slice())?);
                Ok((attributes.kind(), rustix::fs::major(attributes.rdev)))
            }
            // Devices on a mount do not open.
            Place::Node { dentry, .. } => Ok((dentry.kind(), 0)),
        });
    match found {
        Ok((Kind::NamedPipe | Kind::BlockDevice, _)) => true,
        Ok((Kind::CharDevice, major)) => major != MEMORY_DEVICES,
        _ => false,
    }
}

/// The stack pointer of the calling thread, from /proc/TID/syscall (proc(5)).
///
/// A call may be received while the thread is still on its way to sleep; the file says `running` until it sleeps.
pub fn stack_pointer(task: &Task<'_>) -> Option<u64> {
    let path = format!("/proc/{}/syscall", task.call.tid);
    loop {
        let text = std::fs::read_to_string(&path).ok()?;
        if !text.starts_with("running") {
            let word = text.split_ascii_whitespace().rev().nth(1)?;
            return u64::from_str_radix(word.strip_prefix("0x")?, 16).ok();
        }
        if !task.listener.is_waiting(task.call.id) {
            return None;
        }
        std::thread::sleep(NAP);
    }
}
