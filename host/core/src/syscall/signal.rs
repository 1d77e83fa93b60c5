//! rt_sigreturn(2): a call that a signal interrupted before the supervisor had received it is made again.
//!
//! Until a notification is received the tracee sleeps interruptibly, and a handler without SA_RESTART makes the call
//! fail with EINTR although it never began (seccomp_unotify(2)). Most intercepted calls can't fail so on Linux. When
//! the handler returns, the frame on the stack tells whether such a call was interrupted: the saved result is EINTR
//! and the instruction before the saved address is the `syscall` of an intercepted number. The frame is then set back
//! to the call itself. Calls that may legitimately be interrupted (a FIFO's open, connect) are told apart by having
//! been received.
//!
//! Limit: the number must be readable from the code (`mov $number, %eax; syscall`), as in the C library's wrappers.
//!
//! Reference: struct rt_sigframe, arch/x86/include/asm/sigframe.h and uapi sigcontext.h.

use super::table;
use crate::task::{Answer, Task};
use parking_lot::Mutex;
use rustix::io::Errno;
use std::collections::HashMap;
use view_sys::memory;

/// Offset of rax in `struct ucontext`, and of rip.
const RAX: u64 = 144;
const RIP: u64 = 168;
const SYSCALL: [u8; 2] = [0x0f, 0x05];
const MOV_EAX: u8 = 0xb8;
/// Calls of a thread that are remembered: handlers may nest.
const DEPTH: usize = 4;
const THREADS: usize = 4096;

/// Which calls that may block were received, by thread: number and return address.
#[derive(Debug, Default)]
pub struct Received(Mutex<HashMap<u32, [(i32, u64); DEPTH]>>);

fn may_block(number: i64) -> bool {
    matches!(
        number,
        libc::SYS_open
            | libc::SYS_creat
            | libc::SYS_openat
            | libc::SYS_openat2
            | libc::SYS_connect
            | libc::SYS_sendto
            | libc::SYS_execve
            | libc::SYS_execveat
    )
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
        self.0.lock().get(&thread).is_some_and(|calls| calls.contains(&(number, address)))
    }
}

/// Remembers a call that may be interrupted with good reason.
pub fn note_received(task: &Task<'_>) {
    if may_block(i64::from(task.call.number)) {
        task.view.received.note(task.call.tid, task.call.number, task.call.instruction_pointer);
    }
}

/// rt_sigreturn — sigreturn(2)
pub fn sigreturn(task: &Task<'_>) -> Result<Answer, Errno> {
    // Whatever can't be read is left to the kernel.
    let _ = set_back(task);
    Ok(Answer::Continue)
}

fn set_back(task: &Task<'_>) -> Option<()> {
    let frame = stack_pointer(task.call.tid)?;
    let mut saved = [0u8; (RIP - RAX + 8) as usize];
    memory::read_exact(task.call.tid, frame.checked_add(RAX)?, &mut saved).ok()?;
    let result = i64::from_le_bytes(saved[..8].try_into().ok()?);
    if result != -i64::from(libc::EINTR) {
        return None;
    }
    let address = u64::from_le_bytes(saved[saved.len() - 8..].try_into().ok()?);
    let mut code = [0u8; 7];
    memory::read_exact(task.call.tid, address.checked_sub(7)?, &mut code).ok()?;
    if code[0] != MOV_EAX || code[5..] != SYSCALL {
        return None;
    }
    let number = i32::from_le_bytes(code[1..5].try_into().ok()?);
    if !table::is_notified(number as u32) {
        return None;
    }
    if may_block(i64::from(number)) && task.view.received.has(task.call.tid, number, address) {
        return None;
    }
    memory::write(task.call.tid, frame + RAX, &i64::from(number).to_le_bytes()).ok()?;
    memory::write(task.call.tid, frame + RIP, &(address - SYSCALL.len() as u64).to_le_bytes()).ok()
}

/// The stack pointer of a thread inside a system call, from /proc/TID/syscall (proc(5)).
fn stack_pointer(thread: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{thread}/syscall")).ok()?;
    let word = text.split_ascii_whitespace().rev().nth(1)?;
    u64::from_str_radix(word.strip_prefix("0x")?, 16).ok()
}
