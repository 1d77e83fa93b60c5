//! [`Instance`]: one mounted module with its options and the table of its live inodes.

use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use foldhash::{HashMap, HashMapExt};
use fuse_compat::{
    EntryOut, Filesystem, INodeNo, InitFlags, KernelConfig, Notifier, Request, sync,
};
use parking_lot::{Mutex, RwLock};
use rustix::io::Errno;

use super::clock::{self, Expiry};
use super::dentry::Dentry;
use super::dentry_cache::DentryCache;
use super::directory::ListingCache;
use super::inode::Inode;
use super::module_error;
use super::notify::Notifications;
use crate::attributes::{Attributes, FilesystemStatistics, make_device};
use crate::credentials::{Caller, Credentials};
use crate::page_cache::{PageCache, Unwritten};

/// Minor number of the first instance's device; major 0 is Linux's for filesystems without a device, and its own
/// minors are small.
const FIRST_MINOR: u32 = 0x10000;
/// Minor numbers have 20 bits.
const MINOR_COUNT: u32 = 0x10_0000 - FIRST_MINOR;

/// Most bytes of one write to a module.
const LARGEST_WRITE: usize = 1 << 20;

/// Instances made so far.
static INSTANCES: AtomicU32 = AtomicU32::new(0);

/// How an instance is treated.
#[derive(Clone, Debug)]
pub struct InstanceOptions {
    /// Name of the type, as /proc/mounts shows it.
    pub kind_name: String,
    /// Is the filesystem itself read-only (`EROFS`)?
    pub is_read_only: bool,
    /// Can nothing ever change, not even from outside? Then cached facts never expire.
    pub is_immutable: bool,
    /// How long a module's `ENOENT` from lookup is remembered. (An entry with inode 0 has its own time.)
    pub negative_ttl: Duration,
    /// Most names kept without a user. One costs about 450 bytes with its inode.
    pub dentry_capacity: usize,
    /// `f_type` of statfs(2).
    pub statfs_type: i64,
}

impl Default for InstanceOptions {
    /// A writable FUSE filesystem (`f_type` 0x65735546).
    fn default() -> InstanceOptions {
        InstanceOptions {
            kind_name: "fuse".to_owned(),
            is_read_only: false,
            is_immutable: false,
            negative_ttl: Duration::ZERO,
            dentry_capacity: 12 * 1024,
            statfs_type: 0x6573_5546,
        }
    }
}

/// Operations a module turned out not to have: it answered `ENOSYS`, and is not asked again.
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub(super) enum Operation {
    Access = 1,
    Create = 1 << 1,
    Fsync = 1 << 2,
    FsyncDirectory = 1 << 3,
    GetXattr = 1 << 4,
    SetXattr = 1 << 5,
    ListXattr = 1 << 6,
    RemoveXattr = 1 << 7,
    Open = 1 << 8,
    OpenDirectory = 1 << 9,
    ReadDirectoryPlus = 1 << 10,
    Lseek = 1 << 11,
    Allocate = 1 << 12,
    Ioctl = 1 << 13,
}

/// A mounted module, analogous to Linux's `struct super_block`.
pub struct Instance {
    filesystem: Box<dyn Filesystem>,
    options: InstanceOptions,
    is_read_only: AtomicBool,
    device: u64,
    requested: InitFlags,
    max_write: usize,
    is_detached: AtomicBool,
    is_destroyed: Arc<AtomicBool>,
    missing: AtomicU32,
    requests: AtomicU64,
    /// Counts changes of attributes made through us: an answer asked for before a change is not cached.
    changes: AtomicU64,
    own: Credentials,
    root_attributes: Attributes,
    root: Mutex<Weak<Dentry>>,
    inodes: Mutex<HashMap<u64, Weak<Inode>>>,
    pub(super) names: DentryCache,
    pub(super) listings: ListingCache,
    /// Serialises renames of directories, so that the check for loops stays true (Linux: `s_vfs_rename_mutex`).
    pub(super) directory_renames: Mutex<()>,
    /// Parents and names of all dentries: read to walk upwards, written to record a rename.
    pub(super) tree: RwLock<()>,
    page_cache: Arc<PageCache>,
}

