//! From what was typed to a `ViewSpec`: environment, working directory, shell, log level.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use view_core::control::{LogLevel, MountSpec, ViewSpec};
use view_core::identity::IdentitySpec;

use crate::args::{LOG_LEVELS, NewView};
use crate::message::Failure;
use crate::words::{Context, WordKind};

/// The caller's surroundings, as far as a view depends on them.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Working directory.
    pub cwd: PathBuf,
    /// $SHELL, if set and absolute.
    pub shell: Option<OsString>,
    /// $VIEW_LOG.
    pub log: Option<OsString>,
}

impl Caller {
    /// From this process. A working directory that is gone has no name; what is relative to it is not there either.
    pub fn from_environment() -> Self {
        let cwd = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/proc/self/cwd"));
        Self {
            cwd,
            shell: std::env::var_os("SHELL").filter(|shell| Path::new(shell).is_absolute()),
            log: std::env::var_os("VIEW_LOG"),
        }
    }

    /// The user's shell as a command.
    pub fn shell_command(&self) -> Vec<OsString> {
        vec![self.shell.clone().unwrap_or_else(|| "/bin/sh".into())]
    }

    /// The view that the options and the command ask for. `first` is mounted before all others.
    pub fn view(
        &self,
        options: &NewView,
        first: Option<MountSpec>,
        command: Vec<OsString>,
        status: u8,
    ) -> Result<ViewSpec, Failure> {
        let context = self.context();
        let mut mounts: Vec<MountSpec> = first.into_iter().collect();
        for (kind, word) in &options.mounts.0 {
            mounts.push(context.meaning(*kind, word).map_err(|bad| {
                let what = format!("{} {}", option_name(*kind), word.display());
                Failure {
                    what,
                    why: bad.why,
                    hint: bad.hint,
                    status,
                }
            })?);
        }
        let log_level = match &options.log_level {
            Some(level) => Some(level.as_str()),
            None => self.log.as_deref().and_then(OsStr::to_str),
        };
        Ok(ViewSpec {
            name: options.name.clone(),
            mounts,
            command,
            environment: environment(&options.environment, status)?,
            directory: options
                .directory
                .as_ref()
                .map(|path| context.absolute(path.as_os_str())),
            cache_size_bytes: options.cache_size,
            log_level: log_level.and_then(parse_log_level).unwrap_or_default(),
            identity: match options.fake_root {
                true => Some(IdentitySpec { uid: 0, gid: 0 }),
                false => options.user,
            },
        })
    }

    /// What mount words are read against.
    pub fn context(&self) -> Context<'_> {
        Context {
            cwd: &self.cwd,
            types: crate::modules::TYPES,
        }
    }
}

/// How a word of that kind is introduced.
fn option_name(kind: WordKind) -> &'static str {
    match kind {
        WordKind::Mount => "-m",
        WordKind::Volume => "-v",
        WordKind::Bind => "-b",
        WordKind::Hide => "--hide",
        WordKind::ReadOnly => "--ro",
        WordKind::Tmpfs => "--tmpfs",
    }
}

/// `K=V` words as pairs. `K` alone takes the caller's value, as docker does, and is dropped when
/// there is none.
pub fn environment(words: &[OsString], status: u8) -> Result<Vec<(OsString, OsString)>, Failure> {
    let mut pairs = Vec::new();
    for word in words {
        let bytes = word.as_bytes();
        let (key, value) = match bytes.iter().position(|byte| *byte == b'=') {
            Some(place) => {
                let (key, value) = bytes.split_at(place);
                let value = value.get(1..).unwrap_or_default();
                (
                    OsStr::from_bytes(key),
                    Some(OsString::from_vec(value.to_vec())),
                )
            }
            None => (word.as_os_str(), std::env::var_os(word)),
        };
        if key.is_empty() {
            let what = format!("-e {}", word.display());
            return Err(Failure::new(status, what, "a variable needs a name"));
        }
        if let Some(value) = value {
            pairs.push((key.to_owned(), value));
        }
    }
    Ok(pairs)
}

/// The level of that name.
pub fn parse_log_level(name: &str) -> Option<LogLevel> {
    let levels = [
        LogLevel::Off,
        LogLevel::Error,
        LogLevel::Warn,
        LogLevel::Info,
        LogLevel::Debug,
        LogLevel::Trace,
    ];
    LOG_LEVELS
        .iter()
        .zip(levels)
        .find(|(known, _)| **known == name)
        .map(|(_, level)| level)
}
