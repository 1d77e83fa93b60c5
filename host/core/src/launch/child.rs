//! The command's process from the fork to the exec: the filter, the hand-over of its listener, the directory.

use super::{Command, EXIT_VIEW_FAILED, exec, handover, reason};
use rustix::io::Errno;
use std::os::fd::{AsFd, OwnedFd};
use view_sys::filter::FilterProgram;
use view_sys::process;

/// How the command gets into a view.
#[derive(Debug)]
pub(super) struct Gate<'a> {
    /// The program to install.
    pub(super) filter: &'a FilterProgram,
    /// The view's cookie.
    pub(super) cookie: u64,
    /// Where the listener goes.
    pub(super) socket: OwnedFd,
    /// The command's process's end of a pair of sockets with the reaper, which keeps a copy of the listener: with
    /// none left, notified calls would fail with ENOSYS in the moments between the supervisor's death and their own.
    pub(super) keeper: Option<OwnedFd>,
    /// A supervisor that is no ancestor and must be allowed to trace this process.
    pub(super) tracer: Option<u32>,
}

/// Becomes the command. Every call from the hand-over on is served by the supervisor, so a directory or a program on
/// a mount of the view is found.
pub(super) fn become_command(command: &Command, gate: Option<Gate<'_>>) -> ! {
    let code = match run(command, gate) {
        Ok(never) => match never {},
        Err((message, code)) => {
            if let Some(message) = message {
                eprintln!("view: {message}");
            }
            code
        }
    };
    process::exit_now(code)
}

enum Never {}

fn run(command: &Command, gate: Option<Gate<'_>>) -> Result<Never, (Option<String>, i32)> {
    let name = command
        .arguments
        .first()
        .map(|name| name.to_string_lossy())
        .unwrap_or_default();
    let failed = |errno: Errno| {
        (
            Some(format!("cannot run {name}: {}", reason(errno))),
            exec::exit_code(errno),
        )
    };
    let prepared = exec::Prepared::new(command).map_err(failed)?;
    if let Some(gate) = gate {
        // The supervisor hears of a failure and tells it.
        pass(gate).map_err(|_| (None, EXIT_VIEW_FAILED))?;
    }
    process::restore_inherited_state();
    if let Some(directory) = &command.directory {
        rustix::process::chdir(directory).map_err(|errno| {
            let text = format!(
                "cannot change directory to {}: {}",
                directory.display(),
                reason(errno)
            );
            (Some(text), EXIT_VIEW_FAILED)
        })?;
    }
    Err(failed(prepared.run()))
}

fn pass(gate: Gate<'_>) -> Result<(), Errno> {
    if let Some(tracer) = gate.tracer {
        process::allow_tracer(tracer);
    }
    let installed = rustix::thread::set_no_new_privs(true).and_then(|()| {
        match gate.filter.install(true) {
            // Kernels before 5.19 do not know the flag.
            Err(Errno::INVAL) => gate.filter.install(false).map(|listener| (listener, false)),
            result => result.map(|listener| (listener, true)),
        }
    });
    match installed {
        Ok((listener, killable)) => {
            if let Some(keeper) = gate.keeper {
                handover::send_listener(keeper.as_fd(), listener.as_fd(), killable, gate.cookie)?;
            }
            handover::hand_over(gate.socket.as_fd(), listener.as_fd(), killable, gate.cookie)
        }
        Err(errno) => {
            handover::report_failure(gate.socket.as_fd(), errno);
            Err(errno)
        }
    }
}
