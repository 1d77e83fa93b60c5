//! Telling the kernel how a call ended.

use crate::task::{Answer, Task};
use rustix::io::Errno;
use std::os::fd::AsFd;

/// Answers the task's call. A tracee that died meanwhile needs no answer.
pub fn send(task: &Task<'_>, result: Result<Answer, Errno>) {
    let id = task.call.id;
    let listener = task.listener;
    let sent = match result {
        Ok(Answer::Continue) => listener.answer_continue(id),
        Ok(Answer::Value(value)) => listener.answer_value(id, value),
        Ok(Answer::Descriptor { descriptor, close_on_exec }) => {
            let added = listener.add(id, descriptor.as_fd(), close_on_exec, 0);
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
