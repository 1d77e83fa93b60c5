//! Disks that are full or fail at every step of an untar: the right errno, nothing damaged, the space comes back.
//!
//! `VIEW_EXT_FULL_STEP`: KiB from one image size to the next, and writes from one failure to the next.

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use common::crashed::Shown;
use common::failing::Failing;
use common::writable::{Kind, Mounted, check};
use common::{Random, run, scratch};

struct Image {
    kind: Kind,
    /// KiB of the smallest image that is tried, and of the first that has room for everything.
    sizes: (u64, u64),
}

const IMAGES: &[Image] = &[
    Image {
        kind: Kind {
            name: "ext4-1k",
            options: &["-t", "ext4", "-b", "1024", "-J", "size=1"],
        },
        sizes: (1600, 3400),
    },
    Image {
        kind: Kind {
            name: "ext4-no-journal",
            options: &["-t", "ext4", "-O", "^has_journal"],
        },
        sizes: (400, 2600),
    },
    Image {
        kind: Kind {
            name: "ext3-inodes",
            options: &["-t", "ext3", "-b", "1024", "-J", "size=1", "-N", "100"],
        },
        sizes: (1600, 3400),
    },
    Image {
        kind: Kind {
            name: "ext2",
            options: &["-t", "ext2", "-b", "1024"],
        },
        sizes: (300, 2200),
    },
];

fn step() -> u64 {
    std::env::var("VIEW_EXT_FULL_STEP")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(97)
}

fn make(kind: &Kind, path: &Path, kibibytes: u64) {
    let _ = std::fs::remove_file(path);
    let size = format!("{kibibytes}k");
    let mut arguments = vec!["-q", "-F"];
    arguments.extend_from_slice(kind.options);
    arguments.extend_from_slice(&[path.to_str().unwrap(), &size]);
    run("mke2fs", &arguments, &[0]);
}

/// What an untar did.
#[derive(Default)]
struct Untarred {
    /// Files by path with the part of their content that was accepted.
    files: BTreeMap<String, Vec<u8>>,
    failures: Vec<i32>,
}

/// Goes on after each failure, as tar(1) does.
fn untar(fs: &Mounted) -> Untarred {
    let mut random = Random::new(9);
    let mut done = Untarred::default();
    for number in 0..10 {
        let name = format!("directory-{number}");
        let made = fs.try_mkdir(1, &name);
        for file in 0..12 {
            let size = random.below(30_000) as usize;
            let content = random.bytes(size);
            let Ok(directory) = made else { continue };
            let name = format!("file-of-a-name-that-is-rather-long-{file}");
            let path = format!("directory-{number}/{name}");
            match fs.try_create(directory, &name) {
                Ok(node) => {
                    let mut accepted = 0;
                    for piece in content.chunks(9000) {
                        match fs.try_write(node, accepted as u64, piece) {
                            Ok(count) => accepted += count,
                            Err(error) => {
                                done.failures.push(error);
                                break;
                            }
                        }
                    }
                    if file % 4 == 0
                        && let Err(error) = fs.set_xattr(node, "user.large", &[7; 700])
                    {
                        done.failures.push(error);
                    }
                    done.files.insert(path, content[..accepted].to_vec());
                    if file % 5 == 0
                        && let Err(error) = fs.try_link(node, 1, &format!("link-{number}-{file}"))
                    {
                        done.failures.push(error);
                    }
                }
                Err(error) => done.failures.push(error),
            }
        }
        done.failures.extend(made.err());
        if number % 3 == 2 {
            done.failures
                .extend(fs.ext().sync().err().map(|error| error.code()));
        }
    }
    done
}

fn find(fs: &Mounted, path: &str) -> Result<u64, i32> {
    path.split('/')
        .try_fold(1, |parent, name| fs.lookup(parent, name))
}

