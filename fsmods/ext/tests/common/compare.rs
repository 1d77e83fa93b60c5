//! Compares an image with the tree it was made of, name by name and byte by byte.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use rustix::fs::{SeekFrom, lgetxattr, llistxattr, seek};
use view_ext::{Inode, Kind, Seek, Volume};

/// Files above this are compared where either side has data, not in full.
const WHOLE_BYTES: u64 = 16 << 20;

/// What was compared.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pub names: u64,
    pub files: u64,
    pub bytes: u64,
    pub links: u64,
    pub attributes: u64,
}

struct Comparison<'a> {
    volume: &'a Volume,
    /// Inode number in the tree, inode number in the image.
    inodes: HashMap<u64, u32>,
    totals: Totals,
}

/// The names in a directory of the image with their inode numbers, listed in pieces from each cookie.
pub fn names(volume: &Volume, directory: &Inode) -> BTreeMap<Vec<u8>, u32> {
    let mut found = BTreeMap::new();
    let mut cookie = 0;
    loop {
        // Seven at a time: every cookie but a few is used to go on from.
        let mut count = 0;
        volume
            .list(directory, cookie, &mut |entry| {
                if count == 7 {
                    return ControlFlow::Break(());
                }
                count += 1;
                assert!(entry.next > cookie, "cookies rise");
                cookie = entry.next;
                let before = found.insert(entry.name.to_vec(), entry.inode);
                assert_eq!(
                    before,
                    None,
                    "{:?} is listed twice",
                    OsStr::from_bytes(entry.name)
                );
                ControlFlow::Continue(())
            })
            .unwrap();
        if count == 0 {
            return found;
        }
    }
}

/// Compares all of an image with a tree; names in `extra` may be in the image's root alone.
pub fn compare(volume: &Volume, tree: &Path, extra: &[&str]) -> Totals {
    let mut comparison = Comparison {
        volume,
        inodes: HashMap::new(),
        totals: Totals::default(),
    };
    let root = volume.root().unwrap();
    comparison.directory(&root, tree, extra);
    comparison.totals
}

