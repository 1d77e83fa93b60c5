//! Starting a command in a view: four processes and what they tell each other.
//!
//! ```text
//! front --> supervisor --> reaper --> command
//! ```
//!
//! The *front* is the process that the caller started: it waits, hands signals on and returns the command's status.
//! The *supervisor* serves the view in a session of its own. The *reaper* stays in the caller's session and process
//! group, is the parent of the command and adopts its orphans (PR_SET_CHILD_SUBREAPER), so it knows when the last
//! process is gone; it must not be the supervisor, whose waits for traced threads and for children would mix.
//!
//! | Module       | Responsibility                                                     |
//! |--------------|--------------------------------------------------------------------|
//! | `front`      | waiting, signals, job control, the exit code                       |
//! | `supervised` | what the supervisor holds: start the command, hear of its end      |
//! | `reaper`     | children, orphans, the end of everything when the supervisor dies  |
//! | `child`      | the command's process until it execs: filter, hand-over, directory |
//! | `exec`       | finding a program as execvp(3) does                                |
//! | `handover`   | the listener's way from the command's process to the supervisor    |
//! | `channel`    | the messages between the processes                                 |
//! | `tree`       | the process tree in /proc; killing what is below a process         |
//!
//! All forks happen in processes with one thread. No locks.
//!
//! Reference: prctl(2), setsid(2), credentials(7), signal(7), env(1) for the exit codes.

mod channel;
mod child;
mod exec;
mod front;
pub mod handover;
mod reaper;
mod supervised;
mod tree;

pub use supervised::{Event, Reaper, Started, Supervised};
pub use tree::{is_below_supervisor, kill_all_processes, processes_below};

use channel::{Channel, Message};
use child::Gate;
use reaper::Control;
use rustix::io::Errno;
use std::ffi::OsString;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use view_sys::filter::FilterProgram;
use view_sys::process::{self, Disposition, Fork};

/// Exit code: `view` itself failed.
pub const EXIT_VIEW_FAILED: i32 = 125;
/// Exit code: the command was found but could not be executed.
pub const EXIT_CANNOT_RUN: i32 = 126;
/// Exit code: the command was not found.
pub const EXIT_NOT_FOUND: i32 = 127;

/// What to run.
#[derive(Debug, Clone)]
pub struct Command {
    /// The program's name (looked for in the new environment's PATH when it has no slash) and its arguments.
    pub arguments: Vec<OsString>,
    /// The whole environment.
    pub environment: Vec<(OsString, OsString)>,
    /// Working directory; the caller's when absent. Entered inside the view.
    pub directory: Option<PathBuf>,
}

/// A launch that failed in the calling process, before anything was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{step}: {}", reason(*.errno))]
pub struct LaunchError {
    /// What was tried.
    pub step: &'static str,
    /// Why it failed.
    pub errno: Errno,
}

fn at_step(step: &'static str) -> impl FnOnce(Errno) -> LaunchError {
    move |errno| LaunchError { step, errno }
}

/// Runs a command in a new view and gives the exit code for the calling process (the front).
///
/// `supervise` runs in the supervisor, a new process, before anything else is started: it sets the view up, calls
/// [`Supervised::start`], serves until [`Event::AllGone`] and gives the supervisor's exit code. A code other than 0
/// wins over the command's when the front still waits; when it returns without having started the command, nothing
/// was launched and its code is the front's.
///
/// The calling process must have a single thread.
pub fn run_in_new_view(
    command: &Command,
    filter: &FilterProgram,
    cookie: u64,
    supervise: impl FnOnce(Supervised) -> i32,
) -> Result<i32, LaunchError> {
    prepare_process();
    let result = launch(command, filter, cookie, supervise);
    process::restore_inherited_mask();
    result
}

fn launch(
    command: &Command,
    filter: &FilterProgram,
    cookie: u64,
    supervise: impl FnOnce(Supervised) -> i32,
) -> Result<i32, LaunchError> {
    let (to_reaper, to_front) = Channel::pair().map_err(at_step("cannot make a socket pair"))?;
    let front = std::process::id();
    match process::fork().map_err(at_step("cannot start the supervisor"))? {
        Fork::Parent(supervisor) => {
            drop(to_front);
            front::wait(to_reaper, front::Child::Supervisor(supervisor))
                .map_err(at_step("cannot wait for the view"))
        }
        Fork::Child => {
            drop(to_reaper);
            let reaper = |control, gate_socket| {
                let gate = Gate {
                    filter,
                    cookie,
                    socket: gate_socket,
                    keeper: None,
                    tracer: None,
                };
                reaper::run(control, to_front, front, command, Some(gate))
            };
            supervised::become_supervisor(reaper, supervise)
        }
    }
}

