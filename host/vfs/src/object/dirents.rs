//! Directory entries and their getdents encodings for x86-64.
//!
//! Reference: getdents(2), Linux `fs/readdir.c`.

use rustix::io::Errno;

use crate::attributes::Kind;

/// One name of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryEntry {
    /// Inode number (`d_ino`).
    pub inode: u64,
    /// Where to go on after this entry (`d_off`).
    pub next_cookie: u64,
    /// Kind; `None` is `DT_UNKNOWN`.
    pub kind: Option<Kind>,
    /// Name.
    pub name: Box<[u8]>,
}

/// Fills a buffer of `capacity` bytes for getdents64(2). Answers the bytes and the cookie after the last entry that
/// fits (`None` when there were no entries).
///
/// # Errors
/// `EINVAL` when the first entry does not fit.
pub fn encode_dirents64(
    entries: &[DirectoryEntry],
    capacity: usize,
) -> Result<(Vec<u8>, Option<u64>), Errno> {
    /// Bytes before the name: inode, offset, length, kind.
    const FIXED: usize = 19;
    encode(entries, capacity, FIXED + 1, |out, entry, length| {
        out.extend_from_slice(&entry.inode.to_ne_bytes());
        out.extend_from_slice(&entry.next_cookie.to_ne_bytes());
        out.extend_from_slice(&length.to_ne_bytes());
        out.push(dirent_type(entry));
        out.extend_from_slice(&entry.name);
    })
}

/// Fills a buffer for the old getdents(2): the kind is the last byte of each entry.
///
/// # Errors
/// `EINVAL` when the first entry does not fit.
pub fn encode_dirents(
    entries: &[DirectoryEntry],
    capacity: usize,
) -> Result<(Vec<u8>, Option<u64>), Errno> {
    /// Bytes before the name: inode, offset, length.
    const FIXED: usize = 18;
    encode(entries, capacity, FIXED + 2, |out, entry, length| {
        let end = out.len() + usize::from(length);
        out.extend_from_slice(&entry.inode.to_ne_bytes());
        out.extend_from_slice(&entry.next_cookie.to_ne_bytes());
        out.extend_from_slice(&length.to_ne_bytes());
        out.extend_from_slice(&entry.name);
        out.resize(end - 1, 0);
        out.push(dirent_type(entry));
    })
}

fn dirent_type(entry: &DirectoryEntry) -> u8 {
    entry.kind.map_or(0, Kind::dirent_type)
}

/// `extra` is what an entry has besides the bytes of its name.
fn encode(
    entries: &[DirectoryEntry],
    capacity: usize,
    extra: usize,
    put: impl Fn(&mut Vec<u8>, &DirectoryEntry, u16),
) -> Result<(Vec<u8>, Option<u64>), Errno> {
    let mut out = Vec::with_capacity(capacity.min(64 * 1024));
    let mut last_cookie = None;
    for entry in entries {
        let bytes = (entry.name.len() + extra).next_multiple_of(8);
        let Ok(length) = u16::try_from(bytes) else {
            return Err(Errno::NAMETOOLONG);
        };
        if out.len() + bytes > capacity {
            if last_cookie.is_none() {
                return Err(Errno::INVAL);
            }
            break;
        }
        let end = out.len() + bytes;
        put(&mut out, entry, length);
        out.resize(end, 0);
        last_cookie = Some(entry.next_cookie);
    }
    Ok((out, last_cookie))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    fn entry(name: &str, cookie: u64) -> DirectoryEntry {
        DirectoryEntry {
            inode: 100 + cookie,
            next_cookie: cookie,
            kind: Some(Kind::RegularFile),
            name: name.as_bytes().into(),
        }
    }

    #[test]
    fn encoding_is_the_kernels_byte_for_byte() {
        use rustix::fs::RawDir;
        use std::mem::MaybeUninit;
        // Entries read from the kernel and encoded again have the sizes the kernel filled its buffer with.
        let directory = File::open("/proc/self/fdinfo").unwrap();
        let mut buffer = [MaybeUninit::uninit(); 8192];
        let mut entries = Vec::new();
        let mut raw = RawDir::new(&directory, &mut buffer);
        while let Some(found) = raw.next() {
            let found = found.unwrap();
            entries.push(DirectoryEntry {
                inode: found.ino(),
                next_cookie: found.next_entry_cookie(),
                kind: None,
                name: found.file_name().to_bytes().into(),
            });
        }
        assert!(entries.len() > 3);
        let (bytes, last) = encode_dirents64(&entries, 8192).unwrap();
        assert_eq!(last, entries.last().map(|entry| entry.next_cookie));
        let mut offset = 0;
        for entry in &entries {
            let field =
                |range: std::ops::Range<usize>| &bytes[offset + range.start..offset + range.end];
            assert_eq!(field(0..8), entry.inode.to_ne_bytes());
            assert_eq!(field(8..16), entry.next_cookie.to_ne_bytes());
            assert_eq!(field(19..19 + entry.name.len()), &*entry.name);
            assert_eq!(field(19 + entry.name.len()..20 + entry.name.len()), [0]);
            offset += usize::from(u16::from_ne_bytes(field(16..18).try_into().unwrap()));
        }
        assert_eq!(offset, bytes.len());
    }

    #[test]
    fn a_buffer_takes_what_fits() {
        let entries = [entry("a", 1), entry("bcdef", 2), entry(&"n".repeat(255), 3)];
        assert_eq!(encode_dirents64(&entries, 23), Err(Errno::INVAL));
        let (bytes, cookie) = encode_dirents64(&entries, 24).unwrap();
        assert_eq!((bytes.len(), cookie), (24, Some(1)));
        let (bytes, cookie) = encode_dirents64(&entries, 100).unwrap();
        assert_eq!((bytes.len(), cookie), (24 + 32, Some(2)));
        let (bytes, cookie) = encode_dirents64(&entries, 4096).unwrap();
        assert_eq!((bytes.len(), cookie), (24 + 32 + 280, Some(3)));
        assert_eq!(encode_dirents64(&[], 0), Ok((Vec::new(), None)));
    }

    #[test]
    fn the_old_encoding_has_the_kind_at_the_end() {
        let (bytes, cookie) = encode_dirents(&[entry("abc", 7)], 4096).unwrap();
        assert_eq!((bytes.len(), cookie), (24, Some(7)));
        assert_eq!(&bytes[18..22], b"abc\0");
        assert_eq!(bytes[23], 8);
    }
}
