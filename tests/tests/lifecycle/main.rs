//! The life of a view: how a command is started in it, how it ends, what is seen when, the commands around it.
//!
//! | Module     | Responsibility                                                  |
//! |------------|-----------------------------------------------------------------|
//! | `setup`    | starting commands natively or in a view, with a time limit      |
//! | `start`    | exit status, standard streams, signals, limits, environment     |
//! | `ends`     | signals, killed supervisors and members, daemons, orphans       |
//! | `mounts`   | what is visible where, when mounts come and go                  |
//! | `nesting`  | several views, views in views                                   |
//! | `commands` | the other verbs and their output                                |
//!
//! `cargo test -p view-tests --test lifecycle -- [FILTER...] [--native] [--jobs N] [--repeat N]`

mod commands;
mod ends;
mod mounts;
mod nesting;
mod setup;
mod start;

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use setup::{Setup, Test};
use view_tests::options::Options;
use view_tests::report::{Report, Verdict};
use view_tests::scratch::{self, Scratch};
use view_tests::tracee;

fn main() {
    let options = Options::from_args();
    let tests: Vec<Test> = [
        start::TESTS,
        ends::TESTS,
        mounts::TESTS,
        nesting::TESTS,
        commands::TESTS,
    ]
    .into_iter()
    .flatten()
    .filter(|t| options.wants(t.name))
    .copied()
    .collect();
    if options.is_list {
        for test in &tests {
            println!(
                "{:<40} {}",
                test.name,
                if test.has_oracle {
                    "native, view"
                } else {
                    "view"
                }
            );
        }
        return;
    }
    let programs = or_die(
        tracee::all(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tracees")),
        "tracees",
    );
    let helpers: Vec<_> = programs
        .iter()
        .filter(|t| t.worlds == "none")
        .flat_map(|t| t.variants.iter().map(|v| (t.clone(), v.clone())))
        .collect();
    or_die(tracee::compile_all(&helpers, options.jobs), "compiling");
    scratch::give_up_root();
    std::process::exit(run_all(&options, &tests));
}

fn run_all(options: &Options, tests: &[Test]) -> i32 {
    let scratch = or_die(
        Scratch::new(&scratch::base(), options.keeps_scratch),
        "scratch directory",
    );
    let view = if options.is_native_only {
        None
    } else {
        Some(or_die(scratch::view_binary(), "view"))
    };
    let report = Report::new(options.is_verbose);
    let mut runs = Vec::new();
    for test in tests {
        for world in ["native", "view"] {
            let is_possible = if world == "native" {
                test.has_oracle
            } else {
                view.is_some()
            };
            if is_possible && options.wants_world(world) {
                runs.extend(std::iter::repeat_n((test, world), options.repeat));
            }
        }
    }
    let (queue, next_id) = (Mutex::new(runs.into_iter()), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..options.jobs {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().map(|mut q| q.next()).ok().flatten();
                    let Some((test, world)) = next else { break };
                    let home = scratch
                        .path()
                        .join(next_id.fetch_add(1, Ordering::Relaxed).to_string());
                    let binary = if world == "view" { view.clone() } else { None };
                    let verdict = match Setup::new(home, binary, options.timeout_s)
                        .and_then(|setup| (test.run)(&setup))
                    {
                        Ok(()) => Verdict::Passed,
                        Err(text) => Verdict::Failed(text),
                    };
                    report.add(world, test.name, &verdict);
                }
            });
        }
    });
    report.close()
}

fn or_die<T, E: std::fmt::Display>(result: Result<T, E>, what: &str) -> T {
    result.unwrap_or_else(|error| {
        eprintln!("{what}: {error}");
        std::process::exit(2)
    })
}
