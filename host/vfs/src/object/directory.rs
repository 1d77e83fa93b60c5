//! Listings: what getdents reads, addressed by the module's own cookies.
//!
//! A directory is read in one go when a reader starts, and the reader (and others, as long as the listing is true) are
//! served from that. A reader whose listing is gone goes on at the module with its cookie, so nothing depends on a
//! listing being there. Where the module has readdirplus, listing a directory also fills the caches for the lookups
//! that usually follow.

use std::collections::VecDeque;
use std::ops::Deref;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use fuse_compat::{DirEntryPlus, FileHandle, FopenFlags, OpenFlags, sync};
use parking_lot::Mutex;
use rustix::io::Errno;

use super::dentry::Dentry;
use super::dirents::DirectoryEntry;
use super::inode::{DirectoryState, Inode};
use super::instance::{Instance, Operation};
use super::module_error;
use crate::attributes::{Kind, Timestamp};

/// Bytes of one request to the module.
const REQUEST_BYTES: usize = 64 * 1024;
/// Most entries of one listing; longer directories are read in several.
const MOST_ENTRIES: usize = 32 * 1024;
/// Most listings kept for one instance, and most entries in them.
const MOST_LISTINGS: usize = 16;
const MOST_KEPT_ENTRIES: usize = 64 * 1024;

/// What the module said a directory contains, from `start` on.
pub(super) struct Listing {
    start: u64,
    entries: Vec<DirectoryEntry>,
    /// The last entry is the last of the directory.
    is_complete: bool,
    /// May serve other readers as long as the directory did not change.
    is_reusable: bool,
    generation: u64,
    modified: Timestamp,
}

impl Listing {
    /// The index of the entry after `cookie`; `None` when the listing does not know.
    fn position(&self, cookie: u64) -> Option<usize> {
        let position = if cookie == self.start {
            0
        } else {
            let is_last = |entry: &DirectoryEntry| entry.next_cookie == cookie;
            self.entries.iter().position(is_last)? + 1
        };
        (position < self.entries.len() || self.is_complete).then_some(position)
    }
}

/// Entries of a directory, in order; empty at the end.
pub struct DirectoryBatch {
    listing: Arc<Listing>,
    position: usize,
}

impl Deref for DirectoryBatch {
    type Target = [DirectoryEntry];

    fn deref(&self) -> &[DirectoryEntry] {
        self.listing
            .entries
            .get(self.position..)
            .unwrap_or_default()
    }
}

/// Bounds the memory of an instance's listings.
#[derive(Default)]
pub(super) struct ListingCache {
    ring: Mutex<VecDeque<KeptListing>>,
}

struct KeptListing {
    inode: Weak<Inode>,
    listing: Weak<Listing>,
    entries: usize,
}

impl KeptListing {
    fn drop_listing(&self) {
        let Some(inode) = self.inode.upgrade() else {
            return;
        };
        if let Some(directory) = inode.directory() {
            let mut current = directory.listing.lock();
            let is_current = current
                .as_ref()
                .is_some_and(|listing| std::ptr::eq(Arc::as_ptr(listing), self.listing.as_ptr()));
            if is_current {
                *current = None;
            }
        }
    }
}

impl ListingCache {
    fn add(&self, inode: &Arc<Inode>, listing: &Arc<Listing>) {
        let mut victims = Vec::new();
        {
            let mut ring = self.ring.lock();
            ring.retain(|kept| kept.listing.strong_count() > 0);
            ring.push_back(KeptListing {
                inode: Arc::downgrade(inode),
                listing: Arc::downgrade(listing),
                entries: listing.entries.len(),
            });
            let mut total: usize = ring.iter().map(|kept| kept.entries).sum();
            while ring.len() > MOST_LISTINGS || (total > MOST_KEPT_ENTRIES && ring.len() > 1) {
                let Some(victim) = ring.pop_front() else {
                    break;
                };
                total = total.saturating_sub(victim.entries);
                victims.push(victim);
            }
        }
        for victim in victims {
            victim.drop_listing();
        }
    }

