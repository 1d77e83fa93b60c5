//! The mount tree of one view, and a view's namespace.
//!
//! A table is immutable once published: readers take a snapshot (one reference count), writers publish a new one.
//! So a lookup never waits for a mount, and a mount is visible to every process at its next call.
//!
//! Lock order: `Namespace::writer` before `Namespace::current`; nothing else is locked under either. `Mount::flags` is a
//! leaf.

use crate::object::Dentry;
use crate::place::Place;
use parking_lot::{Mutex, RwLock};
use rustix::io::Errno;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What a mount shows.
#[derive(Debug)]
pub enum Root {
    /// A host directory or file, by canonical path.
    Host(Vec<u8>),
    /// A directory or file of a module.
    Node(Arc<Dentry>),
}

/// Mount options that the VFS itself obeys (mount(8), file-system-independent options).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MountFlags {
    /// Writes fail with `EROFS`.
    pub read_only: bool,
    /// Set-user-id bits are ignored.
    pub no_suid: bool,
    /// Device nodes can't be opened.
    pub no_dev: bool,
    /// Programs can't be executed.
    pub no_exec: bool,
    /// Modes are enforced against the caller (otherwise the owner of the image may read everything).
    pub default_permissions: bool,
}

/// One mount.
#[derive(Debug)]
pub struct Mount {
    id: u64,
    point: Option<Place>,
    root: Root,
    flags: RwLock<MountFlags>,
    source: Vec<u8>,
    filesystem: String,
    options: String,
    transparent: bool,
    /// Whether anything was ever mounted on a place of this mount.
    has_children: AtomicBool,
    /// Made by the view to hold a mount point that the host lacks; not listed.
    is_scaffold: bool,
    /// The host has no entry at the mount point: the parent's listing gets one.
    adds_name: bool,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1000);

/// What a new mount is made of.
#[derive(Debug)]
pub struct NewMount {
    /// Where; `None` only for the root of a namespace.
    pub point: Option<Place>,
    /// What.
    pub root: Root,
    /// Options obeyed by the VFS.
    pub flags: MountFlags,
    /// First field of /proc/mounts.
    pub source: Vec<u8>,
    /// Third field of /proc/mounts.
    pub filesystem: String,
    /// The module's own options, for display.
    pub options: String,
    /// See [`Mount::is_scaffold`].
    pub is_scaffold: bool,
    /// The host has no entry at the mount point: the parent's listing gets one.
    pub adds_name: bool,
}

impl Mount {
    /// Makes a mount; it is in no table yet.
    pub fn new(new: NewMount) -> Arc<Self> {
        // Options change what calls do, so Linux can't be left to do them.
        let transparent = new.flags == MountFlags::default()
            && match (&new.point, &new.root) {
                (None, Root::Host(root)) => root == b"/",
                (Some(point @ Place::Host { path, .. }), Root::Host(root)) => {
                    point.is_plain_host() && path == root
                }
                _ => false,
            };
        Arc::new(Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            point: new.point,
            root: new.root,
            flags: RwLock::new(new.flags),
            source: new.source,
            filesystem: new.filesystem,
            options: new.options,
            transparent,
            has_children: AtomicBool::new(false),
            is_scaffold: new.is_scaffold,
            adds_name: new.adds_name,
        })
    }

    /// Identifies the mount in mountinfo and statx.
    pub fn id(&self) -> u64 {
        self.id
    }
    /// The place it covers.
    pub fn point(&self) -> Option<&Place> {
        self.point.as_ref()
    }
    /// What it shows.
    pub fn root(&self) -> &Root {
        &self.root
    }
    /// Options obeyed by the VFS.
    pub fn flags(&self) -> MountFlags {
        *self.flags.read()
    }
    /// Changes them (remount).
    pub fn set_flags(&self, flags: MountFlags) {
        *self.flags.write() = flags;
    }
    /// First field of /proc/mounts.
    pub fn source(&self) -> &[u8] {
        &self.source
    }
    /// Filesystem type.
    pub fn filesystem(&self) -> &str {
        &self.filesystem
    }
    /// The module's own options.
    pub fn options(&self) -> &str {
        &self.options
    }
    /// Host paths below it mean the same to Linux and to the view.
    pub fn is_transparent(&self) -> bool {
        self.transparent
    }
    /// Is it only there to hold a mount point that the host lacks?
    pub fn is_scaffold(&self) -> bool {
        self.is_scaffold
    }
    /// Whether a walk has to ask for mounts on its places.
    pub fn has_children(&self) -> bool {
        self.has_children.load(Ordering::Acquire)
    }
    /// Does it show the host from its very root (so that /proc is Linux's)?
    pub fn root_is_host_root(&self) -> bool {
        matches!(&self.root, Root::Host(path) if path == b"/")
    }
    /// The root as a place.
    pub fn root_place(self: &Arc<Self>) -> Place {
        match &self.root {
            Root::Host(path) => Place::Host {
                mount: self.clone(),
                path: path.clone(),
            },
            Root::Node(dentry) => Place::Node {
                mount: self.clone(),
                dentry: dentry.clone(),
            },
        }
    }
}

