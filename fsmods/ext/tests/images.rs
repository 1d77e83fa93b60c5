//! Images of every kind that mke2fs makes, compared with the tree they were made of.

mod common;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use common::compare::{compare, names};
use common::{debugfs, file_source, index_directories, make_image, mount, run, scratch, tree};
use view_ext::{Kind, Probe, probe};

/// The directory of this binary's files.
fn place() -> &'static Path {
    static PLACE: OnceLock<PathBuf> = OnceLock::new();
    PLACE.get_or_init(|| scratch("images"))
}

/// The source tree for images with these options.
fn source_tree(options: &[&str]) -> &'static Path {
    static TREES: [OnceLock<PathBuf>; 8] = [const { OnceLock::new() }; 8];
    let has_small_blocks = options
        .iter()
        .any(|option| ["1024", "2048"].contains(option));
    let has_inline_data = options.contains(&"inline_data");
    let has_revision = options.contains(&"-r");
    let number = usize::from(has_small_blocks)
        + 2 * usize::from(has_inline_data)
        + 4 * usize::from(has_revision);
    TREES[number].get_or_init(|| {
        let root = place().join(format!("tree-{number}"));
        std::fs::create_dir(&root).unwrap();
        let longest_link = if has_small_blocks { 1000 } else { 4095 };
        tree::build(
            &root,
            tree::Limits {
                longest_link,
                has_holes_at_ends: !has_inline_data,
                has_xattrs: !has_revision,
            },
        );
        root
    })
}

/// Makes an image with these options and compares all of it, before and after its directories are indexed.
fn check(name: &str, options: &[&str], type_name: &str) -> PathBuf {
    let tree = source_tree(options);
    let image = place().join(format!("{name}.img"));
    make_image(&image, "80M", options, tree);
    let checked = |image: &Path| {
        let (volume, lines) = mount(image, "");
        assert_eq!(volume.type_name(), type_name);
        let totals = compare(&volume, tree, &["lost+found"]);
        assert_eq!(lines.all(), [] as [&str; 0]);
        totals
    };
    let totals = checked(&image);
    assert!(totals.files > 200 && totals.names > 3500, "{totals:?}");
    assert!(totals.links >= 6 && totals.bytes > 10_000_000, "{totals:?}");
    // Revision 0 has no feature words, so no xattrs and no indexes.
    if !options.contains(&"-r") {
        assert!(totals.attributes > 20, "{totals:?}");
        index_directories(&image);
        checked(&image);
    }
    image
}

#[test]
fn ext2_with_blocks_of_1k() {
    check("ext2-1k", &["-t", "ext2", "-b", "1024"], "ext2");
}

#[test]
fn extent_trees_of_two_levels_below_the_root() {
    let options = ["-t", "ext4", "-b", "1024"];
    let image = place().join("deep-extents.img");
    make_image(&image, "80M", &options, source_tree(&options));
    let output = run(
        "debugfs",
        &["-R", "ex holes", image.to_str().unwrap()],
        &[0],
    );
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains(" 2/ 2 "), "the depth is 2: {text}");
    let (volume, _) = mount(&image, "");
    // Four readers at once: nothing but caches is shared.
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| compare(&volume, source_tree(&options), &["lost+found"]));
        }
    });
}

#[test]
fn ext2_with_blocks_of_4k() {
    check("ext2-4k", &["-t", "ext2", "-b", "4096"], "ext2");
}

#[test]
fn ext2_with_blocks_of_64k() {
    check(
        "ext2-64k",
        &["-t", "ext2", "-b", "65536", "-N", "4096"],
        "ext2",
    );
}

#[test]
fn ext2_of_revision_0() {
    check("ext2-r0", &["-t", "ext2", "-r", "0", "-b", "1024"], "ext2");
}

#[test]
fn ext2_without_file_types() {
    check(
        "ext2-nofiletype",
        &["-t", "ext2", "-O", "^filetype", "-b", "2048"],
        "ext2",
    );
}

#[test]
fn ext3() {
    check("ext3", &["-t", "ext3", "-b", "4096"], "ext3");
}

#[test]
fn ext4_default() {
    check("ext4", &["-t", "ext4", "-b", "4096"], "ext4");
}

#[test]
fn ext4_with_blocks_of_1k_and_inline_data() {
    check(
        "ext4-inline",
        &["-t", "ext4", "-b", "1024", "-O", "inline_data"],
        "ext4",
    );
}

#[test]
fn ext4_with_inline_data_in_large_inodes() {
    check(
        "ext4-inline-1k-inodes",
        &[
            "-t",
            "ext4",
            "-b",
            "4096",
            "-I",
            "1024",
            "-O",
            "inline_data",
        ],
        "ext4",
    );
}

#[test]
fn ext4_with_clusters() {
    check(
        "ext4-bigalloc",
        &["-t", "ext4", "-b", "4096", "-O", "bigalloc", "-C", "16384"],
        "ext4",
    );
}

