//! [`Dentry`]: one name in an instance, its place in the tree and what it is known to be.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::RwLock;
use rustix::io::Errno;

use super::clock::Expiry;
use super::inode::Inode;
use super::instance::Instance;
use super::lookup::Children;
use crate::attributes::{Attributes, Kind};

/// A name, analogous to Linux's `struct dentry`. There is one dentry for one name at a time, so a process that stands
/// in a directory sees it move when it is renamed.
pub struct Dentry {
    inode: Arc<Inode>,
    place: RwLock<DentryPlace>,
    /// Until when the name may be believed.
    expiry: AtomicU64,
    is_deleted: AtomicBool,
    /// Mounts on this dentry, in all views.
    mounts: AtomicU32,
    /// Used since the cache last looked.
    pub(super) was_used: AtomicBool,
    /// Where the cache keeps it alive (0: it does not). Changed by the cache only.
    pub(super) cached_at: AtomicU32,
    children: OnceLock<Box<Children>>,
}

struct DentryPlace {
    parent: Option<Arc<Dentry>>,
    name: Arc<[u8]>,
}

impl Dentry {
    /// The root of an instance.
    pub(super) fn new_root(inode: Arc<Inode>) -> Arc<Dentry> {
        Dentry::new(inode, None, Arc::from([].as_slice()), super::clock::NEVER)
    }

    pub(super) fn new(
        inode: Arc<Inode>,
        parent: Option<Arc<Dentry>>,
        name: Arc<[u8]>,
        expiry: Expiry,
    ) -> Arc<Dentry> {
        let dentry = Arc::new(Dentry {
            inode,
            place: RwLock::new(DentryPlace { parent, name }),
            expiry: AtomicU64::new(expiry),
            is_deleted: AtomicBool::new(false),
            mounts: AtomicU32::new(0),
            was_used: AtomicBool::new(false),
            cached_at: AtomicU32::new(0),
            children: OnceLock::new(),
        });
        if let Some(directory) = dentry.inode.directory() {
            *directory.alias.lock() = Arc::downgrade(&dentry);
        }
        dentry
    }

    /// What the name means.
    pub fn inode(&self) -> &Arc<Inode> {
        &self.inode
    }

    /// The instance it belongs to.
    pub fn instance(&self) -> &Arc<Instance> {
        self.inode.instance()
    }

    /// The last component of its path; empty for the root of the instance.
    pub fn name(&self) -> Arc<[u8]> {
        Arc::clone(&self.place.read().name)
    }

    /// The directory it is in, or was in before it was removed; `None` for the root of the instance.
    pub fn parent(&self) -> Option<Arc<Dentry>> {
        self.place.read().parent.clone()
    }

    /// Its kind. The module is not asked.
    pub fn kind(&self) -> Kind {
        self.inode.kind()
    }

    /// The attributes.
    ///
    /// # Errors
    /// Those of the module.
    pub fn attributes(&self) -> Result<Attributes, Errno> {
        self.inode.attributes()
    }

    /// The target of a symbolic link.
    ///
    /// # Errors
    /// `EINVAL` when it is none; those of the module.
    pub fn read_link(&self) -> Result<Arc<[u8]>, Errno> {
        self.inode.read_link()
    }

    /// The path from the root of the instance: empty for the root itself, else `/a/b`. For a removed name the path it
    /// had.
    pub fn path_in_mount(&self) -> Vec<u8> {
        self.path_until(|_| false)
    }

    /// The path from `root` without a leading slash; empty for `root` itself. The path from the root of the instance
    /// when `root` is no ancestor.
    pub fn path_below(&self, root: &Arc<Dentry>) -> Vec<u8> {
        let mut path = self.path_until(|dentry| std::ptr::eq(dentry, Arc::as_ptr(root)));
        if !path.is_empty() {
            path.remove(0);
        }
        path
    }

    fn path_until(&self, is_top: impl Fn(&Dentry) -> bool) -> Vec<u8> {
        let mut names: Vec<Arc<[u8]>> = Vec::new();
        self.walk_up(|dentry, name| {
            if is_top(dentry) {
                return false;
            }
            names.push(Arc::clone(name));
            true
        });
        let length = names.iter().map(|name| name.len() + 1).sum();
        let mut path = Vec::with_capacity(length);
        for name in names.iter().rev() {
            path.push(b'/');
            path.extend_from_slice(name);
        }
        path
    }

