//! Project tasks, run as `cargo xtask TASK`.
//!
//! | task | what it does |
//! | --- | --- |
//! | `setup` | installs the Debian packages in `packages.txt` that are missing; fetches a C project, a Debian system, and what it takes to build a Rust project; builds `tools` |
//! | `images` | builds the source tree and the disk images under the fixtures directory |
//! | `test [--full] [STEP...]` | runs the test steps, all or those named, and prints `N passed, N failed` |
//! | `bench [--rounds N] [NAME...]` | paired measurements, written to `docs/benchmarks.md` |
//! | `steps` | lists the test steps |

#![forbid(unsafe_code)]

mod bench;
mod command;
mod debian;
mod images;
mod kernel_reader;
mod leftovers;
mod prng;
mod project;
mod rust_project;
mod setup;
mod steps;
mod test;
mod tools;
mod tree;
mod user;

use std::process::ExitCode;

/// What a task returns: an error is a message for a person.
pub type Result<T> = std::result::Result<T, String>;

const USAGE: &str = "usage: cargo xtask setup | images | test [--full] [STEP...] | steps | bench [--rounds N] [NAME...]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match arguments.split_first() {
        Some((task, rest)) => match (task.as_str(), rest) {
            ("setup", []) => setup::task().map(|()| true),
            ("images", []) => images::task().map(|()| true),
            ("steps", []) => {
                steps::list();
                Ok(true)
            }
            ("test", rest) => test::task(rest),
            ("bench", rest) => bench::task(rest).map(|()| true),
            _ => Err(USAGE.to_owned()),
        },
        None => Err(USAGE.to_owned()),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("xtask: {message}");
            ExitCode::from(2)
        }
    }
}
