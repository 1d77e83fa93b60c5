//! Private temporary directories, giving up root, and where the `view` binary is.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A directory that is removed, with all that is in it, when the value goes.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
    is_kept: bool,
}

impl Scratch {
    /// Makes `BASE/vt-PID`, mode 0700. The name is short: AF_UNIX paths of exactly 108 bytes are made inside.
    ///
    /// # Errors
    /// As mkdir(2).
    pub fn new(base: &Path, is_kept: bool) -> io::Result<Self> {
        for n in 0..100 {
            let path = base.join(format!(
                "vt-{}{}",
                std::process::id(),
                if n == 0 {
                    String::new()
                } else {
                    format!(".{n}")
                }
            ));
            match fs::DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Self { path, is_kept }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if self.is_kept {
            println!("kept: {}", self.path.display());
        } else {
            remove_tree(&self.path);
        }
    }
}

/// Removes a tree, also where a test has left directories without permissions.
pub fn remove_tree(path: &Path) {
    if fs::remove_dir_all(path).is_ok() {
        return;
    }
    open_up(path);
    let _ = fs::remove_dir_all(path);
}

fn open_up(path: &Path) {
    let is_directory = fs::symlink_metadata(path).is_ok_and(|m| m.is_dir());
    if !is_directory {
        return;
    }
    let _ = fs::set_permissions(path, fs::Permissions::from_mode(0o700));
    if let Ok(entries) = fs::read_dir(path) {
        for entry in entries.flatten() {
            open_up(&entry.path());
        }
    }
}

/// The directory for scratch directories: `VIEW_TEST_TMP`, else /tmp.
#[must_use]
pub fn base() -> PathBuf {
    std::env::var_os("VIEW_TEST_TMP").map_or_else(|| PathBuf::from("/tmp"), PathBuf::from)
}

/// When run as root: starts the program again as an unprivileged user (`VIEW_TEST_UID`, default 65534) and does not return.
/// Root passes permission checks that the tests are about.
pub fn give_up_root() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let uid = std::env::var("VIEW_TEST_UID")
        .ok()
        .and_then(|v| v.parse().ok())
        .unwrap_or(65534_u32);
    let program = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("/proc/self/exe"));
    let error = Command::new(program)
        .args(std::env::args_os().skip(1))
        .uid(uid)
        .gid(uid)
        .env("HOME", "/nonexistent")
        // Root's own directories in PATH can't be searched by others, which changes what a failed search says.
        .env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
        .env_remove("XDG_RUNTIME_DIR")
        .exec();
    eprintln!("cannot start again as uid {uid}: {error}");
    std::process::exit(2);
}

/// The workspace's root directory.
#[must_use]
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}

/// The `view` binary: `VIEW_BIN`, else beside the running test program (target/PROFILE/view), else the workspace's
/// target/release or target/debug.
///
/// # Errors
/// A text that says where it was looked for.
pub fn view_binary() -> Result<PathBuf, String> {
    let mut places = Vec::new();
    if let Some(path) = std::env::var_os("VIEW_BIN") {
        places.push(PathBuf::from(path));
    } else {
        if let Ok(exe) = std::env::current_exe() {
            places.extend(
                exe.ancestors()
                    .skip(2)
                    .take(1)
                    .map(|profile| profile.join("view")),
            );
        }
        places.push(workspace().join("target/release/view"));
        places.push(workspace().join("target/debug/view"));
    }
    match places.iter().find(|p| p.is_file()) {
        Some(path) => fs::canonicalize(path).map_err(|e| format!("{}: {e}", path.display())),
        None => Err(format!(
            "no view binary (looked for {}): run `cargo build`, set VIEW_BIN, or pass --native",
            places
                .iter()
                .map(|p| p.display().to_string())
                .collect::<Vec<_>>()
                .join(", ")
        )),
    }
}
