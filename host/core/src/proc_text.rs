//! Texts below /proc that tell names: the view's mounts, and files of modules in memory maps.
//!
//! Linux's own text is taken and what the view knows better is put in its place. Reference: proc(5).

use crate::task::Task;
use crate::view::View;
use rustix::io::Errno;
use view_vfs::attributes::{Identity, make_device};
use view_vfs::mount_table::{Mount, MountTable};

/// Files in /proc/PID that are rewritten.
pub const KINDS: [&str; 5] = ["maps", "smaps", "mounts", "mountinfo", "mountstats"];

/// The text of /proc/`thread`/`kind` as the task shall see it.
pub fn text(task: &Task<'_>, thread: u32, kind: &str) -> Result<Vec<u8>, Errno> {
    let path = format!("/proc/{thread}/{kind}");
    let mut text = std::fs::read(path).map_err(|error| {
        Errno::from_io_error(&error).unwrap_or(Errno::IO)
    })?;
    match kind {
        "maps" | "smaps" => Ok(rewrite_maps(task.view, &text)),
        _ => {
            for mount in task.table.mounts().iter().filter(|mount| !mount.is_scaffold()) {
                text.extend(mount_line(&task.table, mount, kind));
            }
            Ok(text)
        }
    }
}

/// Puts view paths in the place of the names of backing files.
fn rewrite_maps(view: &View, text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for line in text.split_inclusive(|&byte| byte == b'\n') {
        match view_name(view, line) {
            Some((head, name)) => {
                out.extend_from_slice(head);
                out.extend_from_slice(&name);
                out.push(b'\n');
            }
            None => out.extend_from_slice(line),
        }
    }
    out
}

/// `address perms offset device inode path`: the part before the path and the path of the view.
fn view_name<'l>(view: &View, line: &'l [u8]) -> Option<(&'l [u8], Vec<u8>)> {
    let text = std::str::from_utf8(line.get(..line.len().min(256))?).ok().or_else(|| {
        let end = line.iter().position(|&byte| byte == b'/')?;
        std::str::from_utf8(&line[..end]).ok()
    })?;
    let mut fields = text.split_ascii_whitespace();
    let (_, _, _, device, inode) =
        (fields.next()?, fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    let (major, minor) = device.split_once(':')?;
    let device = make_device(u32::from_str_radix(major, 16).ok()?, u32::from_str_radix(minor, 16).ok()?);
    let inode: u64 = inode.parse().ok()?;
    if inode == 0 {
        return None;
    }
    let backed = view.backings.find(Identity { device, inode })?;
    let start = line.iter().position(|&byte| byte == b'/')?;
    Some((&line[..start], crate::names::escape_newlines(&backed.place().view_path())))
}

fn option_text(mount: &Mount) -> String {
    let flags = mount.flags();
    let mut text = String::from(if flags.read_only { "ro" } else { "rw" });
    for (set, word) in [(flags.no_suid, "nosuid"), (flags.no_dev, "nodev"), (flags.no_exec, "noexec")] {
        if set {
            text.push(',');
            text.push_str(word);
        }
    }
    text.push_str(",relatime");
    text
}

/// One mount's line in mounts, mountinfo or mountstats.
fn mount_line(table: &MountTable, mount: &std::sync::Arc<Mount>, kind: &str) -> Vec<u8> {
    let target = mount.point().map(|point| point.view_path()).unwrap_or_else(|| b"/".to_vec());
    let target = crate::names::escape_octal(&target);
    let source = crate::names::escape_octal(mount.source());
    let options = option_text(mount);
    let own = mount.options();
    let with_own = if own.is_empty() { options.clone() } else { format!("{options},{own}") };
    match kind {
        "mountinfo" => {
            let parent = mount.point().map_or(0, |point| point.mount().id());
            let parent = if parent == table.root().id() { host_root_id() } else { parent };
            let device = mount.root_place().attributes().map(|attributes| attributes.device).unwrap_or(0);
            let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
            let superblock = if own.is_empty() {
                if mount.flags().read_only { "ro".to_owned() } else { "rw".to_owned() }
            } else {
                format!("{},{own}", if mount.flags().read_only { "ro" } else { "rw" })
            };
            let head = format!("{} {parent} {major}:{minor} / ", mount.id());
            [
                head.as_bytes(),
                &target,
                format!(" {options} - {} ", mount.filesystem()).as_bytes(),
                &source,
                format!(" {superblock}\n").as_bytes(),
            ]
            .concat()
        }
        "mountstats" => [
            b"device ".as_slice(),
            &source,
            b" mounted on ",
            &target,
            format!(" with fstype {}\n", mount.filesystem()).as_bytes(),
        ]
        .concat(),
        _ => {
            let tail = format!(" {} {with_own} 0 0\n", mount.filesystem());
            [source.as_slice(), b" ", &target, tail.as_bytes()].concat()
        }
    }
}

/// The mount id of the host's `/`, for the parent field.
fn host_root_id() -> u64 {
    let text = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    text.lines()
        .filter(|line| line.split(' ').nth(4) == Some("/"))
        .filter_map(|line| line.split(' ').next()?.parse().ok())
        .next_back()
        .unwrap_or(1)
}