#[test]
fn ext4_with_a_stored_checksum_seed() {
    check(
        "ext4-seed",
        &["-t", "ext4", "-b", "4096", "-O", "metadata_csum_seed"],
        "ext4",
    );
}

#[test]
fn ext4_without_flexible_groups_and_with_group_checksums() {
    check(
        "ext4-gdt",
        &[
            "-t",
            "ext4",
            "-b",
            "1024",
            "-O",
            "^flex_bg,^metadata_csum,uninit_bg",
        ],
        "ext4",
    );
}

#[test]
fn ext4_with_inodes_of_128_bytes() {
    check(
        "ext4-i128",
        &["-t", "ext4", "-b", "4096", "-I", "128"],
        "ext4",
    );
}

#[test]
fn ext4_with_meta_groups() {
    check(
        "ext4-meta",
        &["-t", "ext4", "-b", "1024", "-O", "meta_bg,^resize_inode"],
        "ext4",
    );
}

#[test]
fn ext4_with_few_backups_and_without_64bit() {
    check(
        "ext4-few",
        &[
            "-t",
            "ext4",
            "-b",
            "2048",
            "-O",
            "sparse_super2,^64bit,ea_inode,large_dir",
        ],
        "ext4",
    );
}

#[test]
fn every_hash_function_finds_every_name() {
    let options = ["-t", "ext4", "-b", "1024"];
    let tree = source_tree(&options);
    for (hash, flags) in [
        ("legacy", "1"),
        ("tea", "1"),
        ("half_md4", "2"),
        ("tea", "2"),
        ("legacy", "2"),
    ] {
        let image = place().join(format!("hash-{hash}-{flags}.img"));
        make_image(&image, "80M", &options, tree);
        debugfs(
            &image,
            &format!("ssv def_hash_version {hash}\nssv flags {flags}\n"),
        );
        index_directories(&image);
        let (volume, lines) = mount(&image, "");
        let many = volume
            .lookup(&volume.root().unwrap(), b"many")
            .unwrap()
            .unwrap();
        assert_ne!(many.flags & 0x1000, 0, "indexed");
        let listed = names(&volume, &many);
        assert_eq!(listed.len(), tree::MANY + 2);
        for (name, number) in listed {
            assert_eq!(volume.lookup(&many, &name).unwrap().unwrap().number, number);
        }
        assert_eq!(lines.all(), [] as [&str; 0], "{hash} {flags}");
        std::fs::remove_file(&image).unwrap();
    }
}

#[test]
fn fields_that_mke2fs_does_not_copy() {
    let image = place().join("fields.img");
    let empty = place().join("fields-tree");
    std::fs::create_dir(&empty).unwrap();
    std::fs::write(empty.join("file"), b"content").unwrap();
    make_image(
        &image,
        "8M",
        &["-t", "ext4", "-b", "4096", "-O", "ea_inode,quota"],
        &empty,
    );
    // As much as debugfs takes, one block: too much for the inode or an xattr block.
    let long: Vec<u8> = (0..4096u32).map(|number| (number % 251) as u8).collect();
    let value = place().join("fields-value");
    std::fs::write(&value, &long).unwrap();
    // A time of 2100 (one epoch bit) with nanoseconds, a birth before 1970, large ids, flags.
    debugfs(
        &image,
        &format!(
            "sif file uid 70001\nsif file gid 3000000000\nsif file mtime @4102444800\n\
             sif file mtime_extra 0x1d6f3455\nsif file crtime @0xfffffff0\nsif file crtime_extra 0\n\
             sif file generation 77\nsif file flags 0x80070\n\
             ea_set -f {} file user.long\n\
             mknod old b 8 3\nmknod new c 300 60000\nmknod pipe p\n",
            value.display()
        ),
    );
    let (volume, lines) = mount(&image, "");
    let root = volume.root().unwrap();
    let file = volume.lookup(&root, b"file").unwrap().unwrap();
    assert_eq!(
        (file.uid, file.gid, file.generation),
        (70001, 3_000_000_000, 77)
    );
    assert_eq!(
        (file.modified.seconds, file.modified.nanoseconds),
        (4_102_444_800, 0x1d6f_3455 >> 2)
    );
    assert_eq!(file.created.unwrap().seconds, -16);
    assert_eq!(file.flags & 0x70, 0x70);
    assert_eq!(volume.list_xattrs(&file).unwrap(), b"user.long\0");
    assert!(volume.xattr(&file, b"user.long").unwrap() == long);
    for (name, kind, device) in [
        (&b"old"[..], Kind::BlockDevice, 0x803u32),
        (
            b"new",
            Kind::CharacterDevice,
            (60000 & 0xff) | (300 << 8) | ((60000 & !0xff) << 12),
        ),
        (b"pipe", Kind::Fifo, 0),
    ] {
        let node = volume.lookup(&root, name).unwrap().unwrap();
        assert_eq!(
            (node.kind, node.device()),
            (kind, device),
            "{}",
            String::from_utf8_lossy(name)
        );
    }
    assert_eq!(lines.all(), [] as [&str; 0]);
}

