//! Calls that make, remove and move names: mkdir, mknod, symlink, link, unlink, rmdir, rename.

use super::target::{self, Target};
use super::{host_object, host_permission};
use crate::task::{Answer, Object, Task};
use rustix::io::Errno;
use view_vfs::attributes::Kind;
use view_vfs::operations;
use view_vfs::place::Place;
use view_vfs::resolver::{Found, WalkFlags};

fn parent(task: &Task<'_>, directory: i32, path: usize) -> Result<Found, Errno> {
    let text = task.path(path)?;
    task.walk(directory, &text, WalkFlags::PARENT)
}

fn missing_or(found: &Found) -> Result<(), Errno> {
    match found.kernel_error {
        Some(errno) => Err(errno),
        None => Ok(()),
    }
}

/// mkdir, mkdirat: mkdir(2)
pub fn mkdir(task: &Task<'_>, directory: i32, path: usize) -> Result<Answer, Errno> {
    let found = parent(task, directory, path)?;
    host_permission::check_create(task, &found)?;
    if found.kernel_agrees && !host_object::must_create(task, &found) {
        return Ok(Answer::Continue);
    }
    let mode = task.unsigned(path + 1);
    let creator = task.creator();
    task.commit()?;
    operations::create_directory(&found, mode, &creator)?;
    host_object::note_created(task, &found);
    Ok(Answer::DONE)
}

/// mknod, mknodat: mknod(2)
pub fn mknod(task: &Task<'_>, directory: i32, path: usize) -> Result<Answer, Errno> {
    let mut mode = task.unsigned(path + 1);
    let device = u64::from(task.unsigned(path + 2));
    if mode & libc::S_IFMT == 0 {
        mode |= libc::S_IFREG;
    }
    let found = parent(task, directory, path)?;
    if let Some(answer) = host_object::make_device(task, &found, mode, device)? {
        return Ok(answer);
    }
    host_permission::check_create(task, &found)?;
    if found.kernel_agrees && !host_object::must_create(task, &found) {
        return Ok(Answer::Continue);
    }
    match mode & libc::S_IFMT {
        libc::S_IFREG | libc::S_IFIFO | libc::S_IFSOCK | libc::S_IFCHR | libc::S_IFBLK => {}
        libc::S_IFDIR => return Err(Errno::PERM),
        _ => return Err(Errno::INVAL),
    }
    let creator = task.creator();
    task.commit()?;
    operations::create_node(&found, mode, device, &creator)?;
    host_object::note_created(task, &found);
    Ok(Answer::DONE)
}

/// symlink, symlinkat: symlink(2); `path` is the argument of the new name, the target is argument 0
pub fn symlink(task: &Task<'_>, directory: i32, path: usize) -> Result<Answer, Errno> {
    let target = task.path(0)?;
    if target.is_empty() {
        return Err(Errno::NOENT);
    }
    let found = parent(task, directory, path)?;
    host_permission::check_create(task, &found)?;
    if found.kernel_agrees && !host_object::must_create(task, &found) {
        return Ok(Answer::Continue);
    }
    task.commit()?;
    operations::create_symlink(&found, &target, &task.asker())?;
    host_object::note_created(task, &found);
    Ok(Answer::DONE)
}

/// link: link(2)
pub fn link(task: &Task<'_>) -> Result<Answer, Errno> {
    link_at(task, (libc::AT_FDCWD, 0), (libc::AT_FDCWD, 1), 0)
}

/// linkat: link(2)
pub fn linkat(task: &Task<'_>) -> Result<Answer, Errno> {
    link_at(task, (task.int(0), 1), (task.int(2), 3), task.int(4))
}

fn link_at(
    task: &Task<'_>,
    old: (i32, usize),
    new: (i32, usize),
    flags: i32,
) -> Result<Answer, Errno> {
    if flags & !(libc::AT_SYMLINK_FOLLOW | libc::AT_EMPTY_PATH) != 0 {
        return Err(Errno::INVAL);
    }
    let text = task.path(old.1)?;
    let (existing, old_on_kernel) = if text.is_empty() && flags & libc::AT_EMPTY_PATH != 0 {
        match target::of_descriptor(task, old.0)? {
            Target::Kernel => (None, true),
            Target::Place(place) => (Some(place), false),
        }
    } else {
        let walk = WalkFlags {
            follow: flags & libc::AT_SYMLINK_FOLLOW != 0,
            ..WalkFlags::NO_FOLLOW
        };
        let found = task.walk(old.0, &text, walk)?;
        let agrees = found.kernel_agrees;
        if let (true, Some(errno)) = (agrees, found.kernel_error) {
            return Err(errno);
        }
        (Some(found.existing()?), agrees)
    };
    let found = parent(task, new.0, new.1)?;
    host_permission::check_create(task, &found)?;
    if old_on_kernel && found.kernel_agrees {
        return Ok(Answer::Continue);
    }
    missing_or(&found)?;
    if let Some(link) = kernel_link(task, old.0, &text, flags)
        && let Some(Place::Host { mount, path }) = &found.parent
        && !mount.flags().read_only
        && let (_, name) = operations::name_to_create(&found)?
    {
        task.commit()?;
        let new = [path.as_slice(), b"/", name].concat();
        rustix::fs::linkat(
            rustix::fs::CWD,
            link,
            rustix::fs::CWD,
            new,
            rustix::fs::AtFlags::SYMLINK_FOLLOW,
        )?;
        return Ok(Answer::DONE);
    }
    // A descriptor of Linux's own can't get a name on a mount.
    let existing = existing.ok_or(Errno::XDEV)?;
    if existing.kind()? == Kind::Directory {
        operations::name_to_create(&found)?;
        return Err(if found.place.is_some() {
            Errno::EXIST
        } else {
            Errno::PERM
        });
    }
    task.commit()?;
    operations::create_link(&existing, &found, &task.asker())?;
    Ok(Answer::DONE)
}