    /// Calls `visit` with this dentry and its ancestors, the root of the instance left out, until it answers false.
    fn walk_up(&self, mut visit: impl FnMut(&Dentry, &Arc<[u8]>) -> bool) {
        let tree = self.instance().tree.read();
        let mut current: Option<Arc<Dentry>> = {
            let place = self.place.read();
            match &place.parent {
                Some(parent) if visit(self, &place.name) => Some(Arc::clone(parent)),
                _ => None,
            }
        };
        while let Some(dentry) = current {
            let place = dentry.place.read();
            let next = match &place.parent {
                Some(parent) if visit(&dentry, &place.name) => Some(Arc::clone(parent)),
                _ => None,
            };
            drop(place);
            // `dentry` is not the last reference: its child holds one.
            current = next;
        }
        drop(tree);
    }

    /// Is this dentry `other`, or a directory above it?
    pub fn is_ancestor_of(&self, other: &Dentry) -> bool {
        let mut is_above = std::ptr::eq(self, other);
        let is_root = self.place.read().parent.is_none();
        if !is_above && is_root {
            return Arc::ptr_eq(self.instance(), other.instance());
        }
        other.walk_up(|dentry, _| {
            is_above |= std::ptr::eq(self, dentry);
            !is_above
        });
        is_above
    }

    /// Was the name removed?
    pub fn is_deleted(&self) -> bool {
        self.is_deleted.load(Ordering::Acquire)
    }

    /// The name is gone; the cache keeps it no longer, so the module forgets the inode with its last user.
    pub(super) fn set_deleted(&self) {
        self.is_deleted.store(true, Ordering::Release);
        self.instance().names.remove(self);
    }

    /// Something is mounted here: the name cannot be removed or renamed (`EBUSY`). The caller keeps the `Arc`.
    pub fn add_mount(&self) {
        self.mounts.fetch_add(1, Ordering::AcqRel);
    }

    /// Takes back one [`Dentry::add_mount`].
    pub fn remove_mount(&self) {
        self.mounts.fetch_sub(1, Ordering::AcqRel);
    }

    /// Is something mounted here?
    pub fn is_mount_point(&self) -> bool {
        self.mounts.load(Ordering::Acquire) != 0
    }

    pub(super) fn expiry(&self) -> Expiry {
        self.expiry.load(Ordering::Relaxed)
    }

    pub(super) fn set_expiry(&self, expiry: Expiry) {
        self.expiry.store(expiry, Ordering::Relaxed);
    }

    /// The table of known names, when there is one.
    pub(super) fn known_children(&self) -> Option<&Children> {
        self.children.get().map(|children| &**children)
    }

    /// The table of known names.
    pub(super) fn children(&self) -> &Children {
        self.children.get_or_init(Box::default)
    }

    /// Gives the dentry a new place and returns the old parent, which the caller drops when its locks are gone.
    /// Called with `Instance::tree` held for writing.
    #[must_use]
    pub(super) fn set_place(&self, parent: &Arc<Dentry>, name: &Arc<[u8]>) -> Option<Arc<Dentry>> {
        let mut place = self.place.write();
        place.name = Arc::clone(name);
        place.parent.replace(Arc::clone(parent))
    }

    /// Leaves the tree: returns the parent after removing the name from its table.
    fn take_parent(&mut self) -> Option<Arc<Dentry>> {
        let place = self.place.get_mut();
        let parent = place.parent.take()?;
        if let Some(children) = parent.known_children() {
            children.remove_dead(&place.name);
        }
        Some(parent)
    }
}

impl Drop for Dentry {
    /// Ancestors that nobody else holds are dropped in a loop: the depth of a tree is not limited, a stack is.
    fn drop(&mut self) {
        let mut next = self.take_parent();
        while let Some(parent) = next {
            next = Arc::into_inner(parent).and_then(|mut dentry| dentry.take_parent());
        }
    }
}

impl fmt::Debug for Dentry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dentry")
            .field("name", &String::from_utf8_lossy(&self.name()))
            .field("inode", &self.inode)
            .finish_non_exhaustive()
    }
}
