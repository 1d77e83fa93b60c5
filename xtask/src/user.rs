//! The ordinary user that the tests run as.
//!
//! Started by root, the tests run as `viewtest` (made when missing): no capability in any set, no supplementary group,
//! no_new_privs not set, user namespaces refused by one of two means ([`Guard`]). Started by anyone else, they run as that
//! user, with what that user may do.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use crate::Result;
use crate::command::{command, output, run, succeeds};
use crate::project;

/// The name of the user that root's tests run as.
pub const NAME: &str = "viewtest";

const LIMIT: &str = "/proc/sys/user/max_user_namespaces";

/// The user and group that the tests run as, made when missing.
pub fn ids() -> Result<(u32, u32)> {
    if !project::is_root() {
        return Ok((
            rustix::process::getuid().as_raw(),
            rustix::process::getgid().as_raw(),
        ));
    }
    if !succeeds(command("id").arg(NAME)) {
        run(command("useradd")
            .args([
                "--system",
                "--user-group",
                "--no-create-home",
                "--home-dir",
                "/nonexistent",
            ])
            .args(["--shell", "/bin/sh", NAME]))?;
    }
    let number = |flag| -> Result<u32> {
        output(command("id").args([flag, NAME]))?
            .trim()
            .parse()
            .map_err(|_| format!("id {flag} {NAME}: not a number"))
    };
    Ok((number("-u")?, number("-g")?))
}

/// The front of a command line that runs the rest as the test user, with an environment of its own; below `guard`, when
/// there is one, without user namespaces.
pub fn as_test_user(guard: Option<&Guard>, environment: &[(&str, String)]) -> Result<Command> {
    let mut command = command(
        guard
            .and_then(|guard| guard.filter.clone())
            .unwrap_or_else(|| "env".into()),
    );
    if project::is_root() {
        let (uid, gid) = ids()?;
        command
            .arg("setpriv")
            .arg(format!("--reuid={uid}"))
            .arg(format!("--regid={gid}"));
        command.args([
            "--clear-groups",
            "--inh-caps=-all",
            "--ambient-caps=-all",
            "--bounding-set=-all",
            "--",
        ]);
    }
    command.args(["env", "-i"]);
    command.args([
        "PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
        "LANG=C.UTF-8",
        "SHELL=/bin/sh",
    ]);
    for (name, value) in environment {
        command.arg(format!("{name}={value}"));
    }
    Ok(command)
}

/// How user namespaces are refused while the tests run; neither means when this process is not root, or when the machine
/// refuses them already.
#[derive(Default)]
pub struct Guard {
    /// The limit cannot be changed here: a program that sets a seccomp filter and runs the rest of its command line.
    filter: Option<PathBuf>,
    /// The machine's limit is 0 until this is dropped.
    _limit: Option<NoUserNamespaces>,
}

impl Guard {
    /// Chooses the means; `directory` is where the filter's program may be built.
    pub fn new(directory: &Path) -> Result<Self> {
        let limit = std::fs::read_to_string(LIMIT).unwrap_or_default();
        if !project::is_root() || matches!(limit.trim(), "" | "0") {
            return Ok(Self::default());
        }
        if let Some(limit) = NoUserNamespaces::new()? {
            return Ok(Self {
                filter: None,
                _limit: Some(limit),
            });
        }
        let program = directory.join("no-userns");
        let source = project::root().join("tests/acceptance/c/no-userns.c");
        run(command("gcc").args(["-O1", "-o"]).arg(&program).arg(source))?;
        Ok(Self {
            filter: Some(program),
            _limit: None,
        })
    }
}

/// Refuses new user namespaces on this machine until dropped. A watcher puts the old limit back when the pipe to it
/// closes, so the limit returns even when this process is killed.
pub struct NoUserNamespaces {
    watcher: Child,
    pipe: Option<ChildStdin>,
}

impl NoUserNamespaces {
    /// Sets the limit to 0; `None` when the machine does not let root do so.
    fn new() -> Result<Option<Self>> {
        let old = std::fs::read_to_string(LIMIT).unwrap_or_default();
        if std::fs::write(LIMIT, &old).is_err() {
            return Ok(None);
        }
        let script = format!(
            "trap '' INT TERM HUP; read line; echo {} > {LIMIT}",
            old.trim()
        );
        let mut watcher = Command::new("setsid")
            .args(["sh", "-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("setsid: {error}"))?;
        let pipe = watcher.stdin.take();
        let guard = Self { watcher, pipe };
        std::fs::write(LIMIT, "0").map_err(|error| format!("{LIMIT}: {error}"))?;
        Ok(Some(guard))
    }
}

impl Drop for NoUserNamespaces {
    fn drop(&mut self) {
        if let Some(mut pipe) = self.pipe.take() {
            let _ = pipe.write_all(b"\n");
        }
        let _ = self.watcher.wait();
    }
}
