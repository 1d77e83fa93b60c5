//! What a view is, and what is said over its control socket, as plain data.
//!
//! The command line is turned into a [`ViewSpec`] or a [`MountSpec`]; a [`Request`] carries them to a
//! running supervisor, which answers with one [`Response`]. Nothing here has behaviour.
//!
//! All paths are absolute: the command makes them so against the caller's working directory.
//! Neighbours: `wire` (bytes), `server` and `client` (who speaks), `options` (what `options` means).

use std::ffi::OsString;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::os_text;
use crate::identity::IdentitySpec;

/// How much the supervisor says on stderr.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Nothing at all.
    Off,
    /// What went wrong for good: a module failed, a write was lost.
    Error,
    /// Also what is damaged or degraded. The default.
    #[default]
    Warn,
    /// Also mounts, unmounts, the life of the view.
    Info,
    /// Also each operation that was refused or is unknown.
    Debug,
    /// Also each intercepted call.
    Trace,
}

/// What a mount does to the names below its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MountKind {
    /// A filesystem module over an image or other source; the type is probed when it is `None`.
    Filesystem,
    /// A host file or directory under another name (`-v`, `-b`, `type=bind`).
    Bind,
    /// A new, empty filesystem in memory (`--tmpfs`, `type=tmpfs`).
    Tmpfs,
    /// The target and all below it is gone: an empty directory or file stands there (`--hide`).
    Hide,
    /// The target itself, read-only (`--ro`).
    ReadOnly,
    /// A filesystem of the kernel's own (proc, sysfs ...): the host's, under another name.
    Kernel,
}

/// One mount, as asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountSpec {
    /// Filesystem type (`ext4`, `tmpfs`, `bind` ...); `None` asks for a probe of the source.
    pub filesystem: Option<String>,
    /// What is mounted: an absolute path for `Filesystem` and `Bind`; equal to `target` for
    /// `ReadOnly` and `Hide`; a label (`tmpfs`) for `Tmpfs` and `Kernel`.
    #[serde(with = "os_text")]
    pub source: OsString,
    /// Where: an absolute path. It need not exist.
    #[serde(with = "os_text")]
    pub target: PathBuf,
    /// Comma-separated options as in mount(8), possibly empty; read by `MountOptions::parse`.
    pub options: String,
    /// What the mount does.
    pub kind: MountKind,
}

/// One view, as asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewSpec {
    /// Name of the view (letters, digits, `.`, `_`, `-`); `None` lets the supervisor choose.
    pub name: Option<String>,
    /// Mounts, in the order in which they are to be made.
    pub mounts: Vec<MountSpec>,
    /// Program and arguments, never empty. A program without a slash is looked up in PATH.
    #[serde(with = "os_text::list")]
    pub command: Vec<OsString>,
    /// Variables set on top of the caller's environment.
    #[serde(with = "os_text::pairs")]
    pub environment: Vec<(OsString, OsString)>,
    /// Working directory of the command, as a path of the view; `None` keeps the caller's.
    #[serde(with = "os_text::optional")]
    pub directory: Option<PathBuf>,
    /// Budget for page-cache files; `None` takes it from the cgroup and free memory.
    pub cache_size_bytes: Option<u64>,
    /// How much the supervisor says.
    pub log_level: LogLevel,
    /// The ids that its processes take themselves for; `None` leaves them those of the user.
    #[serde(default)]
    pub identity: Option<IdentitySpec>,
}

/// Why something was not done: what the user reads, and what mount(2) returns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{why}")]
pub struct Refusal {
    /// The cause, lower case, no full stop, without the name of what was attempted.
    pub why: String,
    /// One remedy, if there is one.
    pub hint: Option<String>,
    /// Linux errno for callers that came by a system call; `EIO` when nothing fits better.
    pub errno: i32,
}

impl Refusal {
    /// A refusal without a hint.
    pub fn new(errno: i32, why: impl Into<String>) -> Self {
        Self {
            why: why.into(),
            hint: None,
            errno,
        }
    }

    /// The same with a remedy.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// From a system call's errno, worded as Linux words it.
    pub fn from_errno(errno: rustix::io::Errno) -> Self {
        Self::new(errno.raw_os_error(), error_text(errno))
    }
}

