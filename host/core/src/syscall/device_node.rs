//! Opening a device node that lies on a mount of a module.
//!
//! Only in a view with an identity of its own, whose root has mounted the image and may say `nodev`; elsewhere a mount is
//! one of an unprivileged user, which Linux makes `nodev`. What is opened is the host's device of the same number, with
//! the rights of the user of the view. Neighbours: `open`, `host_object` (nodes that are made on the host). No locks.

use crate::task::Task;
use rustix::io::Errno;
use std::os::fd::OwnedFd;
use view_vfs::attributes::{Kind, device_major, device_minor};
use view_vfs::host_ops;
use view_vfs::place::Place;

/// The memory devices: null, zero, full, random, urandom (Documentation/admin-guide/devices.txt).
const MEMORY_MAJOR: u32 = 1;

/// How the device is opened.
pub enum Way {
    /// It is the same for every process.
    Opened(OwnedFd),
    /// The caller itself must open this path of the host: it may mean the caller's terminal, or wait.
    ByTracee(Vec<u8>),
}

/// What an open with `flags` of the node `place` leads to.
///
/// # Errors
/// `EACCES` under `nodev`, `ENXIO` when the host has no node of that device below /dev, those of opening it.
pub fn open(
    task: &Task<'_>,
    place: &Place,
    kind: Kind,
    number: u64,
    flags: i32,
) -> Result<Way, Errno> {
    if task.view.identity.get().is_none() || place.mount().flags().no_dev {
        return Err(Errno::ACCESS);
    }
    let path = host_path(kind, number).ok_or(Errno::NXIO)?;
    let flags = flags & !(libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW);
    if kind == Kind::CharDevice && device_major(number) == MEMORY_MAJOR {
        return host_ops::open(&path, flags | libc::O_NOCTTY, 0, 0).map(Way::Opened);
    }
    Ok(Way::ByTracee(path))
}

/// The host's own node of a device, by the name that its driver gave it.
fn host_path(kind: Kind, number: u64) -> Option<Vec<u8>> {
    let class = match kind {
        Kind::CharDevice => "char",
        _ => "block",
    };
    let (major, minor) = (device_major(number), device_minor(number));
    let uevent = format!("/sys/dev/{class}/{major}:{minor}/uevent");
    let name = match std::fs::read_to_string(uevent) {
        Ok(text) => text
            .lines()
            .find_map(|line| line.strip_prefix("DEVNAME="))
            .map(str::to_owned),
        // Without sysfs: what every /dev has.
        Err(_) => usual_name(kind, major, minor).map(str::to_owned),
    }?;
    let path = format!("/dev/{name}").into_bytes();
    let found = host_ops::attributes(&path).ok()?;
    (found.kind() == kind && found.rdev == number).then_some(path)
}

fn usual_name(kind: Kind, major: u32, minor: u32) -> Option<&'static str> {
    match (kind, major, minor) {
        (Kind::CharDevice, 1, 3) => Some("null"),
        (Kind::CharDevice, 1, 5) => Some("zero"),
        (Kind::CharDevice, 1, 7) => Some("full"),
        (Kind::CharDevice, 1, 8) => Some("random"),
        (Kind::CharDevice, 1, 9) => Some("urandom"),
        (Kind::CharDevice, 5, 0) => Some("tty"),
        (Kind::CharDevice, 5, 2) => Some("ptmx"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::host_path;
    use view_vfs::attributes::Kind;

    #[test]
    fn finds_devices_by_number_and_kind() {
        let null = libc::makedev(1, 3);
        assert_eq!(
            host_path(Kind::CharDevice, null).as_deref(),
            Some(&b"/dev/null"[..])
        );
        assert_eq!(host_path(Kind::BlockDevice, null), None);
        assert_eq!(host_path(Kind::CharDevice, libc::makedev(4095, 77)), None);
    }
}
