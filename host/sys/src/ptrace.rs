//! ptrace(2) requests on one thread that the calling thread has seized.
//!
//! The kernel accepts a request only from the thread that attached, so a [`Tracee`] cannot be sent to another thread.
//! Nothing here waits for a tracee that is not ours: every wait says `__WALL | __WNOTHREAD`.
//! Neighbours: `scalpel` in view-core drives these requests; `memory` reads a tracee without attaching.
//!
//! Reference: ptrace(2), kernel files kernel/ptrace.c and kernel/signal.c.

use crate::{last_errno, memory};
use rustix::io::Errno;
use std::marker::PhantomData;

/// The general registers of an x86-64 thread (struct user_regs_struct of sys/user.h).
pub type Registers = libc::user_regs_struct;

/// Why a seized thread stands still, or that it never will again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// At the entry or the exit of a system call.
    SystemCall,
    /// A signal is about to be delivered; it is lost unless it is named when the thread goes on.
    Signal(i32),
    /// `PTRACE_EVENT_STOP`: an answer to [`Tracee::interrupt`] (`SIGTRAP`), or a group stop (the stopping signal).
    Trap(i32),
    /// `PTRACE_EVENT_EXEC`: the thread has a new program.
    Exec,
    /// Any other ptrace event, by its number.
    Event(i32),
    /// The thread is gone: its status was taken, or there is no such tracee.
    Gone,
}

/// A thread that this thread has seized. Dropping it does not detach it.
#[derive(Debug)]
pub struct Tracee {
    tid: i32,
    /// Requests are valid in the attaching thread only.
    not_send: PhantomData<*const ()>,
}

/// Bytes of a word of `PTRACE_PEEKDATA`.
const WORD: usize = 8;

impl Tracee {
    /// Attaches without stopping the thread. The options are fixed: system call stops are told apart from signals,
    /// exec is reported, and the thread is killed should the tracer die in the middle.
    ///
    /// Errors: `EPERM` (another tracer has it, or the kernel does not allow it), `ESRCH` (no such thread).
    pub fn seize(tid: u32) -> Result<Self, Errno> {
        let tid = i32::try_from(tid).map_err(|_| Errno::SRCH)?;
        let options =
            libc::PTRACE_O_TRACESYSGOOD | libc::PTRACE_O_TRACEEXEC | libc::PTRACE_O_EXITKILL;
        request(libc::PTRACE_SEIZE, tid, 0, options as usize)?;
        Ok(Self {
            tid,
            not_send: PhantomData,
        })
    }

    /// As [`Tracee::seize`], for a thread that is to run on: should the tracer end, it is let go. Threads and processes
    /// that it starts are attached as well ([`Tracee::started`]).
    ///
    /// Errors: those of [`Tracee::seize`].
    pub fn follow(tid: u32) -> Result<Self, Errno> {
        let tid = i32::try_from(tid).map_err(|_| Errno::SRCH)?;
        let options = libc::PTRACE_O_TRACESYSGOOD
            | libc::PTRACE_O_TRACEEXEC
            | libc::PTRACE_O_TRACECLONE
            | libc::PTRACE_O_TRACEFORK
            | libc::PTRACE_O_TRACEVFORK;
        request(libc::PTRACE_SEIZE, tid, 0, options as usize)?;
        Ok(Self {
            tid,
            not_send: PhantomData,
        })
    }

    /// The thread id that requests name.
    pub fn tid(&self) -> u32 {
        self.tid.unsigned_abs()
    }

    /// Asks the thread to stop with [`Stop::Trap`]; returns before it has.
    pub fn interrupt(&self) -> Result<(), Errno> {
        request(libc::PTRACE_INTERRUPT, self.tid, 0, 0)
    }

    /// Waits for the thread to stop or to die. A thread that execs takes over the id of its process, so a
    /// non-leader reports its exec under the other id: from then on this tracee carries that one.
    pub fn wait(&mut self, process: u32) -> Stop {
        loop {
            if let Some(stop) = self.wait_once(process, 0) {
                return stop;
            }
        }
    }

    /// As [`Tracee::wait`] for a thread that is not about to exec, without waiting: `None` while it runs.
    pub fn try_wait(&mut self) -> Option<Stop> {
        self.wait_once(self.tid(), libc::WNOHANG)
    }

