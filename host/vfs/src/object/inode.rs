//! [`Inode`]: what a name means, with its cached attributes and the references it owes to the module.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use fuse_compat::{INodeNo, InitFlags, sync};
use parking_lot::{Mutex, RwLock};
use rustix::io::Errno;

use super::clock::{self, Expiry};
use super::dentry::Dentry;
use super::directory::Listing;
use super::instance::{Instance, Operation};
use super::module_error;
use crate::attributes::{Attributes, Identity, Kind, STATX_ATTR_MOUNT_ROOT, Timestamp};
use crate::page_cache::FileKey;
use crate::permission::{self, ACCESS_LIST_ATTRIBUTE, AccessList};

/// One object of a module, analogous to Linux's `struct inode`. Forgotten by the module when the last user drops it.
pub struct Inode {
    instance: Arc<Instance>,
    number: INodeNo,
    kind: Kind,
    references: AtomicU64,
    attributes: RwLock<CachedAttributes>,
    /// A descriptor of the module was handed out for writing: size and times change without our knowing.
    changes_natively: AtomicBool,
    /// It was opened for writing and is, or was, in the page cache: that knows size and times before the module does.
    is_written: AtomicBool,
    /// A name of it was removed, or it never had one.
    may_be_nameless: AtomicBool,
    /// Made by O_TMPFILE without O_EXCL and not linked yet: may get its first name (Linux: `I_LINKABLE`).
    is_linkable: AtomicBool,
    /// Allocated when it is first needed: most inodes never do.
    extra: OnceLock<Box<Extra>>,
    directory: Option<Box<DirectoryState>>,
}

/// What few inodes have.
#[derive(Default)]
struct Extra {
    /// The file of the module's own that stands for it, since it was last opened.
    passed_through: Mutex<Option<Identity>>,
    link_target: OnceLock<Arc<[u8]>>,
    access_list: RwLock<Option<CachedAccessList>>,
}

/// What only directories have.
#[derive(Default)]
pub(super) struct DirectoryState {
    /// The last dentry made for it.
    pub(super) alias: Mutex<Weak<Dentry>>,
    /// The last complete listing.
    pub(super) listing: Mutex<Option<Arc<Listing>>>,
    /// Counts changes made through us.
    pub(super) generation: AtomicU64,
}

struct CachedAttributes {
    value: StoredAttributes,
    expiry: Expiry,
    /// That of mode, owner and group: a change of names leaves them as they are.
    access_expiry: Expiry,
}

/// [`Attributes`] without what the instance knows, since there are very many of them.
#[derive(Clone, Copy)]
struct StoredAttributes {
    inode: u64,
    size: u64,
    blocks: u64,
    mode: u32,
    links: u32,
    uid: u32,
    gid: u32,
    rdev: u32,
    block_size: u32,
    /// Access, contents, inode, creation.
    seconds: [i64; 4],
    /// The parts of the seconds; [`NO_TIME`] for an unknown creation.
    nanoseconds: [u32; 4],
}

/// Not a number of nanoseconds.
const NO_TIME: u32 = u32::MAX;

impl StoredAttributes {
    fn new(attributes: &Attributes) -> StoredAttributes {
        let unknown = Timestamp {
            seconds: 0,
            nanoseconds: NO_TIME,
        };
        let times = [
            attributes.accessed,
            attributes.modified,
            attributes.changed,
            attributes.created.unwrap_or(unknown),
        ];
        StoredAttributes {
            inode: attributes.inode,
            size: attributes.size,
            blocks: attributes.blocks,
            mode: attributes.mode,
            links: attributes.links,
            uid: attributes.uid,
            gid: attributes.gid,
            rdev: attributes.rdev as u32, // a module's device numbers have 32 bits
            block_size: attributes.block_size,
            seconds: times.map(|time| time.seconds),
            nanoseconds: times.map(|time| time.nanoseconds),
        }
    }

