//! From a `ViewSpec` to running processes: what the front does before and after `launch`.
//!
//! The front binds the control socket, since its name belongs into the command's environment, and
//! forks; the supervisor gets a [`Session`] and serves. A failure in the supervisor before the
//! command runs travels back as data, so that the front alone talks to the user.
//!
//! Neighbours: `launch` (processes), `runtime` (sockets), `client` (views that already run).

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use serde::{Deserialize, Serialize};

use super::client::{ClientError, Connection};
use super::protocol::{LogLevel, MountSpec, Refusal, ViewSpec, error_text};
use super::runtime;
use crate::launch::{self, Command, LaunchError, Supervised};
use crate::syscall::table::{FilterNeeds, filter_program};

/// Name of the variable that holds the view's name.
pub const NAME_VARIABLE: &str = "VIEW";
/// Name of the variable that holds the path of the control socket.
pub const SOCKET_VARIABLE: &str = "VIEW_SOCKET";

/// Why no command was started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartFailure {
    /// What was attempted, as in `cannot mount disk.img on /mnt`.
    pub what: String,
    /// The cause.
    pub why: String,
    /// One remedy.
    pub hint: Option<String>,
    /// The kernel refused what a view needs of it (filter, listener, tracing): `view doctor` can tell.
    pub is_host_refusal: bool,
}

impl StartFailure {
    /// A failure of view's own.
    pub fn new(what: impl Into<String>, refusal: Refusal) -> Self {
        Self { what: what.into(), why: refusal.why, hint: refusal.hint, is_host_refusal: false }
    }

    fn io(what: &str, error: &io::Error) -> Self {
        let why = match Errno::from_io_error(error) {
            Some(errno) => error_text(errno),
            None => error.to_string(),
        };
        Self { what: what.into(), why, hint: None, is_host_refusal: false }
    }

    fn client(what: &str, error: ClientError) -> Self {
        match error {
            ClientError::Refused(refusal) => Self::new(what, refusal),
            ClientError::Io(error) => Self::io(what, &error),
            other => {
                Self { what: what.into(), why: other.to_string(), hint: None, is_host_refusal: false }
            }
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

/// What the supervisor of a new view starts with.
#[derive(Debug)]
pub struct Session {
    /// Name of the view.
    pub name: String,
    /// Path of the control socket; removed when this is dropped.
    pub socket_path: PathBuf,
    /// The control socket, for `server::serve` (take it with `Option::take`).
    pub listener: Option<UnixListener>,
    /// The view's cookie.
    pub cookie: u64,
    /// Mounts to be made before the command starts, in order.
    pub mounts: Vec<MountSpec>,
    /// Program and arguments, for `Info`.
    pub command: Vec<OsString>,
    /// Budget for page-cache files.
    pub cache_size_bytes: Option<u64>,
    /// How much is said.
    pub log_level: LogLevel,
    failures: File,
}

impl Session {
    /// Tells the front why there will be no command; the result is the supervisor's exit code.
    pub fn fail(&self, failure: impl Into<StartFailure>) -> i32 {
        let text = serde_json::to_vec(&failure.into()).unwrap_or_default();
        // The front may be gone; then nobody wants to know.
        let _ = (&self.failures).write_all(&text);
        launch::EXIT_VIEW_FAILED
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.socket_path);
    }
}

/// Runs the command of `spec` in a new view; gives its exit code.
///
/// `supervise` runs in the supervisor: it makes the mounts, starts the command
/// (`Supervised::start`), serves until the last process is gone and returns 0, or what
/// [`Session::fail`] gave.
///
/// Errors: whatever kept the command from being started by view's own fault. A command that is not
/// found or not executable is told by `launch` and has the code 127 or 126.
pub fn run(
    spec: ViewSpec,
    needs: FilterNeeds,
    supervise: impl FnOnce(Supervised, Session) -> i32,
) -> Result<i32, StartFailure> {
    let directory = runtime::directory()
        .map_err(|error| StartFailure::io("cannot use the runtime directory", &error))?;
    let (name, socket_path, listener) = runtime::bind(&directory, spec.name.as_deref())
        .map_err(|error| name_failure(spec.name.as_deref(), &error))?;
    let mut guard = SocketGuard(Some(socket_path.clone()));
    let cookie = random_cookie()
        .map_err(|error| StartFailure::io("cannot read random bytes", &error))?;
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)
        .map_err(|errno| StartFailure::io("cannot make a pipe", &errno.into()))?;
    let command = Command {
        arguments: spec.command.clone(),
        environment: environment(&spec.environment, Some((&name, &socket_path))),
        directory: spec.directory,
    };
    let front = std::process::id();
    let make_session = move || Session {
        name,
        socket_path,
        listener: Some(listener),
        cookie,
        mounts: spec.mounts,
        command: spec.command,
        cache_size_bytes: spec.cache_size_bytes,
        log_level: spec.log_level,
        failures: writer.into(),
    };
    let filter = filter_program(cookie, needs);
    let result = launch::run_in_new_view(&command, &filter, cookie, |supervised| {
        supervise(supervised, make_session())
    });
    debug_assert_eq!(front, std::process::id(), "only the front comes back");
    match result {
        Ok(code) => {
            // The supervisor removes its socket when it ends, which may be later.
            guard.0 = None;
            match reported(reader.into()) {
                Some(failure) => Err(failure),
                None => Ok(code),
            }
        }
        Err(error) => Err(error.into()),
    }
}

/// Removes the socket of a view that was never started.
struct SocketGuard(Option<PathBuf>);

impl Drop for SocketGuard {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            let _ = std::fs::remove_file(path);
        }
    }
}