    fn wait_once(&mut self, process: u32, flags: i32) -> Option<Stop> {
        let process = i32::try_from(process).unwrap_or(self.tid);
        // Waiting for one id would sleep through the exec of a non-leader; any tracee of this thread is ours.
        let wanted = if process == self.tid { self.tid } else { -1 };
        let mut status = 0;
        let flags = libc::__WALL | libc::__WNOTHREAD | flags;
        // SAFETY: `status` is a live c_int that the kernel writes.
        let pid = unsafe { libc::waitpid(wanted, &mut status, flags) };
        if pid < 0 {
            return (last_errno() != Errno::INTR).then_some(Stop::Gone);
        }
        if pid == 0 {
            return None;
        }
        let stop = classify(status);
        if pid == self.tid {
            return Some(stop);
        }
        if pid == process && matches!(stop, Stop::Exec | Stop::Gone) {
            self.tid = process;
            return Some(stop);
        }
        // A child of this very thread that is no tracee (the reaper): its end is seen by other means.
        None
    }

    /// Reads the registers. `ESRCH`: the thread was killed.
    pub fn registers(&self) -> Result<Registers, Errno> {
        // WHY UNSAFE: ptrace(2) has no safe wrapper.
        // SAFETY:
        // 1. all-zero is a valid value of the plain struct;
        // 2. the kernel writes exactly size_of::<user_regs_struct>() bytes to it.
        unsafe {
            let mut registers: Registers = std::mem::zeroed();
            let data: *mut Registers = &mut registers;
            request(libc::PTRACE_GETREGS, self.tid, 0, data as usize)?;
            Ok(registers)
        }
    }

    /// Replaces the registers.
    pub fn set_registers(&self, registers: &Registers) -> Result<(), Errno> {
        let data: *const Registers = registers;
        // The kernel only reads the struct, which outlives the call.
        request(libc::PTRACE_SETREGS, self.tid, 0, data as usize)
    }

    /// The set of blocked signals, bit N-1 for signal N.
    pub fn signal_mask(&self) -> Result<u64, Errno> {
        let mut mask = 0u64;
        let data: *mut u64 = &mut mask;
        // The kernel writes the eight bytes named in the address argument.
        request(
            libc::PTRACE_GETSIGMASK,
            self.tid,
            size_of::<u64>(),
            data as usize,
        )?;
        Ok(mask)
    }

    /// Replaces the set of blocked signals.
    pub fn set_signal_mask(&self, mask: u64) -> Result<(), Errno> {
        let data: *const u64 = &mask;
        request(
            libc::PTRACE_SETSIGMASK,
            self.tid,
            size_of::<u64>(),
            data as usize,
        )
    }

    /// Lets the thread run to the next entry or exit of a system call, delivering `signal` (0: none).
    pub fn resume(&self, signal: i32) -> Result<(), Errno> {
        request(libc::PTRACE_SYSCALL, self.tid, 0, signal as usize)
    }

    /// What a followed thread has started, when it has stopped with [`Stop::Event`] for that: attached like itself, it is
    /// about to stop with [`Stop::Trap`].
    pub fn started(&self, event: i32) -> Option<Self> {
        if !matches!(
            event,
            libc::PTRACE_EVENT_CLONE | libc::PTRACE_EVENT_FORK | libc::PTRACE_EVENT_VFORK
        ) {
            return None;
        }
        let mut tid = 0u64;
        let data: *mut u64 = &mut tid;
        // The kernel writes one word.
        request(libc::PTRACE_GETEVENTMSG, self.tid, 0, data as usize).ok()?;
        let tid = i32::try_from(tid).ok().filter(|tid| *tid > 0)?;
        Some(Self {
            tid,
            not_send: PhantomData,
        })
    }

    /// Leaves the thread in its group stop ([`Stop::Trap`] with a stopping signal); it stops anew when that ends.
    pub fn listen(&self) -> Result<(), Errno> {
        request(libc::PTRACE_LISTEN, self.tid, 0, 0)
    }

    /// Lets the thread go, delivering `signal` (0: none). It must be stopped; no request is valid afterwards.
    pub fn detach(&self, signal: i32) -> Result<(), Errno> {
        request(libc::PTRACE_DETACH, self.tid, 0, signal as usize)
    }

