//! The tree that images are made of: everything that a file system has to get right, in small.

use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::Path;

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, Timespec, Timestamps, XattrFlags, mknodat, setxattr, utimensat,
};

use super::Random;

/// Names in the large directory.
pub const MANY: usize = 3200;
/// Lengths of symbolic links: in the inode, at its limit, in a block.
pub const LINK_LENGTHS: [usize; 6] = [10, 59, 60, 61, 1000, 4095];

fn write(path: &Path, content: &[u8]) {
    fs::write(path, content).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

/// What limits a tree.
#[derive(Clone, Copy)]
pub struct Limits {
    /// Symbolic links have to fit in a block.
    pub longest_link: usize,
    /// mke2fs 1.47.0 loses the hole at a file's end on images with inline data.
    pub has_holes_at_ends: bool,
    /// Revision 0 has no feature for them, so mke2fs leaves them out.
    pub has_xattrs: bool,
}

/// Fills an empty directory.
pub fn build(root: &Path, limits: Limits) {
    let mut random = Random::new(7);
    for size in [
        0, 1, 59, 60, 61, 100, 156, 160, 300, 1023, 1024, 1025, 4095, 4096, 4097, 12288, 13000,
        300_000,
    ] {
        write(&root.join(format!("size-{size}")), &random.bytes(size));
    }
    write(&root.join("large"), &random.bytes(3_000_001));
    sparse(root, &mut random, limits.has_holes_at_ends);
    links(root, limits.longest_link);
    names(root);
    special(root);
    if limits.has_xattrs {
        attributes(root, &mut random);
    }
    deep(root);
    many(root);
    times(root);
}

fn sparse(root: &Path, random: &mut Random, has_holes_at_ends: bool) {
    let file = File::create(root.join("sparse-5g")).unwrap();
    for place in [
        0u64,
        1 << 20,
        70 << 20,
        (2 << 30) - 5,
        3 << 30,
        (5 << 30) - 100,
    ] {
        file.write_all_at(&random.bytes(100), place).unwrap();
    }
    // Data in every second 4 KiB: as many extents as pieces.
    let file = File::create(root.join("holes")).unwrap();
    for piece in 0..1200u64 {
        file.write_all_at(&random.bytes(700), piece * 8192 + 4096)
            .unwrap();
    }
    if has_holes_at_ends {
        file.set_len(1200 * 8192 + 100_000).unwrap();
    }
    File::create(root.join("all-hole"))
        .unwrap()
        .set_len(1_234_567)
        .unwrap();
}

fn links(root: &Path, longest_link: usize) {
    for length in LINK_LENGTHS
        .into_iter()
        .filter(|length| *length <= longest_link)
    {
        let target: String = (0..length)
            .map(|place| if place % 50 == 49 { '/' } else { 'l' })
            .collect();
        symlink(target, root.join(format!("link-{length}"))).unwrap();
    }
    symlink("size-100", root.join("link-good")).unwrap();
    fs::create_dir(root.join("hard")).unwrap();
    for number in 0..20 {
        fs::hard_link(root.join("size-300"), root.join(format!("hard/{number}"))).unwrap();
    }
}

fn names(root: &Path) {
    let directory = root.join("names");
    fs::create_dir(&directory).unwrap();
    let odd: [&[u8]; 9] = [
        b" ",
        b"-rf",
        b"line\nbreak",
        b"\xff\xfe\x80 not utf-8",
        "gr\u{fc}n \u{1f600}".as_bytes(),
        b"*?[a]\\",
        b"a",
        b"...",
        &[b'n'; 255],
    ];
    for name in odd {
        write(&directory.join(OsString::from_vec(name.to_vec())), name);
    }
    fs::create_dir(directory.join("empty")).unwrap();
    // Small directories of one to thirty names: inside the inode where that is on.
    for count in 1..30 {
        let small = directory.join(format!("with-{count}"));
        fs::create_dir(&small).unwrap();
        for number in 0..count {
            write(&small.join(format!("f{number}")), b"");
        }
    }
}

fn special(root: &Path) {
    let directory = root.join("special");
    fs::create_dir(&directory).unwrap();
    let mode = Mode::from_raw_mode(0o640);
    mknodat(CWD, directory.join("fifo"), FileType::Fifo, mode, 0).unwrap();
    mknodat(CWD, directory.join("socket"), FileType::Socket, mode, 0).unwrap();
    for mode in [0o000, 0o444, 0o4755, 0o2755, 0o1777, 0o7777] {
        let path = directory.join(format!("mode-{mode:o}"));
        write(&path, b"mode");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }
}

fn attributes(root: &Path, random: &mut Random) {
    let directory = root.join("xattrs");
    fs::create_dir(&directory).unwrap();
    let set = |path: &Path, name: &str, value: &[u8]| {
        setxattr(path, name, value, XattrFlags::empty()).unwrap_or_else(|error| {
            panic!("the tests need a file system with xattrs: {name}: {error}")
        });
    };
    for (name, count) in [("one", 1), ("few", 4), ("more", 14)] {
        let path = directory.join(name);
        write(&path, name.as_bytes());
        for number in 0..count {
            set(
                &path,
                &format!("user.attribute{number}"),
                &random.bytes(number * 3),
            );
        }
    }
    let path = directory.join("long");
    write(&path, b"");
    set(&path, "user.long", &random.bytes(600));
    set(&path, "user.empty", b"");
    // owner rwx, user 1000 r-x, group r--, group 50 rw-, mask rwx, others ---
    let mut acl = vec![2u8, 0, 0, 0];
    for (tag, permission, id) in [
        (1u16, 7u16, u32::MAX),
        (2, 5, 1000),
        (4, 4, u32::MAX),
        (8, 6, 50),
        (16, 7, u32::MAX),
        (32, 0, u32::MAX),
    ] {
        acl.extend_from_slice(&tag.to_le_bytes());
        acl.extend_from_slice(&permission.to_le_bytes());
        acl.extend_from_slice(&id.to_le_bytes());
    }
    let path = directory.join("acl");
    write(&path, b"acl");
    set(&path, "system.posix_acl_access", &acl);
    let path = directory.join("acl-directory");
    fs::create_dir(&path).unwrap();
    set(&path, "system.posix_acl_default", &acl);
    set(&path, "user.on-a-directory", b"yes");
}

fn deep(root: &Path) {
    let mut path = root.join("deep");
    for level in 0..40 {
        fs::create_dir(&path).unwrap();
        write(&path.join("file"), format!("level {level}").as_bytes());
        path = path.join(format!("a-directory-at-level-{level}"));
    }
}

fn many(root: &Path) {
    let directory = root.join("many");
    fs::create_dir(&directory).unwrap();
    // Names of some length, so that the hash tree gets two levels with 1 KiB blocks; few inodes.
    let target = root.join("size-1");
    for number in 0..MANY {
        let name = format!(
            "entry-{number:05}-with-a-name-of-some-length-so-that-blocks-fill-up-{}",
            number % 7
        );
        if number % 100 == 0 {
            write(&directory.join(name), &number.to_le_bytes());
        } else {
            fs::hard_link(&target, directory.join(name)).unwrap();
        }
    }
}

fn times(root: &Path) {
    let directory = root.join("times");
    fs::create_dir(&directory).unwrap();
    for seconds in [-1i64, -1_000_000_000, 0, 1, 1_000_000_000, 2_000_000_000] {
        let path = directory.join(format!("{seconds}"));
        write(&path, b"");
        let time = Timespec {
            tv_sec: seconds,
            tv_nsec: 123_456_789,
        };
        let times = Timestamps {
            last_access: time,
            last_modification: time,
        };
        utimensat(CWD, &path, &times, AtFlags::empty()).unwrap();
    }
}