    pub(super) fn clear(&self) {
        let all = std::mem::take(&mut *self.ring.lock());
        for kept in all {
            kept.drop_listing();
        }
    }
}

impl Dentry {
    /// The entries after `cookie` (0: from the start; else the `next_cookie` of an entry). Empty at the end.
    ///
    /// # Errors
    /// `ENOTDIR`; `ENOENT` when the directory was removed; those of the module.
    pub fn read_directory(self: &Arc<Self>, cookie: u64) -> Result<DirectoryBatch, Errno> {
        let directory = self.inode().directory().ok_or(Errno::NOTDIR)?;
        if self.is_deleted() {
            return Err(Errno::NOENT);
        }
        let current = directory.listing.lock().clone();
        if let Some(listing) = current
            && (cookie != 0 || self.is_still_true(directory, &listing)?)
            && let Some(position) = listing.position(cookie)
        {
            let is_at_end = position == listing.entries.len();
            if is_at_end && !listing.is_reusable {
                *directory.listing.lock() = None;
            }
            return Ok(DirectoryBatch { listing, position });
        }
        let listing = Arc::new(self.load_listing(directory, cookie)?);
        if !listing.entries.is_empty() {
            *directory.listing.lock() = Some(Arc::clone(&listing));
            self.instance().listings.add(self.inode(), &listing);
        }
        Ok(DirectoryBatch {
            listing,
            position: 0,
        })
    }

    fn is_still_true(&self, directory: &DirectoryState, listing: &Listing) -> Result<bool, Errno> {
        let is_unchanged = listing.start == 0
            && listing.is_reusable
            && listing.generation == directory.generation.load(Ordering::Acquire);
        if !is_unchanged || self.instance().is_immutable() {
            return Ok(is_unchanged);
        }
        Ok(self.attributes()?.modified == listing.modified)
    }

    fn load_listing(
        self: &Arc<Self>,
        directory: &DirectoryState,
        start: u64,
    ) -> Result<Listing, Errno> {
        let generation = directory.generation.load(Ordering::Acquire);
        let modified = self.attributes()?.modified;
        let open = OpenDirectory::open(self.inode())?;
        let mut entries = Vec::new();
        let mut cookie = start;
        let is_complete = loop {
            let before = entries.len();
            self.read_some(&open, cookie, &mut entries)?;
            match entries.get(before..).and_then(<[_]>::last) {
                None => break true,
                Some(last) => cookie = last.next_cookie,
            }
            if entries.len() >= MOST_ENTRIES {
                break false;
            }
        };
        entries.shrink_to_fit();
        Ok(Listing {
            start,
            entries,
            is_complete,
            is_reusable: self.instance().is_immutable()
                || open.flags.contains(FopenFlags::FOPEN_CACHE_DIR),
            generation,
            modified,
        })
    }

    /// One request to the module.
    fn read_some(
        self: &Arc<Self>,
        open: &OpenDirectory<'_>,
        cookie: u64,
        entries: &mut Vec<DirectoryEntry>,
    ) -> Result<(), Errno> {
        let instance = self.instance();
        let request = instance.own_request();
        let number = self.inode().number();
        let fits_cache = entries.len() < instance.names.capacity() / 2;
        if fits_cache && !instance.lacks(Operation::ReadDirectoryPlus) {
            let version = self.children().version();
            let seen = instance.changes();
            let answer = sync::readdirplus(
                instance.module(),
                &request,
                number,
                open.handle,
                cookie,
                REQUEST_BYTES,
            );
            match answer {
                Ok(found) => {
                    for entry in found {
                        entries.extend(self.take_entry(entry, version, seen));
                    }
                    return Ok(());
                }
                Err(fuse_compat::Errno::ENOSYS) => {
                    instance.note_missing(Operation::ReadDirectoryPlus);
                }
                Err(error) => return Err(module_error(error)),
            }
        }
        let found = sync::readdir(
            instance.module(),
            &request,
            number,
            open.handle,
            cookie,
            REQUEST_BYTES,
        )
        .map_err(module_error)?;
        entries.extend(found.into_iter().map(|entry| DirectoryEntry {
            inode: entry.ino.0,
            next_cookie: entry.offset,
            kind: Some(entry.kind),
            name: entry.name.into_vec().into_boxed_slice(),
        }));
        Ok(())
    }

