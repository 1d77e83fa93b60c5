//! Writers on mutated images: whatever the bytes say, nothing panics or loops, and nothing is written where others
//! are: neither over files that no operation is about, nor over copies of the superblock, nor file
//! content over the file system's own blocks.
//!
//! `VIEW_EXT_MUTATIONS`: images of each kind.

mod common;

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use common::guarded::{CONTENT, Guarded, Layout};
use common::writable::{KINDS, Mounted, fresh};
use common::{Random, scratch};
use fuse_compat::RenameFlags;

fn rounds() -> u64 {
    std::env::var("VIEW_EXT_MUTATIONS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(150)
}

/// Inodes that operations are about.
const TARGETS: Range<u64> = 11..30;
const BYSTANDERS: u64 = 12;

fn bystander(number: u64) -> Vec<u8> {
    Random::new(1000 + number).bytes(9000)
}

/// Something of everything, with a large directory, a large map and attributes; and files that nothing happens to.
fn fill(image: &Path) {
    let fs = Mounted::open(image, "");
    let many = fs.mkdir(1, "many");
    let file = fs.create(1, "file");
    for number in 0..400 {
        fs.link(file, many, &format!("a-name-of-some-length-{number}"));
    }
    for piece in 0..150 {
        fs.write(file, piece * 8192, b"piece");
    }
    fs.symlink(1, "link", &"t".repeat(100));
    fs.set_xattr(file, "user.large", &[7; 500]).unwrap();
    let sub = fs.mkdir(many, "sub");
    fs.create(sub, "deep");
    while fs.create(sub, "filler") < TARGETS.end {
        fs.rename((sub, "filler"), (sub, "deep"), RenameFlags::empty())
            .unwrap();
    }
    let others = fs.mkdir(sub, "bystanders-of-all-this");
    for number in 0..BYSTANDERS {
        let name = format!("bystander-{number}");
        let node = fs.create(others, &name);
        assert!(node > TARGETS.end);
        fs.write(node, 0, &bystander(number));
    }
    fs.unmount();
}

/// The bytes of the bystanders: their content and their directory.
fn theirs(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut contents: Vec<Vec<u8>> = (0..BYSTANDERS)
        .flat_map(|number| {
            let content = bystander(number);
            let pieces: Vec<Vec<u8>> = content.chunks_exact(1024).map(<[u8]>::to_vec).collect();
            pieces
        })
        .collect();
    contents.sort();
    let name = b"bystander-3";
    (0..bytes.len() / 1024)
        .map(|place| place * 1024..(place + 1) * 1024)
        .filter(|range| {
            let piece = &bytes[range.clone()];
            let is_content = contents.binary_search_by(|one| one[..].cmp(piece)).is_ok();
            is_content || piece.windows(name.len()).any(|bytes| bytes == name)
        })
        .collect()
}

/// Operations whose answers do not matter.
fn use_it(fs: &Mounted, random: &mut Random) {
    let nodes: Vec<u64> = TARGETS.chain([1]).collect();
    let content = CONTENT.repeat(80);
    for _ in 0..60 {
        let node = nodes[random.below(nodes.len() as u64) as usize];
        let other = nodes[random.below(nodes.len() as u64) as usize];
        let name = format!("a-name-of-some-length-{}", random.below(400));
        match random.below(12) {
            0 => drop(fs.try_create(node, &format!("new-{}", random.below(1000)))),
            1 => drop(fs.try_mkdir(node, &format!("dir-{}", random.below(1000)))),
            2 => drop(fs.unlink(node, &name)),
            3 => drop(fs.rename((node, &name), (other, "moved"), RenameFlags::empty())),
            4 => drop(fs.rename((node, &name), (other, "file"), RenameFlags::RENAME_EXCHANGE)),
            5 => drop(fs.try_write(node, random.below(2_000_000), &content)),
            6 => drop(fs.try_truncate(node, random.below(1_000_000))),
            7 => drop(fs.fallocate(node, random.below(100_000), 50_000, random.below(4) as i32)),
            8 => drop(fs.set_xattr(node, "user.new", &[3; 300])),
            9 => drop(fs.remove_xattr(node, "user.large")),
            10 => drop(fs.try_link(node, other, "another")),
            _ => drop(fs.rmdir(node, "sub")),
        }
    }
    fs.forget_all();
    let _ = fs.ext().sync();
}

#[test]
fn a_guarded_source_tells() {
    let only = |range: Range<usize>| std::iter::once(range).collect();
    let source = Guarded::new(vec![1; 4096], only(0..512), only(2048..4096));
    let write = |offset, data: &[u8]| fuse_compat::BlockSource::write_at(&source, offset, data);
    write(500, &[1; 100]).unwrap();
    write(1024, &CONTENT).unwrap();
    write(2048, &[2; 1000]).unwrap();
    assert_eq!(source.faults(), [] as [&str; 0]);
    write(500, &[2; 100]).unwrap();
    write(2000, &CONTENT.repeat(2)).unwrap();
    assert_eq!(source.faults().len(), 2);
}

#[test]
fn mutated_images_are_written_without_panic_or_harm_to_others() {
    let directory = scratch("mutated-writing");
    let mut writable = 0u32;
    let mut guarded = 0u32;
    for kind in KINDS {
        let has_sums = matches!(kind.name, "ext4" | "ext4-1k" | "ext4-no-journal");
        let has_journal = !kind.name.starts_with("ext2") && kind.name != "ext4-no-journal";
        let image = fresh(&directory, kind, "12M");
        fill(&image);
        let bytes = std::fs::read(&image).unwrap();
        let layout = Layout::of(&image, has_journal);
        let others = theirs(&bytes);
        assert!(others.len() as u64 > BYSTANDERS * 8, "{}", kind.name);
        // Where something is.
        let used: Vec<usize> = (0..bytes.len() / 64)
            .filter(|piece| {
                bytes[piece * 64..piece * 64 + 64]
                    .iter()
                    .any(|byte| *byte != 0 && *byte != 0xff)
            })
            .collect();
        let mut random = Random::new(77);
        for round in 0..rounds() {
            let mut mutated = bytes.clone();
            let mut is_head = false;
            for _ in 0..1 + random.below(24) {
                let piece = used[random.below(used.len() as u64) as usize];
                let place = piece * 64 + random.below(64) as usize;
                is_head |= layout.head.contains(&place);
                mutated[place] = match random.below(3) {
                    0 => 0xff,
                    1 => mutated[place] ^ 1 << random.below(8),
                    _ => random.next() as u8,
                };
            }
            // Without checksums a mutated image may say with good faith that a file has the blocks of another, or (in its
            // descriptors) that the tables are elsewhere.
            let mut kept = Vec::new();
            let mut own = Vec::new();
            if has_sums {
                kept.extend_from_slice(&others);
            }
            if has_sums || !is_head {
                kept.extend_from_slice(&layout.backups);
                own.clone_from(&layout.own);
                guarded += 1;
            }
            let source = Arc::new(Guarded::new(mutated, kept, own));
            let result = catch_unwind(AssertUnwindSafe(|| {
                let Some(fs) = Mounted::try_over(source.clone(), &image) else {
                    return false;
                };
                let is_writable = fs.ext().is_writable();
                use_it(&fs, &mut Random::new(round));
                fs.destroy();
                is_writable
            }));
            match result {
                Ok(true) => writable += 1,
                Ok(false) => {}
                Err(_) => panic!("{} round {round}", kind.name),
            }
            let faults = source.faults();
            assert!(faults.is_empty(), "{} round {round}: {faults:?}", kind.name);
        }
    }
    println!("{writable} of the images could be written, {guarded} were guarded");
    assert!(
        u64::from(writable) > rounds(),
        "only {writable} images could be written"
    );
}