impl Instance {
    /// Starts a module.
    ///
    /// # Errors
    /// What the module's `init` or its first `getattr` of the root says.
    pub fn new(
        mut filesystem: Box<dyn Filesystem>,
        options: InstanceOptions,
        page_cache: Arc<PageCache>,
    ) -> Result<Arc<Instance>, Errno> {
        let own = Credentials::current();
        let request = Request::new(1, own.uid, own.gid, 0);
        let notifications = Arc::new(Notifications::default());
        let mut config = KernelConfig::default();
        config.set_notifier(Notifier::new(notifications.clone()));
        filesystem
            .init(&request, &mut config)
            .map_err(|error| module_error(error.into()))?;
        let number = INSTANCES.fetch_add(1, Ordering::Relaxed) % MINOR_COUNT;
        let device = make_device(0, FIRST_MINOR + number);
        let answer =
            sync::getattr(&*filesystem, &request, INodeNo::ROOT, None).map_err(module_error);
        let root_attributes = match answer {
            Ok(answer) => Attributes::from_file_attr(&answer.attr, device),
            Err(error) => {
                filesystem.destroy();
                return Err(error);
            }
        };
        let instance = Arc::new(Instance {
            filesystem,
            is_read_only: AtomicBool::new(options.is_read_only),
            device,
            requested: config.requested(),
            max_write: (config.max_write() as usize).clamp(4096, LARGEST_WRITE),
            is_detached: AtomicBool::new(false),
            is_destroyed: Arc::default(),
            missing: AtomicU32::new(0),
            requests: AtomicU64::new(2),
            changes: AtomicU64::new(0),
            own,
            root_attributes,
            root: Mutex::new(Weak::new()),
            inodes: Mutex::new(HashMap::new()),
            names: DentryCache::new(options.dentry_capacity),
            listings: ListingCache::default(),
            directory_renames: Mutex::new(()),
            tree: RwLock::new(()),
            page_cache,
            options,
        });
        notifications.connect(&instance);
        Ok(instance)
    }

    /// The root. The instance does not keep it alive.
    pub fn root(self: &Arc<Self>) -> Arc<Dentry> {
        let mut root = self.root.lock();
        if let Some(dentry) = root.upgrade() {
            return dentry;
        }
        let inode = self.inode_for(INodeNo::ROOT, &self.root_attributes, clock::EXPIRED, 0);
        let dentry = Dentry::new_root(inode);
        *root = Arc::downgrade(&dentry);
        dentry
    }

    /// Device number (`st_dev`), the same for the life of the instance and used by no other.
    pub fn device(&self) -> u64 {
        self.device
    }

    /// Name of the type, as /proc/mounts shows it.
    pub fn kind_name(&self) -> &str {
        &self.options.kind_name
    }

    /// Is the filesystem read-only?
    pub fn is_read_only(&self) -> bool {
        self.is_read_only.load(Ordering::Relaxed)
    }

    /// Makes the filesystem read-only, or writable again (mount -o remount).
    pub fn set_read_only(&self, is_read_only: bool) {
        self.is_read_only.store(is_read_only, Ordering::Relaxed);
    }

    /// Can nothing ever change?
    pub fn is_immutable(&self) -> bool {
        self.options.is_immutable
    }

    /// The host directory or file that the module shows unchanged, if it is such a module.
    pub fn host_root(&self) -> Option<&Path> {
        self.filesystem.host_root()
    }

    /// The unmount, also of a busy instance: nothing is cached from now on, and the module gets its `destroy` when
    /// the last name in use goes. Files that are open for writing go on being written back until they are closed.
    pub fn detach(&self) {
        self.is_detached.store(true, Ordering::Release);
        self.names.close();
        self.listings.clear();
        self.page_cache.forget_device(self.device);
    }

