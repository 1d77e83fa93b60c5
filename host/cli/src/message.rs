//! What the user reads when something fails: `view: WHAT: WHY`, then at most a hint.
//!
//! Lower case, one line, no full stop; data goes to stdout, talk to stderr. A reader that closes the
//! pipe early is no failure.

use std::fmt;
use std::io::{self, ErrorKind, Write};

use view_core::control::{client::ClientError, protocol::Refusal, protocol::error_text};

/// Exit status when view itself failed while it was to run a command.
pub const VIEW_FAILED: u8 = 125;
/// Exit status for a wrong command line.
pub const USAGE: u8 = 2;
/// Exit status of a mount or unmount that failed, as mount(8) has it.
pub const MOUNT_FAILED: u8 = 32;

/// A failure, ready to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What was attempted, as in `cannot mount disk.img on /mnt`.
    pub what: String,
    /// The cause; may be empty.
    pub why: String,
    /// One remedy.
    pub hint: Option<String>,
    /// Exit status.
    pub status: u8,
}

impl Failure {
    /// A failure with a cause.
    pub fn new(status: u8, what: impl Into<String>, why: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            why: why.into(),
            hint: None,
            status,
        }
    }

    /// The same with a remedy.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// From a supervisor's or module's refusal.
    pub fn refused(status: u8, what: impl Into<String>, refusal: Refusal) -> Self {
        Self {
            what: what.into(),
            why: refusal.why,
            hint: refusal.hint,
            status,
        }
    }

    /// From a failed conversation with a supervisor.
    pub fn client(status: u8, what: impl Into<String>, error: ClientError) -> Self {
        match error {
            ClientError::Refused(refusal) => Self::refused(status, what, refusal),
            ClientError::Io(error) => Self::new(status, what, io_text(&error)),
            other => Self::new(status, what, other.to_string()),
        }
    }

    /// Writes it to stderr.
    pub fn show(&self) {
        // When stderr is gone there is nobody to tell.
        let _ = io::stderr().write_all(self.to_string().as_bytes());
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.why.is_empty() {
            writeln!(out, "view: {}", self.what)?;
        } else {
            writeln!(out, "view: {}: {}", self.what, self.why)?;
        }
        match &self.hint {
            Some(hint) => writeln!(out, "  hint: {hint}"),
            None => Ok(()),
        }
    }
}

/// An I/O error in Linux's words, without Rust's suffix.
pub fn io_text(error: &io::Error) -> String {
    match rustix::io::Errno::from_io_error(error) {
        Some(errno) => error_text(errno),
        None => error.to_string(),
    }
}

/// Writes data to stdout. A closed pipe is success: the reader has had enough.
pub fn print(text: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::new(1, "cannot write to stdout", io_text(&error)))
        }
        _ => Ok(()),
    }
}

/// Writes one JSON document and a newline to stdout.
pub fn print_json(document: &serde_json::Value) -> Result<(), Failure> {
    print(format!("{document:#}\n").as_bytes())
}
