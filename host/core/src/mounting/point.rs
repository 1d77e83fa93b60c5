//! Mount points that do not exist.
//!
//! Neighbours: the parent module; `syscall::directory` lists the names that such mounts add.

use super::Request;
use super::source::{open_tmpfs, own_caller};
use crate::control::options::MountOptions;
use crate::control::protocol::Refusal;
use rustix::io::Errno;
use std::sync::Arc;
use view_vfs::mount_table::{MountFlags, NewMount, Root};
use view_vfs::object::Dentry;
use view_vfs::place::Place;
use view_vfs::resolver::{Found, Last, WalkFlags};

/// A mount point that does not exist: it appears in its parent's listing. If more than one component is missing, a
/// scaffold holds the others. In a module the directories are made. Says also whether the host lacks the name.
pub(super) fn missing(
    request: &Request<'_>,
    found: Result<Found, Errno>,
    target: &[u8],
) -> Result<(Place, bool), Refusal> {
    if let Ok(found) = &found
        && let (Some(parent), Last::Name) = (&found.parent, found.last)
    {
        return match parent.host_child(&found.name) {
            Some(point) => Ok((point, true)),
            None => make_below(parent, &[&found.name]),
        };
    }
    let components: Vec<&[u8]> = target
        .split(|&byte| byte == b'/')
        .filter(|one| !one.is_empty())
        .collect();
    // The deepest ancestor that exists.
    for depth in (0..components.len().saturating_sub(1)).rev() {
        let (above, below) = components.split_at(depth);
        let prefix = [b"/", above.join(&b'/').as_slice()].concat();
        let Ok(Found {
            place: Some(ancestor),
            ..
        }) = request.resolve(&prefix, WalkFlags::FOLLOW)
        else {
            continue;
        };
        let Some((first, rest)) = below.split_first() else {
            break;
        };
        if below.iter().any(|name| matches!(*name, b"." | b"..")) {
            break;
        }
        return match ancestor.host_child(first) {
            Some(point) => scaffold(request, point, rest),
            None => make_below(&ancestor, below),
        };
    }
    Err(Refusal::from_errno(Errno::NOENT))
}

/// Makes directories in one of a module.
fn make_below(place: &Place, names: &[&[u8]]) -> Result<(Place, bool), Refusal> {
    let Place::Node { mount, dentry } = place else {
        return Err(Refusal::from_errno(Errno::IO));
    };
    let dentry = make_directories(dentry, names)
        .map_err(|errno| Refusal::from_errno(errno).with_hint("make the mount point first"))?;
    Ok((
        Place::Node {
            mount: mount.clone(),
            dentry,
        },
        false,
    ))
}

fn make_directories(top: &Arc<Dentry>, names: &[&[u8]]) -> Result<Arc<Dentry>, Errno> {
    names.iter().try_fold(top.clone(), |at, name| {
        at.create_directory(name, 0o755, &own_caller())
    })
}

fn scaffold(
    request: &Request<'_>,
    point: Place,
    below: &[&[u8]],
) -> Result<(Place, bool), Refusal> {
    let made = open_tmpfs(request.view, &MountOptions::default())?;
    let Root::Node(root) = &made.root else {
        return Err(Refusal::from_errno(Errno::IO));
    };
    let dentry = make_directories(root, below).map_err(Refusal::from_errno)?;
    let mount = request
        .namespace
        .add(NewMount {
            point: Some(point),
            root: made.root,
            flags: MountFlags {
                read_only: true,
                ..made.flags
            },
            source: b"none".to_vec(),
            filesystem: "tmpfs".into(),
            options: String::new(),
            is_scaffold: true,
            adds_name: true,
            with_mounts_of: None,
        })
        .map_err(Refusal::from_errno)?;
    Ok((Place::Node { mount, dentry }, false))
}
