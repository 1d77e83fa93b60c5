//! The threads of those who write to a nearly full filesystem: each call is looked at before it begins.
//!
//! A thread is attached with ptrace(2) and runs from one end of a call to the other. At the entry of a call that writes
//! more than there is room for, the number of its bytes is set lower, as Linux's own filesystems do, or the call is made to fail
//! with ENOSPC; its registers are put back at the exit. Everything else goes as it is.
//!
//! Neighbours: `space` (who is attached), `ledger` (what there is), `call`, `relocation` (how a thread goes on that
//! was stopped in a call). All of it in one thread, as ptrace wants it. No locks.

use super::call::{Descriptor, WritingCall};
use super::ledger::{Ledger, Taken, Verdict};
use super::writers;
use crate::relocation::{is_short_write, is_stoppable, rest_of, resumed, threads, together};
use crate::view::View;
use std::collections::HashMap;
use std::time::{Duration, Instant};
use view_sys::ptrace::{Registers, Stop, Tracee};
use view_vfs::attributes::Identity;

/// A thread that was let go because the view is to run a call in it is left alone for this long.
const LEFT_ALONE: Duration = Duration::from_millis(5);
/// What the result register holds at the entry of a call.
const AT_ENTRY: i64 = -(libc::ENOSYS as i64);

/// What a thread is doing.
#[derive(Debug)]
enum Phase {
    /// It has been asked to stop for the first time.
    Interrupted,
    /// It runs to the next end of a call.
    Runs,
    /// A call that was cut short by the stop writes its rest.
    Rest(Registers),
    /// In a call that takes room.
    Writes(Taken),
    /// In a call that was changed: the registers as they were, and the result if it is not the call's own.
    Changed(Box<Registers>, Option<Taken>),
    /// At the entry of a call that has to wait.
    Waits(Box<Registers>),
}

struct One {
    process: u32,
    tracee: Tracee,
    phase: Phase,
    /// It is let go as soon as that can be, since it need not be held back,
    leaves: bool,
    /// or since the view is to run a call in it.
    is_released: bool,
}

/// All attached threads.
#[derive(Default)]
pub(super) struct Traced {
    threads: HashMap<u32, One>,
    let_go: HashMap<u32, Instant>,
}

impl Traced {
    pub(super) fn is_empty(&self) -> bool {
        self.threads.is_empty()
    }

    /// Attaches the threads of a process that can be and are not yet; those that were to leave stay.
    pub(super) fn attach(&mut self, process: u32) {
        let now = Instant::now();
        self.let_go
            .retain(|_, since| now.saturating_duration_since(*since) < LEFT_ALONE);
        for thread in threads(process) {
            if let Some(one) = self.threads.get_mut(&thread) {
                one.leaves = false;
                continue;
            }
            // Those that another tracer has are left to it.
            if !self.let_go.contains_key(&thread)
                && is_stoppable(thread)
                && let Ok(tracee) = Tracee::follow(thread)
            {
                let _ = tracee.interrupt();
                let one = One {
                    process,
                    tracee,
                    phase: Phase::Interrupted,
                    leaves: false,
                    is_released: false,
                };
                self.threads.insert(thread, one);
            }
        }
    }

    /// Lets the threads of all other processes go.
    pub(super) fn keep(&mut self, is_kept: impl Fn(u32) -> bool) {
        for one in self.threads.values_mut() {
            one.leaves = !is_kept(one.process);
        }
    }

    /// The view is to run a call in this thread, which waits in one: it goes when that ends. False if it is not attached.
    pub(super) fn release(&mut self, thread: u32) -> bool {
        let Some(one) = self.threads.get_mut(&thread) else {
            return false;
        };
        one.is_released = true;
        self.let_go.insert(thread, Instant::now());
        one.tracee.interrupt().is_ok()
    }

    /// Serves those that have stopped. Was there any?
    pub(super) fn serve(&mut self, view: &View, ledger: &mut Ledger) -> bool {
        let mut any = false;
        self.threads.retain(|_, one| {
            let mut stays = true;
            while stays && !matches!(one.phase, Phase::Waits(_)) {
                let Some(stop) = one.tracee.try_wait() else {
                    break;
                };
                any = true;
                stays = one.stopped(stop, view, ledger);
            }
            stays
        });
        for one in self.threads.values_mut() {
            if let Phase::Waits(registers) = &one.phase {
                let registers = **registers;
                one.decide(registers, view, ledger);
            }
        }
        any
    }
}

impl One {
    fn goes(&self) -> bool {
        self.leaves || self.is_released
    }