/// Identifies a covered place.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Point {
    Host(u64, Vec<u8>),
    Node(u64, u64, u64),
}

fn point_of(place: &Place) -> Point {
    match place {
        Place::Host { mount, path } => Point::Host(mount.id(), path.clone()),
        Place::Node { mount, dentry } => Point::Node(
            mount.id(),
            dentry.instance().device(),
            dentry.inode().number().0,
        ),
    }
}

/// An immutable mount tree.
#[derive(Clone, Debug)]
pub struct MountTable {
    root: Arc<Mount>,
    /// In order of mounting.
    mounts: Vec<Arc<Mount>>,
    by_point: HashMap<Point, Arc<Mount>>,
    /// Host mount points of each mount: (mount id, path).
    host_points: Vec<(u64, Vec<u8>)>,
}

impl MountTable {
    fn new(root: Arc<Mount>) -> Self {
        Self {
            root,
            mounts: Vec::new(),
            by_point: HashMap::new(),
            host_points: Vec::new(),
        }
    }

    /// The root mount.
    pub fn root(&self) -> &Arc<Mount> {
        &self.root
    }

    /// Is there nothing but the host's own tree?
    pub fn is_empty(&self) -> bool {
        self.mounts.is_empty()
    }

    /// All mounts but the root, in order of mounting.
    pub fn mounts(&self) -> &[Arc<Mount>] {
        &self.mounts
    }

    /// The mount that covers this very place, if any (not looking through stacked mounts).
    pub fn covering(&self, place: &Place) -> Option<&Arc<Mount>> {
        if !place.mount().has_children() {
            return None;
        }
        self.by_point.get(&point_of(place))
    }

    /// Goes from a covered place to the root of the topmost mount over it.
    pub fn cross_down(&self, place: Place) -> Place {
        let mut place = place;
        while let Some(mount) = self.covering(&place) {
            place = mount.root_place();
        }
        place
    }

    /// The shortest prefix of `path` (at a `/` border, longer than `base`) that is a host mount point of `mount`.
    pub fn first_point_on<'p>(&self, mount: u64, base: usize, path: &'p [u8]) -> Option<&'p [u8]> {
        self.host_points
            .iter()
            .filter(|(owner, point)| {
                *owner == mount
                    && point.len() > base
                    && path.starts_with(point)
                    && matches!(path.get(point.len()), None | Some(b'/'))
            })
            .map(|(_, point)| point.len())
            .min()
            .map(|length| &path[..length])
    }

    /// Names that mounts add to a host directory which has no such entries itself.
    pub fn names_added_to(&self, mount: u64, directory: &[u8]) -> Vec<(Vec<u8>, Arc<Mount>)> {
        self.mounts
            .iter()
            .filter(|one| one.adds_name)
            .filter_map(|one| match one.point() {
                Some(Place::Host { mount: owner, path }) if owner.id() == mount => {
                    let end = path.iter().rposition(|&byte| byte == b'/')?;
                    let parent: &[u8] = if end == 0 { b"/" } else { &path[..end] };
                    (parent == directory).then(|| (path[end + 1..].to_vec(), one.clone()))
                }
                _ => None,
            })
            .collect()
    }

    /// Is something mounted on a place of this mount?
    pub fn is_parent(&self, mount: &Arc<Mount>) -> bool {
        self.mounts.iter().any(|one| {
            one.point()
                .is_some_and(|point| point.mount().id() == mount.id())
        })
    }

    /// Is some mount's root or point this place (rename and rmdir then fail with `EBUSY`)?
    pub fn is_mount_point(&self, place: &Place) -> bool {
        self.covering(place).is_some() || (place.is_mount_root() && place.mount().point().is_some())
    }

    fn insert(&mut self, mount: Arc<Mount>) {
        if let Some(point) = mount.point() {
            point.mount().has_children.store(true, Ordering::Release);
            if let Place::Host { mount: owner, path } = point {
                self.host_points.push((owner.id(), path.clone()));
            }
            self.by_point.insert(point_of(point), mount.clone());
        }
        self.mounts.push(mount);
    }

    fn remove(&mut self, id: u64) {
        self.mounts.retain(|mount| mount.id() != id);
        self.by_point.retain(|_, mount| mount.id() != id);
        self.host_points = self
            .by_point
            .keys()
            .filter_map(|point| match point {
                Point::Host(owner, path) => Some((*owner, path.clone())),
                Point::Node(..) => None,
            })
            .collect();
    }
}

