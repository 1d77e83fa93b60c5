//! The page cache: regular files of modules that give no descriptor, as files that the kernel can read and map.
//!
//! Each cached file is a memfd, or an unlinked file in a spool directory when it is large, filled from the module when
//! it is first opened. Opening it opens that file again through /proc/self/fd, so offset, access mode and status flags
//! belong to the open. The supervisor itself keeps only a read-only description: a writable one would make running the
//! file fail with ETXTBSY.
//!
//! Clean files that are open nowhere are dropped, least recently used first, when the memory budget or half of the
//! descriptors are used up.
//!
//! A file is *clean* (filled, nobody can write to it) or *written* (`Filled::written`: somebody has it open for
//! writing, or there are changes that the module has not seen). A written file is never evicted, and it is what the
//! view shows, whatever the module says meanwhile. It becomes clean when its last writer has gone and everything is
//! written back. See `write_back` for what triggers that, and for what a crash costs.
//!
//! | Module       | Responsibility                                                       |
//! |--------------|----------------------------------------------------------------------|
//! | `budget`     | how much memory and how many descriptors may be used                 |
//! | `fill`       | from a module to a backing file, holes kept                          |
//! | `spool`      | where the backing files are made                                     |
//! | `eviction`   | what leaves: not true any more, or not in use while room is needed   |
//! | `reopen`     | another open file description of the same file                       |
//! | `write_back` | opening for writing, and when what is written goes to the module     |
//! | `allocate`   | fallocate(2) on a file that is written to                            |
//! | `written`    | one file that is written to: what changed, errors, times             |
//! | `chunks`     | the hashes that tell which parts changed                             |
//! | `relocation` | written files that outgrow memory move to the disk                   |
//! | `room`       | the space that what is not written back will take                    |
//! | `watcher`    | the thread that hears of the last writer's end, and the clock        |
//! | `prompt`     | the thread that hears of writes to O_SYNC files                      |
//! | `watches`    | what both hear with                                                  |
//!
//! Tests are with their only user, in `object::tests::content` and `object::tests::writing`.
//!
//! Lock order: `CachedFile::content` (held while a file is filled or made clean), then `WrittenFile`'s state (held
//! while it is written back), then `PageCache::files`. Under `files` another file's `content` is never waited for.
//! `PageCache::outdated`, `PageCache::written` and the tables of `watches` are leaves.

mod allocate;
mod budget;
mod chunks;
mod eviction;
mod fill;
mod prompt;
mod relocation;
mod reopen;
mod room;
mod spool;
mod watcher;
mod watches;
mod write_back;
mod written;

use std::fmt;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use foldhash::{HashMap, HashMapExt};
use parking_lot::Mutex;
use rustix::io::Errno;

use crate::attributes::{Attributes, Identity, Timestamp};
pub use allocate::Allocation;
use budget::{Budget, Charge};
use eviction::is_opened_elsewhere;
pub(crate) use fill::{ContentSource, NextData};
pub use reopen::reopen;
pub use room::Blocks;

use relocation::Relocation;
pub use relocation::{Holders, Outgrown};
pub(crate) use spool::BackingStyle;
use spool::Spool;
use watcher::Watcher;
use watches::Watches;
pub use write_back::Unwritten;
use written::WrittenFile;
pub(crate) use written::{ChangeTimes, ContentSink};
pub use written::{Descriptor, Reporter};

/// Names a file: the device of its instance and its inode number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct FileKey {
    /// Device number of the instance.
    pub(crate) device: u64,
    /// Inode number there.
    pub(crate) inode: u64,
}

/// What tells one version of a file's contents from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Size in bytes.
    pub(crate) size: u64,
    /// Last change of the contents.
    pub(crate) modified: Timestamp,
    /// Is the file executable? The backing file has to be as well.
    pub(crate) is_executable: bool,
}

impl Stamp {
    /// The version that these attributes tell of.
    pub(crate) fn of(attributes: &Attributes) -> Stamp {
        Stamp {
            size: attributes.size,
            modified: attributes.modified,
            is_executable: attributes.mode & 0o111 != 0,
        }
    }
}

