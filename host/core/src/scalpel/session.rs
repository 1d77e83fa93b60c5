//! One thread under the scalpel: attached and stopped in the call that was notified, until it is let go.

use super::data::Image;
use super::{Outcome, Waiting};
use rustix::io::Errno;
use view_sys::memory;
use view_sys::ptrace::{Registers, Stop, Tracee};

/// Bytes below the stack pointer that belong to the running function (System V ABI for x86-64, 3.2.2).
const RED_ZONE: u64 = 128;
/// More data than this goes into a mapping of its own: stacks of a few KiB are common (goroutines, sigaltstack).
const STACK_DATA_LIMIT: usize = 512;
/// Length of the `syscall` instruction.
const INSTRUCTION_LENGTH: u64 = 2;

// Results that ask the kernel to restart the call (include/linux/errno.h); programs never see them.
const RESTART_SYS: i64 = -512;
const RESTART_NO_INTERRUPT: i64 = -513;
const RESTART_NO_HANDLER: i64 = -514;
const RESTART_BLOCK: i64 = -516;

/// Is this result one of the kernel's restart codes?
pub(super) fn is_restart(result: i64) -> bool {
    matches!(
        result,
        RESTART_SYS | RESTART_NO_INTERRUPT | RESTART_NO_HANDLER | RESTART_BLOCK
    )
}

/// Why a step could not be taken: the stop (or death) that came instead; `None` when the thread was found to be dying
/// and its end is still to be waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Broken(pub(super) Option<Stop>);

impl From<Errno> for Broken {
    /// A request on a stopped tracee fails only because the tracee was killed.
    fn from(_: Errno) -> Self {
        Self(None)
    }
}

/// Memory of the tracee that is to be put back.
#[derive(Debug)]
enum Borrowed {
    Stack { address: u64, former: Vec<u8> },
    Mapping { address: u64, length: u64 },
}

/// The stopped thread and what it was like before.
#[derive(Debug)]
pub(super) struct Session {
    tracee: Tracee,
    /// Id that an exec may give to the thread; its own id when no exec is planned.
    process: u32,
    original: Registers,
    mask: Option<u64>,
    borrowed: Option<Borrowed>,
}

impl Session {
    /// Seizes the thread and stops it at the end of its notified call, which is answered so as to be restarted.
    /// `process`: the thread's process when an exec will be injected, else `target.tid`.
    pub(super) fn attach(target: &Waiting<'_>, process: u32) -> Result<Self, Outcome> {
        let mut tracee = match Tracee::seize(target.tid) {
            Ok(tracee) => tracee,
            Err(errno) => match refusal(target, errno) {
                // Its tracer may have let it go just now.
                Outcome::AlreadyTraced => {
                    Tracee::seize(target.tid).map_err(|errno| match errno == Errno::SRCH {
                        true => Outcome::Gone,
                        false => Outcome::AlreadyTraced,
                    })?
                }
                outcome => return Err(outcome),
            },
        };
        // From here no signal handler can run unseen: if the notification waits still, the stop will be in its call.
        let waiting = target.listener.is_waiting(target.id);
        if tracee.interrupt().is_err() {
            return Err(let_go(tracee, process, None));
        }
        if waiting {
            // ENOENT: without WAIT_KILLABLE_RECV the interrupt itself has ended the wait, with a restart code too.
            let _ = target
                .listener
                .answer_error(target.id, -RESTART_NO_INTERRUPT as i32);
        }
        let stop = tracee.wait(process);
        if !waiting || stop != Stop::Trap(libc::SIGTRAP) {
            return Err(let_go(tracee, process, Some(stop)));
        }
        match tracee.registers() {
            Ok(original) if is_restart(original.rax as i64) && (original.orig_rax as i64) >= 0 => {
                Ok(Self {
                    tracee,
                    process,
                    original,
                    mask: None,
                    borrowed: None,
                })
            }
            Ok(_) => Err(let_go(tracee, process, Some(stop))),
            Err(_) => Err(let_go(tracee, process, None)),
        }
    }

