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

/// A thread that was let go because the view is to run a call in it is left alone for this long at least, and tried again
/// for this long.
const LEFT_ALONE: Duration = Duration::from_millis(1);
const TRIED_AGAIN: Duration = Duration::from_secs(1);
/// Longest wait for room that is about to come back.
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// What the result register holds at the entry of a call.
const AT_ENTRY: i64 = -(libc::ENOSYS as i64);

/// What a thread is doing.
#[derive(Debug)]
enum Phase {
    /// It runs to the next end of a call, or has not stopped yet.
    Runs,
    /// A call that was cut short by the stop writes its rest.
    Rest(Registers),
    /// In a call that takes room.
    Writes(Taken),
    /// In a call that was changed: the registers as they were, and the result if it is not the call's own.
    Changed(Box<Registers>, Option<Taken>),
    /// At the entry of a call that has to wait, since when.
    Waits(Box<Registers>, Instant),
}

struct One {
    process: u32,
    tracee: Tracee,
    phase: Phase,
    /// It has been asked to stop, and has not yet.
    is_asked: bool,
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

    /// Attaches the threads of a process that can be and are not yet; those that were to leave stay. `caller`: the one of
    /// them that waits in a call which the view serves now, and which ends without the view's running another in it.
    pub(super) fn attach(&mut self, process: u32, caller: Option<u32>) {
        for thread in threads(process) {
            if let Some(one) = self.threads.get_mut(&thread) {
                one.leaves = false;
            } else if caller == Some(thread) || self.can_be_attached(thread) {
                self.attach_thread(process, thread);
            }
        }
    }

    fn can_be_attached(&self, thread: u32) -> bool {
        !self.let_go.contains_key(&thread) && is_stoppable(thread) && !is_served(thread)
    }

    fn attach_thread(&mut self, process: u32, thread: u32) {
        // Those that another tracer has are left to it.
        if let Ok(tracee) = Tracee::follow(thread) {
            let _ = tracee.interrupt();
            self.add(process, tracee, false);
        }
    }

    fn add(&mut self, process: u32, tracee: Tracee, leaves: bool) {
        let thread = tracee.tid();
        let one = One {
            process,
            tracee,
            phase: Phase::Runs,
            is_asked: true,
            leaves,
            is_released: false,
        };
        self.threads.insert(thread, one);
    }

    /// Attaches those again that were let go for a call.
    pub(super) fn attach_again(&mut self) {
        let now = Instant::now();
        let age = |since: &Instant| now.saturating_duration_since(*since);
        self.let_go.retain(|_, since| age(since) < TRIED_AGAIN);
        let due: Vec<u32> = self
            .let_go
            .iter()
            .filter(|(thread, since)| {
                age(since) >= LEFT_ALONE
                    && !self.threads.contains_key(thread)
                    && is_stoppable(**thread)
                    && !is_served(**thread)
            })
            .map(|(thread, _)| *thread)
            .collect();
        for thread in due {
            self.let_go.remove(&thread);
            let process = crate::task::process_of(thread).unwrap_or(thread);
            self.attach_thread(process, thread);
        }
    }

    /// Lets all threads go, as soon as they can be made to stop.
    pub(super) fn release_all(&mut self) {
        for one in self.threads.values_mut() {
            if !one.leaves {
                one.leaves = true;
                if is_stoppable(one.tracee.tid()) {
                    one.ask();
                }
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
        one.ask()
    }

    /// Serves those that have stopped. Was there any?
    pub(super) fn serve(&mut self, view: &View, ledger: &mut Ledger) -> bool {
        let mut any = false;
        let mut started = Vec::new();
        self.threads.retain(|_, one| {
            let mut stays = true;
            while stays && !matches!(one.phase, Phase::Waits(..)) {
                let Some(stop) = one.tracee.try_wait() else {
                    break;
                };
                any = true;
                if let Stop::Event(event) = stop
                    && let Some(tracee) = one.tracee.started(event)
                {
                    started.push((tracee, one.leaves));
                }
                stays = one.stopped(stop, view, ledger);
            }
            stays
        });
        for (tracee, leaves) in started {
            let process = crate::task::process_of(tracee.tid()).unwrap_or(tracee.tid());
            self.add(process, tracee, leaves);
        }
        for one in self.threads.values_mut() {
            if let Phase::Waits(registers, since) = &one.phase {
                let (registers, since) = (**registers, *since);
                one.decide(registers, since, view, ledger);
            }
        }
        any
    }
}

/// Is the thread in a call that the view may have to run another for in its place?
fn is_served(thread: u32) -> bool {
    const SERVED: [i64; 11] = [
        libc::SYS_execve,
        libc::SYS_execveat,
        libc::SYS_open,
        libc::SYS_openat,
        libc::SYS_openat2,
        libc::SYS_creat,
        libc::SYS_chdir,
        libc::SYS_fchdir,
        libc::SYS_chroot,
        libc::SYS_bind,
        libc::SYS_connect,
    ];
    let text = std::fs::read_to_string(format!("/proc/{thread}/syscall")).unwrap_or_default();
    let number = text.split_ascii_whitespace().next();
    number.is_some_and(|number| {
        number
            .parse()
            .is_ok_and(|number: i64| SERVED.contains(&number))
    })
}

impl One {
    /// Asks it to stop.
    fn ask(&mut self) -> bool {
        self.is_asked = self.tracee.interrupt().is_ok();
        self.is_asked
    }

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

    /// Stopped on its way to its own code. Does it stay?
    fn interrupted(&mut self, registers: Registers) -> bool {
        if std::mem::take(&mut self.is_asked) {
            if is_short_write(&registers) {
                self.phase = Phase::Rest(registers);
                let _ = self.tracee.set_registers(&rest_of(registers));
                let _ = self.tracee.resume(0);
                return true;
            }
            let _ = self.tracee.set_registers(&resumed(registers));
        }
        if self.goes() {
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
            _ if is_entry => self.decide(registers, Instant::now(), view, ledger),
            _ => {
                let _ = self.tracee.resume(0);
            }
        }
        true
    }

    /// At the entry of a call, since then: what may it do?
    fn decide(&mut self, registers: Registers, since: Instant, view: &View, ledger: &mut Ledger) {
        let is_patient = since.elapsed() < LONGEST_WAIT;
        let thread = self.tracee.tid();
        let call = WritingCall::at(thread, &registers);
        let verdict = call.and_then(|call| {
            let descriptor = Descriptor::of(thread, call.descriptor)?;
            let identity = Identity {
                device: descriptor.stat.st_dev,
                inode: descriptor.stat.st_ino,
            };
            let dentry = writers::file_of(view, identity)?;
            Some((call, ledger.ask(&call, &descriptor, &dentry, is_patient)))
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
                self.phase = Phase::Waits(Box::new(registers), since);
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
