//! `view mount`, `view umount`, `view mounts`: here, in a named view, or in a new one.

use std::ffi::{OsStr, OsString};
use std::io::IsTerminal;

use serde_json::json;
use view_core::control::client::Connection;
use view_core::control::protocol::{MountInfo, MountSpec};

use super::{current_view, named_view, run};
use crate::args::{Mount, Mounts, NewView, Umount};
use crate::message::{Failure, MOUNT_FAILED, USAGE, VIEW_FAILED, print, print_json};
use crate::spec::Caller;
use crate::table::{columns, shown};

/// `view mount`.
pub fn mount(arguments: Mount) -> Result<u8, Failure> {
    if arguments.words.is_empty() && arguments.command.is_empty() {
        return list(&Mounts {
            json: false,
            inside: arguments.inside,
        });
    }
    let caller = Caller::from_environment();
    let spec = asked_for(&caller, &arguments)?;
    let what = attempt(&arguments.words);
    if let Some(name) = &arguments.inside {
        refuse_new_view_options(&arguments.view, "--in")?;
        let (_, connection) = named_view(name, MOUNT_FAILED, &what)?;
        return add(connection, spec, caller, &what);
    }
    if arguments.command.is_empty()
        && let Some((_, connection)) = current_view()
    {
        refuse_new_view_options(&arguments.view, "a mount in this view")?;
        return add(connection, spec, caller, &what);
    }
    let command = if arguments.command.is_empty() {
        if std::io::stderr().is_terminal() {
            eprintln!(
                "view: a shell that has {}; leave it to unmount",
                shown_mount(&spec)
            );
        }
        caller.shell_command()
    } else {
        arguments.command
    };
    run::start(
        caller.view(&arguments.view, Some(spec), command, VIEW_FAILED)?,
        &caller,
    )
}

/// The mount of the command line.
fn asked_for(caller: &Caller, arguments: &Mount) -> Result<MountSpec, Failure> {
    let (filesystem, source, target) = match (&arguments.filesystem, arguments.words.as_slice()) {
        (filesystem, [source, target]) => (filesystem.clone(), source, target),
        (None, [filesystem, source, target]) => match filesystem.to_str() {
            Some(name) => (Some(name.to_owned()), source, target),
            None => return Err(usage("the type is not text")),
        },
        (Some(_), [_, _, _]) => return Err(usage("the type is given twice")),
        _ => return Err(usage("a source and a directory are needed")),
    };
    let mut options = arguments.options.join(",");
    if arguments.read_only {
        options = if options.is_empty() {
            "ro".into()
        } else {
            format!("{options},ro")
        };
    }
    let context = caller.context();
    context
        .mount(filesystem.as_deref(), source, target, &options)
        .map_err(|bad| Failure {
            what: attempt(&arguments.words),
            why: bad.why,
            hint: bad.hint,
            status: if arguments.command.is_empty() {
                MOUNT_FAILED
            } else {
                VIEW_FAILED
            },
        })
}

fn usage(why: &str) -> Failure {
    Failure::new(USAGE, "mount", why).hint("view mount [-t TYPE] [-o OPTS] SRC DIR [-- CMD...]")
}

/// `cannot mount SRC on DIR`.
fn attempt(words: &[OsString]) -> String {
    let word = |from_end: usize| {
        let place = words.len().checked_sub(from_end);
        place
            .and_then(|place| words.get(place))
            .map(|word| shown(word))
            .unwrap_or_default()
    };
    format!("cannot mount {} on {}", word(2), word(1))
}

fn shown_mount(spec: &MountSpec) -> String {
    format!(
        "{} on {}",
        shown(&spec.source),
        shown(spec.target.as_os_str())
    )
}

/// Options that only a new view can have make no sense for a mount in one that runs.
fn refuse_new_view_options(options: &NewView, with: &str) -> Result<(), Failure> {
    let typed = [
        (!options.mounts.0.is_empty(), "-m, -v and their like"),
        (options.directory.is_some(), "-w"),
        (!options.environment.is_empty(), "-e"),
        (options.fake_root || options.user.is_some(), "-0 and -u"),
        (options.name.is_some(), "--name"),
        (options.cache_size.is_some(), "--cache-size"),
        (options.log_level.is_some(), "--log-level"),
    ];
    match typed.iter().find(|(is_typed, _)| *is_typed) {
        Some((_, option)) => {
            let why = format!("{option} cannot be used with {with}");
            Err(usage(&why).hint("give a CMD after `--` to have a new view"))
        }
        None => Ok(()),
    }
}

fn add(
    mut connection: Connection,
    spec: MountSpec,
    caller: Caller,
    what: &str,
) -> Result<u8, Failure> {
    connection
        .mount(spec, caller.cwd)
        .map_err(|error| Failure::client(MOUNT_FAILED, what, error))?;
    Ok(0)
}

/// `view umount`: all that can be unmounted are; the first failure is reported.
pub fn unmount(arguments: &Umount) -> Result<u8, Failure> {
    let caller = Caller::from_environment();
    let mut connection = view_to_ask(arguments.inside.as_deref(), MOUNT_FAILED, "cannot unmount")?;
    let mut status = 0;
    for target in &arguments.targets {
        let path = caller.context().absolute(target.as_os_str());
        if let Err(error) = connection.unmount(path, arguments.lazy, caller.cwd.clone()) {
            let what = format!("cannot unmount {}", shown(target.as_os_str()));
            Failure::client(MOUNT_FAILED, what, error).show();
            status = MOUNT_FAILED;
        }
    }
    Ok(status)
}

/// `view mounts`.
pub fn list(arguments: &Mounts) -> Result<u8, Failure> {
    let what = "cannot list the mounts";
    let mut connection = view_to_ask(arguments.inside.as_deref(), 1, what)?;
    let mounts = connection
        .mounts()
        .map_err(|error| Failure::client(1, what, error))?;
    if arguments.json {
        print_json(&json!({ "schema": "view.mounts/1", "mounts": mounts }))?;
    } else {
        let rows: Vec<Vec<String>> = mounts.iter().map(row).collect();
        print(columns(&["TARGET", "SOURCE", "FSTYPE", "OPTIONS"], &rows).as_bytes())?;
    }
    Ok(0)
}

fn row(info: &MountInfo) -> Vec<String> {
    let text = |name: &OsStr| shown(name);
    vec![
        text(info.target.as_os_str()),
        text(&info.source),
        text(OsStr::new(&info.filesystem)),
        text(OsStr::new(&info.options)),
    ]
}

/// The named view, or the one this process is in.
fn view_to_ask(name: Option<&str>, status: u8, what: &str) -> Result<Connection, Failure> {
    match name {
        Some(name) => Ok(named_view(name, status, what)?.1),
        None => current_view()
            .map(|(_, connection)| connection)
            .ok_or_else(|| {
                Failure::new(status, what, "this process is in no view")
                    .hint("name a running view with --in NAME; `view ls` lists them")
            }),
    }
}