/// A file to be opened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    /// Which.
    pub(crate) key: FileKey,
    /// Which version.
    pub(crate) stamp: Stamp,
    /// Bytes that the contents take without their holes, as far as the module says.
    pub(crate) allocated_bytes: u64,
    /// The contents cannot be cached, and the size is not known before the end is read.
    pub(crate) is_direct: bool,
    /// Nobody may ever write to it.
    pub(crate) is_sealed: bool,
    /// Path in the view: names the memfd.
    pub(crate) name: &'a [u8],
}

/// Options of a page cache.
#[derive(Clone, Debug, Default)]
pub struct PageCacheOptions {
    /// Most bytes of memory for files; `None`: a quarter of what is free and allowed at the start.
    pub budget_bytes: Option<u64>,
    /// Directories for large files, first choice first; empty: $TMPDIR, /var/tmp, /tmp.
    pub spool_directories: Vec<PathBuf>,
}

/// All cached files of all instances of a supervisor.
pub struct PageCache {
    budget: Arc<Budget>,
    spool: Spool,
    uses: AtomicU64,
    files: Mutex<HashMap<FileKey, Arc<CachedFile>>>,
    /// Contents that are not true any more, but still open somewhere.
    outdated: Mutex<Vec<Filled>>,
    /// Files that somebody may write to, or with changes.
    written: Mutex<HashMap<FileKey, Arc<WrittenFile>>>,
    /// Started with the first file that is opened for writing.
    watcher: OnceLock<Option<Watcher>>,
    /// Started with the first that is opened with O_SYNC or O_DSYNC.
    prompt: OnceLock<Option<Arc<Watches>>>,
    relocation: Relocation,
    release: Arc<Release>,
}

/// Told of every backing file that goes, before it does.
#[derive(Default)]
struct Release(OnceLock<Box<dyn Fn(Identity) + Send + Sync>>);

struct CachedFile {
    content: Mutex<Content>,
    /// Value of `PageCache::uses` at the last open.
    last_use: AtomicU64,
    /// Not in the table any more: whoever waited for it looks again.
    is_unlisted: AtomicBool,
}

enum Content {
    Empty,
    Filled(Filled),
}

struct Filled {
    descriptor: Arc<OwnedFd>,
    identity: Identity,
    stamp: Stamp,
    charge: Charge,
    is_sealed: bool,
    is_in_memory: bool,
    /// Nobody had it open when somebody looked, and it has not been handed out since.
    is_idle: AtomicBool,
    written: Option<Arc<WrittenFile>>,
    release: Arc<Release>,
}

impl Filled {
    /// Is it what an open of this version shall get?
    fn is(&self, wanted: &Stamp) -> bool {
        self.written.is_some() || self.stamp == *wanted
    }

    /// Another open file description, for somebody else.
    fn hand_out(&self, flags: i32) -> Result<OwnedFd, Errno> {
        self.hand_out_by(&self.descriptor, flags)
    }

    /// The same by a certain descriptor of the file.
    fn hand_out_by(&self, descriptor: &OwnedFd, flags: i32) -> Result<OwnedFd, Errno> {
        self.is_idle.store(false, Ordering::Release);
        reopen(descriptor.as_fd(), flags)
    }
}

impl Drop for Filled {
    fn drop(&mut self) {
        // The kernel may give the number of a file on a disk to the next one.
        if let Some(release) = self.release.0.get() {
            release(self.identity);
        }
    }
}

impl PageCache {
    /// An empty cache.
    pub fn new(options: PageCacheOptions) -> Arc<PageCache> {
        Arc::new(PageCache {
            budget: Arc::new(Budget::new(options.budget_bytes)),
            spool: Spool::new(options.spool_directories),
            uses: AtomicU64::new(0),
            files: Mutex::new(HashMap::new()),
            outdated: Mutex::new(Vec::new()),
            written: Mutex::new(HashMap::new()),
            watcher: OnceLock::new(),
            prompt: OnceLock::new(),
            relocation: Relocation::default(),
            release: Arc::default(),
        })
    }

