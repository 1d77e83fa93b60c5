//! The module interface: node numbers, cookies, errnos, and what damage looks like from outside.

mod common;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use common::{Lines, debugfs, file_source, index_directories, make_image, run, scratch};
use fuse_compat::{Errno, FileHandle, FileType, INodeNo, OpenFlags, Request, XattrOut, sync};
use view_ext::Ext;

const ROOT: INodeNo = INodeNo(1);
const HANDLE: FileHandle = FileHandle(0);

fn place() -> &'static Path {
    static PLACE: OnceLock<PathBuf> = OnceLock::new();
    PLACE.get_or_init(|| scratch("filesystem"))
}

fn request() -> Request {
    Request::new(1, 1000, 1000, 42)
}

/// An image with a large directory and some files.
fn image(name: &str, options: &[&str]) -> PathBuf {
    let tree = place().join(format!("{name}-tree"));
    fs::create_dir_all(tree.join("many")).unwrap();
    for number in 0..400 {
        fs::write(
            tree.join(format!("many/entry-with-a-longish-name-{number:04}")),
            b"",
        )
        .unwrap();
    }
    fs::write(tree.join("file"), b"some content\n").unwrap();
    rustix::fs::setxattr(
        tree.join("file"),
        "user.key",
        b"value",
        rustix::fs::XattrFlags::empty(),
    )
    .unwrap();
    std::os::unix::fs::symlink("file", tree.join("link")).unwrap();
    let sparse = fs::File::create(tree.join("sparse")).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&sparse, b"x", 1 << 20).unwrap();
    let image = place().join(format!("{name}.img"));
    let mut all = vec!["-b", "1024"];
    all.extend_from_slice(options);
    make_image(&image, "8M", &all, &tree);
    image
}

fn open(image: &Path) -> (Ext, Lines) {
    let lines = Lines::default();
    let ext =
        Ext::open(file_source(image), "", lines.sink()).unwrap_or_else(|error| panic!("{error}"));
    (ext, lines)
}

fn find(ext: &Ext, parent: INodeNo, name: &str) -> INodeNo {
    sync::lookup(ext, &request(), parent, OsStr::new(name))
        .unwrap()
        .attr
        .ino
}

/// All names of a directory by small replies, as long as there is no error.
fn list(ext: &Ext, directory: INodeNo, reply_bytes: usize) -> (Vec<Vec<u8>>, Option<Errno>) {
    let mut names = Vec::new();
    let mut offset = 0;
    loop {
        match sync::readdir(ext, &request(), directory, HANDLE, offset, reply_bytes) {
            Ok(entries) => {
                let Some(last) = entries.last() else {
                    return (names, None);
                };
                offset = last.offset;
                names.extend(entries.iter().map(|entry| entry.name.as_bytes().to_vec()));
            }
            Err(errno) => return (names, Some(errno)),
        }
    }
}

#[test]
fn the_root_is_node_1_and_inode_2() {
    let (ext, _) = open(&image("root", &["-t", "ext4"]));
    let attr = sync::getattr(&ext, &request(), ROOT, None).unwrap().attr;
    assert_eq!((attr.ino, attr.kind), (INodeNo(2), FileType::Directory));
    let entries = sync::readdir(&ext, &request(), ROOT, HANDLE, 0, 4096).unwrap();
    assert_eq!(
        (entries[0].ino, entries[0].name.as_os_str()),
        (INodeNo(2), OsStr::new("."))
    );
    assert_eq!(
        (entries[1].ino, entries[1].name.as_os_str()),
        (INodeNo(2), OsStr::new(".."))
    );
    let many = find(&ext, ROOT, "many");
    assert_eq!(find(&ext, many, ".."), INodeNo(2));
    assert_eq!(
        sync::getattr(&ext, &request(), INodeNo(2), None)
            .unwrap()
            .attr,
        attr
    );
    let missing = sync::lookup(&ext, &request(), ROOT, OsStr::new("missing")).unwrap();
    assert_eq!(
        missing.attr.ino,
        INodeNo(0),
        "a negative entry that may be cached"
    );
    assert!(missing.entry_ttl.as_secs() > 86_400);
}