/// Runs a command as a part of a view that the calling process is already in: no filter is installed.
///
/// `prepare` is called in the calling process with the id of the process that will be the command's parent and
/// adopts its orphans, before the command is started; its error is the exit code, with nothing started.
/// The calling process must have a single thread.
pub fn run_nested(
    command: &Command,
    prepare: impl FnOnce(u32) -> Result<(), i32>,
) -> Result<i32, LaunchError> {
    prepare_process();
    let (to_reaper, to_front) = Channel::pair().map_err(at_step("cannot make a socket pair"))?;
    let (starter, control) = Channel::pair().map_err(at_step("cannot make a socket pair"))?;
    let front = std::process::id();
    let result = match process::fork().map_err(at_step("cannot start the reaper"))? {
        Fork::Child => {
            drop((to_reaper, starter));
            reaper::run(Control::Starter(control), to_front, front, command, None)
        }
        Fork::Parent(reaper) => {
            drop((to_front, control));
            // An interrupt ends the preparation and, because the starter closes, the reaper.
            process::restore_inherited_mask();
            let prepared = prepare(reaper);
            process::block_all_signals();
            match prepared {
                Err(code) => {
                    drop(starter);
                    front::reap(reaper);
                    Ok(code)
                }
                Ok(()) => {
                    let _ = starter.send(Message::Start);
                    front::wait(to_reaper, front::Child::Reaper(reaper))
                        .map_err(at_step("cannot wait for the command"))
                }
            }
        }
    };
    process::restore_inherited_mask();
    result
}

/// Runs a command in the view of a supervisor that is no ancestor: the command installs the filter and sends its
/// listener over `socket` (see [`handover`]), a connected AF_UNIX stream or seqpacket socket. The supervisor keeps
/// its end open for as long as it serves; when that end closes, the command and all its descendants are killed.
/// The calling process must have a single thread.
pub fn run_entered(
    command: &Command,
    filter: &FilterProgram,
    cookie: u64,
    socket: OwnedFd,
) -> Result<i32, LaunchError> {
    prepare_process();
    let watched = socket.try_clone().map_err(|error| LaunchError {
        step: "cannot copy the socket",
        errno: Errno::from_io_error(&error).unwrap_or(Errno::IO),
    })?;
    let tracer = rustix::net::sockopt::socket_peercred(&socket)
        .ok()
        .map(|peer| peer.pid.as_raw_nonzero().get().unsigned_abs());
    let (to_reaper, to_front) = Channel::pair().map_err(at_step("cannot make a socket pair"))?;
    let front = std::process::id();
    let result = match process::fork().map_err(at_step("cannot start the reaper"))? {
        Fork::Child => {
            drop(to_reaper);
            let gate = Gate {
                filter,
                cookie,
                socket,
                keeper: None,
                tracer,
            };
            reaper::run(
                Control::Watched(watched),
                to_front,
                front,
                command,
                Some(gate),
            )
        }
        Fork::Parent(reaper) => {
            drop((to_front, socket, watched));
            front::wait(to_reaper, front::Child::Reaper(reaper))
                .map_err(at_step("cannot wait for the command"))
        }
    };
    process::restore_inherited_mask();
    result
}

/// Before the first fork: signals wait for the front's loop, and children can be waited for even if the caller
/// ignored SIGCHLD.
fn prepare_process() {
    flush();
    process::block_all_signals();
    let _ = process::set_disposition(libc::SIGCHLD, Disposition::Default);
}

/// What is buffered must not be written by each of the processes.
fn flush() {
    let _ = std::io::stdout().flush();
    let _ = std::io::stderr().flush();
}

/// The text of an error number, without Rust's "(os error N)".
fn reason(errno: Errno) -> String {
    let text = errno.to_string();
    match text.rsplit_once(" (os error") {
        Some((words, _)) => words.to_owned(),
        None => text,
    }
}
