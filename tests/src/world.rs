//! The ways to run a tracee. A world gives it the directory it works in and says what the host must look like afterwards.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::process::{self, Outcome, command_line};
use crate::report::Verdict;
use crate::scratch::remove_tree;

/// The image of the world `extrw`, in the directory of a run.
const IMAGE: &str = "rw.img";

/// What all runs share.
#[derive(Debug)]
pub struct Shared {
    /// The `view` binary; `None` when only native runs are wanted.
    pub view: Option<PathBuf>,
    /// Scratch directory on the disk.
    pub scratch: PathBuf,
    /// Scratch directory on /dev/shm, where there is one.
    pub shm: Option<PathBuf>,
    /// The fixture tree.
    pub fixture: PathBuf,
    /// Its ext4 image.
    pub image: PathBuf,
    /// Time limit of one run.
    pub limit: Duration,
}

/// Worlds of a class, in the order they are run; natives first, as the oracle.
#[must_use]
pub fn of_class(class: &str) -> &'static [&'static str] {
    match class {
        "rw" => &["native", "shm", "empty", "tmpfs", "bind", "extrw"],
        "ro" => &["native", "empty", "bind", "bindro", "ext"],
        "any" => &["native", "empty", "tmpfs", "ext"],
        "host" => &["native", "shm", "empty", "bind"],
        _ => &[],
    }
}

/// Whether a world needs no `view`.
#[must_use]
pub fn is_native(world: &str) -> bool {
    matches!(world, "native" | "shm")
}

/// Runs a tracee once. `id` makes the names of this run's directories.
///
/// # Errors
/// The run could not be set up.
pub fn run(
    shared: &Shared,
    program: &Path,
    class: &str,
    world: &str,
    id: usize,
) -> io::Result<Verdict> {
    let base = if world == "shm" {
        shared.shm.as_deref().unwrap_or(&shared.scratch)
    } else {
        &shared.scratch
    };
    let home = base.join(id.to_string());
    fs::create_dir(&home)?;
    let (point, outside, source) = (home.join("d"), home.join("o"), home.join("s"));
    for path in [&point, &outside, &source] {
        fs::create_dir(path)?;
    }
    let is_fixture = class == "ro";
    let host = if is_fixture { &shared.fixture } else { &source };
    let words = |from: &Path, more: &str| format!("{}:{}{more}", from.display(), point.display());
    let (mount, work): (Vec<String>, &Path) = match world {
        "native" | "shm" | "empty" => (vec![], if is_fixture { &shared.fixture } else { &point }),
        "tmpfs" => (vec!["--tmpfs".into(), point.display().to_string()], &point),
        "bind" => (vec!["-v".into(), words(host, "")], &point),
        "bindro" => (vec!["-v".into(), words(host, ":ro")], &point),
        "ext" => (
            vec!["-m".into(), format!("ext4:{}", words(&shared.image, ":ro"))],
            &point,
        ),
        "extrw" => {
            let image = make_image(&home)?;
            (
                vec!["-m".into(), words(&image, ":rw,default_permissions")],
                &point,
            )
        }
        _ => return Err(io::Error::other(format!("unknown world {world}"))),
    };
    let mut command = match &shared.view {
        Some(view) if !is_native(world) => {
            let mut command = Command::new(view);
            command.arg("run").args(&mount).arg("--");
            command.arg(program);
            command
        }
        _ => Command::new(program),
    };
    command
        .arg(work)
        .arg(&outside)
        .env_remove("VIEW")
        .env_remove("VIEW_SOCKET")
        .env("XDG_RUNTIME_DIR", &shared.scratch);
    command.current_dir("/");
    let outcome = process::run(
        &mut command,
        shared.limit,
        &home,
        std::process::Stdio::null(),
    )?;
    let mut verdict = judge(&command, &outcome);
    if verdict == Verdict::Passed && matches!(world, "tmpfs" | "bind" | "bindro" | "ext" | "extrw")
    {
        let leaked: Vec<_> = fs::read_dir(&point)?
            .flatten()
            .map(|e| e.file_name())
            .collect();
        if !leaked.is_empty() {
            verdict = Verdict::Failed(format!(
                "names reached the host's directory under the mount: {leaked:?}\n{}",
                command_line(&command)
            ));
        }
    }
    if verdict == Verdict::Passed
        && world == "extrw"
        && let Some(damage) = damage(&home)?
    {
        verdict = Verdict::Failed(format!("{damage}\n{}", command_line(&command)));
    }
    if !matches!(verdict, Verdict::Failed(_)) {
        remove_tree(&home);
    }
    Ok(verdict)
}

fn judge(command: &Command, outcome: &Outcome) -> Verdict {
    match outcome.code() {
        Some(0) => Verdict::Passed,
        Some(77) => Verdict::Skipped(outcome.tail(1).trim_start_matches("skipped: ").to_string()),
        _ => Verdict::Failed(format!(
            "{}\n{}\n{}",
            outcome.describe(),
            command_line(command),
            outcome.tail(20)
        )),
    }
}

/// What e2fsck finds wrong with the image that was written.
fn damage(home: &Path) -> io::Result<Option<String>> {
    let checked = Command::new("e2fsck")
        .arg("-fn")
        .arg(home.join(IMAGE))
        .output()?;
    let text = String::from_utf8_lossy(&checked.stdout).into_owned();
    Ok((!checked.status.success()).then(|| format!("e2fsck: {}\n{text}", checked.status)))
}

/// An empty ext4 image that belongs to whoever runs the test, as its root directory does.
fn make_image(home: &Path) -> io::Result<PathBuf> {
    use std::os::unix::fs::MetadataExt;
    let image = home.join(IMAGE);
    fs::File::create(&image)?.set_len(64 << 20)?;
    let owner = fs::metadata(home)?;
    let root = format!("root_owner={}:{}", owner.uid(), owner.gid());
    let mut make = Command::new("mke2fs");
    make.args(["-q", "-t", "ext4", "-b", "4096", "-E", &root])
        .arg(&image);
    let mut empty = Command::new("debugfs");
    empty.args(["-w", "-R", "rmdir lost+found"]).arg(&image);
    for command in [&mut make, &mut empty] {
        let made = command.output()?;
        if !made.status.success() {
            let errors = String::from_utf8_lossy(&made.stderr).into_owned();
            return Err(io::Error::other(errors));
        }
    }
    Ok(image)
}
