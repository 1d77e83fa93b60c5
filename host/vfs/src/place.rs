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
        let Some(inside) = self.path_below_root() else {
            // Moved out of a bind: what Linux says of a place that no path leads to.
            return match self {
                Place::Host { path, .. } => [b"(unreachable)", path.as_slice()].concat(),
                Place::Node { dentry, .. } => {
                    [b"(unreachable)", dentry.path_in_mount().as_slice()].concat()
                }
            };
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

    /// The path from the mount's root, without a leading slash; `None` if the object does not lie below the root.
    fn path_below_root(&self) -> Option<Vec<u8>> {
        match (self, self.mount().root()) {
            (Place::Host { path, .. }, Root::Host(root)) => {
                tail_below(path, root).map(<[u8]>::to_vec)
            }
            (Place::Node { dentry, .. }, Root::Node(root)) => {
                root.is_ancestor_of(dentry).then(|| dentry.path_below(root))
            }
            _ => None,
        }
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

    /// The directory that holds this one, inside the same mount; `None` at the mount's root, and for what has been
    /// moved out of a bind (fs/namei.c, path_connected).
    pub fn parent_in_mount(&self) -> Option<Place> {
        if self.is_mount_root() || !self.is_at_or_below(&self.mount().root_place()) {
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

    /// The same object, through another mount.
    pub(crate) fn through(&self, mount: &Arc<Mount>) -> Place {
        let mount = mount.clone();
        match self {
            Place::Host { path, .. } => Place::Host {
                mount,
                path: path.clone(),
            },
            Place::Node { dentry, .. } => Place::Node {
                mount,
                dentry: dentry.clone(),
            },
        }
    }

    /// Does it lie in the tree below `top`, in the same mount, or is it `top` itself?
    pub(crate) fn is_at_or_below(&self, top: &Place) -> bool {
        self.mount().id() == top.mount().id()
            && match (self, top) {
                (Place::Host { path, .. }, Place::Host { path: top, .. }) => {
                    tail_below(path, top).is_some()
                }
                (Place::Node { dentry, .. }, Place::Node { dentry: top, .. }) => {
                    top.is_ancestor_of(dentry)
                }
                _ => false,
            }
    }

    /// The place of a name in a host directory, whether it exists or not; `None` in a module.
    pub fn host_child(&self, name: &[u8]) -> Option<Place> {
        match self {
            Place::Host { mount, path } => Some(Self::join_host(mount, path, name)),
            Place::Node { .. } => None,
        }
    }

    /// A child of a host directory, by name.
    pub(crate) fn join_host(mount: &Arc<Mount>, directory: &[u8], name: &[u8]) -> Place {
        Place::Host {
            mount: mount.clone(),
            path: child_path(directory, name),
        }
    }
}

/// The path from `top`, a host path, to `path`, without a leading slash.
fn tail_below<'p>(path: &'p [u8], top: &[u8]) -> Option<&'p [u8]> {
    let rest = path.strip_prefix(top)?;
    if top == b"/" || rest.is_empty() {
        Some(rest)
    } else {
        rest.strip_prefix(b"/")
    }
}

/// The path of `name` in a host directory.
pub fn child_path(directory: &[u8], name: &[u8]) -> Vec<u8> {
    let mut path = directory.to_vec();
    if path != b"/" {
        path.push(b'/');
    }
    path.extend_from_slice(name);
    path
}