impl Comparison<'_> {
    fn directory(&mut self, directory: &Inode, tree: &Path, extra: &[&str]) {
        let mut listed = names(self.volume, directory);
        assert_eq!(
            listed.remove(&b"."[..]),
            Some(directory.number),
            "{}",
            tree.display()
        );
        assert!(listed.remove(&b".."[..]).is_some(), "{}", tree.display());
        self.volume.fail_if_damaged(directory).unwrap();
        for entry in fs::read_dir(tree).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name();
            let place = entry.path();
            let number = listed.remove(name.as_bytes());
            let number = number.unwrap_or_else(|| panic!("{} is not listed", place.display()));
            let found = self.volume.lookup(directory, name.as_bytes()).unwrap();
            let inode = found.unwrap_or_else(|| panic!("{} is not found", place.display()));
            assert_eq!(inode.number, number, "{}", place.display());
            self.totals.names += 1;
            self.inode(&inode, &place);
        }
        for name in extra {
            listed.remove(name.as_bytes());
        }
        assert!(
            listed.is_empty(),
            "{}: only in the image: {listed:?}",
            tree.display()
        );
        for absent in [&b"no such name"[..], b"entry-", b"zzz", &[b'x'; 255]] {
            assert!(self.volume.lookup(directory, absent).unwrap().is_none());
        }
    }

    fn inode(&mut self, inode: &Inode, place: &Path) {
        let shown = place.display();
        let expected = fs::symlink_metadata(place).unwrap();
        assert_eq!(u32::from(inode.mode), expected.mode(), "mode of {shown}");
        assert_eq!(
            (inode.uid, inode.gid),
            (expected.uid(), expected.gid()),
            "owner of {shown}"
        );
        assert_eq!(inode.modified.seconds, expected.mtime(), "time of {shown}");
        let nanoseconds = i64::from(inode.modified.nanoseconds);
        assert!(
            nanoseconds == 0 || nanoseconds == expected.mtime_nsec(),
            "time of {shown}"
        );
        if inode.kind != Kind::Directory {
            assert_eq!(inode.size, expected.size(), "size of {shown}");
        }
        assert_eq!(u64::from(inode.links), expected.nlink(), "links of {shown}");
        let known = *self.inodes.entry(expected.ino()).or_insert(inode.number);
        assert_eq!(known, inode.number, "hard link {shown}");
        self.attributes(inode, place);
        match inode.kind {
            Kind::Directory => self.directory(inode, place, &[]),
            Kind::Symlink => {
                let target = fs::read_link(place).unwrap();
                assert_eq!(
                    self.volume.read_link(inode).unwrap(),
                    target.as_os_str().as_bytes(),
                    "{shown}"
                );
                self.totals.links += 1;
            }
            Kind::Regular => {
                self.content(inode, place, expected.size());
                self.totals.files += 1;
            }
            _ => {}
        }
    }

    fn content(&mut self, inode: &Inode, place: &Path, size: u64) {
        let file = File::open(place).unwrap();
        if size <= WHOLE_BYTES {
            self.range(inode, &file, place, 0, size);
            // Again in odd pieces.
            let mut at = size / 3;
            for length in [1u64, 3, 1000, 5000] {
                self.range(
                    inode,
                    &file,
                    place,
                    at.min(size),
                    length.min(size - at.min(size)),
                );
                at += length;
            }
        } else {
            for (from, to) in source_ranges(&file, size) {
                self.range(inode, &file, place, from.saturating_sub(5000), to + 5000);
            }
            for (from, to) in self.image_ranges(inode) {
                self.range(inode, &file, place, from, to);
            }
        }
        let mut buf = [1u8; 10];
        assert_eq!(self.volume.read(inode, size, &mut buf).unwrap(), 0);
        assert_eq!(self.volume.read(inode, u64::MAX, &mut buf).unwrap(), 0);
    }

    /// Compares the bytes `from..to`, as far as the file goes.
    fn range(&mut self, inode: &Inode, file: &File, place: &Path, from: u64, to: u64) {
        let mut at = from;
        let to = to.min(inode.size);
        let mut ours = vec![0xaa; 1 << 17];
        let mut theirs = ours.clone();
        while at < to {
            let length = usize::try_from(to - at).unwrap().min(ours.len());
            let filled = self.volume.read(inode, at, &mut ours[..length]).unwrap();
            assert_eq!(filled, length, "{} at {at}", place.display());
            file.read_exact_at(&mut theirs[..length], at).unwrap();
            assert!(
                ours[..length] == theirs[..length],
                "{} differs after byte {at}",
                place.display()
            );
            at += length as u64;
            self.totals.bytes += length as u64;
        }
    }

    fn image_ranges(&self, inode: &Inode) -> Vec<(u64, u64)> {
        let mut ranges = Vec::new();
        let mut at = 0;
        while let Ok(from) = self.volume.seek(inode, at, Seek::Data) {
            let to = self.volume.seek(inode, from, Seek::Hole).unwrap();
            assert!(from >= at && to > from);
            ranges.push((from, to));
            at = to;
        }
        ranges
    }

    fn attributes(&mut self, inode: &Inode, place: &Path) {
        let mut buf = vec![0u8; 65536];
        let length = llistxattr(place, &mut buf[..]).unwrap();
        let mut expected: Vec<Vec<u8>> = split(&buf[..length]);
        let mut found = split(&self.volume.list_xattrs(inode).unwrap());
        expected.sort();
        found.sort();
        let shown = |names: &[Vec<u8>]| {
            names
                .iter()
                .map(|name| String::from_utf8_lossy(name).into_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            shown(&found),
            shown(&expected),
            "xattrs of {}",
            place.display()
        );
        for name in expected {
            let length = lgetxattr(place, OsStr::from_bytes(&name), &mut buf[..]).unwrap();
            let value = self.volume.xattr(inode, &name).unwrap();
            assert_eq!(
                value,
                &buf[..length],
                "{} of {}",
                String::from_utf8_lossy(&name),
                place.display()
            );
            self.totals.attributes += 1;
        }
        let missing = self.volume.xattr(inode, b"user.missing").unwrap_err();
        assert_eq!(missing.errno(), rustix::io::Errno::NODATA.raw_os_error());
    }
}

fn split(names: &[u8]) -> Vec<Vec<u8>> {
    names
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
        .map(<[u8]>::to_vec)
        .collect()
}

/// Where a sparse file of the tree has data.
fn source_ranges(file: &File, size: u64) -> Vec<(u64, u64)> {
    let mut ranges = Vec::new();
    let mut at = 0;
    while at < size {
        let Ok(from) = seek(file, SeekFrom::Data(at)) else {
            break;
        };
        let to = seek(file, SeekFrom::Hole(from)).unwrap();
        ranges.push((from, to));
        at = to;
    }
    ranges
}
