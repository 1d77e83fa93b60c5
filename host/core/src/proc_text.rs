//! Texts below /proc that tell names: the view's mounts, and files of modules in memory maps.
//!
//! Linux's own text is taken and what the view knows better is put in its place. Reference: proc(5).

use crate::identity::ids::Four;
use crate::names::{escape_newlines, escape_octal, shown_path};
use crate::task::Task;
use crate::view::View;
use rustix::fs::{AtFlags, CWD, StatxFlags};
use rustix::io::Errno;
use std::sync::Arc;
use view_vfs::attributes::{Identity, make_device};
use view_vfs::mount_table::{Mount, MountTable};
use view_vfs::place::Place;

/// Is the file of that name in /proc/PID rewritten?
pub fn is_generated(name: &[u8]) -> bool {
    matches!(
        name,
        b"maps" | b"smaps" | b"mounts" | b"mountinfo" | b"mountstats"
    ) || name
        .strip_prefix(b"fdinfo/")
        .is_some_and(|number| !number.is_empty() && number.iter().all(u8::is_ascii_digit))
}

/// The text of /proc/`thread`/`kind` as the task shall see it.
pub fn text(task: &Task<'_>, thread: u32, kind: &str) -> Result<Vec<u8>, Errno> {
    let path = format!("/proc/{thread}/{kind}");
    let mut text =
        std::fs::read(path).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    match kind {
        "maps" | "smaps" => Ok(rewrite_maps(task.view, &text)),
        "status" => Ok(rewrite_status(task, thread, &text)),
        _ if kind.starts_with("fdinfo/") => Ok(rewrite_fdinfo(
            task.view,
            thread,
            &kind["fdinfo/".len()..],
            &text,
        )),
        _ => {
            for mount in task
                .table
                .mounts()
                .iter()
                .filter(|mount| !mount.is_scaffold())
            {
                text.extend(mount_line(&task.table, mount, kind));
            }
            Ok(text)
        }
    }
}

/// Puts view paths, devices and inode numbers in the place of those of backing files.
fn rewrite_maps(view: &View, text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for line in text.split_inclusive(|&byte| byte == b'\n') {
        match rewrite_map(view, line) {
            Some(line) => out.extend_from_slice(&line),
            None => out.extend_from_slice(line),
        }
    }
    out
}

/// Ids, groups and capabilities of a process of the view.
fn rewrite_status(task: &Task<'_>, thread: u32, text: &[u8]) -> Vec<u8> {
    let Some(identity) = task.view.identity.get() else {
        return text.to_vec();
    };
    let is_own = thread == task.call.tid || thread == task.process();
    if !is_own && !crate::launch::is_below_supervisor(thread) {
        return text.to_vec();
    }
    let ids = identity.of(thread);
    let four = |key: &str, ids: &Four| {
        format!(
            "{key}:\t{}\t{}\t{}\t{}\n",
            ids.real, ids.effective, ids.saved, ids.filesystem
        )
    };
    let sets = &ids.capabilities;
    let mut out = Vec::with_capacity(text.len());
    for line in text.split_inclusive(|&byte| byte == b'\n') {
        let key = line.split(|&byte| byte == b':').next().unwrap_or_default();
        let new = match key {
            b"Uid" => four("Uid", &ids.user),
            b"Gid" => four("Gid", &ids.group),
            b"Groups" => {
                let groups: String = ids.groups.iter().map(|group| format!("{group} ")).collect();
                format!("Groups:\t{groups}\n")
            }
            b"CapInh" => format!("CapInh:\t{:016x}\n", sets.inheritable),
            b"CapPrm" => format!("CapPrm:\t{:016x}\n", sets.permitted),
            b"CapEff" => format!("CapEff:\t{:016x}\n", sets.effective),
            b"CapBnd" => format!("CapBnd:\t{:016x}\n", sets.bounding),
            b"CapAmb" => format!("CapAmb:\t{:016x}\n", sets.ambient),
            b"NoNewPrivs" => format!("NoNewPrivs:\t{}\n", u8::from(ids.no_new_privileges)),
            _ => {
                out.extend_from_slice(line);
                continue;
            }
        };
        out.extend_from_slice(new.as_bytes());
    }
    out
}