fn name_failure(name: Option<&str>, error: &io::Error) -> StartFailure {
    let what = match name {
        Some(name) => format!("cannot name the view {name}"),
        None => "cannot make the control socket".to_owned(),
    };
    let mut failure = StartFailure::io(&what, error);
    if error.kind() == io::ErrorKind::AddrInUse {
        failure.why = "a running view has that name".into();
        failure.hint = Some("`view ls` lists your views".into());
    }
    failure
}

/// What the supervisor said, if it failed. Does not wait: it has ended, or is serving.
fn reported(mut pipe: File) -> Option<StartFailure> {
    let mut text = vec![0; 64 << 10];
    let length = pipe.read(&mut text).ok()?;
    serde_json::from_slice(text.get(..length)?).ok()
}

/// A number that no argument has by chance: above 32 bits.
fn random_cookie() -> io::Result<u64> {
    let mut bytes = [0; 8];
    let mut source = File::open("/dev/urandom")?;
    loop {
        source.read_exact(&mut bytes)?;
        let cookie = u64::from_ne_bytes(bytes);
        if cookie > u64::from(u32::MAX) {
            return Ok(cookie);
        }
    }
}

/// This process's environment with `added` on top, then the view's name and socket.
fn environment(
    added: &[(OsString, OsString)],
    view: Option<(&str, &Path)>,
) -> Vec<(OsString, OsString)> {
    let mut all: Vec<(OsString, OsString)> = std::env::vars_os().collect();
    let mut set = |key: &OsStr, value: &OsStr| match all.iter_mut().find(|(known, _)| known == key) {
        Some((_, old)) => *old = value.to_owned(),
        None => all.push((key.to_owned(), value.to_owned())),
    };
    for (key, value) in added {
        set(key, value);
    }
    if let Some((name, socket)) = view {
        set(OsStr::new(NAME_VARIABLE), OsStr::new(name));
        set(OsStr::new(SOCKET_VARIABLE), socket.as_os_str());
    }
    all
}

/// Runs the command of `spec` in a child namespace of the view that this process is in.
pub fn run_nested(
    spec: ViewSpec,
    socket: &Path,
    mut connection: Connection,
    cwd: PathBuf,
) -> Result<i32, StartFailure> {
    let name = match spec.name {
        Some(name) => name,
        None => {
            let outer = std::env::var(NAME_VARIABLE).unwrap_or_default();
            format!("{outer}.{}", std::process::id())
        }
    };
    let command = Command {
        arguments: spec.command,
        environment: environment(&spec.environment, Some((&name, socket))),
        directory: spec.directory,
    };
    let mut failure = None;
    let code = launch::run_nested(&command, |pid| {
        connection.new_namespace(pid, name, spec.mounts, cwd).map(drop).map_err(|error| {
            failure = Some(StartFailure::client("cannot start a view inside this view", error));
            launch::EXIT_VIEW_FAILED
        })
    })?;
    match failure {
        Some(failure) => Err(failure),
        None => Ok(code),
    }
}

/// Runs a command in a view that is already running and that this process is not in.
pub fn enter(
    socket: &Path,
    mut connection: Connection,
    arguments: Vec<OsString>,
    added: &[(OsString, OsString)],
    directory: Option<PathBuf>,
) -> Result<i32, StartFailure> {
    let what = "cannot enter the view";
    let ticket = connection.prepare_enter().map_err(|error| StartFailure::client(what, error))?;
    let command = Command {
        arguments: arguments.clone(),
        environment: environment(added, Some((&ticket.name, socket))),
        directory,
    };
    let needs = FilterNeeds { intercept_lseek: ticket.intercept_lseek };
    let filter = filter_program(ticket.cookie, needs);
    let socket = connection.enter(arguments).map_err(|error| StartFailure::client(what, error))?;
    Ok(launch::run_entered(&command, &filter, ticket.cookie, socket)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_differ_and_are_above_32_bits() {
        let (one, two) = (random_cookie().unwrap(), random_cookie().unwrap());
        assert_ne!(one, two);
        assert!(one > u64::from(u32::MAX) && two > u64::from(u32::MAX));
    }

    #[test]
    fn environment_is_the_callers_with_changes_on_top() {
        let added = [("PATH".into(), "/p".into()), ("A".into(), "1".into()), ("A".into(), "2".into())];
        let all = environment(&added, Some(("n", Path::new("/s"))));
        let get = |key: &str| {
            let mut found = all.iter().filter(|(known, _)| known == key);
            let value = found.next().map(|(_, value)| value.to_str().unwrap());
            assert!(found.next().is_none(), "{key} is there twice");
            value
        };
        assert_eq!((get("PATH"), get("A")), (Some("/p"), Some("2")));
        assert_eq!((get("VIEW"), get("VIEW_SOCKET")), (Some("n"), Some("/s")));
    }

    #[test]
    fn failures_of_the_supervisor_reach_the_front() {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).unwrap();
        let session = Session {
            name: "n".into(),
            socket_path: "/nonexistent/socket".into(),
            listener: None,
            cookie: 1,
            mounts: vec![],
            command: vec![],
            cache_size_bytes: None,
            log_level: LogLevel::Warn,
            failures: writer.into(),
        };
        let refusal = Refusal::new(libc::EINVAL, "bad magic").with_hint("try another");
        let code = session.fail(StartFailure::new("cannot mount a on b", refusal));
        assert_eq!(code, 125);
        let failure = reported(reader.into()).unwrap();
        assert_eq!((failure.what.as_str(), failure.why.as_str()), ("cannot mount a on b", "bad magic"));
        // Nothing said, nothing read, no waiting.
        let (reader, _writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).unwrap();
        assert_eq!(reported(reader.into()), None);
    }
}
