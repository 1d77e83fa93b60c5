//! What the tests of `launch` and `scalpel` share: a directory, the compiled tracee, the small supervisor.
//!
//! A launch forks, which a test program with its threads may not: `examples/small_view.rs` is what the tests start
//! (`cargo test` builds it). What it does is told by `VIEW_TEST_*` variables.

#![allow(dead_code)]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Where the tests keep what they make: a fresh directory that any user may enter.
pub struct Place {
    pub path: PathBuf,
}

impl Place {
    pub fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path =
            std::env::temp_dir().join(format!("view-launch-{}-{number}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        std::fs::create_dir(path.join("dir")).unwrap();
        std::fs::create_dir(path.join("links")).unwrap();
        std::fs::write(path.join("file"), "hello\n").unwrap();
        std::fs::write(path.join("dir/inside"), "inside\n").unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            path.join("fifo"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
        Self { path }
    }

    /// Compiles the tracee into the place; `extra` are compiler options.
    pub fn tracee(&self, extra: &[&str]) -> PathBuf {
        let program = self.path.join("tracee");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tracees/tracee.c");
        let status = Command::new("cc")
            .args(["-O1", "-Wall", "-Wextra", "-Werror", "-pthread"])
            .args(extra)
            .arg("-o")
            .args([&program, &source])
            .status()
            .unwrap();
        assert!(status.success());
        program
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

/// A command that runs `arguments` under the small supervisor (or what `mode` says), not yet started.
pub fn actor(place: &Place, mode: &str, arguments: &[&str]) -> Command {
    // Next to the directory of the test programs.
    let tests = std::env::current_exe().unwrap();
    let program = tests
        .parent()
        .and_then(Path::parent)
        .unwrap()
        .join("examples/small_view");
    let mut command = Command::new(program);
    command
        .env("VIEW_TEST_MODE", mode)
        .env("VIEW_TEST_PLACE", &place.path)
        .env("VIEW_TEST_ARGUMENTS", arguments.join("\u{1f}"))
        .stdin(Stdio::null());
    command
}

/// What a run gave.
#[derive(Debug)]
pub struct Result {
    pub code: Option<i32>,
    pub output: String,
    pub errors: String,
}

/// Runs to the end.
pub fn run(command: &mut Command) -> Result {
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    finish(child)
}

pub fn finish(child: Child) -> Result {
    let output = child.wait_with_output().unwrap();
    Result {
        code: output.status.code(),
        output: String::from_utf8_lossy(&output.stdout).into_owned(),
        errors: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Waits until a condition holds, at most ten seconds.
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(
            start.elapsed() < Duration::from_secs(10),
            "{what} did not happen"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The number in a file of the place, which is yet to be written.
pub fn read_pid(place: &Place, name: &str) -> u32 {
    wait_until(name, || {
        std::fs::read_to_string(place.path.join(name)).is_ok_and(|text| !text.is_empty())
    });
    std::fs::read_to_string(place.path.join(name))
        .unwrap()
        .trim()
        .parse()
        .unwrap()
}