/// `address perms offset device inode path` (fs/proc/task_mmu.c, show_map_vma: the path starts at column 73).
fn rewrite_map(view: &View, line: &[u8]) -> Option<Vec<u8>> {
    const PATH_COLUMN: usize = 73;
    let start = line.iter().position(|&byte| byte == b'/')?;
    let text = std::str::from_utf8(&line[..start]).ok()?;
    let mut fields = text.split_ascii_whitespace();
    let (range, permissions, offset) = (fields.next()?, fields.next()?, fields.next()?);
    let (device, inode) = (fields.next()?, fields.next()?);
    let (major, minor) = device.split_once(':')?;
    let device = make_device(
        u32::from_str_radix(major, 16).ok()?,
        u32::from_str_radix(minor, 16).ok()?,
    );
    let identity = Identity {
        device,
        inode: inode.parse().ok()?,
    };
    let told = line[start..].strip_suffix(b"\n").unwrap_or(&line[start..]);
    let (head, name) = match view.backings.find(identity) {
        Some(backed) => {
            let place = backed.place();
            let attributes = place.attributes().ok()?;
            let (major, minor) = (
                rustix::fs::major(attributes.device),
                rustix::fs::minor(attributes.device),
            );
            let head = format!(
                "{range} {permissions} {offset} {major:02x}:{minor:02x} {}",
                attributes.inode
            );
            (head, shown_path(&place))
        }
        None => (text.trim_end().to_owned(), view.alias(identity, told)?),
    };
    let mut out = head.into_bytes();
    out.push(b' ');
    while out.len() < PATH_COLUMN {
        out.push(b' ');
    }
    out.extend_from_slice(&escape_newlines(&name));
    out.push(b'\n');
    Some(out)
}

/// /proc/PID/fdinfo/N: the mount id and inode number of the object that the view shows.
fn rewrite_fdinfo(view: &View, thread: u32, descriptor: &str, text: &[u8]) -> Vec<u8> {
    let Ok(stat) = rustix::fs::stat(format!("/proc/{thread}/fd/{descriptor}")) else {
        return text.to_vec();
    };
    let identity = Identity {
        device: stat.st_dev,
        inode: stat.st_ino,
    };
    let (mount, inode) = match view.backings.find(identity).map(|object| object.place()) {
        Some(place) => (
            place.mount().clone(),
            place.attributes().map_or(stat.st_ino, |known| known.inode),
        ),
        None => match view.alias_mount(identity) {
            Some(mount) => (mount, stat.st_ino),
            None => return text.to_vec(),
        },
    };
    let mut out = Vec::with_capacity(text.len());
    for line in text.split_inclusive(|&byte| byte == b'\n') {
        if line.starts_with(b"mnt_id:") {
            out.extend_from_slice(format!("mnt_id:\t{}\n", mount.id()).as_bytes());
        } else if line.starts_with(b"ino:") {
            out.extend_from_slice(format!("ino:\t{inode}\n").as_bytes());
        } else {
            out.extend_from_slice(line);
        }
    }
    out
}

/// One mount's line in mounts, mountinfo or mountstats.
fn mount_line(table: &MountTable, mount: &Arc<Mount>, kind: &str) -> Vec<u8> {
    let target = escape_octal(&mount.path());
    let source = escape_octal(mount.source());
    let filesystem = mount.filesystem();
    let options = format!("{},relatime", mount.flags().words());
    let own = match mount.options() {
        "" => String::new(),
        own => format!(",{own}"),
    };
    match kind {
        "mountinfo" => {
            let parent = mount
                .parent()
                .map(|parent| parent.id())
                .filter(|&id| id != table.root().id());
            let parent = parent.unwrap_or_else(|| host_mount_id(mount));
            let device = mount
                .root_place()
                .attributes()
                .map_or(0, |attributes| attributes.device);
            let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
            let access = if mount.flags().read_only { "ro" } else { "rw" };
            let head = format!("{} {parent} {major}:{minor} / ", mount.id());
            let middle = format!(" {options} - {filesystem} ");
            let tail = format!(" {access}{own}\n");
            [
                head.as_bytes(),
                &target,
                middle.as_bytes(),
                &source,
                tail.as_bytes(),
            ]
            .concat()
        }
        "mountstats" => {
            let tail = format!(" with fstype {filesystem}\n");
            [
                b"device ".as_slice(),
                &source,
                b" mounted on ",
                &target,
                tail.as_bytes(),
            ]
            .concat()
        }
        _ => {
            let tail = format!(" {filesystem} {options}{own} 0 0\n");
            [source.as_slice(), b" ", &target, tail.as_bytes()].concat()
        }
    }
}

/// The id of the host's mount that a mount of the view lies on.
fn host_mount_id(mount: &Mount) -> u64 {
    let mut path = mount.point().and_then(Place::host_path).unwrap_or(b"/");
    loop {
        if let Ok(found) =
            rustix::fs::statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::MNT_ID)
        {
            return found.stx_mnt_id;
        }
        // A mount point that the host lacks.
        match path.iter().rposition(|&byte| byte == b'/') {
            Some(end) if end > 0 => path = &path[..end],
            _ if path != b"/" => path = b"/",
            _ => return 0,
        }
    }
}
