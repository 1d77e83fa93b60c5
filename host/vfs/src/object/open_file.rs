//! [`OpenFile`]: a file that is open at the module, as where contents come from and where they go.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use fuse_compat::{FileHandle, FopenFlags, LockOwner, OpenFlags, OpenOut, WriteFlags, sync};
use rustix::io::Errno;

use super::inode::Inode;
use super::instance::Operation;
use super::module_error;
use super::set_attributes::Request;
use crate::attributes::{Attributes, Timestamp};
use crate::credentials::Caller;
use crate::page_cache::{ChangeTimes, ContentSink, ContentSource, NextData, Stamp};

/// `FALLOC_FL_KEEP_SIZE` of fallocate(2).
const KEEP_SIZE: i32 = 1;

/// A file that is open at the module; released when dropped.
pub(super) struct OpenFile {
    inode: Arc<Inode>,
    pub(super) handle: FileHandle,
    pub(super) flags: i32,
    pub(super) opened_flags: FopenFlags,
    pub(super) descriptor: Option<OwnedFd>,
    is_open: bool,
}

impl OpenFile {
    /// Asks the module to open a file, for `caller` or for the view itself.
    ///
    /// # Errors
    /// Those of the module.
    pub(super) fn open(
        inode: &Arc<Inode>,
        flags: i32,
        caller: Option<&Caller>,
    ) -> Result<OpenFile, Errno> {
        let instance = inode.instance();
        let not_needed = OpenFile {
            inode: Arc::clone(inode),
            handle: FileHandle(0),
            flags,
            opened_flags: FopenFlags::FOPEN_KEEP_CACHE,
            descriptor: None,
            is_open: false,
        };
        if instance.lacks(Operation::Open) {
            return Ok(not_needed);
        }
        let request = match caller {
            Some(caller) => instance.request_of(&caller.credentials),
            None => instance.own_request(),
        };
        match sync::open(
            instance.module(),
            &request,
            inode.number(),
            OpenFlags(flags),
        ) {
            Ok(opened) => Ok(OpenFile::from_answer(inode, opened, flags)),
            Err(fuse_compat::Errno::ENOSYS) => {
                instance.note_missing(Operation::Open);
                Ok(not_needed)
            }
            Err(error) => Err(module_error(error)),
        }
    }

    /// What the module answered to open or create.
    pub(super) fn from_answer(inode: &Arc<Inode>, opened: OpenOut, flags: i32) -> OpenFile {
        OpenFile {
            inode: Arc::clone(inode),
            handle: opened.fh,
            flags,
            opened_flags: opened.flags,
            descriptor: opened.descriptor,
            is_open: true,
        }
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        if self.is_open {
            let instance = self.inode.instance();
            // The answer to a release means nothing, fuse(4).
            let _ = sync::release(
                instance.module(),
                &instance.own_request(),
                self.inode.number(),
                self.handle,
                OpenFlags(self.flags),
                None,
                false,
            );
        }
    }
}

impl ContentSource for OpenFile {
    fn stamp(&self) -> Result<Stamp, Errno> {
        Ok(Stamp::of(&self.inode.module_attributes()?))
    }

    fn read(&self, offset: u64, size: u32) -> Result<Vec<u8>, Errno> {
        let instance = self.inode.instance();
        sync::read(
            instance.module(),
            &instance.own_request(),
            self.inode.number(),
            self.handle,
            offset,
            size,
            OpenFlags(self.flags),
            None::<LockOwner>,
        )
        .map_err(module_error)
    }

    fn next_data(&self, offset: u64) -> Result<NextData, Errno> {
        let instance = self.inode.instance();
        if instance.lacks(Operation::Lseek) {
            return Ok(NextData::Unknown);
        }
        let seek = |offset: u64, whence: i32| {
            let offset = i64::try_from(offset).map_err(|_| fuse_compat::Errno::EOVERFLOW)?;
            let found = sync::lseek(
                instance.module(),
                &instance.own_request(),
                self.inode.number(),
                self.handle,
                offset,
                whence,
            )?;
            u64::try_from(found).map_err(|_| fuse_compat::Errno::EIO)
        };
        let start = match seek(offset, libc::SEEK_DATA) {
            Ok(start) => start,
            Err(fuse_compat::Errno::ENXIO) => return Ok(NextData::None),
            Err(fuse_compat::Errno::ENOSYS | fuse_compat::Errno::EINVAL) => {
                instance.note_missing(Operation::Lseek);
                return Ok(NextData::Unknown);
            }
            Err(error) => return Err(module_error(error)),
        };
        match seek(start, libc::SEEK_HOLE) {
            Ok(end) => Ok(NextData::Range { start, end }),
            Err(error) => Err(module_error(error)),
        }
    }
}

