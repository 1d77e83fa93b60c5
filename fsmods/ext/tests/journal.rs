//! Unclean journals: what a mount shows equals what e2fsck makes of a copy, and the image stays as it is.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use common::{Lines, Random, debugfs, file_source, make_image, mount, run, scratch};
use view_ext::{MountError, Volume};

fn place() -> &'static Path {
    static PLACE: OnceLock<PathBuf> = OnceLock::new();
    PLACE.get_or_init(|| scratch("journal"))
}

const BLOCK_BYTES: u64 = 1024;

/// An image with a file of 40 blocks and a journal.
fn image(name: &str, options: &[&str]) -> PathBuf {
    let tree = place().join(format!("{name}-tree"));
    fs::create_dir(&tree).unwrap();
    fs::write(tree.join("file"), Random::new(1).bytes(40 * 1024)).unwrap();
    fs::write(tree.join("other"), Random::new(2).bytes(40 * 1024)).unwrap();
    let image = place().join(format!("{name}.img"));
    let mut all = vec!["-b", "1024"];
    all.extend_from_slice(options);
    make_image(&image, "16M", &all, &tree);
    image
}

/// The blocks of a file (or the inode `<8>`) with the data.
fn blocks_of(image: &Path, name: &str) -> Vec<u64> {
    let output = run(
        "debugfs",
        &["-R", &format!("blocks {name}"), image.to_str().unwrap()],
        &[0],
    );
    let text = String::from_utf8(output.stdout).unwrap();
    let mut blocks: Vec<u64> = text
        .split_whitespace()
        .map(|number| number.parse().unwrap())
        .collect();
    // Of the 41 blocks of a file without extents, the one after the twelve direct ones is the map.
    if blocks.len() == 41 {
        blocks.remove(12);
    }
    blocks
}

fn content(volume: &Volume, name: &[u8]) -> Vec<u8> {
    let inode = volume
        .lookup(&volume.root().unwrap(), name)
        .unwrap()
        .unwrap();
    let mut content = vec![0; usize::try_from(inode.size).unwrap()];
    assert_eq!(volume.read(&inode, 0, &mut content).unwrap(), content.len());
    content
}

/// Mounts the image and a copy that e2fsck has replayed, compares them, and answers the log's lines.
fn check_against_e2fsck(image: &Path) -> Vec<String> {
    let before = fs::read(image).unwrap();
    let copy = image.with_extension("copy");
    fs::write(&copy, &before).unwrap();
    run("e2fsck", &["-f", "-y", copy.to_str().unwrap()], &[0, 1]);
    let (volume, lines) = mount(image, "");
    let (replayed, _) = mount(&copy, "");
    for name in [&b"file"[..], b"other"] {
        assert!(
            content(&volume, name) == content(&replayed, name),
            "{}",
            String::from_utf8_lossy(name)
        );
    }
    assert_eq!(volume.statistics(), replayed.statistics());
    assert!(fs::read(image).unwrap() == before, "the image is unchanged");
    lines.all()
}

/// Writes blocks of data where debugfs can take them from.
fn data_file(name: &str, seed: u64, count: usize) -> PathBuf {
    let path = place().join(format!("{name}-{seed}.data"));
    fs::write(&path, Random::new(seed).bytes(count * 1024)).unwrap();
    path
}

fn list(blocks: &[u64]) -> String {
    blocks
        .iter()
        .map(u64::to_string)
        .collect::<Vec<_>>()
        .join(",")
}

/// Several transactions: overwritten blocks, revoked blocks, a block that looks like the journal's own.
fn transactions(image: &Path, name: &str, open: &str) {
    let file = blocks_of(image, "file");
    let other = blocks_of(image, "other");
    let escaped = place().join(format!("{name}-escaped.data"));
    let mut bytes = Random::new(9).bytes(1024);
    bytes[..4].copy_from_slice(&0xc03b_3998u32.to_be_bytes());
    fs::write(&escaped, bytes).unwrap();
    let write = |seed: u64, blocks: &[u64]| {
        format!(
            "jw -b {} {}\n",
            list(blocks),
            data_file(name, seed, blocks.len()).display()
        )
    };
    let commands = [
        format!("{open}\n"),
        write(10, &file[..10]),
        write(11, &file[5..15]),
        write(12, &other[..12]),
        format!("jw -r {}\n", list(&other[3..7])),
        write(13, &other[6..8]),
        format!("jw -b {} {}\n", file[20], escaped.display()),
        "jc\n".to_owned(),
    ];
    debugfs(image, &commands.concat());
}

