//! Open directories. Positions are the host filesystem's own (`d_off`), which some filesystems keep only as long as the
//! directory stays open: a listing goes on with the descriptor it began with.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::sync::{Arc, Mutex, PoisonError};

use fuse_compat::{Errno, FileHandle, FileType, INodeNo};
use rustix::fs::{OFlags, RawDir, SeekFrom};

use crate::Bind;
use crate::object;
use crate::table::Key;

/// Bytes read from the host at a time.
const BUFFER_BYTES: usize = 32 * 1024;

#[derive(Debug, Default)]
pub(crate) struct Listings {
    open: HashMap<u64, Arc<Mutex<OwnedFd>>>,
    last: u64,
}

/// One name as the host gives it.
pub(crate) struct HostEntry {
    pub(crate) ino: u64,
    pub(crate) offset: u64,
    pub(crate) kind: Option<FileType>,
    pub(crate) name: OsString,
}

impl Bind {
    pub(crate) fn open_listing(&self, ino: INodeNo) -> Result<FileHandle, Errno> {
        let directory = self.open_directory(ino)?;
        let mut listings = self.listings.lock().unwrap_or_else(PoisonError::into_inner);
        listings.last += 1;
        let handle = listings.last;
        listings
            .open
            .insert(handle, Arc::new(Mutex::new(directory)));
        Ok(FileHandle(handle))
    }

    pub(crate) fn close_listing(&self, handle: FileHandle) {
        let mut listings = self.listings.lock().unwrap_or_else(PoisonError::into_inner);
        listings.open.remove(&handle.0);
    }

    fn open_directory(&self, ino: INodeNo) -> Result<OwnedFd, Errno> {
        object::open(&*self.object(ino)?, OFlags::RDONLY | OFlags::DIRECTORY)
    }

    /// Calls `add` with each name after `offset` until it says that the answer is full. A handle of 0 lists without an
    /// open directory.
    pub(crate) fn list(
        &self,
        ino: INodeNo,
        handle: FileHandle,
        offset: u64,
        add: &mut dyn FnMut(&HostEntry, INodeNo) -> bool,
    ) -> Result<(), Errno> {
        let kept = {
            let listings = self.listings.lock().unwrap_or_else(PoisonError::into_inner);
            listings.open.get(&handle.0).cloned()
        };
        let directory = match kept {
            Some(directory) => directory,
            None if handle.0 == 0 => Arc::new(Mutex::new(self.open_directory(ino)?)),
            None => return Err(Errno::EBADF),
        };
        let directory = directory.lock().unwrap_or_else(PoisonError::into_inner);
        let dev = rustix::fs::fstat(&*directory)?.st_dev;
        rustix::fs::seek(&*directory, SeekFrom::Start(offset))?;
        let above = self.table().name(ino).map(|(above, _)| above);
        read_entries(&directory, &mut |entry| {
            let number = match entry.name.as_bytes() {
                b"." => ino,
                // What is above the root is nobody's business.
                b".." => above.unwrap_or(INodeNo::ROOT),
                _ => self.table().number(Key {
                    dev,
                    ino: entry.ino,
                }),
            };
            add(&entry, number)
        })
    }
}

/// Reads entries from where the descriptor is until `take` answers true.
fn read_entries(directory: &OwnedFd, take: &mut dyn FnMut(HostEntry) -> bool) -> Result<(), Errno> {
    let mut buffer = vec![MaybeUninit::uninit(); BUFFER_BYTES];
    let mut entries = RawDir::new(directory, &mut buffer);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let kind = FileType::from_mode(entry.file_type().as_raw_mode());
        let host_entry = HostEntry {
            ino: entry.ino(),
            offset: entry.next_entry_cookie(),
            kind,
            name: OsStr::from_bytes(entry.file_name().to_bytes()).to_owned(),
        };
        if take(host_entry) {
            break;
        }
    }
    Ok(())
}
