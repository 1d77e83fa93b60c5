//! What a module tells without being asked: names and attributes that are not true any more.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::sync::{Arc, OnceLock, Weak};

use fuse_compat::{INodeNo, NotifyTarget, PollHandle};

use super::dentry::Dentry;
use super::instance::Instance;

/// The receiving end of a module's notifier. Connected to its instance when `init` has succeeded.
#[derive(Default)]
pub(super) struct Notifications {
    instance: OnceLock<Weak<Instance>>,
}

impl Notifications {
    pub(super) fn connect(&self, instance: &Arc<Instance>) {
        // Called once: the cell is empty.
        let _ = self.instance.set(Arc::downgrade(instance));
    }

    fn instance(&self) -> io::Result<Arc<Instance>> {
        self.instance
            .get()
            .and_then(Weak::upgrade)
            .ok_or_else(unknown)
    }

    fn directory(&self, number: INodeNo) -> io::Result<Arc<Dentry>> {
        let inode = self.instance()?.live_inode(number).ok_or_else(unknown)?;
        let directory = inode.directory().ok_or_else(unknown)?;
        let alias = directory.alias.lock().upgrade();
        alias.ok_or_else(unknown)
    }
}

fn unknown() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl NotifyTarget for Notifications {
    fn poll(&self, _handle: PollHandle) -> io::Result<()> {
        // No poll request is ever sent, so there is nobody to wake.
        Err(unknown())
    }

    fn inval_entry(&self, parent: INodeNo, name: &OsStr) -> io::Result<()> {
        let directory = self.directory(parent)?;
        directory.forget_name(name.as_bytes());
        directory.inode().directory_changed();
        Ok(())
    }

    fn inval_inode(&self, ino: INodeNo, offset: i64, _len: i64) -> io::Result<()> {
        let instance = self.instance()?;
        let inode = instance.live_inode(ino).ok_or_else(unknown)?;
        inode.expire_attributes();
        inode.expire_access_list();
        if offset >= 0 {
            instance.page_cache().forget_file(inode.file_key());
        }
        Ok(())
    }

    fn store(&self, _ino: INodeNo, _offset: u64, _data: &[u8]) -> io::Result<()> {
        // Linux too may drop stored data at once; the file is read when it is opened.
        Ok(())
    }

    fn delete(&self, parent: INodeNo, _child: INodeNo, name: &OsStr) -> io::Result<()> {
        let directory = self.directory(parent)?;
        directory.record_removed(name.as_bytes());
        Ok(())
    }
}