#[test]
fn journals_of_every_checksum_version_are_replayed() {
    let kinds: [(&str, &[&str], &str); 5] = [
        ("ext3", &["-t", "ext3"], "jo"),
        (
            "ext4-32",
            &["-t", "ext4", "-O", "^64bit,^metadata_csum"],
            "jo",
        ),
        ("ext4-64", &["-t", "ext4", "-O", "^metadata_csum"], "jo"),
        ("ext4-v2", &["-t", "ext4"], "jo -c -v 2"),
        ("ext4-v3", &["-t", "ext4"], "jo -c -v 3"),
    ];
    for (name, options, open) in kinds {
        let image = image(name, options);
        let (clean, lines) = mount(&image, "");
        let old = content(&clean, b"file");
        assert_eq!(lines.all(), [] as [&str; 0]);
        transactions(&image, name, open);
        let lines = check_against_e2fsck(&image);
        assert!(
            lines
                .iter()
                .any(|line| line.contains("replayed in memory") && line.contains("6 transactions")),
            "{name}: {lines:?}"
        );
        let (volume, _) = mount(&image, "");
        let new = content(&volume, b"file");
        assert!(new != old, "{name}");
        let start = 20 * 1024;
        assert_eq!(
            new[start..start + 4],
            0xc03b_3998u32.to_be_bytes(),
            "{name}: the escaped block"
        );
        let (ignoring, lines) = mount(&image, "noload");
        assert!(content(&ignoring, b"file") == old, "{name}");
        assert_eq!(lines.all(), [] as [&str; 0]);
    }
}

#[test]
fn metadata_in_the_journal_is_seen() {
    let image = image("metadata", &["-t", "ext4"]);
    // The changed copy of an image's inode table and superblock, written through the journal.
    let changed = place().join("metadata-changed.img");
    fs::copy(&image, &changed).unwrap();
    debugfs(&changed, "sif file uid 4711\nrm other\n");
    let (old, new) = (fs::read(&image).unwrap(), fs::read(&changed).unwrap());
    let size = usize::try_from(BLOCK_BYTES).unwrap();
    let numbers: Vec<u64> = (0..old.len() / size)
        .filter(|block| {
            old[block * size..(block + 1) * size] != new[block * size..(block + 1) * size]
        })
        .map(|block| block as u64)
        .collect();
    assert!(numbers.contains(&1), "the superblock changed: {numbers:?}");
    let data = place().join("metadata.data");
    let bytes: Vec<u8> = numbers
        .iter()
        .flat_map(|block| {
            let at = usize::try_from(*block).unwrap() * size;
            new[at..at + size].to_vec()
        })
        .collect();
    fs::write(&data, bytes).unwrap();
    debugfs(
        &image,
        &format!("jo -c\njw -b {} {}\njc\n", list(&numbers), data.display()),
    );
    let (volume, _) = mount(&image, "");
    let root = volume.root().unwrap();
    assert_eq!(volume.lookup(&root, b"file").unwrap().unwrap().uid, 4711);
    assert!(volume.lookup(&root, b"other").unwrap().is_none());
    let (expected, _) = mount(&changed, "");
    assert_eq!(volume.statistics(), expected.statistics());
}

#[test]
fn a_log_that_wraps_around_its_end() {
    let image = image(
        "wrap",
        &["-t", "ext4", "-O", "^metadata_csum", "-J", "size=1"],
    );
    let log = blocks_of(&image, "<8>");
    assert!(log.len() >= 1024);
    transactions(&image, "wrap", "jo");
    // debugfs always starts at block 1. Turn the ring of blocks so that the log starts near its end.
    let mut bytes = fs::read(&image).unwrap();
    let size = usize::try_from(BLOCK_BYTES).unwrap();
    let at = |number: usize| usize::try_from(log[number]).unwrap() * size;
    let ring: Vec<Vec<u8>> = (1..1024)
        .map(|number| bytes[at(number)..at(number) + size].to_vec())
        .collect();
    let start = 1000usize;
    for (place, content) in ring.iter().enumerate() {
        let number = 1 + (start - 1 + place) % ring.len();
        bytes[at(number)..at(number) + size].copy_from_slice(content);
    }
    let field = at(0) + 0x1c;
    assert_eq!(bytes[field..field + 4], 1u32.to_be_bytes());
    bytes[field..field + 4].copy_from_slice(&u32::try_from(start).unwrap().to_be_bytes());
    fs::write(&image, bytes).unwrap();
    let lines = check_against_e2fsck(&image);
    assert!(
        lines.iter().any(|line| line.contains("6 transactions")),
        "{lines:?}"
    );
}

