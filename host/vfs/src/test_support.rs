//! What the tests of the resolver and of the mount table share: tmpfs instances, a host directory and a caller.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::io::Errno;

use crate::mount_table::{Mount, MountFlags, Namespace, NewMount, Root};
use crate::object::{Dentry, Instance, InstanceOptions};
use crate::page_cache::{PageCache, PageCacheOptions};
use crate::permission::Caller;
use crate::place::Place;
use crate::resolver::{Found, Walk, WalkContext, WalkFlags};

/// A caller that may search everything and whose descriptors are Linux's own.
pub(crate) struct Me;

impl WalkContext for Me {
    fn process_id(&self) -> u32 {
        std::process::id()
    }
    fn thread_id(&self) -> u32 {
        std::process::id()
    }
    fn place_of(&self, _: u64, _: u64) -> Option<Place> {
        None
    }
    fn may_search(&self, _: &Place) -> Result<(), Errno> {
        Ok(())
    }
}

/// A directory of the host, removed at the end.
pub(crate) struct HostDirectory(pub(crate) PathBuf);

impl HostDirectory {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("view-vfs-walk-{}-{number}", std::process::id());
        let path = std::env::temp_dir().canonicalize().unwrap().join(name);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    /// The path of a name in it, as bytes.
    pub(crate) fn path(&self, name: &str) -> Vec<u8> {
        let base = self.0.display();
        if name.is_empty() {
            base.to_string()
        } else {
            format!("{base}/{name}")
        }
        .into_bytes()
    }

    pub(crate) fn directory(&self, name: &str) -> Vec<u8> {
        std::fs::create_dir_all(self.0.join(name)).unwrap();
        self.path(name)
    }

    pub(crate) fn file(&self, name: &str) -> Vec<u8> {
        std::fs::write(self.0.join(name), name).unwrap();
        self.path(name)
    }

    pub(crate) fn link(&self, name: &str, target: &[u8]) -> Vec<u8> {
        rustix::fs::symlink(target, self.0.join(name)).unwrap();
        self.path(name)
    }
}

impl Drop for HostDirectory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn tmpfs() -> Arc<Dentry> {
    let filesystem = Box::new(view_tmpfs::Tmpfs::new("mode=755").unwrap());
    let options = InstanceOptions {
        kind_name: "tmpfs".to_owned(),
        ..InstanceOptions::default()
    };
    Instance::new(
        filesystem,
        options,
        PageCache::new(PageCacheOptions::default()),
    )
    .unwrap()
    .root()
}

pub(crate) fn me() -> Caller {
    Caller::new(crate::credentials::Credentials::current())
}

pub(crate) fn make_directory(parent: &Arc<Dentry>, name: &str) -> Arc<Dentry> {
    parent
        .create_directory(name.as_bytes(), 0o755, &me())
        .unwrap()
}

pub(crate) fn make_file(parent: &Arc<Dentry>, name: &str) {
    parent
        .create_node(name.as_bytes(), libc::S_IFREG | 0o644, 0, false, &me())
        .unwrap();
}

/// Walks from the root of the namespace.
pub(crate) fn walk(
    namespace: &Namespace,
    path: impl AsRef<[u8]>,
    flags: WalkFlags,
) -> Result<Found, Errno> {
    let start = namespace.table().root().root_place();
    walk_from(namespace, &start, path, flags)
}

pub(crate) fn walk_from(
    namespace: &Namespace,
    start: &Place,
    path: impl AsRef<[u8]>,
    flags: WalkFlags,
) -> Result<Found, Errno> {
    Walk::new(namespace.table(), &Me, flags, start).run(start, path.as_ref())
}

/// The object at a path; links are followed.
pub(crate) fn place(namespace: &Namespace, path: impl AsRef<[u8]>) -> Place {
    let path = path.as_ref();
    let found = walk(namespace, path, WalkFlags::FOLLOW).unwrap();
    found
        .place
        .unwrap_or_else(|| panic!("{} is missing", String::from_utf8_lossy(path)))
}

pub(crate) fn mount(namespace: &Namespace, root: Root, path: impl AsRef<[u8]>) -> Arc<Mount> {
    mount_with(namespace, root, path, MountFlags::default())
}

pub(crate) fn mount_with(
    namespace: &Namespace,
    root: Root,
    path: impl AsRef<[u8]>,
    flags: MountFlags,
) -> Arc<Mount> {
    mount_on(namespace, root, place(namespace, path), flags).unwrap()
}

pub(crate) fn mount_on(
    namespace: &Namespace,
    root: Root,
    point: Place,
    flags: MountFlags,
) -> Result<Arc<Mount>, Errno> {
    namespace.add(NewMount {
        point: Some(point),
        root,
        flags,
        source: b"source".to_vec(),
        filesystem: "test".to_owned(),
        options: String::new(),
        is_scaffold: false,
        adds_name: false,
        with_mounts_of: None,
    })
}
