//! The `view` command: parses, builds a view, runs it.
//!
//! | Module       | Responsibility                                                      |
//! |--------------|---------------------------------------------------------------------|
//! | `args`       | the command line, declared once                                     |
//! | `words`      | what `-m`, `-v`, `--tmpfs` ... mean                                 |
//! | `spec`       | from options to a `ViewSpec`                                        |
//! | `identity`   | what `-u` means                                                     |
//! | `usage`      | wrong command lines                                                 |
//! | `message`    | how failures look; stdout                                           |
//! | `table`      | tables for people                                                   |
//! | `commands`   | one file a group of verbs                                           |
//! | `doctor`     | what this host allows; why a start failed                           |
//! | `modules`    | the filesystem modules this program has: the only place naming them |
//!
//! Neighbours: `view-core` starts views and speaks the control protocol. Nothing is printed to stdout
//! but what was asked for.

#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

mod args;
mod commands;
mod doctor;
mod identity;
mod message;
mod modules;
mod spec;
mod table;
mod usage;
mod words;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let result = match args::Cli::try_parse_from(&arguments) {
        Ok(cli) => commands::dispatch(cli.verb),
        Err(error) if !error.use_stderr() => {
            message::print(error.render().to_string().as_bytes()).map(|()| 0)
        }
        // `view` alone asks for help; it is still no command.
        Err(error)
            if error.kind() == clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand =>
        {
            eprint!("{}", error.render());
            Ok(message::USAGE)
        }
        Err(error) => Err(usage::explain(&error, &arguments)),
    };
    match result {
        Ok(status) => ExitCode::from(status),
        Err(failure) => {
            failure.show();
            ExitCode::from(failure.status)
        }
    }
}
