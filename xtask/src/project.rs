//! Where things are: the checkout, the build directory, the fixtures.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::Result;
use crate::command::{at, command, run};

/// The top directory of the checkout.
pub fn root() -> PathBuf {
    let here = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    here.parent().map_or(here.clone(), Path::to_path_buf)
}

/// Cargo's build directory.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Where the tree and the images are: `$VIEW_FIXTURES`; else `target/fixtures`; else, when another user could not reach
/// that (a checkout under a private home), a directory under /var/tmp.
pub fn fixtures() -> PathBuf {
    if let Some(chosen) = std::env::var_os("VIEW_FIXTURES") {
        return PathBuf::from(chosen);
    }
    if is_reachable() {
        root().join("target/fixtures")
    } else {
        PathBuf::from(format!(
            "/var/tmp/view-fixtures-{}",
            rustix::process::getuid().as_raw()
        ))
    }
}

/// Whether another user can reach the checkout: one below a private home cannot be.
pub fn is_reachable() -> bool {
    reachable_by_others(&root())
}

/// Whether every directory down to `path` may be searched by any user.
fn reachable_by_others(path: &Path) -> bool {
    path.ancestors().all(|directory| {
        directory
            .metadata()
            .is_ok_and(|metadata| metadata.permissions().mode() & 0o001 != 0)
    })
}

/// Whether this process is root.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A directory that any user may read, made when missing.
pub fn public_directory(path: &Path) -> Result<()> {
    at(path, std::fs::create_dir_all(path))?;
    at(
        path,
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)),
    )
}

/// The cargo that runs this, in the checkout.
pub fn cargo() -> std::process::Command {
    let mut cargo = command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root());
    cargo
}

/// Builds `view` in release mode and returns where it is; `$VIEW_BIN` names a binary to use instead.
pub fn build_view() -> Result<PathBuf> {
    if let Some(binary) = std::env::var_os("VIEW_BIN") {
        return Ok(PathBuf::from(binary));
    }
    run(cargo().args(["build", "--release", "--quiet", "--package", "view"]))?;
    Ok(target().join("release/view"))
}