    /// Has `release` called with the identity of every backing file before it is closed: afterwards the identity may
    /// be another file's. It is called with locks held, so it must not come back here. Only the first call counts.
    pub fn on_release(&self, release: Box<dyn Fn(Identity) + Send + Sync>) {
        let _ = self.release.0.set(release);
    }

    /// Memory used by cached files, in bytes.
    pub fn used_bytes(&self) -> u64 {
        self.budget.used_bytes()
    }

    /// Memory that cached files may use, in bytes.
    pub fn budget_bytes(&self) -> u64 {
        self.budget.total_bytes()
    }

    /// Descriptors used by cached files.
    pub fn descriptors(&self) -> usize {
        self.budget.descriptors()
    }

    /// Is there anything of this file?
    pub(crate) fn has(&self, key: FileKey) -> bool {
        self.files.lock().contains_key(&key)
    }

    /// Opens a file that is cached in this version; `None` when it is not.
    ///
    /// # Errors
    /// Those of opening the backing file.
    pub(crate) fn open_cached(
        &self,
        wanted: &Wanted<'_>,
        flags: i32,
    ) -> Result<Option<(OwnedFd, Identity)>, Errno> {
        let Some(file) = self.files.lock().get(&wanted.key).cloned() else {
            return Ok(None);
        };
        let content = file.content.lock();
        match &*content {
            Content::Filled(filled) if filled.is(&wanted.stamp) => {
                self.touch(&file);
                let opened = filled.hand_out(flags)?;
                Ok(Some((opened, filled.identity)))
            }
            _ => Ok(None),
        }
    }

    /// Opens a file, filling it from `source` unless it is cached in this version. The answer of a failed source is
    /// not remembered.
    ///
    /// # Errors
    /// Those of the source, `ENOSPC`, `ENOMEM`, `EMFILE`, and those of opening the backing file.
    pub(crate) fn open(
        &self,
        wanted: &Wanted<'_>,
        flags: i32,
        source: &dyn ContentSource,
    ) -> Result<(OwnedFd, Identity), Errno> {
        if wanted.is_direct && !self.written.lock().contains_key(&wanted.key) {
            let filled = self.fill(wanted, source)?;
            let opened = filled.hand_out(flags)?;
            return Ok((opened, filled.identity));
        }
        loop {
            let file = self.listed(wanted.key);
            let mut content = file.content.lock();
            if file.is_unlisted.load(Ordering::Acquire) {
                continue;
            }
            self.touch(&file);
            let mut wanted = *wanted;
            if !matches!(&*content, Content::Filled(filled) if filled.is(&wanted.stamp)) {
                // It may have been written, and written back, since the caller looked.
                wanted.stamp = source.stamp()?;
            }
            if let Content::Filled(filled) = &*content
                && filled.is(&wanted.stamp)
            {
                let opened = filled.hand_out(flags)?;
                return Ok((opened, filled.identity));
            }
            // An older version stays with those who have it open.
            self.retire(&mut content);
            match self.fill(&wanted, source) {
                Ok(filled) => {
                    let opened = filled.hand_out(flags);
                    let identity = filled.identity;
                    *content = Content::Filled(filled);
                    return Ok((opened?, identity));
                }
                Err(error) => {
                    self.unlist(wanted.key, &file);
                    return Err(error);
                }
            }
        }
    }

    /// Is the backing file `identity` of this file open in any process? `None` when it is not of this cache.
    pub(crate) fn is_open(&self, key: FileKey, identity: Identity) -> Option<bool> {
        self.asked(key, identity, is_opened_elsewhere)
    }

    /// The same, open for writing or mapped so.
    pub(crate) fn is_open_for_writing(&self, key: FileKey, identity: Identity) -> Option<bool> {
        self.asked(key, identity, |filled| {
            view_sys::file::is_written_elsewhere(&filled.descriptor).unwrap_or(true)
        })
    }

