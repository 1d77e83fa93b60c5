//! Threads that stand still, and the call that one of them is made to make.
//!
//! Every thread is stopped on its way out of the kernel or in its own code, and goes on from there: its registers are
//! put back as they were, so that a call which the stop interrupted is started again by the kernel itself.
//!
//! Reference: ptrace(2) `PTRACE_INTERRUPT`, kernel files kernel/signal.c (`get_signal`), arch/x86/kernel/signal.c.

use super::holders;
use super::late::{Late, resumed};
use super::{Exchanges, Replacement};
use rustix::io::Errno;
use std::time::{Duration, Instant};
use view_sys::process::{Compared, is_same};
use view_sys::ptrace::{Registers, Stop, Tracee};

/// Longest wait for a thread to stop.
const STOP_WAIT: Duration = Duration::from_millis(100);
const POLL: Duration = Duration::from_micros(100);
/// Length of the `syscall` instruction.
const INSTRUCTION_LENGTH: u64 = 2;

/// A thread that has been seized.
struct Thread {
    process: u32,
    tracee: Tracee,
    /// What it was stopped with: a signal to be handed on, or 0. `None`: it runs still.
    stopped: Option<i32>,
}

/// Threads that have been seized, those of whole processes.
#[derive(Default)]
pub(super) struct Stopped {
    threads: Vec<Thread>,
}

impl Stopped {
    /// Asks the threads of a process to stop that have not been asked yet. Were there any?
    pub(super) fn stop(&mut self, process: u32) -> Result<bool, Errno> {
        let mut threads = holders::threads(process);
        threads.retain(|thread| self.threads.iter().all(|one| one.tracee.tid() != *thread));
        if !threads.iter().all(|thread| holders::is_stoppable(*thread)) {
            return Err(Errno::BUSY);
        }
        let mut any = false;
        for thread in threads {
            if thread != process && !is_same(process, thread, Compared::Tables)? {
                return Err(Errno::BUSY);
            }
            let tracee = match Tracee::seize(thread) {
                Ok(tracee) => tracee,
                Err(Errno::SRCH) => continue,
                Err(errno) => return Err(errno),
            };
            let _ = tracee.interrupt();
            any = true;
            self.threads.push(Thread {
                process,
                tracee,
                stopped: None,
            });
        }
        Ok(any)
    }

    /// Waits until all have stopped.
    pub(super) fn wait(&mut self) -> Result<(), Errno> {
        let deadline = Instant::now() + STOP_WAIT;
        let mut result = Ok(());
        loop {
            self.threads.retain_mut(|thread| {
                if thread.stopped.is_some() {
                    return true;
                }
                match thread.tracee.try_wait() {
                    None => {}
                    Some(Stop::Gone) => return false,
                    Some(Stop::Trap(libc::SIGTRAP)) => thread.stopped = Some(0),
                    Some(Stop::Signal(signal)) => {
                        thread.stopped = Some(signal);
                        result = Err(Errno::BUSY);
                    }
                    // A group stop, say.
                    Some(_) => {
                        thread.stopped = Some(0);
                        result = Err(Errno::BUSY);
                    }
                }
                true
            });
            if result.is_err() || self.threads.iter().all(|one| one.stopped.is_some()) {
                return result;
            }
            if Instant::now() > deadline {
                return Err(Errno::BUSY);
            }
            std::thread::sleep(POLL);
        }
    }

    /// Has a thread of the process call the supervisor, which replaces the descriptors.
    pub(super) fn exchange(
        &mut self,
        process: u32,
        exchanges: &Exchanges,
        replacements: Vec<Replacement>,
    ) -> Result<(), Errno> {
        let index = self.threads.iter().position(|one| one.process == process);
        let Some(thread) = index.and_then(|index| self.threads.get_mut(index)) else {
            // It has come to have the file since, or has died.
            return Err(Errno::BUSY);
        };
        let tracee = &mut thread.tracee;
        let original = tracee.registers()?;
        let mask = tracee.signal_mask()?;
        let is_in_call = (original.orig_rax as i64) >= 0;
        let place = match is_in_call {
            true => original.rip.wrapping_sub(INSTRUCTION_LENGTH),
            false => holders::system_call_instruction(process).ok_or(Errno::BUSY)?,
        };
        tracee.set_signal_mask(u64::MAX)?;
        exchanges.expect(tracee.tid(), replacements);
        let called = call(tracee, &original, place);
        let served = exchanges.finish();
        if called == Err(Stop::Gone) {
            self.threads.retain(|one| one.process != process);
            return Ok(()); // nobody has the descriptors any more
        }
        tracee.set_registers(&resumed(original))?;
        tracee.set_signal_mask(mask)?;
        if let Err(Stop::Signal(signal)) = called {
            // SIGSTOP, which cannot be blocked.
            thread.stopped = Some(signal);
        }
        match (called, served) {
            (Ok(()), Some(result)) => result,
            _ => Err(Errno::BUSY),
        }
    }

    /// Lets all of them go on. Those that cannot yet are added to `late`.
    pub(super) fn let_go(self, late: &mut Vec<Late>) {
        for thread in self.threads {
            late.extend(match thread.stopped {
                Some(signal) => Late::stopped(thread.tracee, signal),
                None => Some(Late::running(thread.tracee)),
            });
        }
    }
}

/// Makes the thread call fsync(2), which the filter hands to the supervisor, and stops it again behind the call: there
/// the kernel has closed what was replaced.
fn call(tracee: &mut Tracee, original: &Registers, place: u64) -> Result<(), Stop> {
    let registers = Registers {
        rax: libc::SYS_fsync as u64,
        rdi: u64::MAX,
        rip: place,
        r9: 0,
        // Not in a system call: the kernel shall not restart anything.
        orig_rax: u64::MAX,
        ..*original
    };
    tracee.set_registers(&registers).map_err(|_| Stop::Gone)?;
    for wanted in [
        Stop::SystemCall,
        Stop::SystemCall,
        Stop::Trap(libc::SIGTRAP),
    ] {
        if wanted != Stop::SystemCall {
            tracee.interrupt().map_err(|_| Stop::Gone)?;
        }
        tracee.resume(0).map_err(|_| Stop::Gone)?;
        let stop = tracee.wait(tracee.tid());
        if stop != wanted {
            return Err(stop);
        }
    }
    Ok(())
}