    /// Blocks all signals in the thread until the session ends.
    pub(super) fn block_signals(&mut self) -> Result<(), Broken> {
        let mask = self.tracee.signal_mask()?;
        self.tracee.set_signal_mask(u64::MAX)?;
        self.mask = Some(mask);
        Ok(())
    }

    /// The thread's id; after an exec, its process's.
    pub(super) fn tid(&self) -> u32 {
        self.tracee.tid()
    }

    /// Puts the image into the thread's memory; gives its address, or the error number the program shall see.
    pub(super) fn place(&mut self, image: &Image) -> Result<Result<u64, Errno>, Broken> {
        if image.len() == 0 {
            return Ok(Ok(0));
        }
        if image.len() <= STACK_DATA_LIMIT {
            let size = image.len().next_multiple_of(16) as u64;
            let address = (self.original.rsp.wrapping_sub(RED_ZONE + size)) & !15;
            let mut former = vec![0; image.len()];
            let readable = memory::read_exact(self.tid(), address, &mut former).is_ok();
            if self.tracee.write(address, &image.at(address)).is_ok() {
                if readable {
                    self.borrowed = Some(Borrowed::Stack { address, former });
                }
                return Ok(Ok(address));
            }
        }
        let length = image.len().next_multiple_of(4096) as u64;
        let protection = (libc::PROT_READ | libc::PROT_WRITE) as u64;
        let flags = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as u64;
        let address = self.run(
            libc::SYS_mmap as u64,
            [0, length, protection, flags, u64::MAX, 0],
        )?;
        if address < 0 {
            return Ok(Err(Errno::NOMEM));
        }
        let address = address as u64;
        self.borrowed = Some(Borrowed::Mapping { address, length });
        Ok(self
            .tracee
            .write(address, &image.at(address))
            .map(|()| address))
    }

    /// Runs one call to its end; gives its result.
    pub(super) fn run(&mut self, number: u64, arguments: [u64; 6]) -> Result<i64, Broken> {
        let registers = Registers {
            rax: number,
            rdi: arguments[0],
            rsi: arguments[1],
            rdx: arguments[2],
            r10: arguments[3],
            r8: arguments[4],
            r9: arguments[5],
            rip: self.original.rip.wrapping_sub(INSTRUCTION_LENGTH),
            // Not in a system call: the kernel shall not restart anything.
            orig_rax: u64::MAX,
            ..self.original
        };
        self.tracee.set_registers(&registers)?;
        self.step()?; // to the entry
        self.step()?; // to the exit
        Ok(self.tracee.registers()?.rax as i64)
    }

    fn step(&mut self) -> Result<(), Broken> {
        self.tracee.resume(0)?;
        match self.tracee.wait(self.process) {
            Stop::SystemCall => Ok(()),
            other => Err(Broken(Some(other))),
        }
    }

    /// Puts everything back, with `result` as the notified call's result, and lets the thread go.
    pub(super) fn finish(mut self, result: i64) -> Outcome {
        // -516 would restart by restart_syscall(2), which knows only the injected call.
        let value = if result == RESTART_BLOCK {
            RESTART_NO_HANDLER
        } else {
            result
        };
        // The call has run, so it is not restarted even when something comes between: a mapping then stays behind.
        let stop = match self.give_back() {
            Ok(()) => Some(Stop::Trap(libc::SIGTRAP)),
            Err(Broken(stop)) => stop,
        };
        match self.put_back(value, stop) {
            Outcome::Restarted if !is_restart(value) => Outcome::Done(value),
            outcome => outcome,
        }
    }

    /// Ends a session in which something else happened than what was asked for: the original call is restarted, and
    /// a signal that was about to be delivered is handed on.
    pub(super) fn abandon(mut self, Broken(stop): Broken) -> Outcome {
        if let Some(Borrowed::Stack { address, former }) = self.borrowed.take() {
            let _ = self.tracee.write(address, &former);
        }
        self.put_back(RESTART_NO_INTERRUPT, stop)
    }