/// One view's mount tree, changing over time.
#[derive(Debug)]
pub struct Namespace {
    id: u64,
    writer: Mutex<()>,
    current: RwLock<Arc<MountTable>>,
}

impl Namespace {
    /// A namespace equal to the host.
    pub fn new() -> Arc<Self> {
        let root = Mount::new(NewMount {
            point: None,
            root: Root::Host(b"/".to_vec()),
            flags: MountFlags::default(),
            source: b"none".to_vec(),
            filesystem: "host".into(),
            options: String::new(),
            is_scaffold: false,
            adds_name: false,
        });
        Self::with_table(MountTable::new(root))
    }

    fn with_table(table: MountTable) -> Arc<Self> {
        Arc::new(Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            writer: Mutex::new(()),
            current: RwLock::new(Arc::new(table)),
        })
    }

    /// A child namespace: the same mounts now, its own changes from now on.
    pub fn child(&self) -> Arc<Self> {
        Self::with_table((*self.table()).clone())
    }

    /// Identifies the namespace.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The mount tree as it is now.
    pub fn table(&self) -> Arc<MountTable> {
        self.current.read().clone()
    }

    /// Adds a mount on its point.
    pub fn add(&self, mount: Arc<Mount>) {
        let _writer = self.writer.lock();
        let mut table = (*self.table()).clone();
        table.insert(mount);
        *self.current.write() = Arc::new(table);
    }

    /// Removes a mount: `EINVAL` if it is not in the tree, `EBUSY` if others are mounted on it (unless `lazy`, which
    /// takes them along) or it is in use by `is_busy`.
    pub fn remove(
        &self,
        mount: &Arc<Mount>,
        lazy: bool,
        is_busy: impl Fn(&Arc<Mount>) -> bool,
    ) -> Result<Vec<Arc<Mount>>, Errno> {
        let _writer = self.writer.lock();
        let mut table = (*self.table()).clone();
        if !table.mounts.iter().any(|one| one.id() == mount.id()) {
            return Err(Errno::INVAL);
        }
        let mut removed = vec![mount.clone()];
        if table.is_parent(mount) && !lazy {
            return Err(Errno::BUSY);
        }
        let mut at = 0;
        while at < removed.len() {
            let id = removed[at].id();
            for one in &table.mounts {
                if one.point().is_some_and(|point| point.mount().id() == id) {
                    removed.push(one.clone());
                }
            }
            at += 1;
        }
        if !lazy && is_busy(mount) {
            return Err(Errno::BUSY);
        }
        // A scaffold that held nothing else goes with its mount.
        if let Some(under) = mount.point().map(|point| point.mount().clone()) {
            let others = table.mounts.iter().any(|one| {
                one.id() != mount.id()
                    && one
                        .point()
                        .is_some_and(|point| point.mount().id() == under.id())
            });
            if under.is_scaffold() && !others {
                removed.push(under);
            }
        }
        for one in &removed {
            table.remove(one.id());
        }
        *self.current.write() = Arc::new(table);
        Ok(removed)
    }
}