    /// Becomes true when the module's `destroy` has returned.
    pub fn destroyed(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.is_destroyed)
    }

    /// Has it been unmounted?
    pub(super) fn is_detached(&self) -> bool {
        self.is_detached.load(Ordering::Acquire)
    }

    /// Most bytes that one write to the module may carry.
    pub(super) fn max_write(&self) -> usize {
        self.max_write
    }

    /// Hands everything that was written to the module; files that nobody writes to any more become clean. Answers
    /// what could not be written, which is tried again later.
    pub fn write_back(&self) -> Vec<Unwritten> {
        self.page_cache.drain(Some(self.device))
    }

    /// Gives up what [`Instance::write_back`] could not write: the end.
    pub fn abandon_unwritten(&self) {
        self.page_cache.abandon(self.device);
    }

    /// syncfs(2): hands everything that was written to the module, and makes it durable.
    ///
    /// # Errors
    /// The first of writing back, then those of the module's fsyncdir of its root.
    pub fn synchronize(self: &Arc<Self>) -> Result<(), Errno> {
        if self.is_read_only() {
            return Ok(());
        }
        let failed = self.write_back();
        let synchronized = self.root().synchronize(false);
        match failed.first() {
            Some(unwritten) => Err(unwritten.error),
            None => synchronized,
        }
    }

    /// Drops what is cached and not in use; cached attributes of what is in use expire.
    pub fn invalidate(&self) {
        self.names.clear();
        self.listings.clear();
        let inodes: Vec<Arc<Inode>> = {
            let table = self.inodes.lock();
            table.values().filter_map(Weak::upgrade).collect()
        };
        for inode in inodes {
            inode.expire_attributes();
        }
    }

    /// Usage, statfs(2).
    ///
    /// # Errors
    /// Those of the module.
    pub fn statistics(&self, dentry: &Dentry) -> Result<FilesystemStatistics, Errno> {
        let answer = sync::statfs(self.module(), &self.own_request(), dentry.inode().number())
            .map_err(module_error)?;
        let figures =
            FilesystemStatistics::from_module(&answer, self.options.statfs_type, self.device);
        Ok(self.with_accepted(figures))
    }

    /// Number of live inodes.
    pub fn inode_count(&self) -> usize {
        self.inodes.lock().len()
    }

    /// The module.
    pub(super) fn module(&self) -> &dyn Filesystem {
        &*self.filesystem
    }

    /// The page cache.
    pub(super) fn page_cache(&self) -> &Arc<PageCache> {
        &self.page_cache
    }

    /// Did the module ask for this in `init`?
    pub(super) fn has_requested(&self, flag: InitFlags) -> bool {
        self.requested.contains(flag)
    }

    /// Is the module known not to have this operation?
    pub(super) fn lacks(&self, operation: Operation) -> bool {
        self.missing.load(Ordering::Relaxed) & operation as u32 != 0
    }

    /// The module does not have this operation.
    pub(super) fn note_missing(&self, operation: Operation) {
        self.missing.fetch_or(operation as u32, Ordering::Relaxed);
    }

    /// The credentials of the host itself.
    pub(super) fn own_credentials(&self) -> &Credentials {
        &self.own
    }

    /// A request of the host itself.
    pub(super) fn own_request(&self) -> Request {
        self.request_of(&self.own)
    }

    /// A request of a caller.
    pub(super) fn request_of(&self, credentials: &Credentials) -> Request {
        let unique = self.requests.fetch_add(1, Ordering::Relaxed);
        Request::new(unique, credentials.uid, credentials.gid, 0)
    }

    /// Must a change be refused with `EROFS`?
    pub(super) fn refuses_changes(&self, caller: &Caller) -> bool {
        self.is_read_only() || caller.mount_is_read_only
    }

    /// The mode of a new object as it is sent to the module, which applies the umask itself if it asked for that (a
    /// default access list may take the umask's place).
    pub(super) fn mode_for_module(&self, mode: u32, caller: &Caller) -> u32 {
        if self.has_requested(InitFlags::FUSE_DONT_MASK) {
            mode
        } else {
            mode & !caller.umask
        }
    }

    /// The expiry of a fact that the module allows to cache for `ttl`.
    pub(super) fn expiry(&self, ttl: Duration) -> Expiry {
        if self.options.is_immutable {
            clock::NEVER
        } else {
            clock::expiry_after(ttl)
        }
    }

    /// The expiry of a name that the module said does not exist.
    pub(super) fn negative_expiry(&self) -> Expiry {
        self.expiry(self.options.negative_ttl)
    }

    /// The number of changes so far, read before the module is asked.
    pub(super) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// Counts a change. Called with the attributes of the changed inode locked.
    pub(super) fn count_change(&self) {
        self.changes.fetch_add(1, Ordering::AcqRel);
    }

    /// Takes over the reference that an answer with an entry carries. `seen` is [`Instance::changes`] from before
    /// the module was asked.
    pub(super) fn adopt(self: &Arc<Self>, entry: &EntryOut, seen: u64) -> Arc<Inode> {
        let attributes = Attributes::from_file_attr(&entry.attr, self.device);
        let expiry = self.expiry(entry.attr_ttl);
        let inode = self.inode_for(entry.attr.ino, &attributes, expiry, 1);
        inode.store_attributes(&attributes, expiry, seen);
        inode
    }

    /// The live inode of this number with `references` more references, or a new one.
    fn inode_for(
        self: &Arc<Self>,
        number: INodeNo,
        attributes: &Attributes,
        expiry: Expiry,
        references: u64,
    ) -> Arc<Inode> {
        let mut table = self.inodes.lock();
        match table.get(&number.0).and_then(Weak::upgrade) {
            Some(inode) if inode.kind() == attributes.kind() => {
                inode.add_references(references);
                drop(table);
                inode
            }
            // A number that means another kind of object now: its old users keep the old inode.
            other => {
                let instance = Arc::clone(self);
                let inode = Inode::new(instance, number, attributes, expiry, references);
                let inode = Arc::new(inode);
                table.insert(number.0, Arc::downgrade(&inode));
                drop(table);
                drop(other);
                inode
            }
        }
    }

    /// The live inode of this number.
    pub(super) fn live_inode(&self, number: INodeNo) -> Option<Arc<Inode>> {
        self.inodes.lock().get(&number.0).and_then(Weak::upgrade)
    }

    /// The inode goes: hands its references back. Called with none of its `Arc`s left.
    pub(super) fn forget(&self, number: INodeNo, references: u64) {
        {
            let mut table = self.inodes.lock();
            if table
                .get(&number.0)
                .is_some_and(|inode| inode.strong_count() == 0)
            {
                table.remove(&number.0);
            }
        }
        if references > 0 {
            self.filesystem
                .forget(&self.own_request(), number, references);
        }
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.page_cache.forget_device(self.device);
        self.filesystem.destroy();
        self.is_destroyed.store(true, Ordering::Release);
    }
}

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Instance")
            .field("kind_name", &self.options.kind_name)
            .field("device", &self.device)
            .finish_non_exhaustive()
    }
}
