//! mount(2), umount2(2).

use super::loop_device;
use crate::control::protocol::{LogLevel, MountKind, MountSpec};
use crate::mounting;
use crate::task::{Answer, Task};
use rustix::io::Errno;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use view_sys::memory;
use view_vfs::mount_table::MountFlags;
use view_vfs::resolver::WalkFlags;

const MS_RDONLY: u64 = 1;
const MS_NOSUID: u64 = 2;
const MS_NODEV: u64 = 4;
const MS_NOEXEC: u64 = 8;
const MS_REMOUNT: u64 = 32;
const MS_BIND: u64 = 4096;
const MS_MOVE: u64 = 8192;
const MS_REC: u64 = 16384;
const MS_PROPAGATION: u64 = (1 << 17) | (1 << 18) | (1 << 19) | (1 << 20);
const UMOUNT_DETACH: i32 = 2;

fn optional_string(task: &Task<'_>, index: usize) -> Result<Option<Vec<u8>>, Errno> {
    match task.argument(index) {
        0 => Ok(None),
        address => memory::read_path(task.call.tid, address).map(Some),
    }
}

/// In a view with ids of its own these need a capability, as in Linux.
fn check_may_mount(task: &Task<'_>) -> Result<(), Errno> {
    if task.view.identity.get().is_some() && !loop_device::may_mount(task) {
        return Err(Errno::PERM);
    }
    Ok(())
}

/// mount: mount(2); types that no module has are left to Linux
pub fn mount(task: &Task<'_>) -> Result<Answer, Errno> {
    check_may_mount(task)?;
    let is_with_identity = task.view.identity.get().is_some();
    let flags = task.argument(3);
    let target = task.path(1)?;
    let source = optional_string(task, 0)?;
    let filesystem = optional_string(task, 2)?;
    let data = match task.argument(4) {
        0 => String::new(),
        address => {
            let bytes = memory::read_string(task.call.tid, address, memory::PATH_MAX)?;
            String::from_utf8(bytes).map_err(|_| Errno::INVAL)?
        }
    };
    if flags & MS_MOVE != 0 {
        return Err(Errno::INVAL);
    }
    let on = mounting::existing_mount(task, &target);
    if flags & MS_PROPAGATION != 0 {
        return if on.is_some() {
            Ok(Answer::DONE)
        } else {
            Ok(Answer::Continue)
        };
    }
    if flags & MS_REMOUNT != 0 {
        let Some(mount) = on else {
            return Ok(Answer::Continue);
        };
        let now = mount.flags();
        let flags = MountFlags {
            read_only: flags & MS_RDONLY != 0,
            no_suid: flags & MS_NOSUID != 0,
            no_dev: flags & MS_NODEV != 0 || (now.no_dev && !is_with_identity),
            no_exec: flags & MS_NOEXEC != 0,
            ..now
        };
        task.commit()?;
        mounting::remount(task.view, &mount, flags)?;
        return Ok(Answer::DONE);
    }
    let name = filesystem
        .as_deref()
        .and_then(|name| std::str::from_utf8(name).ok());
    let kind = match name {
        _ if flags & MS_BIND != 0 => MountKind::Bind,
        Some("tmpfs" | "ramfs") => MountKind::Tmpfs,
        Some(name) if task.view.modules.find(name).is_some() => MountKind::Filesystem,
        _ if task.view.credentials.is_privileged => return Ok(Answer::Continue),
        // Root of a view has the host's, as any of its processes.
        Some(name) if is_with_identity && mounting::kernel_filesystem(name).is_some() => {
            MountKind::Kernel
        }
        // Root is told that there is no such type.
        Some(_) if is_with_identity => return Err(Errno::NODEV),
        _ => return Err(Errno::PERM),
    };
    let image = source
        .as_deref()
        .filter(|_| kind == MountKind::Filesystem)
        .and_then(|source| loop_device::image_of_source(task, source));
    let mut options: Vec<&str> = data.split(',').filter(|one| !one.is_empty()).collect();
    for (bit, word) in [
        (MS_RDONLY, "ro"),
        (MS_NOSUID, "nosuid"),
        (MS_NODEV, "nodev"),
        (MS_NOEXEC, "noexec"),
    ] {
        if flags & bit != 0 {
            options.push(word);
        }
    }
    let source = match &image {
        Some(image) => {
            options.push(&image.options);
            Some(image.path.clone())
        }
        None => source,
    };
    let spec = MountSpec {
        filesystem: if matches!(kind, MountKind::Filesystem | MountKind::Kernel) {
            name.map(str::to_owned)
        } else {
            None
        },
        source: OsString::from_vec(source.unwrap_or_else(|| b"none".to_vec())),
        target: PathBuf::from(OsString::from_vec(target)),
        options: options.join(","),
        kind,
    };
    task.commit()?;
    match mounting::mount_for(task, &spec, flags & MS_REC != 0) {
        Ok(()) => {
            if let Some(image) = &image {
                loop_device::release(task, image);
            }
            Ok(Answer::DONE)
        }
        Err(refusal) => {
            task.view.say(
                LogLevel::Info,
                &format!("mount on {}: {refusal}", spec.target.display()),
            );
            Err(Errno::from_raw_os_error(refusal.errno))
        }
    }
}

/// umount2: umount(2)
pub fn umount(task: &Task<'_>) -> Result<Answer, Errno> {
    let target = task.path(0)?;
    let flags = task.int(1);
    if flags & !15 != 0 {
        return Err(Errno::INVAL);
    }
    check_may_mount(task)?;
    let Some(mount) = mounting::existing_mount(task, &target) else {
        // No mount of the view; Linux's own are not an unprivileged user's to take away.
        if task.view.credentials.is_privileged {
            return Ok(Answer::Continue);
        }
        task.walk(libc::AT_FDCWD, &target, WalkFlags::FOLLOW)?
            .existing()?;
        // Who may unmount hears that it is no mount point.
        if loop_device::may_mount(task) {
            return Err(Errno::INVAL);
        }
        return Err(Errno::PERM);
    };
    task.commit()?;
    mounting::unmount(
        task.view,
        &task.namespace,
        &mount,
        flags & UMOUNT_DETACH != 0,
    )?;
    Ok(Answer::DONE)
}