impl OpenFile {
    fn change(&self, change: Request) -> Result<Attributes, Errno> {
        let own = &self.inode.instance().own_request();
        self.inode.send_change(change, own, Some(self.handle))
    }
}

impl ContentSink for OpenFile {
    fn write(&self, offset: u64, bytes: &[u8]) -> Result<(), Errno> {
        let instance = self.inode.instance();
        let mut place = offset;
        for part in bytes.chunks(instance.max_write()) {
            let mut rest = part;
            while !rest.is_empty() {
                let written = sync::write(
                    instance.module(),
                    &instance.own_request(),
                    self.inode.number(),
                    self.handle,
                    place,
                    rest,
                    WriteFlags::FUSE_WRITE_CACHE,
                    OpenFlags(self.flags),
                    None::<LockOwner>,
                )
                .map_err(module_error)?;
                let written = written as usize;
                if written == 0 || written > rest.len() {
                    return Err(Errno::IO);
                }
                rest = rest.get(written..).unwrap_or_default();
                place += written as u64;
            }
        }
        Ok(())
    }

    fn set_size(&self, size: u64) -> Result<(), Errno> {
        self.change(Request::size(size)).map(drop)
    }

    fn reserve(&self, offset: u64, length: u64) -> Result<(), Errno> {
        let instance = self.inode.instance();
        if instance.lacks(Operation::Allocate) {
            return Ok(());
        }
        let answer = sync::fallocate(
            instance.module(),
            &instance.own_request(),
            self.inode.number(),
            self.handle,
            offset,
            length,
            KEEP_SIZE,
        );
        match answer {
            Err(fuse_compat::Errno::ENOSYS | fuse_compat::Errno::EOPNOTSUPP) => {
                instance.note_missing(Operation::Allocate);
                Ok(())
            }
            other => other.map_err(module_error),
        }
    }

    fn allocate(&self, mode: i32, offset: u64, length: u64) -> Result<Attributes, Errno> {
        let instance = self.inode.instance();
        sync::fallocate(
            instance.module(),
            &instance.own_request(),
            self.inode.number(),
            self.handle,
            offset,
            length,
            mode,
        )
        .map_err(module_error)?;
        self.inode.module_attributes()
    }

    fn set_times(
        &self,
        modified: Timestamp,
        changed: Timestamp,
        drops_set_ids: bool,
    ) -> Result<(), Errno> {
        let mode = match drops_set_ids {
            true => self
                .inode
                .mode_after_write(&self.inode.module_attributes()?),
            false => None,
        };
        self.change(Request::written(modified, changed, mode))
            .map(drop)
    }

    fn times(&self) -> Result<ChangeTimes, Errno> {
        let attributes = self.inode.module_attributes()?;
        Ok(ChangeTimes {
            modified: attributes.modified,
            changed: attributes.changed,
        })
    }

    fn synchronize(&self, data_only: bool) -> Result<(), Errno> {
        let instance = self.inode.instance();
        if instance.lacks(Operation::Fsync) {
            return Ok(());
        }
        let (request, number) = (instance.own_request(), self.inode.number());
        match sync::fsync(instance.module(), &request, number, self.handle, data_only) {
            Err(fuse_compat::Errno::ENOSYS) => {
                instance.note_missing(Operation::Fsync);
                Ok(())
            }
            other => other.map_err(module_error),
        }
    }

    fn has_name(&self) -> bool {
        self.inode.has_name()
    }

    fn stored_bytes(&self) -> Result<u64, Errno> {
        self.inode.stored_bytes()
    }

    fn settled(&self) -> Option<Stamp> {
        if self.inode.instance().is_detached() {
            return None;
        }
        let attributes = self.inode.module_attributes().ok()?;
        Some(Stamp::of(&attributes))
    }
}
