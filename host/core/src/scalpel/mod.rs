//! The scalpel: another system call, run by the tracee itself in place of the one it waits in.
//!
//! Some results need state changed *in* the tracee (its working directory, its program, a descriptor of a kind that
//! cannot be passed). While the thread waits in its notification the supervisor seizes it, answers the notification
//! with a restart code, and at the stop that follows sets the registers up for the other call. The filter lets that
//! call through because its sixth argument is the view's cookie. Afterwards the registers are as before, but for the
//! result, and nothing stays attached: gdb and strace work in a view.
//!
//! | Module    | Responsibility                                                      |
//! |-----------|---------------------------------------------------------------------|
//! | `session` | one thread under the scalpel: attach, run a call, put back, let go  |
//! | `data`    | bytes and pointer arrays placed in the tracee's memory              |
//! | `exec`    | execve(2) with another path and argument vector                     |
//! | `auxiliary` | ids in the auxiliary vector of a new program                      |
//! | `elf`     | the parts of an ELF file that exec needs; another interpreter       |
//! | `shebang` | the `#!` line as fs/binfmt_script.c reads it                        |
//!
//! Signals. A signal that comes before the injected call has begun is handed on, the original call is restarted by
//! the kernel and notified again ([`Outcome::Restarted`]). An injected call that a signal interrupts ends with the
//! kernel's own restart code *in the original call's registers*, so EINTR or SA_RESTART is decided by the kernel.
//! Calls that cannot block run with signals blocked, so that a storm of signals does not repeat them.
//!
//! No lock is held while a tracee is waited for. Each function must be called, start to end, in one thread.
//!
//! Reference: ptrace(2), seccomp_unotify(2), arch/x86/kernel/signal.c.

mod auxiliary;
mod data;
pub mod elf;
mod exec;
mod session;
pub mod shebang;

pub use auxiliary::IdWords;
pub use exec::{ExecVector, InjectedExec, inject_exec};

use crate::space::Space;
use data::Image;
use rustix::io::Errno;
use session::Session;
use view_sys::notify::Listener;

/// A thread that waits in a notification that this supervisor has received and not answered.
#[derive(Debug, Clone, Copy)]
pub struct Waiting<'a> {
    /// Where the notification came from.
    pub listener: &'a Listener,
    /// The notification.
    pub id: u64,
    /// The thread.
    pub tid: u32,
    /// Who may have attached to the thread meanwhile, and lets it go.
    pub space: Option<&'a Space>,
}

/// One argument of an injected call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Argument<'a> {
    /// The register's value.
    Value(u64),
    /// Bytes (with their NUL, if there is to be one) that the register shall point at.
    Bytes(&'a [u8]),
}

/// A system call to run in a tracee.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InjectedCall<'a> {
    /// System call number.
    pub number: u64,
    /// The first five arguments; the sixth is the cookie.
    pub arguments: [Argument<'a>; 5],
    /// The call may wait for long (opening a FIFO): signals must be able to interrupt it.
    pub may_block: bool,
}

/// What became of an injection. In all cases but the last two the notification has been answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The call ran; the program got this value (a negated error number below zero). A successful exec is 0.
    Done(i64),
    /// A signal came first, or interrupted the call: the kernel decides between EINTR and a restart; after a restart
    /// there is a new notification.
    Restarted,
    /// The thread died.
    Gone,
    /// Another tracer has the thread. The notification is untouched.
    AlreadyTraced,
    /// The kernel does not let us trace the thread. The notification is untouched.
    Refused(Errno),
}

/// Runs `call` in the tracee; the program sees its result as the result of the call that was notified.
pub fn inject(target: &Waiting<'_>, cookie: u64, call: &InjectedCall<'_>) -> Outcome {
    inject_then(target, cookie, call, |result| result)
}

/// As [`inject`], with a step between the call's end and the program's going on: `then` gets the result and may
/// replace it (to remove the name that was used, say). It is not called when the call was interrupted or did not run.
pub fn inject_then(
    target: &Waiting<'_>,
    cookie: u64,
    call: &InjectedCall<'_>,
    then: impl FnOnce(i64) -> i64,
) -> Outcome {
    let mut session = match Session::attach(target, target.tid) {
        Ok(session) => session,
        Err(outcome) => return outcome,
    };
    match operate(&mut session, cookie, call) {
        Ok(result) if session::is_restart(result) => session.finish(result),
        Ok(result) => session.finish(then(result)),
        Err(stop) => session.abandon(stop),
    }
}

fn operate(
    session: &mut Session,
    cookie: u64,
    call: &InjectedCall<'_>,
) -> Result<i64, session::Broken> {
    if !call.may_block {
        session.block_signals()?;
    }
    let mut image = Image::default();
    let places = call.arguments.map(|argument| match argument {
        Argument::Value(_) => None,
        Argument::Bytes(bytes) => Some(image.add(bytes)),
    });
    let base = match session.place(&image)? {
        Ok(base) => base,
        Err(errno) => return Ok(-i64::from(errno.raw_os_error())),
    };
    let mut registers = [0; 6];
    for ((register, argument), place) in registers.iter_mut().zip(call.arguments).zip(places) {
        *register = match (argument, place) {
            (Argument::Value(value), _) => value,
            (Argument::Bytes(_), offset) => base.wrapping_add(offset.unwrap_or(0)),
        };
    }
    registers[5] = cookie;
    session.run(call.number, registers)
}
