//! Running another call in the tracee, seen as an answer.

use crate::scalpel::{self, Argument, InjectedCall, Outcome, Waiting};
use crate::task::{Answer, Task};
use rustix::io::Errno;

/// The task's thread as the scalpel wants it. What the thread does itself from now on ends with its death.
pub fn waiting<'t>(task: &'t Task<'_>) -> Waiting<'t> {
    task.end();
    Waiting {
        listener: task.listener,
        id: task.call.id,
        tid: task.call.tid,
        space: Some(&task.view.space),
    }
}

/// What an injection means for the notified call.
pub fn answer(outcome: Outcome) -> Result<Answer, Errno> {
    match outcome {
        Outcome::Done(_) | Outcome::Restarted | Outcome::Gone => Ok(Answer::Sent),
        // Another tracer (gdb, strace) has the thread.
        Outcome::AlreadyTraced => Err(Errno::PERM),
        Outcome::Refused(errno) => Err(errno),
    }
}

/// Runs `number` with these arguments in the tracee.
pub fn run(
    task: &Task<'_>,
    number: i64,
    arguments: &[Argument<'_>],
    may_block: bool,
) -> Result<Answer, Errno> {
    run_then(task, number, arguments, may_block, |result| result)
}

/// The same; `then` sees the result before the program does, and may replace it.
pub fn run_then(
    task: &Task<'_>,
    number: i64,
    arguments: &[Argument<'_>],
    may_block: bool,
    then: impl FnOnce(i64) -> i64,
) -> Result<Answer, Errno> {
    answer(outcome(task, number, arguments, may_block, then))
}

/// The same, told as it happened.
pub fn outcome(
    task: &Task<'_>,
    number: i64,
    arguments: &[Argument<'_>],
    may_block: bool,
    then: impl FnOnce(i64) -> i64,
) -> Outcome {
    let mut all = [Argument::Value(0); 5];
    for (slot, argument) in all.iter_mut().zip(arguments) {
        *slot = *argument;
    }
    let call = InjectedCall {
        number: number as u64,
        arguments: all,
        may_block,
    };
    scalpel::inject_then(&waiting(task), task.view.cookie, &call, then)
}

/// `text` with the NUL that a path argument ends in.
pub fn c_string(text: &[u8]) -> Vec<u8> {
    let mut bytes = text.to_vec();
    bytes.push(0);
    bytes
}
