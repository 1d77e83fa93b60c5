//! The verbs: each takes its arguments and gives an exit status.
//!
//! | Module     | Verbs                       |
//! |------------|-----------------------------|
//! | `run`      | run, sh, enter              |
//! | `mount`    | mount, umount, mounts       |
//! | `list`     | ls                          |
//! | `generate` | completions, man, compat    |
//!
//! `doctor` has a module of its own beside this one.

use std::path::PathBuf;

use view_core::control::client::{Connection, by_name};

use crate::args::Verb;
use crate::message::{Failure, io_text};

mod generate;
mod list;
mod mount;
mod run;

/// Does what was asked.
pub fn dispatch(verb: Verb) -> Result<u8, Failure> {
    match verb {
        Verb::Run(arguments) => run::run(arguments),
        Verb::Sh(arguments) => run::sh(arguments),
        Verb::Enter(arguments) => run::enter(arguments),
        Verb::Mount(arguments) => mount::mount(arguments),
        Verb::Umount(arguments) => mount::unmount(&arguments),
        Verb::Mounts(arguments) => mount::list(&arguments),
        Verb::Ls(arguments) => list::list(&arguments),
        Verb::Doctor(arguments) => crate::doctor::doctor(&arguments),
        Verb::Completions(arguments) => generate::completions(&arguments),
        Verb::Man(arguments) => generate::man(&arguments),
        Verb::Compat => generate::compat(),
    }
}

/// The socket of the view this process is in: VIEW_SOCKET, if somebody listens there.
fn current_view() -> Option<(PathBuf, Connection)> {
    let path = PathBuf::from(std::env::var_os("VIEW_SOCKET")?);
    let connection = Connection::open(&path).ok()?;
    Some((path, connection))
}

/// The running view of that name.
fn named_view(name: &str, status: u8, what: &str) -> Result<(PathBuf, Connection), Failure> {
    by_name(name).map_err(|error| {
        if error.kind() == std::io::ErrorKind::NotFound {
            Failure::new(status, what, format!("no view named `{name}` is running"))
                .hint("`view ls` lists your views")
        } else {
            Failure::new(status, what, io_text(&error))
        }
    })
}