fn remove_all(fs: &Mounted) {
    for name in fs.names(1) {
        if name == "lost+found" {
            continue;
        }
        let node = fs.lookup(1, &name).unwrap();
        match name.starts_with("directory") {
            true => {
                for inner in fs.names(node) {
                    fs.unlink(node, &inner).unwrap();
                }
                fs.rmdir(1, &name).unwrap();
            }
            false => fs.unlink(1, &name).unwrap(),
        }
    }
    fs.forget_all();
}

/// An untar into images that are too small by every amount.
#[test]
fn every_size_of_a_full_filesystem() {
    let directory = scratch("full-disk");
    let place = Shown::new("full", &directory);
    let image = place.path();
    for Image { kind, sizes } in IMAGES {
        let (mut full, mut fitted) = (0, 0);
        for size in (sizes.0..=sizes.1).step_by(step() as usize) {
            let context = format!("{} of {size} KiB", kind.name);
            make(kind, image, size);
            let fs = Mounted::open(image, "");
            let free = fs.free();
            let done = untar(&fs);
            let is_right = done.failures.iter().all(|error| *error == libc::ENOSPC);
            assert!(is_right, "{context}: {:?}", done.failures);
            match done.failures.is_empty() {
                true => fitted += 1,
                false => full += 1,
            }
            fs.ext().sync().unwrap();
            fs.unmount();
            check(image);
            let fs = Mounted::open(image, "");
            for (path, content) in &done.files {
                let node = find(&fs, path).unwrap();
                let found = fs.read_all(node);
                assert!(found == *content, "{context}: {path}: {}", found.len());
            }
            remove_all(&fs);
            fs.sync();
            assert_eq!(fs.free(), free, "{context}");
            // What did fit fits again.
            let again = untar(&fs);
            assert_eq!(again.files.len(), done.files.len(), "{context}");
            fs.unmount();
            check(image);
        }
        println!("{}: {full} too small, {fitted} large enough", kind.name);
        assert!(full > 0, "{}", kind.name);
    }
}

/// The disk below the image fails from some write on: the caller hears of it, what was synced is there.
#[test]
fn every_moment_of_a_failing_host() {
    let directory = scratch("failing-host");
    let mut place = Shown::new("failing", &directory);
    for Image { kind, sizes } in IMAGES {
        let image = directory.join(kind.name);
        make(kind, &image, sizes.1 + 400);
        let mut failed = 0;
        for (round, left) in (0..).step_by(step() as usize).enumerate() {
            let context = format!("{}, failing after {left}", kind.name);
            let errno = [libc::EIO, libc::ENOSPC][round % 2];
            let source = Arc::new(Failing::new(&image, errno));
            let fs = Mounted::over(source.clone(), &image, "");
            let kept = fs.create(1, "kept");
            fs.write(kept, 0, b"synced");
            fs.sync();
            source.fail_after(left);
            let mut done = untar(&fs);
            let last = fs.ext().sync().err().map(|error| error.code());
            done.failures.extend(last);
            fs.destroy();
            if kind.name.contains("inodes") {
                // Inodes run out by themselves.
                done.failures.retain(|error| *error != libc::ENOSPC);
            }
            if done.failures.is_empty() {
                break;
            }
            failed += 1;
            // Whatever the host says, to the program it is a disk that fails; and then one that takes nothing any more.
            let first = done.failures[0];
            assert_eq!(first, libc::EIO, "{context}");
            let is_right = |error: &i32| matches!(*error, libc::EIO | libc::EROFS);
            assert!(
                done.failures.iter().all(is_right),
                "{context}: {:?}",
                done.failures
            );
            std::fs::write(place.path(), source.contents()).unwrap();
            if kind.name.contains("no-journal") || kind.name == "ext2" {
                place.repair("-y");
            }
            let fs = Mounted::open(place.path(), "");
            let kept = fs.lookup(1, "kept").unwrap();
            assert_eq!(fs.read_all(kept), b"synced", "{context}");
            fs.unmount();
            place.must_be_clean(&context);
        }
        println!("{}: failed at {failed} places", kind.name);
        assert!(failed > 0, "{}", kind.name);
    }
}