#[test]
fn listings_go_on_from_every_cookie() {
    let kinds: [(&str, &[&str]); 3] = [
        ("cookies-ext4", &["-t", "ext4"]),
        ("cookies-ext2", &["-t", "ext2", "-O", "^filetype"]),
        ("cookies-inline", &["-t", "ext4", "-O", "inline_data"]),
    ];
    for (name, options) in kinds {
        let (ext, lines) = open(&image(name, options));
        for directory in [ROOT, find(&ext, ROOT, "many")] {
            let (whole, error) = list(&ext, directory, 1 << 20);
            assert_eq!(error, None);
            for bytes in [64, 300, 4096] {
                assert_eq!(list(&ext, directory, bytes).0, whole);
            }
            let plus = sync::readdirplus(&ext, &request(), directory, HANDLE, 0, 1 << 20).unwrap();
            let names: Vec<_> = plus
                .iter()
                .map(|entry| entry.name.as_bytes().to_vec())
                .collect();
            assert_eq!(names, whole);
            for entry in plus {
                let found = sync::lookup(&ext, &request(), directory, &entry.name).unwrap();
                assert_eq!((found.attr, found.attr.ino), (entry.entry.attr, entry.ino));
            }
        }
        assert_eq!(lines.all(), [] as [&str; 0]);
    }
}

#[test]
fn contents_links_and_attributes() {
    let (ext, _) = open(&image("contents", &["-t", "ext4"]));
    let file = find(&ext, ROOT, "file");
    let opened = sync::open(&ext, &request(), file, OpenFlags(libc_flags::O_RDONLY)).unwrap();
    let read = |offset, size| {
        sync::read(
            &ext,
            &request(),
            file,
            opened.fh,
            offset,
            size,
            OpenFlags(0),
            None,
        )
        .unwrap()
    };
    assert_eq!(read(0, 100), b"some content\n");
    assert_eq!(read(5, 3), b"con");
    assert_eq!(read(13, 100), b"");
    assert_eq!(
        sync::readlink(&ext, &request(), find(&ext, ROOT, "link")).unwrap(),
        b"file"
    );
    assert_eq!(
        sync::readlink(&ext, &request(), file).unwrap_err(),
        Errno::EINVAL
    );
    let xattr = |name: &str, size| sync::getxattr(&ext, &request(), file, OsStr::new(name), size);
    assert!(matches!(xattr("user.key", 0), Ok(XattrOut::Size(5))));
    assert!(matches!(xattr("user.key", 5), Ok(XattrOut::Data(data)) if data == b"value"));
    assert_eq!(xattr("user.key", 4).unwrap_err(), Errno::ERANGE);
    assert_eq!(xattr("user.nokey", 4).unwrap_err(), Errno::ENODATA);
    assert!(
        matches!(sync::listxattr(&ext, &request(), file, 99), Ok(XattrOut::Data(data)) if data == b"user.key\0")
    );
    let sparse = find(&ext, ROOT, "sparse");
    let seek = |offset, whence| sync::lseek(&ext, &request(), sparse, HANDLE, offset, whence);
    assert_eq!(seek(0, libc_flags::SEEK_DATA), Ok(1 << 20));
    assert_eq!(seek(1 << 20, libc_flags::SEEK_HOLE), Ok((1 << 20) + 1));
    assert_eq!(
        seek((1 << 20) + 1, libc_flags::SEEK_DATA),
        Err(Errno::ENXIO)
    );
    let statfs = sync::statfs(&ext, &request(), ROOT).unwrap();
    assert_eq!((statfs.bsize, statfs.namelen), (1024, 255));
    assert!(statfs.bfree > statfs.bavail && statfs.blocks > statfs.bfree);
}

/// Linux's numbers, x86-64 and others alike.
mod libc_flags {
    pub const O_RDONLY: i32 = 0;
    pub const O_RDWR: i32 = 2;
    pub const SEEK_DATA: i32 = 3;
    pub const SEEK_HOLE: i32 = 4;
}

