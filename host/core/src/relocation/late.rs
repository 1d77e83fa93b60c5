//! Threads that are not done with: those that did not stop in time, and those whose write was cut short.
//!
//! A thread that was stopped while it wrote to a pipe or a socket finds that only a part went out, which no program
//! expects without a signal. It is made to write the rest, and sees one call that wrote it all.

use view_sys::ptrace::{Registers, Stop, Tracee};

/// Length of the `syscall` instruction.
const INSTRUCTION_LENGTH: u64 = 2;
/// `ERESTARTNOHAND` (include/linux/errno.h): once more, unless a signal handler is to run.
const RESTART_NO_HANDLER: i64 = -514;

/// A thread that is attached still.
pub(super) struct Late {
    tracee: Tracee,
    /// The registers at the end of the call that was cut short.
    short: Option<Registers>,
}

impl Late {
    /// A thread that has not stopped.
    pub(super) fn running(tracee: Tracee) -> Late {
        Late {
            tracee,
            short: None,
        }
    }

    /// A stopped thread: lets it go, or answers it when that has to wait. `signal`: what it was stopped for, or 0.
    pub(super) fn stopped(tracee: Tracee, signal: i32) -> Option<Late> {
        let mut late = Late::running(tracee);
        late.is_kept(signal).then_some(late)
    }

    /// Has it stopped, and can it go? Is there more to wait for?
    fn is_waiting(&mut self) -> bool {
        let Some(stop) = self.tracee.try_wait() else {
            return true;
        };
        let signal = match stop {
            Stop::Gone => return false,
            Stop::Signal(signal) => signal,
            _ => 0,
        };
        let Some(short) = self.short else {
            return self.is_kept(signal);
        };
        if let Ok(now) = self.tracee.registers() {
            // -ENOSYS is what a call's result is at its entry.
            let is_entry = now.rax as i64 == -i64::from(libc::ENOSYS);
            if stop == Stop::SystemCall && is_entry {
                return self.tracee.resume(0).is_ok();
            }
            let _ = self.tracee.set_registers(&together(short, now.rax));
        }
        self.tracee.detach(signal).is_err()
    }

    /// The thread has stopped. Does it stay attached?
    fn is_kept(&mut self, signal: i32) -> bool {
        // What fails here has been killed: the next look finds it gone.
        let Ok(registers) = self.tracee.registers() else {
            return self.tracee.detach(signal).is_err();
        };
        if signal != 0 || !is_short_write(&registers) {
            let _ = self.tracee.set_registers(&resumed(registers));
            return self.tracee.detach(signal).is_err();
        }
        self.short = Some(registers);
        let _ = self.tracee.set_registers(&rest_of(registers));
        let _ = self.tracee.resume(0);
        true
    }
}

/// The registers for writing what a short write has left.
pub(crate) fn rest_of(short: Registers) -> Registers {
    let done = short.rax;
    Registers {
        rax: short.orig_rax,
        rsi: short.rsi.wrapping_add(done),
        rdx: short.rdx.wrapping_sub(done),
        rip: short.rip.wrapping_sub(INSTRUCTION_LENGTH),
        orig_rax: u64::MAX,
        ..short
    }
}

/// The registers of one call that did what both did. Whatever went wrong with the rest, the first part went out.
pub(crate) fn together(short: Registers, rest: u64) -> Registers {
    let rest = u64::try_from(rest as i64).unwrap_or(0);
    Registers {
        rax: short.rax.wrapping_add(rest),
        ..short
    }
}

/// Was the call that ended with these registers a write that ended early?
pub(crate) fn is_short_write(registers: &Registers) -> bool {
    let is_write = matches!(
        registers.orig_rax as i64,
        libc::SYS_write | libc::SYS_sendto
    );
    let done = registers.rax as i64;
    is_write && done > 0 && registers.rax < registers.rdx
}

/// The registers to go on with. The kernel starts a call again that says so; those that say EINTR would have done so
/// for a signal, and no signal came. After close(2) and connect(2) the work is done or under way.
pub(crate) fn resumed(original: Registers) -> Registers {
    let number = original.orig_rax as i64;
    let is_interrupted = original.rax as i64 == -i64::from(libc::EINTR);
    let is_final = matches!(number, libc::SYS_close | libc::SYS_connect);
    match is_interrupted && number >= 0 && !is_final {
        true => Registers {
            rax: RESTART_NO_HANDLER as u64,
            ..original
        },
        false => original,
    }
}

/// Lets those go that can be.
pub(super) fn let_go(late: &mut Vec<Late>) {
    late.retain_mut(Late::is_waiting);
}
