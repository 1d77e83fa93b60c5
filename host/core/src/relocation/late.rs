//! Threads that are not done with: those that did not stop in time, and those whose write was cut short.
//!
//! A thread that was stopped while it wrote to a pipe or a socket finds that only a part went out, which no program
//! expects without a signal. It is made to write the rest, and sees one call that wrote it all.

use view_sys::ptrace::{Registers, Stop, Tracee};

/// Length of the `syscall` instruction.
const INSTRUCTION_LENGTH: u64 = 2;

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

    /// A stopped thread whose write is to be finished.
    pub(super) fn finishing(tracee: Tracee, short: Registers) -> Late {
        let done = short.rax;
        let rest = Registers {
            rax: short.orig_rax,
            rsi: short.rsi.wrapping_add(done),
            rdx: short.rdx.wrapping_sub(done),
            rip: short.rip.wrapping_sub(INSTRUCTION_LENGTH),
            orig_rax: u64::MAX,
            ..short
        };
        // What fails has been killed: the next look finds it gone.
        let _ = tracee.set_registers(&rest);
        let _ = tracee.resume(0);
        Late {
            tracee,
            short: Some(short),
        }
    }

    /// Lets it go if it can be. Is there more to wait for?
    fn is_waiting(&mut self) -> bool {
        let Some(stop) = self.tracee.try_wait() else {
            return true;
        };
        let signal = match stop {
            Stop::Gone => return false,
            Stop::Signal(signal) => signal,
            _ => 0,
        };
        if let (Some(short), Ok(now)) = (self.short, self.tracee.registers()) {
            // -ENOSYS is what a call's result is at its entry.
            let is_entry = now.rax as i64 == -i64::from(libc::ENOSYS);
            if stop == Stop::SystemCall && is_entry {
                return self.tracee.resume(0).is_ok();
            }
            let _ = self.tracee.set_registers(&together(short, now.rax));
        }
        self.tracee.detach(signal).is_err()
    }
}

/// The registers of one call that did what both did. Whatever went wrong with the rest, the first part went out.
fn together(short: Registers, rest: u64) -> Registers {
    let rest = u64::try_from(rest as i64).unwrap_or(0);
    Registers {
        rax: short.rax.wrapping_add(rest),
        ..short
    }
}

/// Was the call that ended with these registers a write that ended early?
pub(super) fn is_short_write(registers: &Registers) -> bool {
    let is_write = matches!(
        registers.orig_rax as i64,
        libc::SYS_write | libc::SYS_sendto
    );
    let done = registers.rax as i64;
    is_write && done > 0 && registers.rax < registers.rdx
}

/// Lets those go that can be.
pub(super) fn let_go(late: &mut Vec<Late>) {
    late.retain_mut(Late::is_waiting);
}