#[test]
fn everything_that_writes_is_erofs() {
    let image = image("erofs", &["-t", "ext4"]);
    let before = fs::read(&image).unwrap();
    let (ext, _) = open(&image);
    let (request, name) = (request(), OsStr::new("new"));
    let file = find(&ext, ROOT, "file");
    assert_eq!(
        sync::open(&ext, &request, file, OpenFlags(libc_flags::O_RDWR)).unwrap_err(),
        Errno::EROFS
    );
    assert_eq!(
        sync::mkdir(&ext, &request, ROOT, name, 0o755, 0).unwrap_err(),
        Errno::EROFS
    );
    assert_eq!(
        sync::mknod(&ext, &request, ROOT, name, 0o100_644, 0, 0).unwrap_err(),
        Errno::EROFS
    );
    assert_eq!(
        sync::create(&ext, &request, ROOT, name, 0o644, 0, 0).unwrap_err(),
        Errno::EROFS
    );
    assert_eq!(
        sync::unlink(&ext, &request, ROOT, OsStr::new("file")).unwrap_err(),
        Errno::EROFS
    );
    assert_eq!(
        sync::rmdir(&ext, &request, ROOT, OsStr::new("many")).unwrap_err(),
        Errno::EROFS
    );
    assert_eq!(
        sync::link(&ext, &request, file, ROOT, name).unwrap_err(),
        Errno::EROFS
    );
    assert_eq!(
        sync::symlink(&ext, &request, ROOT, name, Path::new("x")).unwrap_err(),
        Errno::EROFS
    );
    assert_eq!(
        sync::removexattr(&ext, &request, file, OsStr::new("user.key")).unwrap_err(),
        Errno::EROFS
    );
    assert!(fs::read(&image).unwrap() == before);
}

/// The block of the image that holds block `number` of a file.
fn block_of(image: &Path, file: &str, number: u64) -> usize {
    let output = run(
        "debugfs",
        &[
            "-R",
            &format!("bmap {file} {number}"),
            image.to_str().unwrap(),
        ],
        &[0],
    );
    String::from_utf8(output.stdout)
        .unwrap()
        .trim()
        .parse()
        .unwrap()
}

fn damage(image: &Path, block: usize, byte: usize, value: u8) {
    let mut bytes = fs::read(image).unwrap();
    bytes[block * 1024 + byte] = value;
    fs::write(image, bytes).unwrap();
}

#[test]
fn a_broken_index_is_reported_and_gone_around() {
    for (name, options) in [
        ("index-sum", &["-t", "ext4"][..]),
        ("index-nosum", &["-t", "ext4", "-O", "^metadata_csum"]),
    ] {
        let image = image(name, options);
        index_directories(&image);
        // The list of hashes in the root: its limit becomes impossible.
        damage(&image, block_of(&image, "many", 0), 33, 0xff);
        let (ext, lines) = open(&image);
        let many = find(&ext, ROOT, "many");
        for number in [0, 7, 399] {
            let name = format!("entry-with-a-longish-name-{number:04}");
            assert!(find(&ext, many, &name).0 > 0, "{name}");
        }
        let lines = lines.all();
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(
            lines[0].starts_with(&format!("inode {}: directory ", many.0)),
            "{lines:?}"
        );
    }
}

#[test]
fn a_damaged_block_hides_only_its_own_names() {
    for (name, options) in [
        ("leaf-sum", &["-t", "ext4"][..]),
        ("leaf-nosum", &["-t", "ext2"]),
    ] {
        let image = image(name, options);
        let (intact, _) = open(&image);
        let many = find(&intact, ROOT, "many");
        let (all, _) = list(&intact, many, 4096);
        assert_eq!(all.len(), 402);
        // The length of the first entry of a block in the middle.
        damage(&image, block_of(&image, "many", 4), 4, 0xff);
        let (ext, lines) = open(&image);
        let (names, error) = list(&ext, many, 4096);
        assert_eq!(error, Some(Errno::EUCLEAN), "said at the end");
        assert!(names.len() < 402 && names.len() > 340, "{}", names.len());
        for name in &all {
            let found = sync::lookup(&ext, &request(), many, OsStr::from_bytes(name));
            match names.contains(name) {
                true => assert!(found.unwrap().attr.ino.0 > 0),
                false => assert_eq!(found.unwrap_err(), Errno::EUCLEAN),
            }
        }
        let lines = lines.all();
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].contains("directory block 4 "), "{lines:?}");
    }
}