    /// Ends a session whose thread has a new program and so nothing to put back.
    pub(super) fn leave(self) -> Outcome {
        let _ = self.restore_mask();
        match let_go(self.tracee, self.process, Some(Stop::Exec)) {
            Outcome::Restarted => Outcome::Done(0),
            outcome => outcome,
        }
    }

    /// Writes to the stopped thread's memory.
    pub(super) fn write(&self, address: u64, data: &[u8]) -> Result<(), Errno> {
        self.tracee.write(address, data)
    }

    fn put_back(self, value: i64, stop: Option<Stop>) -> Outcome {
        let registers = Registers {
            rax: value as u64,
            ..self.original
        };
        let done = self
            .tracee
            .set_registers(&registers)
            .and_then(|()| self.restore_mask());
        let_go(
            self.tracee,
            self.process,
            if done.is_ok() { stop } else { None },
        )
    }

    fn restore_mask(&self) -> Result<(), Errno> {
        self.mask
            .map_or(Ok(()), |mask| self.tracee.set_signal_mask(mask))
    }

    /// Restores the memory that was borrowed.
    fn give_back(&mut self) -> Result<(), Broken> {
        match self.borrowed.take() {
            Some(Borrowed::Stack { address, former }) => Ok(self.tracee.write(address, &former)?),
            Some(Borrowed::Mapping { address, length }) => {
                if self.mask.is_none() {
                    self.block_signals()?;
                }
                self.run(libc::SYS_munmap as u64, [address, length, 0, 0, 0, 0])?;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

/// Detaches from a stopped thread, handing on the signal it stopped for; or takes the status of a dead one, without
/// which its real parent would never hear of its end.
fn let_go(mut tracee: Tracee, process: u32, stop: Option<Stop>) -> Outcome {
    let mut stop = stop.unwrap_or_else(|| tracee.wait(process));
    loop {
        let signal = match stop {
            Stop::Gone => return Outcome::Gone,
            Stop::Signal(signal) => signal,
            _ => 0,
        };
        if tracee.detach(signal).is_ok() {
            return Outcome::Restarted;
        }
        // Killed while it stood still.
        stop = tracee.wait(process);
    }
}

/// What a failed attach means.
fn refusal(target: &Waiting<'_>, errno: Errno) -> Outcome {
    if errno == Errno::SRCH || !target.listener.is_waiting(target.id) {
        return Outcome::Gone;
    }
    let tracer = std::fs::read_to_string(format!("/proc/{}/status", target.tid))
        .ok()
        .and_then(|status| status_field(&status, "TracerPid:"))
        .filter(|&tracer| tracer != 0);
    let Some(tracer) = tracer else {
        return Outcome::Refused(errno);
    };
    if !std::path::Path::new(&format!("/proc/self/task/{tracer}")).exists() {
        return Outcome::AlreadyTraced;
    }
    if let Some(space) = target.space.filter(|space| space.is_tracer(tracer))
        && !space.releases(target.tid)
    {
        return Outcome::AlreadyTraced;
    }
    // `relocation` or `space` wants it to stop: it does as soon as this call ends, and then makes it again.
    let restart = -RESTART_NO_INTERRUPT as i32;
    match target.listener.answer_error(target.id, restart) {
        Ok(()) => Outcome::Restarted,
        Err(_) => Outcome::Gone,
    }
}

/// A number of /proc/PID/status, by its label.
pub(super) fn status_field(status: &str, label: &str) -> Option<u32> {
    status
        .lines()
        .find_map(|line| line.strip_prefix(label))?
        .trim()
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_fields() {
        let status = "Name:\tTgid: 9\nTgid:\t123\nTracerPid:\t0\n";
        assert_eq!(status_field(status, "Tgid:"), Some(123));
        assert_eq!(status_field(status, "TracerPid:"), Some(0));
        assert_eq!(status_field(status, "PPid:"), None);
    }

    #[test]
    fn restart_codes() {
        let codes: Vec<i64> = (-520..=0).filter(|&code| is_restart(code)).collect();
        assert_eq!(codes, [-516, -514, -513, -512]);
    }
}