    fn get(&self, device: u64) -> Attributes {
        let [accessed, modified, changed, created] = std::array::from_fn(|index| Timestamp {
            seconds: self.seconds[index],
            nanoseconds: self.nanoseconds[index],
        });
        Attributes {
            device,
            inode: self.inode,
            mode: self.mode,
            links: self.links,
            uid: self.uid,
            gid: self.gid,
            rdev: u64::from(self.rdev),
            size: self.size,
            blocks: self.blocks,
            block_size: self.block_size,
            accessed,
            modified,
            changed,
            created: Some(created).filter(|time| time.nanoseconds != NO_TIME),
            flags: 0,
            flags_mask: STATX_ATTR_MOUNT_ROOT,
        }
    }
}

struct CachedAccessList {
    list: Option<Arc<AccessList>>,
    expiry: Expiry,
}

impl Inode {
    pub(super) fn new(
        instance: Arc<Instance>,
        number: INodeNo,
        attributes: &Attributes,
        expiry: Expiry,
        references: u64,
    ) -> Inode {
        let kind = attributes.kind();
        Inode {
            instance,
            number,
            kind,
            references: AtomicU64::new(references),
            attributes: RwLock::new(CachedAttributes {
                value: StoredAttributes::new(attributes),
                expiry,
                access_expiry: expiry,
            }),
            changes_natively: AtomicBool::new(false),
            is_written: AtomicBool::new(false),
            may_be_nameless: AtomicBool::new(false),
            is_linkable: AtomicBool::new(false),
            extra: OnceLock::new(),
            directory: (kind == Kind::Directory).then(Box::default),
        }
    }

    /// The instance it belongs to.
    pub fn instance(&self) -> &Arc<Instance> {
        &self.instance
    }

    /// Its number.
    pub fn number(&self) -> INodeNo {
        self.number
    }

    /// Its kind, which never changes.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Names it in the page cache.
    pub(super) fn file_key(&self) -> FileKey {
        FileKey {
            device: self.instance.device(),
            inode: self.number.0,
        }
    }

    pub(super) fn add_references(&self, count: u64) {
        self.references.fetch_add(count, Ordering::Relaxed);
    }

    fn extra(&self) -> &Extra {
        self.extra.get_or_init(Box::default)
    }

    /// Remembers the file of the module's own that a process was given for it.
    pub fn note_passed_through(&self, identity: Identity) {
        *self.extra().passed_through.lock() = Some(identity);
    }

    /// The file of the module's own that a process was last given for it.
    pub fn passed_through(&self) -> Option<Identity> {
        *self.extra.get()?.passed_through.lock()
    }

    /// What only directories have.
    pub(super) fn directory(&self) -> Option<&DirectoryState> {
        self.directory.as_deref()
    }

    /// The attributes, from the cache while the module allows it. Of a file that is being written, the size and the
    /// times are those that the module will be told.
    ///
    /// # Errors
    /// Those of the module.
    pub fn attributes(&self) -> Result<Attributes, Errno> {
        if !self.is_written.load(Ordering::Acquire) {
            return self.module_attributes();
        }
        let cache = self.instance.page_cache();
        let mut own = cache.own_changes(self.file_key());
        let (mut attributes, now) = loop {
            let attributes = self.module_attributes()?;
            let now = cache.written_attributes(self.file_key());
            let own_now = cache.own_changes(self.file_key());
            // Was it written, or its times set, since the module was asked? Then they are right now.
            if own.map(|own| own.settled) == own_now.map(|own| own.settled) {
                own = own_now;
                break (attributes, now);
            }
            own = own_now;
        };
        if let Some(true_times) = own.and_then(|own| own.instead) {
            attributes.modified = true_times.modified;
            attributes.changed = true_times.changed;
        }
        if let Some((now, drops_set_ids)) = now {
            attributes.size = now.size;
            attributes.blocks = now.blocks;
            if now.modified != attributes.modified {
                attributes.modified = now.modified;
                attributes.changed = attributes.changed.max(now.changed);
            }
            if drops_set_ids && let Some(mode) = self.mode_after_write(&attributes) {
                attributes.mode = attributes.mode & !0o7777 | mode;
            }
        }
        Ok(attributes)
    }

