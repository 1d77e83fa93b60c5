//! Joining a view that already runs: as a child namespace from inside, or by entering from outside.
//!
//! Starting a new view is `supervisor`'s. Here the processes are started by `launch` too, and the
//! running supervisor is asked over its socket to serve them.
//!
//! Neighbours: `client` (asks), `launch` (processes), `handler` (the supervisor's answers).

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

use rustix::io::Errno;

use super::client::{ClientError, Connection};
use super::protocol::{Refusal, ViewSpec, error_text};
use crate::handler::filter_for;
use crate::launch::{self, Command, EXIT_VIEW_FAILED, LaunchError};

/// Why no command was started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartFailure {
    /// What was attempted, as in `cannot enter the view`.
    pub what: String,
    /// The cause.
    pub why: String,
    /// One remedy.
    pub hint: Option<String>,
    /// The kernel may have refused what a view needs of it; `view doctor` can tell.
    pub is_host_refusal: bool,
}

impl StartFailure {
    /// A failure that is no refusal by the host.
    pub fn new(what: impl Into<String>, refusal: Refusal) -> Self {
        Self {
            what: what.into(),
            why: refusal.why,
            hint: refusal.hint,
            is_host_refusal: false,
        }
    }

    /// From an I/O error, in Linux's words.
    pub fn io(what: impl Into<String>, error: &io::Error) -> Self {
        let why = match Errno::from_io_error(error) {
            Some(errno) => error_text(errno),
            None => error.to_string(),
        };
        Self {
            what: what.into(),
            why,
            hint: None,
            is_host_refusal: false,
        }
    }

    fn client(what: &str, error: ClientError) -> Self {
        match error {
            ClientError::Refused(refusal) => Self::new(what, refusal),
            ClientError::Io(error) => Self::io(what, &error),
            other => Self {
                what: what.into(),
                why: other.to_string(),
                hint: None,
                is_host_refusal: false,
            },
        }
    }
}

impl From<LaunchError> for StartFailure {
    fn from(error: LaunchError) -> Self {
        Self {
            what: error.step.to_owned(),
            why: error_text(error.errno),
            hint: None,
            is_host_refusal: true,
        }
    }
}

/// This process's environment with changes on top; later ones win.
pub fn environment(
    changes: impl IntoIterator<Item = (OsString, OsString)>,
) -> Vec<(OsString, OsString)> {
    let mut all: Vec<(OsString, OsString)> = std::env::vars_os().collect();
    for (key, value) in changes {
        match all.iter_mut().find(|(known, _)| *known == key) {
            Some((_, old)) => *old = value,
            None => all.push((key, value)),
        }
    }
    all
}

/// Runs the command of `spec` in a child namespace of the view that this process is in. It shares
/// the view's supervisor, so VIEW and VIEW_SOCKET stay what they are.
pub fn run_nested(
    spec: ViewSpec,
    mut connection: Connection,
    cwd: PathBuf,
) -> Result<i32, StartFailure> {
    let command = Command {
        arguments: spec.command,
        environment: environment(spec.environment),
        directory: spec.directory,
    };
    let name = spec.name.unwrap_or_default();
    let mut failure = None;
    let code = launch::run_nested(&command, |pid| {
        connection
            .new_namespace(pid, name, spec.mounts, cwd)
            .map(drop)
            .map_err(|error| {
                failure = Some(StartFailure::client(
                    "cannot start a view inside this view",
                    error,
                ));
                EXIT_VIEW_FAILED
            })
    })?;
    match failure {
        Some(failure) => Err(failure),
        None => Ok(code),
    }
}

/// Runs a command in a view that is already running and that this process is not in.
pub fn enter(
    mut connection: Connection,
    arguments: Vec<OsString>,
    changes: Vec<(OsString, OsString)>,
    directory: Option<PathBuf>,
) -> Result<i32, StartFailure> {
    let what = "cannot enter the view";
    let ticket = connection
        .prepare_enter()
        .map_err(|error| StartFailure::client(what, error))?;
    let command = Command {
        arguments: arguments.clone(),
        environment: environment(changes.into_iter().chain(ticket.environment)),
        directory,
    };
    let socket = connection
        .enter(arguments)
        .map_err(|error| StartFailure::client(what, error))?;
    let filter = filter_for(ticket.cookie, ticket.has_identity);
    Ok(launch::run_entered(
        &command,
        &filter,
        ticket.cookie,
        socket,
    )?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn environment_is_the_callers_with_changes_on_top() {
        let changes = [("PATH", "/p"), ("A", "1"), ("A", "2")];
        let all = environment(changes.map(|(key, value)| (key.into(), value.into())));
        let get = |key: &str| {
            let mut found = all.iter().filter(|(known, _)| known == key);
            let value = found.next().map(|(_, value)| value.to_str().unwrap());
            assert!(found.next().is_none(), "{key} is there twice");
            value
        };
        assert_eq!((get("PATH"), get("A")), (Some("/p"), Some("2")));
    }
}