#[test]
fn fast_commits_are_left_alone_and_mentioned() {
    let image = image(
        "fast",
        &[
            "-t",
            "ext4",
            "-O",
            "fast_commit,^metadata_csum",
            "-J",
            "size=4",
        ],
    );
    transactions(&image, "fast", "jo");
    let log = blocks_of(&image, "<8>");
    let original = fs::read(&image).unwrap();
    let at = |number: usize| usize::try_from(log[number] * BLOCK_BYTES).unwrap();
    // mke2fs has made an area for them, the kernel sets the journal's feature bit at the first mount.
    let area = u32::from_be_bytes(original[at(0) + 0x54..at(0) + 0x58].try_into().unwrap());
    let length = u32::from_be_bytes(original[at(0) + 0x10..at(0) + 0x14].try_into().unwrap());
    assert!(area > 0);
    for (transaction, is_mentioned) in [(7u32, true), (6, false)] {
        let mut bytes = original.clone();
        bytes[at(0) + 0x2b] |= 0x20;
        // The head of a fast commit: tag, length, features, transaction.
        let head = at(usize::try_from(length - area).unwrap());
        bytes[head..head + 8].copy_from_slice(&[9, 0, 8, 0, 0, 0, 0, 0]);
        bytes[head + 8..head + 12].copy_from_slice(&transaction.to_le_bytes());
        fs::write(&image, bytes).unwrap();
        let (volume, lines) = mount(&image, "");
        assert_eq!(
            lines.all().iter().any(|line| line.contains("fast commits")),
            is_mentioned
        );
        assert!(
            lines
                .all()
                .iter()
                .any(|line| line.contains("6 transactions"))
        );
        assert_eq!(content(&volume, b"file").len(), 40 * 1024);
    }
}

#[test]
fn a_damaged_log_ends_or_refuses_the_mount() {
    let image = image("damaged", &["-t", "ext4"]);
    transactions(&image, "damaged", "jo -c");
    let log = blocks_of(&image, "<8>");
    let original = fs::read(&image).unwrap();
    let damaged = place().join("damaged-copy.img");
    let flip = |block: u64| {
        let mut bytes = original.clone();
        bytes[usize::try_from(block * BLOCK_BYTES).unwrap() + 500] ^= 1;
        fs::write(&damaged, bytes).unwrap();
        let lines = Lines::default();
        (
            Volume::open(file_source(&damaged), "", lines.sink()),
            lines.all(),
        )
    };
    // Block 1 of the log is a descriptor, 2 to 11 are copies, 12 is the commit.
    let (volume, lines) = flip(log[1]);
    assert!(volume.is_ok());
    assert!(
        lines[0].contains("the log ends early") && lines[0].contains("descriptor"),
        "{lines:?}"
    );
    let Err(error) = flip(log[3]).0 else {
        panic!("a damaged copy is not to be used")
    };
    assert!(matches!(error, MountError::Journal(_)));
    assert!(error.to_string().contains("wrong checksum"), "{error}");
    mount(&damaged, "noload");
    let Err(error) = flip(log[0]).0 else {
        panic!("the journal's superblock is damaged")
    };
    assert!(error.to_string().contains("superblock checksum"), "{error}");
}

#[test]
fn external_journals_are_refused_by_name() {
    let image = image("external", &["-t", "ext4"]);
    // The journal inode goes, the journal's UUID stays: that is how an external journal is noted.
    debugfs(
        &image,
        "ssv journal_inum 0\nssv journal_dev 0x801\nssv journal_uuid 01234567-89ab-cdef-0123-456789abcdef\n",
    );
    let error = Volume::open(file_source(&image), "", Box::new(|_| {}))
        .err()
        .unwrap();
    let text = error.to_string();
    assert!(
        text.contains("external device") && text.contains("01234567-89ab-cdef-0123-456789abcdef"),
        "{text}"
    );
    mount(&image, "noload");
}