    /// Records an entry of readdirplus with the reference it carries.
    fn take_entry(
        self: &Arc<Self>,
        found: DirEntryPlus,
        version: u64,
        seen: u64,
    ) -> Option<DirectoryEntry> {
        let instance = self.instance();
        let name = found.name.as_bytes();
        let kind: Kind = found.entry.attr.kind;
        let is_own = name == b"." || name == b"..";
        if !is_own && found.entry.attr.ino.0 != 0 {
            let inode = instance.adopt(&found.entry, seen);
            let is_useless = found.entry.entry_ttl == Duration::ZERO && !instance.is_immutable();
            if is_useless {
                // A module whose names cannot be cached: the plain listing is cheaper.
                instance.note_missing(Operation::ReadDirectoryPlus);
            } else {
                let expiry = instance.expiry(found.entry.entry_ttl);
                self.record_present(name, &inode, expiry, Some(version));
            }
        }
        Some(DirectoryEntry {
            inode: found.ino.0,
            next_cookie: found.offset,
            kind: Some(kind),
            name: found.name.into_vec().into_boxed_slice(),
        })
    }

    /// fsync(2) of a directory.
    pub(super) fn synchronize_directory(&self, data_only: bool) -> Result<(), Errno> {
        let instance = self.instance();
        if instance.lacks(Operation::FsyncDirectory) {
            return Ok(());
        }
        let open = OpenDirectory::open(self.inode())?;
        let request = instance.own_request();
        let number = self.inode().number();
        match sync::fsyncdir(instance.module(), &request, number, open.handle, data_only) {
            Err(fuse_compat::Errno::ENOSYS) => {
                instance.note_missing(Operation::FsyncDirectory);
                Ok(())
            }
            other => other.map_err(module_error),
        }
    }
}

/// A directory that is open at the module; closed when dropped.
struct OpenDirectory<'a> {
    inode: &'a Inode,
    handle: FileHandle,
    flags: FopenFlags,
    is_open: bool,
}

/// Read-only, a directory.
const DIRECTORY_FLAGS: OpenFlags = OpenFlags(libc::O_RDONLY | libc::O_DIRECTORY);

impl<'a> OpenDirectory<'a> {
    fn open(inode: &'a Inode) -> Result<OpenDirectory<'a>, Errno> {
        let instance: &Instance = inode.instance();
        let not_needed = OpenDirectory {
            inode,
            handle: FileHandle(0),
            flags: FopenFlags::FOPEN_CACHE_DIR | FopenFlags::FOPEN_KEEP_CACHE,
            is_open: false,
        };
        if instance.lacks(Operation::OpenDirectory) {
            return Ok(not_needed);
        }
        let request = instance.own_request();
        match sync::opendir(instance.module(), &request, inode.number(), DIRECTORY_FLAGS) {
            Ok(opened) => Ok(OpenDirectory {
                inode,
                handle: opened.fh,
                flags: opened.flags,
                is_open: true,
            }),
            Err(fuse_compat::Errno::ENOSYS) => {
                instance.note_missing(Operation::OpenDirectory);
                Ok(not_needed)
            }
            Err(error) => Err(module_error(error)),
        }
    }
}

impl Drop for OpenDirectory<'_> {
    fn drop(&mut self) {
        if self.is_open {
            let instance = self.inode.instance();
            // The answer to a release means nothing, fuse(4).
            let _ = sync::releasedir(
                instance.module(),
                &instance.own_request(),
                self.inode.number(),
                self.handle,
                DIRECTORY_FLAGS,
            );
        }
    }
}