    /// The attributes, of which only mode, owner and group are sure to be those of now.
    ///
    /// # Errors
    /// Those of the module.
    pub(super) fn access_attributes(&self) -> Result<Attributes, Errno> {
        {
            let cached = self.attributes.read();
            if clock::is_fresh(cached.access_expiry)
                && !self.changes_natively.load(Ordering::Relaxed)
            {
                return Ok(cached.value.get(self.instance.device()));
            }
        }
        self.attributes()
    }

    /// The permission bits that a write leaves, if it changes them; who writes is not known, so it is taken for somebody
    /// without CAP_FSETID, unless that is all there is.
    pub(super) fn mode_after_write(&self, attributes: &Attributes) -> Option<u32> {
        let own = self.instance.own_credentials();
        match own.is_privileged {
            true => None,
            false => permission::mode_without_set_ids(attributes, own),
        }
    }

    /// The attributes as the module has them.
    ///
    /// # Errors
    /// Those of the module.
    pub(super) fn module_attributes(&self) -> Result<Attributes, Errno> {
        {
            let cached = self.attributes.read();
            if clock::is_fresh(cached.expiry) && !self.changes_natively.load(Ordering::Relaxed) {
                return Ok(cached.value.get(self.instance.device()));
            }
        }
        let seen = self.instance.changes();
        let answer = sync::getattr(
            self.instance.module(),
            &self.instance.own_request(),
            self.number,
            None,
        )
        .map_err(module_error)?;
        let attributes = Attributes::from_file_attr(&answer.attr, self.instance.device());
        if attributes.kind() != self.kind {
            return Err(Errno::IO);
        }
        self.store_attributes(&attributes, self.instance.expiry(answer.ttl), seen);
        Ok(attributes)
    }

    /// Caches attributes, unless something changed since `seen` was read.
    pub(super) fn store_attributes(&self, attributes: &Attributes, expiry: Expiry, seen: u64) {
        let mut cached = self.attributes.write();
        if self.instance.changes() == seen {
            cached.value = StoredAttributes::new(attributes);
            cached.expiry = expiry;
            cached.access_expiry = expiry;
        }
    }

    /// Records the module's answer to a change.
    pub(super) fn attributes_changed(&self, attributes: &Attributes, expiry: Expiry) {
        let mut cached = self.attributes.write();
        self.instance.count_change();
        cached.value = StoredAttributes::new(attributes);
        cached.expiry = expiry;
        cached.access_expiry = expiry;
    }

    /// A caller has changed something: the module is asked again.
    pub(super) fn changed_by_caller(&self) {
        self.expire_attributes();
        self.note_change_by_caller(Timestamp::now());
    }

    /// A caller has changed something, at this time.
    pub(super) fn note_change_by_caller(&self, time: Timestamp) {
        if self.is_written.load(Ordering::Acquire) {
            let cache = self.instance.page_cache();
            cache.changed_by_caller(self.file_key(), time);
        }
    }

    /// Something changed: the module is asked again.
    pub(super) fn expire_attributes(&self) {
        let mut cached = self.attributes.write();
        self.instance.count_change();
        cached.expiry = clock::EXPIRED;
        cached.access_expiry = clock::EXPIRED;
    }

    /// A writable descriptor of the file was handed out.
    pub(super) fn set_changes_natively(&self) {
        self.changes_natively.store(true, Ordering::Relaxed);
    }

    /// It is opened for writing through the page cache.
    pub(super) fn set_written(&self) {
        self.is_written.store(true, Ordering::Release);
    }

    /// A name of it goes.
    pub(super) fn set_nameless(&self) {
        self.may_be_nameless.store(true, Ordering::Release);
    }

    /// A name of it has gone, at the module too.
    pub(super) fn name_removed(&self) {
        self.set_nameless();
        self.changed_by_caller();
        let cache = self.instance.page_cache();
        if self.kind == Kind::RegularFile
            && cache.has(self.file_key())
            && self
                .module_attributes()
                .is_ok_and(|attributes| attributes.links == 0)
        {
            cache.last_name_removed(self.file_key());
        }
    }