#[test]
fn figures_agree_with_the_superblock() {
    let image = check(
        "ext4-figures",
        &["-t", "ext4", "-b", "4096", "-m", "7"],
        "ext4",
    );
    let output = run("dumpe2fs", &["-h", image.to_str().unwrap()], &[0]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let field = |name: &str| -> u64 {
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .unwrap();
        line.trim().parse().unwrap()
    };
    let (volume, _) = mount(&image, "");
    let figures = volume.statistics();
    assert_eq!(
        figures.blocks,
        field("Block count:") - field("Overhead clusters:")
    );
    assert_eq!(figures.free_blocks, field("Free blocks:"));
    assert_eq!(figures.inodes, field("Inode count:"));
    assert_eq!(figures.free_inodes, field("Free inodes:"));
    let kept = (field("Block count:") / 50).min(4096);
    let expected = field("Free blocks:").saturating_sub(field("Reserved block count:") + kept);
    assert_eq!(figures.available_blocks, expected);
}

#[test]
fn an_offset_and_a_partition_table_that_tells_it() {
    let empty = place().join("offset-tree");
    std::fs::create_dir(&empty).unwrap();
    std::fs::write(empty.join("file"), b"content").unwrap();
    let image = place().join("offset.img");
    make_image(&image, "4M", &["-t", "ext2", "-b", "1024"], &empty);
    let mut disk = vec![0u8; 1 << 20];
    disk.extend_from_slice(&std::fs::read(&image).unwrap());
    // One Linux partition, from sector 2048 on.
    disk[446 + 4] = 0x83;
    disk[446 + 8..446 + 12].copy_from_slice(&2048u32.to_le_bytes());
    disk[446 + 12..446 + 16].copy_from_slice(&8192u32.to_le_bytes());
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    let path = place().join("disk.img");
    std::fs::write(&path, disk).unwrap();
    let source = file_source(&path);
    let Probe::Partitioned(text) = probe(&*source) else {
        panic!("{:?}", probe(&*source))
    };
    assert!(
        text.contains("1: offset=1048576 size=4194304 ext2"),
        "{text}"
    );
    for offset in ["1048576", "1M", "1024k", "0x100000"] {
        let (volume, _) = mount(&path, &format!("offset={offset}"));
        let file = volume
            .lookup(&volume.root().unwrap(), b"file")
            .unwrap()
            .unwrap();
        let mut buf = [0; 16];
        assert_eq!(volume.read(&file, 0, &mut buf).unwrap(), 7);
        assert_eq!(&buf[..7], b"content");
    }
    let error = view_ext::Volume::open(source, "", Box::new(|_| {}))
        .err()
        .unwrap();
    assert_eq!(error.to_string(), "bad ext2 magic 0x0000 (expected 0xef53)");
}

#[test]
fn features_nobody_can_read_are_refused_by_name() {
    let empty = place().join("refused-tree");
    std::fs::create_dir(&empty).unwrap();
    for (feature, name) in [("encrypt", "encrypt"), ("casefold", "casefold")] {
        let image = place().join(format!("{feature}.img"));
        make_image(&image, "8M", &["-t", "ext4", "-O", feature], &empty);
        let error = view_ext::Volume::open(file_source(&image), "", Box::new(|_| {}))
            .err()
            .unwrap();
        assert_eq!(
            error.to_string(),
            format!("the file system uses features that are not supported: {name}")
        );
    }
    let journal = place().join("journal-device.img");
    run(
        "mke2fs",
        &[
            "-q",
            "-F",
            "-O",
            "journal_dev",
            journal.to_str().unwrap(),
            "8M",
        ],
        &[0],
    );
    let error = view_ext::Volume::open(file_source(&journal), "", Box::new(|_| {}))
        .err()
        .unwrap();
    assert_eq!(
        error.to_string(),
        "the file system uses features that are not supported: journal_dev"
    );
}

#[test]
fn probe_names_what_it_sees() {
    let empty = place().join("probe-tree");
    std::fs::create_dir(&empty).unwrap();
    for (name, expected) in [
        ("ext2", Probe::Ext2),
        ("ext3", Probe::Ext3),
        ("ext4", Probe::Ext4),
    ] {
        let image = place().join(format!("probe-{name}.img"));
        make_image(&image, "8M", &["-t", name], &empty);
        assert_eq!(probe(&*file_source(&image)), expected);
    }
    let memory = |bytes: &[u8]| {
        let mut content = vec![0u8; 8192];
        content[..bytes.len()].copy_from_slice(bytes);
        probe(&fuse_compat::MemorySource::new(content))
    };
    assert_eq!(memory(b"QFI\xfb"), Probe::Other("a qcow2 image".to_owned()));
    assert_eq!(memory(b""), Probe::Other("of no known type".to_owned()));
    assert!(matches!(
        probe(&fuse_compat::MemorySource::new(vec![0; 10])),
        Probe::Other(_)
    ));
}