    /// Writes all of `data` to the stopped thread's memory. Unlike process_vm_writev(2) this grows the stack.
    pub fn write(&self, address: u64, data: &[u8]) -> Result<(), Errno> {
        if memory::write(self.tid(), address, data).is_ok() {
            return Ok(());
        }
        for (index, part) in data.chunks(WORD).enumerate() {
            let at = address.wrapping_add((index * WORD) as u64);
            let mut word = if part.len() == WORD {
                [0; WORD]
            } else {
                self.peek(at)?.to_ne_bytes()
            };
            if let Some(head) = word.get_mut(..part.len()) {
                head.copy_from_slice(part);
            }
            let value = usize::from_ne_bytes(word);
            request(libc::PTRACE_POKEDATA, self.tid, at as usize, value)?;
        }
        Ok(())
    }

    fn peek(&self, address: u64) -> Result<u64, Errno> {
        // WHY UNSAFE: the C library's ptrace() would mix the word up with errno, so this is the raw call.
        // SAFETY: the kernel writes one word to `word`, which is live.
        unsafe {
            let mut word = 0u64;
            let data: *mut u64 = &mut word;
            let result = libc::syscall(
                libc::SYS_ptrace,
                libc::PTRACE_PEEKDATA,
                self.tid,
                address as usize,
                data,
            );
            if result < 0 {
                Err(last_errno())
            } else {
                Ok(word)
            }
        }
    }
}

/// One request whose result is only success or failure.
fn request(code: libc::c_uint, tid: i32, address: usize, data: usize) -> Result<(), Errno> {
    // WHY UNSAFE: ptrace(2) has no safe wrapper.
    // SAFETY:
    // 1. every caller in this file passes, for a request that writes to our memory, a pointer to a live variable of
    //    the size that the request writes;
    // 2. the target is never a thread of this process (the kernel refuses that with EPERM), so no memory of ours
    //    is changed by a request that writes to the tracee.
    let result = unsafe { libc::syscall(libc::SYS_ptrace, code as usize, tid, address, data) };
    if result < 0 {
        Err(last_errno())
    } else {
        Ok(())
    }
}

fn classify(status: i32) -> Stop {
    if !libc::WIFSTOPPED(status) {
        return Stop::Gone;
    }
    let signal = libc::WSTOPSIG(status);
    match status >> 16 {
        0 if signal == libc::SIGTRAP | 0x80 => Stop::SystemCall,
        0 => Stop::Signal(signal),
        libc::PTRACE_EVENT_STOP => Stop::Trap(signal),
        libc::PTRACE_EVENT_EXEC => Stop::Exec,
        event => Stop::Event(event),
    }
}

/// Does the host refuse ptrace(2) itself (a seccomp profile), whatever the target? Asks about a process that is not
/// traced, for which the kernel says `ESRCH`.
pub fn is_refused() -> bool {
    // SAFETY: PTRACE_CONT takes no pointer, and this process is no tracee of its own, so nothing happens.
    let result = unsafe {
        libc::ptrace(
            libc::PTRACE_CONT,
            std::process::id() as libc::pid_t,
            0usize,
            0usize,
        )
    };
    result < 0 && crate::last_errno() != rustix::io::Errno::SRCH
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_told_apart() {
        let stopped = |signal: i32, event: i32| (event << 16) | (signal << 8) | 0x7f;
        assert_eq!(classify(stopped(libc::SIGTRAP | 0x80, 0)), Stop::SystemCall);
        assert_eq!(
            classify(stopped(libc::SIGALRM, 0)),
            Stop::Signal(libc::SIGALRM)
        );
        assert_eq!(
            classify(stopped(libc::SIGTRAP, 128)),
            Stop::Trap(libc::SIGTRAP)
        );
        assert_eq!(
            classify(stopped(libc::SIGSTOP, 128)),
            Stop::Trap(libc::SIGSTOP)
        );
        assert_eq!(classify(stopped(libc::SIGTRAP, 4)), Stop::Exec);
        assert_eq!(classify(stopped(libc::SIGTRAP, 6)), Stop::Event(6));
        assert_eq!(classify(0), Stop::Gone);
        assert_eq!(classify(libc::SIGKILL), Stop::Gone);
    }

    #[test]
    fn no_such_thread_and_oneself() {
        assert_eq!(Tracee::seize(u32::MAX).err(), Some(Errno::SRCH));
        assert_eq!(Tracee::seize(0x3fff_ffff).err(), Some(Errno::SRCH));
        assert_eq!(Tracee::seize(std::process::id()).err(), Some(Errno::PERM));
    }
}
