//! The command line, declared once: help, man pages and completions are generated from this file.
//!
//! Words are only sorted here; `words` gives the mount words their meaning and `spec` makes a view of
//! them. Names follow docker, mount(8) and bwrap, as their users' fingers do.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, CommandFactory, Parser, Subcommand, ValueHint, builder::PossibleValuesParser};
use clap_complete::Shell;
use view_core::control::{options::parse_size, runtime::is_valid_name};

use view_core::identity::IdentitySpec;

use crate::identity;
use crate::words::MountWords;

/// Give any program its own view of the machine: disk images, directories and memory under any name.
///
/// No root, no user namespaces, no /dev/fuse: the system calls that name files are answered by
/// seccomp user notification. What CMD mounts, only CMD and its children see.
#[derive(Debug, Parser)]
#[command(name = "view", version, arg_required_else_help = true, after_help = AFTER_HELP)]
#[command(subcommand_value_name = "VERB", subcommand_help_heading = "Verbs")]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

const AFTER_HELP: &str = "\
Examples:
  view mount ext4 disk.img /mnt -- ls -l /mnt       look into an image
  view run -m disk.img:/mnt --tmpfs /tmp make -C /mnt/src O=/tmp/out
  view run --hide ~/.ssh --ro . -- ./build.sh       a build without your keys
  view doctor                                       what this host allows

Exit status: run, sh, enter and mount with CMD return CMD's; 125 when view itself failed, 126 when
CMD cannot be executed, 127 when it is not found, 128+N when signal N killed it. Others: 0, 1 (no),
2 (usage), 32 (mount failed).

Environment: VIEW_LOG sets the log level; XDG_RUNTIME_DIR is where control sockets are. A command in
a view finds VIEW (its name) and VIEW_SOCKET.";

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Run CMD in a new view; the exit status is CMD's
    Run(Run),
    /// Start $SHELL in a new view
    Sh(Sh),
    /// Mount an image or a directory: here when inside a view, else in a new view for CMD or a shell
    Mount(Mount),
    /// Remove a mount of a running view
    #[command(alias = "unmount")]
    Umount(Umount),
    /// List the mounts of a view
    #[command(alias = "findmnt")]
    Mounts(Mounts),
    /// List your running views
    #[command(alias = "ps")]
    Ls(Ls),
    /// Run CMD, or a shell, in a view that is already running
    #[command(alias = "exec")]
    Enter(Enter),
    /// Say what this host allows, what is missing, and what a call costs
    Doctor(Doctor),
    /// Print the completion script for a shell
    Completions(Completions),
    /// Print the manual page, or write all pages into DIR
    Man(Man),
    /// Print the table of system calls and how each is handled, as Markdown
    Compat,
}

/// `view run`.
#[derive(Debug, Args)]
pub struct Run {
    /// The new view.
    #[command(flatten)]
    pub view: NewView,
    /// Habits of docker.
    #[command(flatten)]
    pub habits: Habits,
    /// Program and its arguments
    #[arg(value_name = "CMD", required = true, trailing_var_arg = true)]
    #[arg(value_hint = ValueHint::CommandWithArguments)]
    pub command: Vec<OsString>,
}

/// `view sh`.
#[derive(Debug, Args)]
pub struct Sh {
    /// The new view.
    #[command(flatten)]
    pub view: NewView,
    /// Habits of docker.
    #[command(flatten)]
    pub habits: Habits,
}

/// `view mount`.
#[derive(Debug, Args)]
#[command(
    override_usage = "view mount [OPTIONS] [-t TYPE] [-o OPTS] SRC DIR [-- CMD...]\n       view mount [OPTIONS] TYPE SRC DIR [-- CMD...]"
)]
pub struct Mount {
    /// Filesystem type; probed when left out
    #[arg(short = 't', long = "type", value_name = "TYPE")]
    pub filesystem: Option<String>,
    /// Mount options, comma-separated: ro, rw, nosuid, nodev, noexec, default_permissions,
    /// offset=BYTES, and those of the type
    #[arg(short, long, value_name = "OPTS")]
    pub options: Vec<String>,
    /// Mount read-only (the same as -o ro)
    #[arg(short, long)]
    pub read_only: bool,
    /// Change the running view NAME instead
    #[arg(long = "in", value_name = "NAME", conflicts_with = "command")]
    pub inside: Option<String>,
    /// The new view, when one is made.
    #[command(flatten)]
    pub view: NewView,
    /// [TYPE] SRC DIR; without any, the mounts are listed
    #[arg(value_name = "SRC DIR", num_args = 0..=3, value_hint = ValueHint::AnyPath)]
    pub words: Vec<OsString>,
    /// Program and its arguments, run in a new view that has the mount
    #[arg(value_name = "CMD", last = true, value_hint = ValueHint::CommandWithArguments)]
    pub command: Vec<OsString>,
}

