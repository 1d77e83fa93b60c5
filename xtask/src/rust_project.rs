//! What the `jobs` step needs to build a Rust project without a network and as a user who cannot read the developer's
//! home: `rust/` (cargo, rustc and the standard library) and `vendor/` (the sources of this project's dependencies), below
//! the fixtures directory. Both are made anew when the compiler or Cargo.lock has changed.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;

use crate::command::{at, command, output, run, succeeds};
use crate::{Result, images, project};

/// Makes what is missing.
pub fn task() -> Result<()> {
    let fixtures = project::fixtures();
    project::public_directory(&fixtures)?;
    let compiler = output(command(rustc()).arg("-vV"))?;
    part(&fixtures.join("rust"), &compiler, toolchain)?;
    let lock = project::root().join("Cargo.lock");
    let lock = at(&lock, std::fs::read_to_string(&lock))?;
    part(&fixtures.join("vendor"), &lock, vendor)
}

fn rustc() -> std::ffi::OsString {
    std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into())
}

/// Runs `build` for a directory unless its stamp says that it was made of `version`.
fn part(directory: &Path, version: &str, build: fn(&Path) -> Result<()>) -> Result<()> {
    let mut hasher = DefaultHasher::new();
    (include_str!("rust_project.rs"), version).hash(&mut hasher);
    let version = format!("{:016x}", hasher.finish());
    let name = directory.file_name().unwrap_or_default().to_string_lossy();
    let stamp = directory.with_file_name(format!(".{name}.stamp"));
    if std::fs::read_to_string(&stamp).is_ok_and(|text| text == version) {
        return Ok(());
    }
    images::clear(directory)?;
    build(directory)?;
    at(&stamp, std::fs::write(&stamp, version))
}

/// Hard links where the file system allows it, else copies; what is only for editors and documentation stays behind.
fn toolchain(directory: &Path) -> Result<()> {
    let root = output(command(rustc()).args(["--print", "sysroot"]))?;
    let root = Path::new(root.trim_end());
    project::public_directory(directory)?;
    project::public_directory(&directory.join("bin"))?;
    for (from, to) in [("bin/cargo", "bin/"), ("bin/rustc", "bin/"), ("lib", ".")] {
        let copy = |how: &str| {
            let mut cp = command("cp");
            cp.arg(how).arg(root.join(from)).arg(directory.join(to));
            cp
        };
        if !succeeds(&mut copy("-al")) {
            run(&mut copy("-a"))?;
        }
    }
    Ok(())
}

fn vendor(directory: &Path) -> Result<()> {
    output(
        project::cargo()
            .args(["vendor", "--quiet", "--locked", "--versioned-dirs"])
            .arg(directory),
    )?;
    run(command("chmod").args(["-R", "a+rX"]).arg(directory))
}
