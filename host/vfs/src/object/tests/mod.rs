//! Tests of the object layer over a filesystem that counts what it is asked.

mod changes;
mod content;
mod names;
mod over_tmpfs;
mod relocation;
mod writing;

use super::test_filesystem::{Behaviour, Shared, TestFilesystem};
use super::*;
use crate::credentials::{Caller, Credentials};
use crate::page_cache::{PageCache, PageCacheOptions};
use fuse_compat::FileType;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// An instance with what a test needs around it.
pub(super) struct Mounted {
    pub(super) root: Arc<Dentry>,
    pub(super) instance: Arc<Instance>,
    pub(super) shared: Arc<Shared>,
    pub(super) cache: Arc<PageCache>,
}

pub(super) fn mount_with(behaviour: Behaviour, options: InstanceOptions) -> Mounted {
    mount_cached(behaviour, options, PageCacheOptions::default())
}

pub(super) fn mount_cached(
    behaviour: Behaviour,
    options: InstanceOptions,
    cache: PageCacheOptions,
) -> Mounted {
    let (filesystem, shared) = TestFilesystem::new(behaviour);
    let cache = PageCache::new(cache);
    let instance = Instance::new(filesystem, options, Arc::clone(&cache)).unwrap();
    Mounted {
        root: instance.root(),
        instance,
        shared,
        cache,
    }
}

pub(super) fn mount() -> Mounted {
    mount_with(Behaviour::default(), InstanceOptions::default())
}

impl Mounted {
    /// Walks a path.
    pub(super) fn find(&self, path: &str) -> Result<Arc<Dentry>, Errno> {
        path.split('/')
            .try_fold(Arc::clone(&self.root), |directory, name| {
                directory.lookup(name.as_bytes())
            })
    }

    pub(super) fn lookups(&self) -> u64 {
        self.shared.lookups.load(Ordering::Relaxed)
    }

    /// A plain file.
    pub(super) fn file(&self, path: &str, contents: &[u8]) -> u64 {
        self.shared
            .make(path, FileType::RegularFile, 0o644, contents)
    }
}

/// The owner of everything in the test filesystem.
pub(super) fn owner() -> Caller {
    user(1000)
}

pub(super) fn user(uid: u32) -> Caller {
    Caller::new(Credentials {
        uid,
        gid: uid,
        groups: Arc::from([].as_slice()),
        is_privileged: uid == 0,
    })
}
