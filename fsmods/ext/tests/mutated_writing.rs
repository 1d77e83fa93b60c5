//! Writers on mutated images: whatever the bytes say, nothing panics or loops.

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use common::writable::{KINDS, Mounted, fresh};
use common::{Random, scratch};
use fuse_compat::{MemorySource, RenameFlags};

fn rounds() -> u64 {
    std::env::var("VIEW_EXT_MUTATIONS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(150)
}

/// Something of everything, with a large directory, a large map and attributes.
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
    fs.unmount();
}

/// Operations whose answers do not matter.
fn use_it(fs: &Mounted, random: &mut Random) {
    let nodes: Vec<u64> = (11..30).chain([1]).collect();
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
            5 => drop(fs.try_write(node, random.below(2_000_000), &[1; 5000])),
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
fn nothing_panics_on_mutated_images() {
    let directory = scratch("mutated-writing");
    let mut writable = 0u32;
    for kind in KINDS {
        let image = fresh(&directory, kind, "12M");
        fill(&image);
        let bytes = std::fs::read(&image).unwrap();
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
            for _ in 0..1 + random.below(24) {
                let piece = used[random.below(used.len() as u64) as usize];
                let place = piece * 64 + random.below(64) as usize;
                mutated[place] = match random.below(3) {
                    0 => 0xff,
                    1 => mutated[place] ^ 1 << random.below(8),
                    _ => random.next() as u8,
                };
            }
            let result = catch_unwind(AssertUnwindSafe(|| {
                let Some(fs) = Mounted::try_over(Arc::new(MemorySource::new(mutated)), &image)
                else {
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
        }
    }
    assert!(
        u64::from(writable) > rounds(),
        "only {writable} images could be written"
    );
}