    fn asked(
        &self,
        key: FileKey,
        identity: Identity,
        ask: impl Fn(&Filled) -> bool,
    ) -> Option<bool> {
        let file = self.files.lock().get(&key).cloned();
        if let Some(file) = file
            && let Content::Filled(filled) = &*file.content.lock()
            && filled.identity == identity
        {
            return Some(ask(filled));
        }
        let mut outdated = self.outdated.lock();
        outdated.retain(is_opened_elsewhere);
        let found = outdated.iter().find(|filled| filled.identity == identity);
        found.map(ask)
    }

    fn touch(&self, file: &CachedFile) {
        let now = self.uses.fetch_add(1, Ordering::Relaxed);
        file.last_use.store(now, Ordering::Relaxed);
    }

    fn listed(&self, key: FileKey) -> Arc<CachedFile> {
        let mut files = self.files.lock();
        let file = files.entry(key).or_insert_with(|| {
            Arc::new(CachedFile {
                content: Mutex::new(Content::Empty),
                last_use: AtomicU64::new(0),
                is_unlisted: AtomicBool::new(false),
            })
        });
        Arc::clone(file)
    }

    fn unlist(&self, key: FileKey, file: &Arc<CachedFile>) {
        let mut files = self.files.lock();
        if files
            .get(&key)
            .is_some_and(|other| Arc::ptr_eq(other, file))
        {
            files.remove(&key);
        }
        drop(files);
        file.is_unlisted.store(true, Ordering::Release);
    }

    /// Makes and fills a backing file for reading.
    fn fill(&self, wanted: &Wanted<'_>, source: &dyn ContentSource) -> Result<Filled, Errno> {
        self.make_room(wanted.allocated_bytes);
        let fits = wanted.is_direct || self.budget.admits(wanted.allocated_bytes);
        let (filled, writable) = self.fill_where(wanted, source, fits)?;
        drop(writable);
        Ok(filled)
    }

    /// Makes and fills a backing file, in memory or else in the spool. Answers as well the descriptor by which it was made,
    /// which is open for writing: it has to go before anybody is asked whether the file has writers.
    fn fill_where(
        &self,
        wanted: &Wanted<'_>,
        source: &dyn ContentSource,
        fits: bool,
    ) -> Result<(Filled, OwnedFd), Errno> {
        let style = BackingStyle {
            is_executable: wanted.stamp.is_executable,
            is_sealed: wanted.is_sealed,
            name: wanted.name,
        };
        let (writable, is_in_memory) = self.spool.create(&style, fits)?;
        if wanted.is_direct {
            fill::copy_to_end(&writable, source, self.budget.total_bytes())?;
        } else {
            fill::copy(&writable, source, wanted.stamp.size)?;
        }
        let descriptor = spool::publish(&writable, &style, is_in_memory)?;
        let stat = rustix::fs::fstat(&descriptor)?;
        let bytes = match is_in_memory {
            true => u64::try_from(stat.st_blocks)
                .unwrap_or(0)
                .saturating_mul(512),
            false => 0,
        };
        let filled = Filled {
            descriptor: Arc::new(descriptor),
            identity: Identity {
                device: stat.st_dev,
                inode: stat.st_ino,
            },
            stamp: wanted.stamp,
            charge: Charge::new(&self.budget, bytes),
            is_sealed: wanted.is_sealed && is_in_memory,
            is_in_memory,
            is_idle: AtomicBool::new(false),
            written: None,
            release: Arc::clone(&self.release),
        };
        Ok((filled, writable))
    }
}

impl fmt::Debug for PageCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PageCache")
            .field("used_bytes", &self.used_bytes())
            .field("budget_bytes", &self.budget_bytes())
            .field("descriptors", &self.descriptors())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Filled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Filled")
            .field("identity", &self.identity)
            .field("charge", &self.charge)
            .finish_non_exhaustive()
    }
}
