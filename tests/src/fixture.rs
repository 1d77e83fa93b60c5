//! The tree that the read-only tracees know, as a directory and as an ext4 image made from it by mke2fs(8).
//!
//! `tracees/fixture.h` says the same for the C side; change both together.

use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{AtFlags, CWD, FileType, Mode, Timespec, Timestamps, XattrFlags};

/// Entries of `many/`.
pub const MANY: usize = 10_000;
/// Bytes of `big`.
pub const BIG_BYTES: usize = (1 << 20) + 17;
/// Bytes of `sparse`: a byte at the start, a hole, a byte at the end.
pub const SPARSE_BYTES: u64 = 5 << 20;

/// Makes the tree at `root`, which must not exist. `show` and `show_static` are programs for `bin/`.
///
/// # Errors
/// As the system calls that make files.
pub fn build(root: &Path, show: &Path, show_static: &Path) -> io::Result<()> {
    fs::create_dir(root)?;
    let at = |name: &str| root.join(name);
    fs::write(at("file"), "hello, fixture\n")?;
    fs::write(at("empty"), "")?;
    let pattern: Vec<u8> = (0..BIG_BYTES)
        .map(|i| ((i * 7 + (i >> 8)) & 0xff) as u8)
        .collect();
    fs::write(at("big"), pattern)?;
    let sparse = File::create(at("sparse"))?;
    sparse.write_all_at(b"A", 0)?;
    sparse.write_all_at(b"Z", SPARSE_BYTES - 1)?;
    fs::create_dir_all(at("dir/sub"))?;
    fs::write(at("dir/a"), "a\n")?;
    fs::write(at("dir/b"), "b\n")?;
    fs::write(at("dir/sub/deep"), "deep\n")?;
    fs::create_dir_all(at("deep/d1/d2/d3/d4/d5/d6/d7/d8/d9/d10/d11/d12"))?;
    fs::write(
        at("deep/d1/d2/d3/d4/d5/d6/d7/d8/d9/d10/d11/d12/leaf"),
        "leaf\n",
    )?;
    links(root)?;
    fs::write(at("hard1"), "hard\n")?;
    fs::hard_link(at("hard1"), at("hard2"))?;
    fs::create_dir(at("many"))?;
    for n in 0..MANY {
        File::create(at(&format!("many/n{n:05}")))?;
    }
    fs::create_dir(at("long"))?;
    fs::write(at(&format!("long/{}", "x".repeat(255))), "long\n")?;
    fs::create_dir(at("odd"))?;
    for name in [
        &b"new\nline"[..],
        b"\xff\xfe",
        b" space ",
        b"-dash",
        b"back\\slash",
        b"star*?",
    ] {
        fs::write(at("odd").join(std::ffi::OsStr::from_bytes(name)), "odd\n")?;
    }
    fs::create_dir(at("modes"))?;
    for mode in [0o444_u32, 0o755, 0o600, 0o640] {
        let path = at(&format!("modes/m{mode:o}"));
        fs::write(&path, "mode\n")?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
    }
    rustix::fs::mknodat(
        CWD,
        at("fifo"),
        FileType::Fifo,
        Mode::from_raw_mode(0o644),
        0,
    )?;
    rustix::fs::mknodat(
        CWD,
        at("sock"),
        FileType::Socket,
        Mode::from_raw_mode(0o755),
        0,
    )?;
    programs(root, show, show_static)?;
    // A host filesystem without user xattrs is not an error: the tracee about them then skips natively.
    let _ = rustix::fs::setxattr(at("file"), "user.test", b"value", XattrFlags::empty());
    let time = Timespec {
        tv_sec: 1_000_000_000,
        tv_nsec: 0,
    };
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    rustix::fs::utimensat(CWD, at("file"), &times, AtFlags::empty())?;
    Ok(())
}

fn links(root: &Path) -> io::Result<()> {
    let at = |name: &str| root.join(name);
    symlink("file", at("link"))?;
    symlink("dir", at("linkdir"))?;
    symlink("nowhere", at("dangling"))?;
    symlink("loop", at("loop"))?;
    symlink("../file", at("dir/up"))?;
    symlink("/", at("toroot"))?;
    symlink(format!("{}file", "./".repeat(60)), at("slow"))?;
    symlink("file", at("l01"))?;
    for n in 2..=41 {
        symlink(format!("l{:02}", n - 1), at(&format!("l{n:02}")))?;
    }
    Ok(())
}

fn programs(root: &Path, show: &Path, show_static: &Path) -> io::Result<()> {
    let bin = root.join("bin");
    fs::create_dir(&bin)?;
    fs::copy(show, bin.join("show"))?;
    fs::copy(show_static, bin.join("show-static"))?;
    fs::write(bin.join("script"), "#!/bin/sh\necho script \"$@\"\n")?;
    fs::write(bin.join("relscript"), "#!bin/show --flag\n")?;
    fs::write(bin.join("notexec"), "#!/bin/sh\n")?;
    for (name, mode) in [
        ("show", 0o755),
        ("show-static", 0o755),
        ("script", 0o755),
        ("relscript", 0o755),
        ("notexec", 0o644),
    ] {
        fs::set_permissions(bin.join(name), fs::Permissions::from_mode(mode))?;
    }
    Ok(())
}

/// Makes an ext4 image from the tree with mke2fs(8), as the user that runs the tests.
///
/// # Errors
/// mke2fs is missing or failed.
pub fn build_image(root: &Path, image: &Path) -> io::Result<()> {
    let result = tool("mke2fs")
        .args(["-q", "-F", "-t", "ext4", "-N", "16384", "-d"])
        .arg(root)
        .arg(image)
        .arg("48M")
        .output()?;
    if !result.status.success() {
        return Err(io::Error::other(format!(
            "mke2fs: {}",
            String::from_utf8_lossy(&result.stderr)
        )));
    }
    Ok(())
}

/// A command for a system tool that may live in a directory that users don't have in PATH.
#[must_use]
pub fn tool(name: &str) -> Command {
    let path = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"]
        .iter()
        .map(|d| PathBuf::from(d).join(name))
        .find(|p| p.exists());
    Command::new(path.unwrap_or_else(|| PathBuf::from(name)))
}
