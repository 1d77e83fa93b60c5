//! A place: one object as the resolver found it, in the mount where it was found.
//!
//! A place on the host is a canonical path (absolute, no symbolic link, no `.` or `..`); a place in a module is a
//! dentry. Which of the two it is decides who does the work: Linux or the module.
//!
//! Neighbours: `mount_table` (mounts have places as their mount points), `resolver` (makes places),
//! `operations` (uses them). No locks of its own.

use crate::mount_table::{Mount, Root};
use crate::object::Dentry;
use rustix::io::Errno;
use std::sync::Arc;

/// One object of the view.
#[derive(Clone, Debug)]
pub enum Place {
    /// An object of the host, or of a host directory that is mounted elsewhere.
    Host {
        /// The mount it was reached through.
        mount: Arc<Mount>,
        /// Canonical path on the host.
        path: Vec<u8>,
    },
    /// An object of a module.
    Node {
        /// The mount it was reached through.
        mount: Arc<Mount>,
        /// Its name there.
        dentry: Arc<Dentry>,
    },
}

impl Place {
    /// The mount through which the place was reached.
    pub fn mount(&self) -> &Arc<Mount> {
        match self {
            Place::Host { mount, .. } | Place::Node { mount, .. } => mount,
        }
    }

    /// The host path, when the host itself holds the object.
    pub fn host_path(&self) -> Option<&[u8]> {
        match self {
            Place::Host { path, .. } => Some(path),
            Place::Node { .. } => None,
        }
    }

    /// Would Linux, given the path that the view shows, find the same object?
    pub fn is_plain_host(&self) -> bool {
        matches!(self, Place::Host { mount, .. } if mount.is_transparent())
    }

    /// Is this the root of its mount?
    pub fn is_mount_root(&self) -> bool {
        match (self, self.mount().root()) {
            (Place::Host { path, .. }, Root::Host(root)) => path == root,
            (Place::Node { dentry, .. }, Root::Node(root)) => Arc::ptr_eq(dentry, root),
            _ => false,
        }
    }

    /// The path by which the view shows this object, as getcwd(2) and /proc/PID/cwd tell it.
    pub fn view_path(&self) -> Vec<u8> {
        let mount = self.mount();
        let inside: Vec<u8> = match (self, mount.root()) {
            (Place::Host { path, .. }, Root::Host(root)) => {
                if root == b"/" {
                    path.get(1..).unwrap_or_default().to_vec()
                } else {
                    let tail = path.get(root.len()..).unwrap_or_default();
                    tail.strip_prefix(b"/").unwrap_or(tail).to_vec()
                }
            }
            (Place::Node { dentry, .. }, Root::Node(root)) => path_below(dentry, root),
            _ => Vec::new(),
        };
        let mut path = match mount.point() {
            Some(point) => point.view_path(),
            None => b"/".to_vec(),
        };
        if !inside.is_empty() {
            if path != b"/" {
                path.push(b'/');
            }
            path.extend_from_slice(&inside);
        }
        path
    }

    /// Has the object's name been removed (getcwd(2) then fails with `ENOENT`)?
    pub fn is_deleted(&self) -> bool {
        match self {
            // As Linux tells the name of a directory that it has removed.
            Place::Host { path, .. } => {
                path.ends_with(b" (deleted)")
                    && crate::host_ops::attributes(path) == Err(Errno::NOENT)
            }
            Place::Node { dentry, .. } => dentry.is_deleted(),
        }
    }

    /// The directory that holds this one, inside the same mount; `None` at the mount's root.
    pub fn parent_in_mount(&self) -> Option<Place> {
        if self.is_mount_root() {
            return None;
        }
        match self {
            Place::Host { mount, path } => {
                let end = path.iter().rposition(|&byte| byte == b'/')?;
                let parent = if end == 0 {
                    b"/".to_vec()
                } else {
                    path[..end].to_vec()
                };
                Some(Place::Host {
                    mount: mount.clone(),
                    path: parent,
                })
            }
            Place::Node { mount, dentry } => {
                let parent = dentry.parent()?;
                Some(Place::Node {
                    mount: mount.clone(),
                    dentry: parent,
                })
            }
        }
    }

    /// Do both name the same object through the same mount?
    pub fn is_same(&self, other: &Place) -> bool {
        if self.mount().id() != other.mount().id() {
            return false;
        }
        match (self, other) {
            (Place::Host { path: a, .. }, Place::Host { path: b, .. }) => a == b,
            (Place::Node { dentry: a, .. }, Place::Node { dentry: b, .. }) => {
                Arc::ptr_eq(a, b) || Arc::ptr_eq(a.inode(), b.inode())
            }
            _ => false,
        }
    }

    /// A child of a host directory, by name.
    pub(crate) fn join_host(mount: &Arc<Mount>, directory: &[u8], name: &[u8]) -> Place {
        let mut path = directory.to_vec();
        if path != b"/" {
            path.push(b'/');
        }
        path.extend_from_slice(name);
        Place::Host {
            mount: mount.clone(),
            path,
        }
    }
}

/// The path of `dentry` below `root`, both of one instance, without a leading slash.
fn path_below(dentry: &Arc<Dentry>, root: &Arc<Dentry>) -> Vec<u8> {
    let whole = dentry.path_in_mount();
    let base = root.path_in_mount();
    let tail = whole.strip_prefix(base.as_slice()).unwrap_or(&whole);
    tail.strip_prefix(b"/").unwrap_or(tail).to_vec()
}
