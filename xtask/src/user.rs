//! The ordinary user that the tests run as.
//!
//! Started by root, the tests run as `viewtest` (made when missing): no capability in any set, no supplementary group,
//! no_new_privs not set, and user namespaces refused for as long as a [`NoUserNamespaces`] lives. Started by anyone else,
//! they run as that user.

use std::io::Write;
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

/// The front of a command line that runs the rest as the test user, with an environment of its own.
pub fn as_test_user(environment: &[(&str, String)]) -> Result<Command> {
    let mut command = if project::is_root() {
        let (uid, gid) = ids()?;
        let mut setpriv = command("setpriv");
        setpriv
            .arg(format!("--reuid={uid}"))
            .arg(format!("--regid={gid}"));
        setpriv.args([
            "--clear-groups",
            "--inh-caps=-all",
            "--ambient-caps=-all",
            "--bounding-set=-all",
            "--",
            "env",
            "-i",
        ]);
        setpriv
    } else {
        let mut env = command("env");
        env.arg("-i");
        env
    };
    command
        .arg("PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
        .arg("LANG=C.UTF-8")
        .arg("SHELL=/bin/sh");
    for (name, value) in environment {
        command.arg(format!("{name}={value}"));
    }
    Ok(command)
}

/// Refuses new user namespaces on this machine until dropped. A watcher puts the old limit back when the pipe to it
/// closes, so the limit returns even when this process is killed.
pub struct NoUserNamespaces {
    watcher: Child,
    pipe: Option<ChildStdin>,
}

impl NoUserNamespaces {
    /// Sets the limit to 0; `None` when this process is not root (the limit stays as it is) or it is 0 already.
    pub fn new() -> Result<Option<Self>> {
        let old = std::fs::read_to_string(LIMIT).unwrap_or_default();
        if !project::is_root() || matches!(old.trim(), "" | "0") {
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
