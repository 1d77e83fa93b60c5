//! Telling the kernel how a call ended.

use crate::task::{Answer, Task};
use rustix::io::Errno;
use rustix::thread::{CpuSet, Pid, sched_getaffinity, sched_getcpu, sched_setaffinity};
use std::os::fd::AsFd;

/// Answers the task's call. A tracee that died meanwhile needs no answer.
pub fn send(task: &Task<'_>, result: Result<Answer, Errno>) {
    let id = task.call.id;
    let listener = task.listener;
    let sent = match result {
        Ok(Answer::Continue) => listener.answer_continue(id),
        Ok(Answer::Value(value)) => listener.answer_value(id, value),
        Ok(Answer::Descriptor {
            descriptor,
            close_on_exec,
        }) => {
            let added = on_one_cpu(task.call.tid, || {
                listener.add(id, descriptor.as_fd(), close_on_exec, 0)
            });
            // Ours goes before the tracee goes on: its close must be the last one (locks, end of file).
            drop(descriptor);
            match added {
                Ok(number) => listener.answer_value(id, i64::from(number)),
                Err(Errno::NOENT) => Ok(()),
                // The tracee's table is full, or the like: its error, never the host's file.
                Err(errno) => listener.answer_error(id, errno.raw_os_error()),
            }
        }
        Ok(Answer::Sent) => Ok(()),
        Err(errno) => listener.answer_error(id, errno.raw_os_error()),
    };
    // The only failure left is ENOENT: the tracee was killed.
    let _ = sent;
}

/// Runs `add` with this thread and the tracee kept on this thread's CPU.
///
/// Adding a descriptor wakes the tracee, which does it, and then this thread. Left alone the scheduler wakes both on
/// idle CPUs, which in a virtual machine costs ten times the switch. The tracee is asleep before and after, so it can't
/// see its mask changed.
fn on_one_cpu<T>(thread: u32, add: impl FnOnce() -> T) -> T {
    let tracee = Pid::from_raw(thread as i32);
    let (Ok(own), Ok(theirs)) = (sched_getaffinity(None), sched_getaffinity(tracee)) else {
        return add();
    };
    let cpu = sched_getcpu();
    if !own.is_set(cpu) || !theirs.is_set(cpu) {
        return add();
    }
    let mut one = CpuSet::new();
    one.set(cpu);
    let is_pinned =
        sched_setaffinity(None, &one).is_ok() && sched_setaffinity(tracee, &one).is_ok();
    let result = add();
    if is_pinned {
        let _ = sched_setaffinity(tracee, &theirs);
    }
    let _ = sched_setaffinity(None, &own);
    result
}
