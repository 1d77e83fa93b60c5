//! The mount tree of one view, and a view's namespace.
//!
//! A table is immutable once published: readers take a snapshot (one reference count), writers publish a new one.
//! So a lookup never waits for a mount, and a mount is visible to every process at its next call.
//!
//! Lock order: `Namespace::writer` before `Namespace::current`; nothing else is locked under either.

use crate::object::Dentry;
use crate::place::Place;
use parking_lot::{Mutex, RwLock};
use rustix::io::Errno;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};

/// What a mount shows.
#[derive(Debug, Clone)]
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

impl MountFlags {
    fn to_bits(self) -> u8 {
        let all = [
            self.read_only,
            self.no_suid,
            self.no_dev,
            self.no_exec,
            self.default_permissions,
        ];
        all.iter()
            .rev()
            .fold(0, |bits, &set| bits << 1 | u8::from(set))
    }

    fn from_bits(bits: u8) -> Self {
        let has = |bit: u8| bits >> bit & 1 != 0;
        Self {
            read_only: has(0),
            no_suid: has(1),
            no_dev: has(2),
            no_exec: has(3),
            default_permissions: has(4),
        }
    }

    /// The words for the options that Linux has for every mount, as in /proc/mounts.
    pub fn words(self) -> String {
        let mut text = String::from(if self.read_only { "ro" } else { "rw" });
        for (is_set, word) in [
            (self.no_suid, ",nosuid"),
            (self.no_dev, ",nodev"),
            (self.no_exec, ",noexec"),
        ] {
            if is_set {
                text.push_str(word);
            }
        }
        text
    }

    /// What holds in either: a bind has the options of the mount that its source lies on.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self::from_bits(self.to_bits() | other.to_bits())
    }
}

/// One mount.
#[derive(Debug)]
pub struct Mount {
    id: u64,
    point: Option<Place>,
    root: Root,
    /// See [`MountFlags::to_bits`]; a remount changes them under running calls.
    flags: AtomicU8,
    source: Vec<u8>,
    filesystem: String,
    options: String,
    /// Linux has the same names below it.
    has_same_names: bool,
    /// Namespaces that have it.
    namespaces: AtomicU32,
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
    /// For a recursive bind, the place that is bound: what is mounted below it is mounted below the new mount as well.
    pub with_mounts_of: Option<Place>,
}