    /// Only if so its link count says whether it has a name: not every module keeps one.
    pub(super) fn may_be_nameless(&self) -> bool {
        self.may_be_nameless.load(Ordering::Acquire)
    }

    pub(super) fn set_linkable(&self, is_linkable: bool) {
        self.is_linkable.store(is_linkable, Ordering::Relaxed);
    }

    pub(super) fn is_linkable(&self) -> bool {
        self.is_linkable.load(Ordering::Relaxed)
    }

    /// A name in this directory changed.
    pub(super) fn directory_changed(&self) {
        if let Some(directory) = &self.directory {
            directory.generation.fetch_add(1, Ordering::Release);
        }
        let mut cached = self.attributes.write();
        self.instance.count_change();
        cached.expiry = clock::EXPIRED;
    }

    /// The target of a symbolic link.
    ///
    /// # Errors
    /// `EINVAL` when it is none; those of the module.
    pub fn read_link(&self) -> Result<Arc<[u8]>, Errno> {
        if self.kind != Kind::Symlink {
            return Err(Errno::INVAL);
        }
        if let Some(target) = self.extra.get().and_then(|extra| extra.link_target.get()) {
            return Ok(Arc::clone(target));
        }
        let target = sync::readlink(
            self.instance.module(),
            &self.instance.own_request(),
            self.number,
        )
        .map_err(module_error)?;
        let target: Arc<[u8]> = Arc::from(target);
        let may_cache = self.instance.is_immutable()
            || self.instance.has_requested(InitFlags::FUSE_CACHE_SYMLINKS);
        if may_cache {
            return Ok(Arc::clone(self.extra().link_target.get_or_init(|| target)));
        }
        Ok(target)
    }

    /// The access list, when the module has one for this inode.
    ///
    /// # Errors
    /// Those of the module, except that it has none.
    pub(super) fn access_list(&self) -> Result<Option<Arc<AccessList>>, Errno> {
        /// Longer lists than an extended attribute can hold do not exist.
        const LARGEST_VALUE: u32 = 65536;
        if self.instance.lacks(Operation::GetXattr) {
            return Ok(None);
        }
        if let Some(extra) = self.extra.get()
            && let Some(cached) = &*extra.access_list.read()
            && clock::is_fresh(cached.expiry)
        {
            return Ok(cached.list.clone());
        }
        let expiry = self.attributes.read().access_expiry;
        let answer = sync::getxattr(
            self.instance.module(),
            &self.instance.own_request(),
            self.number,
            super::lookup::os_str(ACCESS_LIST_ATTRIBUTE),
            LARGEST_VALUE,
        );
        let list = match answer {
            Ok(fuse_compat::XattrOut::Data(value)) => {
                Some(Arc::new(AccessList::parse(&value).ok_or(Errno::IO)?))
            }
            Ok(fuse_compat::XattrOut::Size(_)) => None,
            Err(fuse_compat::Errno::ENOSYS) => {
                self.instance.note_missing(Operation::GetXattr);
                None
            }
            Err(fuse_compat::Errno::ENODATA | fuse_compat::Errno::EOPNOTSUPP) => None,
            Err(error) => return Err(module_error(error)),
        };
        *self.extra().access_list.write() = Some(CachedAccessList {
            list: list.clone(),
            expiry,
        });
        Ok(list)
    }

    /// Extended attributes or the mode changed.
    pub(super) fn expire_access_list(&self) {
        if let Some(extra) = self.extra.get() {
            *extra.access_list.write() = None;
        }
    }
}

impl Drop for Inode {
    fn drop(&mut self) {
        if self.kind == Kind::RegularFile && !self.instance.is_immutable() {
            self.instance.page_cache().forget_file(self.file_key());
        }
        self.instance
            .forget(self.number, self.references.load(Ordering::Relaxed));
    }
}

impl fmt::Debug for Inode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inode")
            .field("number", &self.number.0)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}
