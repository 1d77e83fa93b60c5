//! Runs one command with a time limit; its output goes to a file, so that a process left behind can't hold the runner.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How a command ended and what it printed.
#[derive(Debug)]
pub struct Outcome {
    /// `None` when the time limit was reached.
    pub status: Option<ExitStatus>,
    /// Standard output and standard error, in the order they were written.
    pub output: String,
}

impl Outcome {
    /// The status a shell would show: the exit code, or 128 + the signal's number. `None` after the time limit.
    #[must_use]
    pub fn code(&self) -> Option<i32> {
        let status = self.status?;
        status.code().or_else(|| status.signal().map(|s| 128 + s))
    }

    /// One phrase for a report.
    #[must_use]
    pub fn describe(&self) -> String {
        match self.status {
            None => "time limit reached".to_string(),
            Some(status) => status.to_string(),
        }
    }

    /// The last `count` lines of the output.
    #[must_use]
    pub fn tail(&self, count: usize) -> String {
        let lines: Vec<&str> = self.output.lines().collect();
        lines[lines.len().saturating_sub(count)..].join("\n")
    }
}

/// The command as one line that can be pasted in a shell.
#[must_use]
pub fn command_line(command: &Command) -> String {
    let mut words: Vec<String> = Vec::new();
    for (key, value) in command.get_envs() {
        if let Some(value) = value {
            words.push(format!(
                "{}={}",
                key.to_string_lossy(),
                quote(&value.to_string_lossy())
            ));
        }
    }
    words.push(quote(&command.get_program().to_string_lossy()));
    words.extend(command.get_args().map(|a| quote(&a.to_string_lossy())));
    words.join(" ")
}

fn quote(word: &str) -> String {
    if !word.is_empty()
        && word
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "/._-=:,+@%".contains(c))
    {
        return word.to_string();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// Runs the command in a process group of its own and waits for it, at most `limit`; then the group is killed.
/// Standard input is /dev/null unless the caller has set it through `stdin`.
///
/// # Errors
/// The command could not be started, or its output file not be made in `scratch`.
pub fn run(
    command: &mut Command,
    limit: Duration,
    scratch: &Path,
    stdin: Stdio,
) -> io::Result<Outcome> {
    let path =
        scratch.join(format!("out-{:?}", std::thread::current().id()).replace(['(', ')'], "-"));
    let mut file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(&path)?;
    command
        .stdin(stdin)
        .stdout(file.try_clone()?)
        .stderr(file.try_clone()?)
        .process_group(0);
    let mut child = command.spawn()?;
    let start = Instant::now();
    let mut pause = Duration::from_micros(500);
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break Some(status);
        }
        if start.elapsed() > limit {
            kill_group(child.id());
            child.wait()?;
            break None;
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(10));
    };
    file.seek(SeekFrom::Start(0))?;
    let mut bytes = Vec::new();
    file.take(4 << 20).read_to_end(&mut bytes)?;
    Ok(Outcome {
        status,
        output: String::from_utf8_lossy(&bytes).into_owned(),
    })
}

/// Kills every process of a group that this program has started.
pub fn kill_group(pid: u32) {
    if let Some(pid) = i32::try_from(pid)
        .ok()
        .and_then(rustix::process::Pid::from_raw)
    {
        let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
    }
}