/// `view umount`.
#[derive(Debug, Args)]
pub struct Umount {
    /// Detach now; finish when the last open file is closed
    #[arg(short, long)]
    pub lazy: bool,
    /// Change the running view NAME
    #[arg(long = "in", value_name = "NAME")]
    pub inside: Option<String>,
    /// Mount points
    #[arg(value_name = "DIR", required = true, value_hint = ValueHint::DirPath)]
    pub targets: Vec<PathBuf>,
}

/// `view mounts`.
#[derive(Debug, Args)]
pub struct Mounts {
    /// One JSON document
    #[arg(short = 'J', long)]
    pub json: bool,
    /// Ask the running view NAME
    #[arg(long = "in", value_name = "NAME")]
    pub inside: Option<String>,
}

/// `view ls`.
#[derive(Debug, Args)]
pub struct Ls {
    /// One JSON document
    #[arg(short = 'J', long)]
    pub json: bool,
}

/// `view enter`.
#[derive(Debug, Args)]
pub struct Enter {
    /// Working directory of CMD, as a path of the view
    #[arg(short = 'w', long = "workdir", alias = "cwd", value_name = "DIR")]
    pub directory: Option<PathBuf>,
    /// Set a variable for CMD
    #[arg(short, long = "env", value_name = "K=V")]
    pub environment: Vec<OsString>,
    /// Habits of docker.
    #[command(flatten)]
    pub habits: Habits,
    /// Name of the view, as in `view ls`
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Program and its arguments [default: $SHELL]
    #[arg(value_name = "CMD", trailing_var_arg = true)]
    #[arg(value_hint = ValueHint::CommandWithArguments)]
    pub command: Vec<OsString>,
}

/// `view doctor`.
#[derive(Debug, Args)]
pub struct Doctor {
    /// One JSON document
    #[arg(short = 'J', long)]
    pub json: bool,
}

/// `view completions`.
#[derive(Debug, Args)]
pub struct Completions {
    /// Shell
    #[arg(value_name = "SHELL")]
    pub shell: Shell,
}

/// `view man`.
#[derive(Debug, Args)]
pub struct Man {
    /// Directory for one page a verb
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub directory: Option<PathBuf>,
}

/// What a new view is like: options of `run`, `sh` and `mount`.
#[derive(Debug, Default, Args)]
pub struct NewView {
    /// Mounts in the order of the command line.
    #[command(flatten)]
    pub mounts: MountWords,
    /// Working directory of CMD, as a path of the view
    #[arg(short = 'w', long = "workdir", alias = "cwd", value_name = "DIR")]
    pub directory: Option<PathBuf>,
    /// Be root in the view: the same as -u 0:0
    #[arg(short = '0', long = "fake-root", conflicts_with = "user")]
    pub fake_root: bool,
    /// Ids that the view's processes take themselves for; numbers, or names of the host
    #[arg(short, long, value_name = "UID[:GID]", value_parser = identity::parse_user)]
    pub user: Option<IdentitySpec>,
    /// Set a variable for CMD
    #[arg(short, long = "env", value_name = "K=V")]
    pub environment: Vec<OsString>,
    /// Name of the view [default: one derived from a process id]
    #[arg(long, value_parser = parse_name)]
    pub name: Option<String>,
    /// Memory for files of mounts, e.g. 512M [default: from the cgroup and free memory]
    #[arg(long, value_name = "SIZE", value_parser = parse_cache_size)]
    pub cache_size: Option<u64>,
    /// How much the supervisor says on stderr [default: warn, or $VIEW_LOG]
    #[arg(long, value_name = "L", value_parser = PossibleValuesParser::new(LOG_LEVELS))]
    pub log_level: Option<String>,
}

/// Names of the log levels, least first.
pub const LOG_LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Options that docker users type without thinking; they change nothing here.
#[derive(Debug, Default, Args)]
pub struct Habits {
    /// Accepted: standard input is always connected.
    #[arg(short = 'i', long = "interactive", hide = true)]
    pub interactive: bool,
    /// Accepted: the terminal is always yours.
    #[arg(short = 't', long = "tty", hide = true)]
    pub tty: bool,
    /// Accepted: a view is always gone when its last process is.
    #[arg(long = "rm", hide = true)]
    pub remove: bool,
}

impl Habits {
    /// Whether any was typed.
    pub fn any(&self) -> bool {
        self.interactive || self.tty || self.remove
    }
}

fn parse_name(text: &str) -> Result<String, String> {
    if is_valid_name(text) {
        return Ok(text.to_owned());
    }
    Err(
        "a name is 1 to 32 letters, digits, `.`, `_` or `-`, and starts with a letter or digit"
            .into(),
    )
}

fn parse_cache_size(text: &str) -> Result<u64, String> {
    parse_size(text).ok_or_else(|| "a size is a number of bytes, or one with K, M, G or T".into())
}

/// The whole grammar, for man pages and completions.
pub fn grammar() -> clap::Command {
    Cli::command()
}
