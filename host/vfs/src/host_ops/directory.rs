//! Listings of host directories.

use std::mem::MaybeUninit;
use std::os::fd::AsFd;

use rustix::fs::{FileType, RawDir, SeekFrom, seek};
use rustix::io::Errno;

use crate::attributes::Kind;
use crate::object::DirectoryEntry;

/// Bytes of one request to the kernel.
const REQUEST_BYTES: usize = 32 * 1024;

/// The entries of an open directory after `cookie` (0: from the start; else the `next_cookie` of an entry), one
/// request's worth. Empty at the end. Moves the position of the open file description.
///
/// # Errors
/// The kernel's.
pub fn read_directory(directory: impl AsFd, cookie: u64) -> Result<Vec<DirectoryEntry>, Errno> {
    let directory = directory.as_fd();
    seek(directory, SeekFrom::Start(cookie))?;
    let mut buffer = [MaybeUninit::uninit(); REQUEST_BYTES];
    let mut reader = RawDir::new(directory, &mut buffer);
    let mut entries = Vec::new();
    while let Some(entry) = reader.next() {
        let entry = entry?;
        entries.push(DirectoryEntry {
            inode: entry.ino(),
            next_cookie: entry.next_entry_cookie(),
            kind: kind_of(entry.file_type()),
            name: entry.file_name().to_bytes().into(),
        });
        if reader.is_buffer_empty() {
            break;
        }
    }
    Ok(entries)
}

fn kind_of(file_type: FileType) -> Option<Kind> {
    Kind::from_mode(file_type.as_raw_mode())
}
