//! Starting commands natively or in a view, with a time limit on everything that waits.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use view_tests::process::{command_line, kill_group};
use view_tests::tracee::binary_directory;

/// One test.
#[derive(Clone, Copy)]
pub struct Test {
    pub name: &'static str,
    /// Also run without a view: Linux, and env(1) for its exit statuses, say what is right.
    pub has_oracle: bool,
    pub run: fn(&Setup) -> Result<(), String>,
}

/// Fails the test with a text unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($text:tt)+) => {
        if !$condition {
            return Err(format!("line {}: {}: {}", line!(), stringify!($condition), format!($($text)+)));
        }
    };
}

/// Fails the test unless both are equal.
macro_rules! ensure_eq {
    ($got:expr, $want:expr, $($text:tt)+) => {
        match (&$got, &$want) {
            (got, want) => if got != want {
                return Err(format!("line {}: {}: got {got:?}, expected {want:?}; {}", line!(), stringify!($got), format!($($text)+)));
            }
        }
    };
}
pub(crate) use {ensure, ensure_eq};

/// A test's own directory and the way to start commands. All that it started is killed at its end.
pub struct Setup {
    home: PathBuf,
    view: Option<PathBuf>,
    limit: Duration,
}

/// A command that has ended.
#[derive(Debug)]
pub struct Finished {
    /// As a shell shows it: the exit code, or 128 + N.
    pub code: i32,
    pub out: String,
    pub err: String,
    /// The command, for messages.
    pub line: String,
}

/// A command that is running, its standard input and output being pipes.
pub struct Running {
    pub child: Child,
    limit: Duration,
    stdout: Option<ChildStdout>,
    error_file: PathBuf,
    line: String,
}

impl Setup {
    pub fn new(home: PathBuf, view: Option<PathBuf>, limit_s: u64) -> Result<Self, String> {
        fs::create_dir(&home).map_err(|e| format!("{}: {e}", home.display()))?;
        Ok(Self {
            home,
            view,
            limit: Duration::from_secs(limit_s.min(30)),
        })
    }

    /// A path in the test's directory.
    pub fn path(&self, name: &str) -> String {
        self.home.join(name).display().to_string()
    }

    /// Makes a directory there.
    pub fn directory(&self, name: &str) -> Result<String, String> {
        fs::create_dir_all(self.home.join(name)).map_err(|e| format!("{name}: {e}"))?;
        Ok(self.path(name))
    }

    /// Writes a file there.
    pub fn file(&self, name: &str, text: &str) -> Result<String, String> {
        fs::write(self.home.join(name), text).map_err(|e| format!("{name}: {e}"))?;
        Ok(self.path(name))
    }

    /// The helper program.
    pub fn probe(&self) -> String {
        binary_directory()
            .join("dynamic/probe")
            .display()
            .to_string()
    }

    /// The `view` binary's path.
    pub fn view(&self) -> String {
        self.view
            .as_ref()
            .map(|v| v.display().to_string())
            .unwrap_or_default()
    }

