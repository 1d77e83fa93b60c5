//! Linux as data, and the only crate of the project with `unsafe` code.
//!
//! Every other crate says `#![forbid(unsafe_code)]` and reaches the kernel through rustix or through the safe
//! wrappers here. Each wrapper proves why its call is sound.
//!
//! | Module    | Responsibility                                                        |
//! |-----------|-----------------------------------------------------------------------|
//! | `filter`  | emitting and installing the seccomp program                           |
//! | `notify`  | the seccomp listener: receive, answer, add a descriptor               |
//! | `memory`  | reading and writing a tracee's memory                                 |
//! | `ptrace`  | stops, registers, injected system calls                               |
//! | `process` | fork, signal state, passing descriptors before the first notification |
//! | `file`    | leases and other descriptor calls that rustix lacks                   |
//! | `digest`  | a sum over a page, by which a change is noticed                       |
//! | `mapping` | files that are looked at while others write to them              |
//! | `socket`  | names of sockets                                                      |
//! | `probe`   | what this host allows                                                 |
//!
//! References: seccomp(2), seccomp_unotify(2), ptrace(2), process_vm_readv(2).

pub mod digest;
pub mod file;
pub mod filter;
pub mod mapping;
pub mod memory;
pub mod notify;
pub mod probe;
pub mod process;
pub mod ptrace;
pub mod socket;

/// The error number of the last failed libc call of this thread.
pub(crate) fn last_errno() -> rustix::io::Errno {
    let code = std::io::Error::last_os_error()
        .raw_os_error()
        .unwrap_or(libc::EIO);
    rustix::io::Errno::from_raw_os_error(code)
}
