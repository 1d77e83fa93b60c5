//! `view run`, `view sh`, `view enter`: a command in a new view or in one that runs.

use std::sync::Arc;

use view_core::control::ViewSpec;
use view_core::control::session::{self, StartFailure};
use view_core::supervisor::{self, Plan, StartError};

use super::{current_view, named_view};
use crate::args::{Enter, Habits, Run, Sh};
use crate::message::{Failure, VIEW_FAILED};
use crate::modules::Registry;
use crate::spec::{Caller, environment};

/// `view run`.
pub fn run(arguments: Run) -> Result<u8, Failure> {
    hint_at(&arguments.habits);
    let caller = Caller::from_environment();
    let spec = caller.view(&arguments.view, None, arguments.command, VIEW_FAILED)?;
    start(spec, &caller)
}

/// `view sh`.
pub fn sh(arguments: Sh) -> Result<u8, Failure> {
    hint_at(&arguments.habits);
    let caller = Caller::from_environment();
    let spec = caller.view(&arguments.view, None, caller.shell_command(), VIEW_FAILED)?;
    start(spec, &caller)
}

/// `view enter`.
pub fn enter(arguments: Enter) -> Result<u8, Failure> {
    hint_at(&arguments.habits);
    let what = format!("cannot enter {}", arguments.name);
    let caller = Caller::from_environment();
    let (_, connection) = named_view(&arguments.name, VIEW_FAILED, &what)?;
    let command = if arguments.command.is_empty() {
        caller.shell_command()
    } else {
        arguments.command
    };
    let directory = arguments
        .directory
        .map(|path| caller.context().absolute(path.as_os_str()));
    let environment = environment(&arguments.environment, VIEW_FAILED)?;
    finish(session::enter(connection, command, environment, directory))
}

/// Starts a view and stays until its command has ended: inside a view as a child namespace of it.
pub fn start(spec: ViewSpec, caller: &Caller) -> Result<u8, Failure> {
    if let Some((_, connection)) = current_view() {
        if spec.identity.is_some() {
            let why = "ids of a view inside a view are those of the outer one";
            return Err(Failure::new(VIEW_FAILED, "-0 and -u", why)
                .hint("start the outer view with -0 or -u"));
        }
        return finish(session::run_nested(spec, connection, caller.cwd.clone()));
    }
    let name = spec.name.clone();
    let plan = Plan {
        spec,
        environment: std::env::vars_os().collect(),
        modules: Arc::new(Registry),
        explain: explain_refusal,
        mount_failure_code: i32::from(VIEW_FAILED),
    };
    finish(supervisor::run(plan).map_err(|error| match error {
        StartError::Launch(error) => error.into(),
        StartError::Socket(error) => name_failure(name.as_deref(), &error),
    }))
}

/// What this host refuses, in one line.
fn explain_refusal() -> Option<String> {
    crate::doctor::explain_start_failure().map(|failure| failure.to_string())
}

fn name_failure(name: Option<&str>, error: &std::io::Error) -> StartFailure {
    match name {
        Some(name) if error.kind() == std::io::ErrorKind::AddrInUse => StartFailure {
            what: format!("cannot name the view {name}"),
            why: "a running view has that name".into(),
            hint: Some("`view ls` lists your views".into()),
            is_host_refusal: false,
        },
        _ => StartFailure::io("cannot make the control socket", error),
    }
}

/// Exit status of a command that ran, or why none did. A refusal by the host is explained by trying
/// what a view needs, one by one.
fn finish(result: Result<i32, StartFailure>) -> Result<u8, Failure> {
    match result {
        Ok(code) => Ok(u8::try_from(code).unwrap_or(VIEW_FAILED)),
        Err(failure) => {
            let explain = crate::doctor::explain_start_failure;
            let explained = failure.is_host_refusal.then(explain).flatten();
            Err(explained.unwrap_or(Failure {
                what: failure.what,
                why: failure.why,
                hint: failure.hint,
                status: VIEW_FAILED,
            }))
        }
    }
}

fn hint_at(habits: &Habits) {
    if habits.any() {
        eprintln!(
            "  hint: -i, -t and --rm are not needed: a view uses your terminal and ends with CMD"
        );
    }
}