#[test]
fn a_damaged_inode_is_euclean_and_its_neighbours_are_fine() {
    let image = image("inode", &["-t", "ext4"]);
    let (intact, _) = open(&image);
    let (file, link) = (find(&intact, ROOT, "file"), find(&intact, ROOT, "link"));
    let output = run(
        "debugfs",
        &["-R", "imap file", image.to_str().unwrap()],
        &[0],
    );
    let text = String::from_utf8(output.stdout).unwrap();
    // "located at block 123, offset 0x0400"
    let (_, rest) = text.split_once("located at block ").unwrap();
    let (block, offset) = rest.trim().split_once(", offset 0x").unwrap();
    let offset = usize::from_str_radix(offset, 16).unwrap();
    damage(&image, block.parse().unwrap(), offset + 4, 0x77);
    let (ext, lines) = open(&image);
    for _ in 0..3 {
        let error = sync::lookup(&ext, &request(), ROOT, OsStr::new("file")).unwrap_err();
        assert_eq!(error, Errno::EUCLEAN);
    }
    assert!(sync::getattr(&ext, &request(), link, None).is_ok());
    // The listing has the name, without attributes.
    let entries = sync::readdirplus(&ext, &request(), ROOT, HANDLE, 0, 1 << 16).unwrap();
    let entry = entries.iter().find(|entry| entry.name == "file").unwrap();
    assert_eq!((entry.ino, entry.entry.attr.ino), (file, INodeNo(0)));
    let lines = lines.all();
    assert_eq!(lines.len(), 1, "once: {lines:?}");
    assert!(
        lines[0].starts_with(&format!("inode {}: checksum 0x", file.0)),
        "{lines:?}"
    );
}

#[test]
fn a_cut_image_is_mounted_and_says_so() {
    let image = image("cut", &["-t", "ext2"]);
    let length = fs::metadata(&image).unwrap().len();
    let last = block_of(&image, "sparse", 1024);
    fs::File::options()
        .write(true)
        .open(&image)
        .unwrap()
        .set_len(last as u64 * 1024)
        .unwrap();
    let (ext, lines) = open(&image);
    assert!(
        lines.all()[0].contains("is the last one in the image"),
        "{:?}",
        lines.all()
    );
    let sparse = find(&ext, ROOT, "sparse");
    let read = |offset| {
        sync::read(
            &ext,
            &request(),
            sparse,
            HANDLE,
            offset,
            10,
            OpenFlags(0),
            None,
        )
    };
    assert_eq!(read(0).unwrap(), [0; 10]);
    assert_eq!(read(1 << 20).unwrap_err(), Errno::EIO);
    assert!(lines.all()[1].contains(&format!(
        "block {last}: cannot be read: the image ends before it"
    )));
    assert!(length > last as u64 * 1024);
}

#[test]
fn unwritten_extents_and_deep_trees() {
    let image = image("unwritten", &["-t", "ext4"]);
    debugfs(&image, "fallocate file 1 50\nsif file size 51200\n");
    let (ext, lines) = open(&image);
    let file = find(&ext, ROOT, "file");
    let data = sync::read(
        &ext,
        &request(),
        file,
        HANDLE,
        0,
        100_000,
        OpenFlags(0),
        None,
    )
    .unwrap();
    assert_eq!(data.len(), 51200);
    assert_eq!(&data[..13], b"some content\n");
    assert!(data[13..].iter().all(|byte| *byte == 0));
    assert_eq!(
        sync::lseek(&ext, &request(), file, HANDLE, 0, libc_flags::SEEK_HOLE),
        Ok(1024)
    );
    assert_eq!(lines.all(), [] as [&str; 0]);
}

#[test]
fn a_backup_superblock_can_be_used() {
    let image = image("backup", &["-t", "ext4", "-g", "2048"]);
    let mut bytes = fs::read(&image).unwrap();
    // The superblock and the first descriptors go.
    bytes[1024..4096].fill(0);
    fs::write(&image, bytes).unwrap();
    let error = Ext::open(file_source(&image), "", Box::new(|_| {}))
        .err()
        .unwrap();
    assert_eq!(error.to_string(), "bad ext2 magic 0x0000 (expected 0xef53)");
    let ext = Ext::open(file_source(&image), "sb=2049", Box::new(|_| {}))
        .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(list(&ext, find(&ext, ROOT, "many"), 4096).0.len(), 402);
}
