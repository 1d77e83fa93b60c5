//! The test steps, in their order.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::command::{command, output};
use crate::test::{Context, Counts};
use crate::{Result, debian, project, rust_project, tools, user};

/// One step.
pub struct Step {
    /// What the command line calls it; for a script also its file name.
    pub name: &'static str,
    /// One line for a person.
    pub about: &'static str,
    /// Runs it.
    pub run: fn(&Context, &Step) -> Result<Counts>,
}

/// All steps.
pub const STEPS: &[Step] = &[
    Step {
        name: "format",
        about: "cargo fmt --check",
        run: format,
    },
    Step {
        name: "clippy",
        about: "cargo clippy, warnings denied",
        run: clippy,
    },
    Step {
        name: "unit",
        about: "tests inside the crates",
        run: unit,
    },
    Step {
        name: "machine",
        about: "what the test user may not do",
        run: script,
    },
    Step {
        name: "docs",
        about: "generated documents are up to date",
        run: script,
    },
    Step {
        name: "tracees",
        about: "small programs, natively and in a view",
        run: rust_tests,
    },
    Step {
        name: "lifecycle",
        about: "views begin and end as they should",
        run: rust_tests,
    },
    Step {
        name: "equality",
        about: "every image equals the source tree",
        run: script,
    },
    Step {
        name: "programs",
        about: "unmodified programs on a mount, as natively",
        run: script,
    },
    Step {
        name: "compile",
        about: "C projects on a mount, as natively",
        run: script,
    },
    Step {
        name: "python",
        about: "Python's own tests in a view, as natively",
        run: script,
    },
    Step {
        name: "exec",
        about: "programs on a mount, started in every way",
        run: script,
    },
    Step {
        name: "container",
        about: "inside a container with a stock seccomp profile",
        run: root_script,
    },
    Step {
        name: "mutated",
        about: "damaged images",
        run: mutated,
    },
    Step {
        name: "views",
        about: "several views, nested views, ends by force",
        run: script,
    },
    Step {
        name: "identity",
        about: "root and other ids of a view, owners, mount(8)",
        run: script,
    },
    Step {
        name: "writable",
        about: "images written by programs, e2fsck clean",
        run: script,
    },
    Step {
        name: "posix",
        about: "pjdfstest on ext4, ext2, tmpfs, as the kernel's",
        run: posix,
    },
    Step {
        name: "crash",
        about: "images after a crash, with writes lost and torn",
        run: crash,
    },
    Step {
        name: "killed",
        about: "supervisors killed while they write",
        run: script,
    },
    Step {
        name: "hammer",
        about: "fsx, fio, sqlite, stress-ng: no byte lost",
        run: hammer,
    },
    Step {
        name: "jobs",
        about: "real work on a writable image: dpkg, PostgreSQL, git, builds",
        run: jobs,
    },
    Step {
        name: "signals",
        about: "signals under load",
        run: signals,
    },
    Step {
        name: "stress",
        about: "200 processes in one view",
        run: script,
    },
];

/// The step of that name.
pub fn find(name: &str) -> Result<&'static Step> {
    STEPS
        .iter()
        .find(|step| step.name == name)
        .ok_or_else(|| format!("no step {name}; `cargo xtask steps` lists them"))
}

/// Prints the steps.
pub fn list() {
    for step in STEPS {
        println!("{:<12} {}", step.name, step.about);
    }
}

const PASSED: Counts = Counts {
    passed: 1,
    failed: 0,
};
const FAILED: Counts = Counts {
    passed: 0,
    failed: 1,
};

fn limit(context: &Context) -> Duration {
    Duration::from_secs(if context.full { 7200 } else { 900 })
}

fn format(_: &Context, _: &Step) -> Result<Counts> {
    let status = project::cargo()
        .args(["fmt", "--all", "--check"])
        .status()
        .map_err(|error| format!("cargo fmt: {error}"))?;
    Ok(if status.success() { PASSED } else { FAILED })
}