    /// The thread has stopped, or is gone. Does it stay?
    fn stopped(&mut self, stop: Stop, view: &View, ledger: &mut Ledger) -> bool {
        match stop {
            Stop::Gone => {
                self.ends_call(ledger);
                return false;
            }
            Stop::SystemCall => {
                // What fails here has been killed: the next look finds it gone.
                if let Ok(registers) = self.tracee.registers() {
                    return self.at_call(registers, view, ledger);
                }
            }
            Stop::Trap(libc::SIGTRAP) => {
                if let Ok(registers) = self.tracee.registers() {
                    return self.interrupted(registers);
                }
            }
            Stop::Trap(_) => {
                if !self.goes() {
                    let _ = self.tracee.listen();
                    return true;
                }
                return self.tracee.detach(0).is_err();
            }
            Stop::Signal(signal) => {
                if self.goes() && matches!(self.phase, Phase::Runs) {
                    return self.tracee.detach(signal).is_err();
                }
                let _ = self.tracee.resume(signal);
            }
            Stop::Exec | Stop::Event(_) => {
                let _ = self.tracee.resume(0);
            }
        }
        true
    }

    /// Stopped on its way to its own code, where we asked it to.
    fn interrupted(&mut self, registers: Registers) -> bool {
        let is_first = matches!(self.phase, Phase::Interrupted);
        if is_first && is_short_write(&registers) {
            self.phase = Phase::Rest(registers);
            let _ = self.tracee.set_registers(&rest_of(registers));
            let _ = self.tracee.resume(0);
            return true;
        }
        if is_first {
            self.phase = Phase::Runs;
        }
        if is_first || self.goes() {
            let _ = self.tracee.set_registers(&resumed(registers));
        }
        if self.goes() && matches!(self.phase, Phase::Runs) {
            return self.tracee.detach(0).is_err();
        }
        let _ = self.tracee.resume(0);
        true
    }

    /// At the entry or the exit of a call. Does it stay?
    fn at_call(&mut self, registers: Registers, view: &View, ledger: &mut Ledger) -> bool {
        let is_entry = registers.rax as i64 == AT_ENTRY;
        match std::mem::replace(&mut self.phase, Phase::Runs) {
            Phase::Rest(short) if is_entry => {
                self.phase = Phase::Rest(short);
                let _ = self.tracee.resume(0);
            }
            Phase::Rest(short) => {
                let _ = self.tracee.set_registers(&together(short, registers.rax));
                let _ = self.tracee.resume(0);
            }
            Phase::Writes(taken) => {
                ledger.ended(taken);
                let _ = self.tracee.resume(0);
            }
            Phase::Changed(original, taken) => {
                let result = match taken {
                    Some(taken) => {
                        ledger.ended(taken);
                        registers.rax
                    }
                    None => -i64::from(libc::ENOSPC) as u64,
                };
                let back = Registers {
                    rax: result,
                    rip: registers.rip,
                    ..*original
                };
                let _ = self.tracee.set_registers(&back);
                let _ = self.tracee.resume(0);
            }
            _ if is_entry && self.goes() => return self.tracee.detach(0).is_err(),
            _ if is_entry => self.decide(registers, view, ledger),
            _ => {
                let _ = self.tracee.resume(0);
            }
        }
        true
    }

    /// At the entry of a call: what may it do?
    fn decide(&mut self, registers: Registers, view: &View, ledger: &mut Ledger) {
        let thread = self.tracee.tid();
        let call = WritingCall::at(thread, &registers);
        let verdict = call.and_then(|call| {
            let descriptor = Descriptor::of(thread, call.descriptor)?;
            let identity = Identity {
                device: descriptor.stat.st_dev,
                inode: descriptor.stat.st_ino,
            };
            let dentry = writers::file_of(view, identity)?;
            Some((call, ledger.ask(&call, &descriptor, &dentry)))
        });
        self.phase = match verdict {
            None | Some((_, Verdict::Goes)) => Phase::Runs,
            Some((_, Verdict::Takes(taken))) => Phase::Writes(taken),
            Some((call, Verdict::Short(bytes, taken))) => {
                let changed = call.shortened(&registers, bytes);
                let _ = self.tracee.set_registers(&changed);
                Phase::Changed(Box::new(registers), Some(taken))
            }
            Some((call, Verdict::Refused)) => {
                let _ = self.tracee.set_registers(&call.without_effect(&registers));
                Phase::Changed(Box::new(registers), None)
            }
            Some((_, Verdict::Waits)) => {
                self.phase = Phase::Waits(Box::new(registers));
                return;
            }
        };
        let _ = self.tracee.resume(0);
    }

    fn ends_call(&self, ledger: &mut Ledger) {
        if let Phase::Writes(taken) | Phase::Changed(_, Some(taken)) = &self.phase {
            ledger.ended(*taken);
        }
    }
}
