//! Making, linking, renaming and removing names on the host.

use rustix::fs::{
    AtFlags, FileType, Mode, RenameFlags, linkat, mkdirat, mknodat, renameat_with, symlinkat,
    unlinkat,
};
use rustix::io::Errno;

use super::target::Target;

/// Format bits of a mode.
const S_IFMT: u32 = 0o170000;

fn mode_bits(mode: u32, umask: u32) -> Mode {
    Mode::from_bits_retain(mode & 0o7777 & !umask)
}

/// mkdir(2).
///
/// # Errors
/// The kernel's.
pub fn create_directory(path: &[u8], mode: u32, umask: u32) -> Result<(), Errno> {
    let target = Target::new(path)?;
    mkdirat(target.directory(), target.rest, mode_bits(mode, umask))
}

/// mknod(2); `mode` has the format bits, none of them means a regular file.
///
/// # Errors
/// The kernel's; `EINVAL` for an unknown format.
pub fn create_node(path: &[u8], mode: u32, rdev: u64, umask: u32) -> Result<(), Errno> {
    let kind = match mode & S_IFMT {
        0 => FileType::RegularFile,
        format => match FileType::from_raw_mode(format) {
            FileType::Unknown => return Err(Errno::INVAL),
            kind => kind,
        },
    };
    let target = Target::new(path)?;
    mknodat(
        target.directory(),
        target.rest,
        kind,
        mode_bits(mode, umask),
        rdev,
    )
}

/// symlink(2): makes `path`, a link to `link_target`.
///
/// # Errors
/// The kernel's.
pub fn create_symlink(link_target: &[u8], path: &[u8]) -> Result<(), Errno> {
    let target = Target::new(path)?;
    symlinkat(link_target, target.directory(), target.rest)
}

/// link(2): gives the object `existing` the second name `path`.
///
/// # Errors
/// The kernel's.
pub fn create_link(existing: &[u8], path: &[u8]) -> Result<(), Errno> {
    let (old, new) = (Target::new(existing)?, Target::new(path)?);
    linkat(
        old.directory(),
        old.rest,
        new.directory(),
        new.rest,
        AtFlags::empty(),
    )
}

/// unlink(2).
///
/// # Errors
/// The kernel's.
pub fn remove_file(path: &[u8]) -> Result<(), Errno> {
    let target = Target::new(path)?;
    unlinkat(target.directory(), target.rest, AtFlags::empty())
}

/// rmdir(2).
///
/// # Errors
/// The kernel's.
pub fn remove_directory(path: &[u8]) -> Result<(), Errno> {
    let target = Target::new(path)?;
    unlinkat(target.directory(), target.rest, AtFlags::REMOVEDIR)
}

/// renameat2(2) with its flags.
///
/// # Errors
/// The kernel's.
pub fn rename(old: &[u8], new: &[u8], flags: u32) -> Result<(), Errno> {
    let (old, new) = (Target::new(old)?, Target::new(new)?);
    renameat_with(
        old.directory(),
        old.rest,
        new.directory(),
        new.rest,
        RenameFlags::from_bits_retain(flags),
    )
}