fn clippy(_: &Context, _: &Step) -> Result<Counts> {
    let status = project::cargo()
        .args([
            "clippy",
            "--quiet",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ])
        .status()
        .map_err(|error| format!("cargo clippy: {error}"))?;
    Ok(if status.success() { PASSED } else { FAILED })
}

fn unit(context: &Context, step: &Step) -> Result<Counts> {
    let mut cargo = project::cargo();
    cargo.args([
        "test",
        "--quiet",
        "--workspace",
        "--exclude",
        "view-tests",
        "--no-fail-fast",
    ]);
    context.count(step.name, &mut cargo, limit(context))
}

/// Runs `tests/acceptance/NAME.sh` as the test user.
fn script(context: &Context, step: &Step) -> Result<Counts> {
    let work = context.work(step.name)?;
    let mut command = user::as_test_user(Some(&context.guard), &context.environment(&work)?)?;
    command
        .arg("sh")
        .arg(script_path(context, step.name))
        .current_dir(&work);
    context.count(step.name, &mut command, limit(context))
}

/// The script, with the whole checkout for what it builds.
fn jobs(context: &Context, step: &Step) -> Result<Counts> {
    rust_project::task()?;
    debian::task()?;
    context.all_sources()?;
    script(context, step)
}

/// Runs `tests/acceptance/NAME.sh` as root, for what only root can set up; the script drops privileges itself.
fn root_script(context: &Context, step: &Step) -> Result<Counts> {
    if !project::is_root() {
        return Err("only root can set this up".to_owned());
    }
    let work = context.work(step.name)?;
    let (uid, gid) = user::ids()?;
    let mut command = command("sh");
    command
        .arg(script_path(context, step.name))
        .current_dir(&work)
        .envs(context.environment(&work)?);
    command
        .env("TEST_UID", uid.to_string())
        .env("TEST_GID", gid.to_string());
    context.count(step.name, &mut command, limit(context))
}

fn script_path(context: &Context, name: &str) -> PathBuf {
    context
        .scratch
        .join("checkout/tests/acceptance")
        .join(format!("{name}.sh"))
}

/// Builds the test program NAME of the crate view-tests and runs it as the test user.
fn rust_tests(context: &Context, step: &Step) -> Result<Counts> {
    rust_program(context, step.name, step.name, &[])
}

fn rust_program(
    context: &Context,
    step: &str,
    program: &str,
    arguments: &[&str],
) -> Result<Counts> {
    let mut cargo = project::cargo();
    if !project::is_reachable() {
        // The program looks for its files where it was built: build it where the test user can reach them.
        cargo
            .current_dir(context.all_sources()?)
            .env("CARGO_TARGET_DIR", project::target());
    }
    let built = output(cargo.args([
        "test",
        "--quiet",
        "-p",
        "view-tests",
        "--test",
        program,
        "--no-run",
        "--message-format=json",
    ]))?;
    let binary = executable(&built, program)
        .ok_or_else(|| format!("cargo built no test program {program}"))?;
    let checkout = context.scratch.join("checkout/tests");
    let work = context.work(step)?;
    // The program keeps what it compiles two directories up.
    let place = context.owned(&work.join("build"))?;
    let copy = context.owned(&place.join("deps"))?.join(program);
    std::fs::copy(&binary, &copy).map_err(|error| format!("{binary}: {error}"))?;
    let mut environment = context.environment(&work)?;
    environment.push((
        "CARGO_MANIFEST_DIR",
        checkout.to_string_lossy().into_owned(),
    ));
    let mut command = user::as_test_user(Some(&context.guard), &environment)?;
    command.arg(&copy).args(arguments).current_dir(&checkout);
    context.count(step, &mut command, limit(context))
}

/// Finds the test program in cargo's JSON messages.
fn executable(messages: &str, name: &str) -> Option<String> {
    let wanted = format!("\"name\":\"{name}\"");
    messages
        .lines()
        .filter(|line| line.contains(&wanted) && line.contains("\"kind\":[\"test\"]"))
        .find_map(|line| {
            Some(
                line.split_once("\"executable\":\"")?
                    .1
                    .split_once('"')?
                    .0
                    .to_owned(),
            )
        })
}