impl Mount {
    /// It is in no table yet.
    fn new(new: NewMount) -> Arc<Self> {
        let has_same_names = match (&new.point, &new.root) {
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
            flags: AtomicU8::new(new.flags.to_bits()),
            source: new.source,
            filesystem: new.filesystem,
            options: new.options,
            has_same_names,
            namespaces: AtomicU32::new(0),
            has_children: AtomicBool::new(false),
            is_scaffold: new.is_scaffold,
            adds_name: new.adds_name,
        })
    }

    /// The same on another point.
    fn copy_on(&self, point: Place) -> Arc<Self> {
        Self::new(NewMount {
            point: Some(point),
            root: self.root.clone(),
            flags: self.flags(),
            source: self.source.clone(),
            filesystem: self.filesystem.clone(),
            options: self.options.clone(),
            is_scaffold: self.is_scaffold,
            adds_name: self.adds_name,
            with_mounts_of: None,
        })
    }

    /// Identifies the mount in mountinfo and statx.
    pub fn id(&self) -> u64 {
        self.id
    }
    /// Its path in the view.
    pub fn path(&self) -> Vec<u8> {
        self.point
            .as_ref()
            .map_or_else(|| b"/".to_vec(), Place::view_path)
    }
    /// The mount that it lies on, scaffolds left out: they are not listed.
    pub fn parent(&self) -> Option<&Arc<Mount>> {
        let below = self.point()?.mount();
        if below.is_scaffold() {
            below.parent()
        } else {
            Some(below)
        }
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
        MountFlags::from_bits(self.flags.load(Ordering::Acquire))
    }
    /// Changes them (remount).
    pub fn set_flags(&self, flags: MountFlags) {
        self.flags.store(flags.to_bits(), Ordering::Release);
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
    /// Is it in a namespace? Objects of a detached mount can still be open; `..` does not leave it any more.
    pub fn is_attached(&self) -> bool {
        self.namespaces.load(Ordering::Acquire) != 0
    }
    /// Host paths below it mean the same to Linux and to the view. Options change what calls do, so with any Linux
    /// can't be left to do them.
    pub fn is_transparent(&self) -> bool {
        self.has_same_names && self.flags.load(Ordering::Acquire) == 0
    }
    /// Is it only there to hold a mount point that the host lacks?
    pub fn is_scaffold(&self) -> bool {
        self.is_scaffold
    }
    /// Whether a walk has to ask for mounts on its places.
    pub fn has_children(&self) -> bool {
        self.has_children.load(Ordering::Acquire)
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

    /// Is something mounted below this host directory of `mount`, so that the mount would stay behind if it were moved?
    pub fn has_points_below(&self, mount: u64, directory: &[u8]) -> bool {
        self.host_points.iter().any(|(owner, point)| {
            *owner == mount
                && point
                    .strip_prefix(directory)
                    .is_some_and(|rest| rest.starts_with(b"/"))
        })
    }

    /// The mounts that lie on places of this one.
    fn children(&self, id: u64) -> impl Iterator<Item = &Arc<Mount>> {
        self.mounts
            .iter()
            .filter(move |one| one.point().is_some_and(|point| point.mount().id() == id))
    }

    fn contains(&self, mount: &Arc<Mount>) -> bool {
        self.root.id() == mount.id() || self.mounts.iter().any(|one| one.id() == mount.id())
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

    /// Copies those of `known` that lie on `source` or below it to the same places of `copy`.
    fn copy_below(&mut self, known: &[Arc<Mount>], source: &Place, copy: &Arc<Mount>) {
        for one in known {
            if let Some(point) = one.point().filter(|point| point.is_at_or_below(source)) {
                let made = one.copy_on(point.through(copy));
                self.insert(made.clone());
                self.copy_below(known, &one.root_place(), &made);
            }
        }
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
            with_mounts_of: None,
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
        let table = self.table();
        table.mounts.iter().for_each(hold);
        Self::with_table((*table).clone())
    }

    /// Identifies the namespace.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The mount tree as it is now.
    pub fn table(&self) -> Arc<MountTable> {
        self.current.read().clone()
    }

    /// Mounts on the point of `new`, or on what another caller has mounted there meanwhile.
    ///
    /// # Errors
    /// `EINVAL` for a mount without a point, `ENOENT` when the mount that the point lies on is gone.
    pub fn add(&self, mut new: NewMount) -> Result<Arc<Mount>, Errno> {
        let _writer = self.writer.lock();
        let mut table = (*self.table()).clone();
        let point = table.cross_down(new.point.take().ok_or(Errno::INVAL)?);
        if !table.contains(point.mount()) {
            return Err(Errno::NOENT);
        }
        new.point = Some(point);
        let source = new.with_mounts_of.take();
        let mount = Mount::new(new);
        let known = table.mounts.clone();
        table.insert(mount.clone());
        if let Some(source) = source {
            table.copy_below(&known, &source, &mount);
        }
        table.mounts[known.len()..].iter().for_each(hold);
        *self.current.write() = Arc::new(table);
        Ok(mount)
    }

    /// Removes a mount and gives all that went with it: others on it (only when `lazy`), and a scaffold that held
    /// nothing else.
    ///
    /// # Errors
    /// `EINVAL` if it is not in the tree; unless `lazy`, `EBUSY` if others are mounted on it or `is_busy` says so.
    pub fn remove(
        &self,
        mount: &Arc<Mount>,
        lazy: bool,
        is_busy: impl Fn(&Arc<Mount>) -> bool,
    ) -> Result<Vec<Arc<Mount>>, Errno> {
        let _writer = self.writer.lock();
        let mut table = (*self.table()).clone();
        if mount.point().is_none() || !table.contains(mount) {
            return Err(Errno::INVAL);
        }
        if !lazy && (table.children(mount.id()).next().is_some() || is_busy(mount)) {
            return Err(Errno::BUSY);
        }
        let mut removed = vec![mount.clone()];
        let mut at = 0;
        while let Some(id) = removed.get(at).map(|one| one.id()) {
            removed.extend(table.children(id).cloned());
            at += 1;
        }
        if let Some(under) = mount.point().map(Place::mount)
            && under.is_scaffold()
            && table.children(under.id()).all(|one| one.id() == mount.id())
        {
            removed.push(under.clone());
        }
        for one in &removed {
            table.remove(one.id());
            release(one);
        }
        *self.current.write() = Arc::new(table);
        Ok(removed)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        self.table().mounts.iter().for_each(release);
    }
}

/// A namespace has the mount. A name with a mount on it, in whatever namespace, can't be removed.
fn hold(mount: &Arc<Mount>) {
    mount.namespaces.fetch_add(1, Ordering::AcqRel);
    if let Some(Place::Node { dentry, .. }) = mount.point() {
        dentry.add_mount();
    }
}

fn release(mount: &Arc<Mount>) {
    mount.namespaces.fetch_sub(1, Ordering::AcqRel);
    if let Some(Place::Node { dentry, .. }) = mount.point() {
        dentry.remove_mount();
    }
}

#[cfg(test)]
mod tests;
