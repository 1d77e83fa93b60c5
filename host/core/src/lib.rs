//! Interception: from a notified system call of a tracee to its answer.
//!
//! | Module              | Responsibility                                                     |
//! |---------------------|--------------------------------------------------------------------|
//! | `intercept`         | receives notifications, answers them                               |
//! | `task`              | the calling thread: memory, ids, descriptors, directory            |
//! | `syscall`           | one file a family of calls, and the support table                  |
//! | `scalpel`           | running another call in the tracee                                 |
//! | `view`              | everything one view keeps                                          |
//! | `callers`           | what is kept of threads between their calls                        |
//! | `pidfds`            | how their descriptors are reached                                  |
//! | `kept`              | how many of both are kept                                          |
//! | `mounting`          | changing a namespace                                               |
//! | `proc_text`         | texts below /proc that tell names                                  |
//! | `identity`          | virtual ids, and what the host does not know of owners and modes   |
//! | `names`             | names as /proc writes them                                         |
//! | `housekeeping`      | forgetting what nobody has open any more                           |
//! | `relocation`        | files that are written and outgrow memory                          |
//! | `space`             | writers to filesystems that are nearly full                        |
//! | `private_directory` | names that exist only while a call needs them                      |
//! | `launch`            | the processes of a view                                            |
//! | `supervisor`        | building a view and serving it to its end                          |
//! | `control`           | the socket by which a running view is changed                      |
//! | `handler`           | what a view does for that socket                                   |
//!
//! A call travels: `intercept` -> `syscall` -> `view-vfs` -> a module. Lock order: see `view`.
#![forbid(unsafe_code)]

mod callers;
pub mod control;
pub mod handler;
mod housekeeping;
pub mod identity;
pub mod intercept;
mod kept;
pub mod launch;
mod mounting;
mod names;
mod pidfds;
mod private_directory;
mod proc_text;
pub mod relocation;
pub mod scalpel;
pub mod space;
pub mod supervisor;
pub mod syscall;
pub mod task;
mod termination;
pub mod view;

/// A line for the user: `view: ...` on stderr, in one write.
pub fn say(line: &str) {
    use std::io::Write;
    let text = format!("view: {}\n", line.replace('\n', " "));
    let _ = std::io::stderr().write_all(text.as_bytes());
}

/// Random bits from the kernel.
pub(crate) fn random_u64() -> u64 {
    let mut bytes = [0u8; 8];
    match rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()) {
        Ok(8) => u64::from_ne_bytes(bytes),
        _ => {
            let now = std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .unwrap_or_default();
            now.as_nanos() as u64 ^ u64::from(std::process::id()) << 32
        }
    }
}