/// The link by which the supervisor reaches an object of Linux's own that the task names by descriptor (AT_EMPTY_PATH,
/// or a followed link below /proc).
fn kernel_link(task: &Task<'_>, directory: i32, text: &[u8], flags: i32) -> Option<Vec<u8>> {
    if text.is_empty() {
        return match task.object(directory) {
            Ok(Object::Kernel) => Some(task.descriptor_link(directory).into_bytes()),
            _ => None,
        };
    }
    if flags & libc::AT_SYMLINK_FOLLOW == 0 {
        return None;
    }
    let found = task.walk(directory, text, WalkFlags::NO_FOLLOW).ok()?;
    let path = found.place?.host_path()?.to_vec();
    if !view_vfs::procfs::is_below(&path) || !view_vfs::procfs::is_magic_link(&path) {
        return None;
    }
    let stat = rustix::fs::stat(path.as_slice()).ok()?;
    let identity = view_vfs::attributes::Identity {
        device: stat.st_dev,
        inode: stat.st_ino,
    };
    task.view.backings.find(identity).is_none().then_some(path)
}

/// unlink: unlink(2)
pub fn unlink(task: &Task<'_>, directory: i32, path: usize) -> Result<Answer, Errno> {
    let found = parent(task, directory, path)?;
    host_permission::check_remove(task, &found)?;
    if found.kernel_agrees {
        return Ok(Answer::Continue);
    }
    task.commit()?;
    operations::remove_file(&task.table, &found, &task.asker())?;
    release(task, found);
    Ok(Answer::DONE)
}

/// A file lost a name: nothing here holds it any more when the call returns, so that its space is free.
fn release(task: &Task<'_>, lost: Found) {
    if let Some(Place::Node { dentry, .. }) = &lost.place {
        task.view.note_nameless(dentry);
    }
    drop(lost);
    task.view.drop_gone();
}

/// rmdir: rmdir(2)
pub fn rmdir(task: &Task<'_>, directory: i32, path: usize) -> Result<Answer, Errno> {
    let found = parent(task, directory, path)?;
    host_permission::check_remove(task, &found)?;
    if found.kernel_agrees {
        return Ok(Answer::Continue);
    }
    task.commit()?;
    operations::remove_directory(&task.table, &found, &task.asker())?;
    Ok(Answer::DONE)
}

/// unlinkat: unlink(2)
pub fn unlinkat(task: &Task<'_>) -> Result<Answer, Errno> {
    match task.int(2) {
        0 => unlink(task, task.int(0), 1),
        libc::AT_REMOVEDIR => rmdir(task, task.int(0), 1),
        _ => Err(Errno::INVAL),
    }
}

/// rename, renameat, renameat2: rename(2)
pub fn rename(
    task: &Task<'_>,
    old_directory: i32,
    old_path: usize,
    new_directory: i32,
    new_path: usize,
    flags: u32,
) -> Result<Answer, Errno> {
    const NOREPLACE: u32 = 1;
    const EXCHANGE: u32 = 2;
    const WHITEOUT: u32 = 4;
    if flags & !(NOREPLACE | EXCHANGE | WHITEOUT) != 0
        || flags & EXCHANGE != 0 && flags & (NOREPLACE | WHITEOUT) != 0
    {
        return Err(Errno::INVAL);
    }
    let old = parent(task, old_directory, old_path)?;
    let new = parent(task, new_directory, new_path)?;
    if old.place.is_some() {
        host_permission::check_remove(task, &old)?;
        host_permission::check_remove(task, &new)?;
        host_permission::check_create(task, &new)?;
    }
    let leaves_mounts = operations::leaves_mounts_behind(&task.table, &old)
        || flags & EXCHANGE != 0 && operations::leaves_mounts_behind(&task.table, &new);
    if old.kernel_agrees && new.kernel_agrees && !leaves_mounts {
        return Ok(Answer::Continue);
    }
    missing_or(&old)?;
    missing_or(&new)?;
    task.commit()?;
    operations::rename(&task.table, &old, &new, flags, &task.asker())?;
    release(task, new);
    Ok(Answer::DONE)
}