/// The C library's words for an errno (`No such file or directory`), without Rust's suffix.
pub fn error_text(errno: rustix::io::Errno) -> String {
    let text = std::io::Error::from(errno).to_string();
    match text.find(" (os error") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

/// One line of the mount table of a view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountInfo {
    /// Mount id, as in /proc/self/mountinfo inside the view.
    pub id: u64,
    /// Id of the mount it sits on; 0 for mounts directly on the host's tree.
    pub parent: u64,
    /// Filesystem type.
    pub filesystem: String,
    /// What is mounted.
    #[serde(with = "os_text")]
    pub source: OsString,
    /// Where, as a path of the view.
    #[serde(with = "os_text")]
    pub target: PathBuf,
    /// Effective options (`ro,nosuid`).
    pub options: String,
}

/// What a supervisor says of its view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewInfo {
    /// Name, unique among the user's running views.
    pub name: String,
    /// Process id of the supervisor.
    pub supervisor_pid: u32,
    /// Process id of the first tracee.
    pub command_pid: u32,
    /// Its program and arguments.
    #[serde(with = "os_text::list")]
    pub command: Vec<OsString>,
    /// Start of the view, seconds since the epoch.
    pub started_unix_s: u64,
    /// Tracees alive now.
    pub processes: u32,
    /// Mounts in the outermost namespace.
    pub mounts: u32,
}

/// What a process needs to enter a running view with a filter of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnterTicket {
    /// Name of the view.
    pub name: String,
    /// The view's cookie: the filter lets calls through whose sixth argument equals it.
    pub cookie: u64,
    /// The view has ids of its own, which its filter must know.
    #[serde(default)]
    pub has_identity: bool,
    /// Variables that a process of the view finds (`VIEW`, `VIEW_SOCKET`).
    #[serde(with = "os_text::pairs")]
    pub environment: Vec<(OsString, OsString)>,
}

/// A child namespace of a running view (nested `view run`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamespaceInfo {
    /// Number of the namespace, unique within the supervisor.
    pub id: u64,
    /// Variables that a process of the view finds.
    #[serde(with = "os_text::pairs")]
    pub environment: Vec<(OsString, OsString)>,
}

/// What a client asks. One request and one response at a time on a connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "kebab-case")]
pub enum Request {
    /// Adds a mount to the caller's namespace (the outermost one for a caller outside the view).
    Mount {
        /// The mount.
        mount: MountSpec,
        /// Caller's working directory.
        #[serde(with = "os_text")]
        cwd: PathBuf,
    },
    /// Removes a mount.
    Unmount {
        /// Its mount point.
        #[serde(with = "os_text")]
        target: PathBuf,
        /// Detach now, finish when the last user is gone (MNT_DETACH).
        lazy: bool,
        /// Caller's working directory.
        #[serde(with = "os_text")]
        cwd: PathBuf,
    },
    /// Lists the mounts of the caller's namespace.
    Mounts,
    /// Asks who this is.
    Info,
    /// Asks for what a filter for this view needs.
    PrepareEnter,
    /// Turns this connection over to a process that will run under the view's filter: after `Done`
    /// it carries the listener (`launch::handover`), and the process lives as long as it is open.
    Enter {
        /// Its program and arguments.
        #[serde(with = "os_text::list")]
        command: Vec<OsString>,
    },
    /// Makes a child namespace with these mounts.
    NewNamespace {
        /// Process that becomes its root: a process of the view, the caller itself or its child.
        pid: u32,
        /// Name, for messages.
        name: String,
        /// Mounts, in order.
        mounts: Vec<MountSpec>,
        /// Caller's working directory.
        #[serde(with = "os_text")]
        cwd: PathBuf,
    },
    /// Ends the view: its tracees are killed.
    Stop,
}

/// What the supervisor answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "response", rename_all = "kebab-case")]
pub enum Response {
    /// Done; nothing to add.
    Done,
    /// To `Mounts`.
    Mounts {
        /// In mount order.
        mounts: Vec<MountInfo>,
    },
    /// To `Info`.
    Info {
        /// The view.
        view: ViewInfo,
    },
    /// To `PrepareEnter`.
    Ticket {
        /// What the filter needs.
        ticket: EnterTicket,
    },
    /// To `NewNamespace`.
    Namespace {
        /// The new namespace.
        namespace: NamespaceInfo,
    },
    /// Not done.
    Refused {
        /// Why.
        refusal: Refusal,
    },
}