/// The image reader's own test with many mutations, then damaged images through the binary.
fn mutated(context: &Context, step: &Step) -> Result<Counts> {
    let mut cargo = project::cargo();
    cargo.args([
        "test",
        "--quiet",
        "--release",
        "-p",
        "view-ext",
        "--test",
        "mutated",
    ]);
    cargo.env(
        "VIEW_MUTATIONS",
        if context.full { "100000" } else { "10000" },
    );
    let mut counts = context.count("mutated-reader", &mut cargo, limit(context))?;
    counts += script(context, step)?;
    Ok(counts)
}

/// pjdfstest: first, where this is root, on the kernel's own file systems, then in views.
fn posix(context: &Context, step: &Step) -> Result<Counts> {
    let work = context.work(step.name)?;
    let mut environment = context.environment(&work)?;
    environment.push(("PJDFSTEST", reachable_tool("pjdfstest", &work)?));
    let mut counts = Counts::default();
    if project::is_root() {
        let mut native = command("sh");
        native
            .arg(script_path(context, step.name))
            .arg("native")
            .current_dir(&work)
            .envs(environment.iter().cloned());
        counts += context.count("posix-native", &mut native, limit(context))?;
    }
    let mut views = user::as_test_user(Some(&context.guard), &environment)?;
    views
        .arg("sh")
        .arg(script_path(context, step.name))
        .current_dir(&work);
    counts += context.count(step.name, &mut views, limit(context))?;
    Ok(counts)
}

/// The image writer's own tests of crashes, full disks and damaged images, with more of each. In full optimized; else as
/// the unit tests were built.
fn crash(context: &Context, step: &Step) -> Result<Counts> {
    let mut counts = Counts::default();
    let tests = [
        ("crash", "VIEW_EXT_CRASH_POINTS", "48", "2000"),
        ("full_disk", "VIEW_EXT_FULL_STEP", "71", "1"),
        ("mutated_writing", "VIEW_EXT_MUTATIONS", "300", "20000"),
    ];
    for (name, variable, few, many) in tests {
        let mut cargo = project::cargo();
        cargo.args(["test", "--quiet", "-p", "view-ext", "--test", name]);
        if context.full {
            cargo.arg("--release");
        }
        cargo.args(["--", "--nocapture", "--test-threads=4"]);
        cargo.env(variable, if context.full { many } else { few });
        let name = format!("{}-{name}", step.name);
        counts += context.count(&name, &mut cargo, limit(context))?;
    }
    Ok(counts)
}

/// Programs made to find lost bytes, fsx among them.
fn hammer(context: &Context, step: &Step) -> Result<Counts> {
    let work = context.work(step.name)?;
    let mut environment = context.environment(&work)?;
    environment.push(("FSX", reachable_tool("fsx", &work)?));
    let mut command = user::as_test_user(Some(&context.guard), &environment)?;
    command
        .arg("sh")
        .arg(script_path(context, step.name))
        .current_dir(&work);
    context.count(step.name, &mut command, limit(context))
}

/// A copy of a tool of `tools` where the test user may run it.
fn reachable_tool(name: &str, work: &Path) -> Result<String> {
    let built = tools::program(name)?;
    let copy = work.join(name);
    std::fs::copy(&built, &copy).map_err(|error| format!("{}: {error}", built.display()))?;
    Ok(copy.to_string_lossy().into_owned())
}

/// The signal tracees many times over, then pipelines and a Go program under load.
fn signals(context: &Context, step: &Step) -> Result<Counts> {
    let names = ["signal", "sigurg", "sigkill", "pipelines"];
    let many = match context.full {
        true => ["--runs", "1000"],
        false => ["--repeat", "8"],
    };
    let arguments = [&names[..], &many[..]].concat();
    let mut counts = rust_program(context, "signal-tracees", "tracees", &arguments)?;
    counts += script(context, step)?;
    Ok(counts)
}