    /// `view ARGS...`, not started yet. The runtime directory is the test's own, so it sees only its own views.
    pub fn view_command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(self.view());
        command.args(args);
        self.prepare(command)
    }

    /// `view run OPTIONS -- CMD`; without a view, `env CMD`, whose exit statuses are the model.
    pub fn run_command(&self, options: &[&str], cmd: &[&str]) -> Command {
        let mut command = match &self.view {
            Some(view) => {
                let mut command = Command::new(view);
                command.arg("run").args(options).arg("--");
                command
            }
            None => Command::new("env"),
        };
        command.args(cmd);
        self.prepare(command)
    }

    /// The command in this test's directory, with a runtime directory of its own.
    pub fn prepare(&self, mut command: Command) -> Command {
        let runtime = self.home.join("run");
        let _ = fs::create_dir(&runtime);
        command
            .current_dir(&self.home)
            .env("XDG_RUNTIME_DIR", runtime)
            .env_remove("VIEW")
            .env_remove("VIEW_SOCKET")
            .process_group(0);
        command
    }

    /// Runs `view run OPTIONS -- CMD` to its end.
    pub fn run(&self, options: &[&str], cmd: &[&str]) -> Result<Finished, String> {
        self.finish(self.run_command(options, cmd))
    }

    /// Runs `sh -c SCRIPT` in a view, for tests that take several steps inside.
    pub fn script(&self, options: &[&str], script: &str) -> Result<Finished, String> {
        self.run(options, &["sh", "-c", script])
    }

    /// Runs `view ARGS...` to its end.
    pub fn verb(&self, args: &[&str]) -> Result<Finished, String> {
        self.finish(self.view_command(args))
    }

    /// Runs a command to its end with an empty standard input.
    pub fn finish(&self, mut command: Command) -> Result<Finished, String> {
        let mut running = self.start(command.stdin(Stdio::null()))?;
        running.end()
    }

    /// Starts a command; its output is a pipe, its errors go to a file.
    pub fn start(&self, command: &mut Command) -> Result<Running, String> {
        let line = command_line(command);
        let error_file = self.home.join(format!(
            "err-{}",
            fs::read_dir(&self.home).map_or(0, Iterator::count)
        ));
        let errors = File::create(&error_file).map_err(|e| e.to_string())?;
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(errors)
            .spawn()
            .map_err(|e| format!("{line}: {e}"))?;
        let stdout = child.stdout.take();
        Ok(Running {
            child,
            limit: self.limit,
            stdout,
            error_file,
            line,
        })
    }

    /// Starts `view run OPTIONS -- CMD` with pipes on both sides.
    pub fn start_run(&self, options: &[&str], cmd: &[&str]) -> Result<Running, String> {
        self.start(self.run_command(options, cmd).stdin(Stdio::piped()))
    }

    /// Waits until the condition holds.
    pub fn wait_for(
        &self,
        what: &str,
        limit: Duration,
        mut condition: impl FnMut() -> bool,
    ) -> Result<(), String> {
        let start = Instant::now();
        while !condition() {
            if start.elapsed() > limit {
                return Err(format!("{what}: not within {limit:?}"));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// What `view ls --json` says.
    pub fn views(&self) -> Result<Vec<serde_json::Value>, String> {
        let list = self.verb(&["ls", "--json"])?;
        ensure_eq!(list.code, 0, "{list:?}");
        let document: serde_json::Value =
            serde_json::from_str(&list.out).map_err(|e| format!("{e}: {}", list.out))?;
        document["views"]
            .as_array()
            .cloned()
            .ok_or_else(|| format!("no `views`: {}", list.out))
    }

    /// The field of the view named `name`.
    pub fn view_field(&self, name: &str, field: &str) -> Result<i32, String> {
        let views = self.views()?;
        let view = views
            .iter()
            .find(|v| v["name"] == name)
            .ok_or_else(|| format!("no view {name} in {views:?}"))?;
        view[field]
            .as_i64()
            .and_then(|n| i32::try_from(n).ok())
            .ok_or_else(|| format!("no {field} in {view}"))
    }

    /// Waits until no view of this test is running any more.
    pub fn wait_for_no_view(&self) -> Result<(), String> {
        self.wait_for("the end of the view", Duration::from_secs(5), || {
            self.views().is_ok_and(|v| v.is_empty())
        })
    }
}

impl Running {
    /// The next line of output, without its end.
    pub fn line(&mut self) -> Result<String, String> {
        let mut stdout = self.stdout.take().ok_or("no output left")?;
        let (send, receive) = mpsc::channel();
        std::thread::spawn(move || {
            let (mut line, mut byte) = (Vec::new(), [0_u8]);
            while stdout.read(&mut byte).is_ok_and(|n| n == 1) && byte[0] != b'\n' {
                line.push(byte[0]);
            }
            let _ = send.send((line, stdout));
        });
        let (line, stdout) = receive
            .recv_timeout(self.limit)
            .map_err(|_| self.complaint("no line of output came"))?;
        self.stdout = Some(stdout);
        Ok(String::from_utf8_lossy(&line).into_owned())
    }

    /// All the output until every holder of the pipe has closed it, within `limit`.
    pub fn rest(&mut self, limit: Duration) -> Result<String, String> {
        let mut stdout = self.stdout.take().ok_or("no output left")?;
        let (send, receive) = mpsc::channel();
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let _ = stdout.read_to_end(&mut bytes);
            let _ = send.send(bytes);
        });
        let bytes = receive
            .recv_timeout(limit)
            .map_err(|_| self.complaint("somebody holds the output pipe"))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Waits for the command.
    pub fn wait(&mut self, limit: Duration) -> Result<i32, String> {
        let start = Instant::now();
        while start.elapsed() < limit {
            if let Some(status) = self.child.try_wait().map_err(|e| e.to_string())? {
                return Ok(code_of(status));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Err(self.complaint("did not end"))
    }

    /// Closes its input, reads all its output and waits for it.
    pub fn end(&mut self) -> Result<Finished, String> {
        drop(self.child.stdin.take());
        let out = self.rest(self.limit)?;
        let code = self.wait(self.limit)?;
        Ok(Finished {
            code,
            out,
            err: self.errors(),
            line: self.line.clone(),
        })
    }

    /// Sends a signal to the started process only.
    pub fn signal(&self, signal: rustix::process::Signal) -> Result<(), String> {
        kill(i32::try_from(self.child.id()).unwrap_or(0), signal)
    }

    fn errors(&self) -> String {
        fs::read(&self.error_file)
            .map(|b| String::from_utf8_lossy(&b).into_owned())
            .unwrap_or_default()
    }

    fn complaint(&self, what: &str) -> String {
        format!("{what}: {}\n{}", self.line, self.errors())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            kill_group(self.child.id());
            let _ = self.child.wait();
        }
    }
}

fn code_of(status: ExitStatus) -> i32 {
    status
        .code()
        .or_else(|| status.signal().map(|s| 128 + s))
        .unwrap_or(-1)
}

/// Sends a signal to a process that this test has started, or that its view runs.
pub fn kill(pid: i32, signal: rustix::process::Signal) -> Result<(), String> {
    let pid = rustix::process::Pid::from_raw(pid).ok_or("no such process id")?;
    rustix::process::kill_process(pid, signal).map_err(|e| format!("kill: {e}"))
}

/// Whether a process exists and is no zombie.
pub fn is_alive(pid: i32) -> bool {
    let text = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat"))
        .unwrap_or_default();
    let state = text
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .trim_start()
        .chars()
        .next();
    state.is_some_and(|s| s != 'Z' && s != 'X')
}
