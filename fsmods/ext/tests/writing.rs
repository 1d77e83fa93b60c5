//! Writing: operations on images of every kind, compared with a model in memory, and e2fsck(8) afterwards.

mod common;

use std::path::Path;

use common::writable::{KINDS, Mounted, check, fresh};
use common::{Random, scratch};

#[test]
fn a_file_is_written_and_read_back_after_a_clean_unmount() {
    let directory = scratch("writing-simple");
    for kind in KINDS {
        let image = fresh(&directory, kind, "32M");
        let content = Random::new(3).bytes(300_000);
        {
            let fs = Mounted::open(&image, "");
            let file = fs.create(1, "file");
            fs.write(file, 0, &content);
            let sub = fs.mkdir(1, "directory");
            let deep = fs.create(sub, "deep");
            fs.write(deep, 70_000, b"behind a hole");
            fs.symlink(sub, "short", "target");
            fs.symlink(sub, "long", &"x".repeat(200));
            fs.sync();
            fs.unmount();
        }
        check(&image);
        let fs = Mounted::open(&image, "ro");
        let file = fs.lookup(1, "file").unwrap();
        assert_eq!(fs.read_all(file), content, "{}", kind.name);
        let sub = fs.lookup(1, "directory").unwrap();
        let deep = fs.lookup(sub, "deep").unwrap();
        let mut expected = vec![0u8; 70_000];
        expected.extend_from_slice(b"behind a hole");
        assert_eq!(fs.read_all(deep), expected, "{}", kind.name);
        let long = fs.lookup(sub, "long").unwrap();
        assert_eq!(fs.read_link(long), "x".repeat(200));
    }
}

#[test]
fn many_names_grow_the_index_and_all_go_again() {
    let directory = scratch("writing-many");
    for kind in KINDS {
        let image = fresh(&directory, kind, "64M");
        let count = if kind.name.contains("linear") {
            1500
        } else {
            4000
        };
        let name = |number: u32| format!("a-name-of-some-length-{number:06}");
        let fs = Mounted::open(&image, "");
        let sub = fs.mkdir(1, "many");
        let first = fs.create(sub, &name(0));
        for number in 1..count {
            fs.link(first, sub, &name(number));
        }
        assert_eq!(fs.names(sub).len(), count as usize, "{}", kind.name);
        for number in (0..count).step_by(97) {
            assert_eq!(fs.lookup(sub, &name(number)), Ok(first), "{}", kind.name);
        }
        fs.sync();
        let fs = fs.remount();
        check(&image);
        let fs2 = fs;
        let sub = fs2.lookup(1, "many").unwrap();
        for number in 0..count {
            fs2.unlink(sub, &name(number)).unwrap();
        }
        assert_eq!(fs2.names(sub).len(), 0);
        fs2.rmdir(1, "many").unwrap();
        fs2.unmount();
        check(&image);
    }
}

#[test]
fn free_space_comes_back() {
    let directory = scratch("writing-space");
    for kind in KINDS {
        let image = fresh(&directory, kind, "32M");
        let fs = Mounted::open(&image, "");
        let before = fs.free();
        let content = vec![7u8; 1 << 20];
        let mut count = 0u32;
        let error = loop {
            let file = fs.create(1, &format!("file-{count}"));
            match fs.try_write(file, 0, &content) {
                Ok(written) if written == content.len() => count += 1,
                Ok(_) => {
                    count += 1;
                }
                Err(error) => break error,
            }
            assert!(count < 64);
        };
        assert_eq!(error, libc::ENOSPC, "{}", kind.name);
        for number in 0..=count {
            fs.unlink(1, &format!("file-{number}")).unwrap();
        }
        fs.forget_all();
        fs.sync();
        assert_eq!(fs.free(), before, "{}", kind.name);
        fs.unmount();
        check(&image);
    }
}

#[test]
fn unlinked_files_live_while_referred_to() {
    let directory = scratch("writing-orphans");
    for kind in KINDS {
        let image = fresh(&directory, kind, "32M");
        let fs = Mounted::open(&image, "");
        let before = fs.free();
        let file = fs.create(1, "file");
        fs.write(file, 0, &[1; 50_000]);
        fs.unlink(1, "file").unwrap();
        fs.write(file, 50_000, &[2; 1000]);
        assert_eq!(fs.read_all(file).len(), 51_000);
        let unnamed = fs.tmpfile(1);
        fs.write(unnamed, 0, b"no name");
        let kept = fs.tmpfile(1);
        fs.write(kept, 0, b"named later");
        fs.link(kept, 1, "kept");
        fs.forget_all();
        fs.sync();
        let fs = fs.remount();
        check(&image);
        let kept = fs.lookup(1, "kept").unwrap();
        assert_eq!(fs.read_all(kept), b"named later");
        fs.unlink(1, "kept").unwrap();
        fs.forget_all();
        fs.sync();
        assert_eq!(fs.free(), before, "{}", kind.name);
        fs.unmount();
        check(&image);
    }
}

#[test]
fn random_operations_agree_with_a_model() {
    let directory = scratch("writing-model");
    let rounds: u64 = std::env::var("VIEW_EXT_MODEL_OPERATIONS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(1500);
    for kind in KINDS {
        let image = fresh(&directory, kind, "48M");
        common::model::run(&image, kind.name, 11, rounds);
        check(&image);
    }
}

#[test]
fn the_source_tree_of_images_can_be_added_to() {
    let directory = scratch("writing-existing");
    let tree = directory.join("tree");
    std::fs::create_dir(&tree).unwrap();
    let limits = common::tree::Limits {
        longest_link: 1000,
        has_holes_at_ends: false,
        has_xattrs: true,
    };
    common::tree::build(&tree, limits);
    for (name, options) in [
        ("ext4", &["-t", "ext4"][..]),
        ("inline", &["-t", "ext4", "-O", "inline_data"]),
        ("ext3", &["-t", "ext3"]),
    ] {
        let image = directory.join(name);
        common::make_image(&image, "96M", options, &tree);
        add_to(&image, name);
    }
}

fn add_to(image: &Path, name: &str) {
    common::index_directories(image);
    let fs = Mounted::open(image, "");
    let many = fs.lookup(1, "many").unwrap();
    for number in 0..300 {
        fs.create(many, &format!("another-{number}"));
    }
    let names = fs.lookup(1, "names").unwrap();
    for count in 1..30 {
        let small = fs.lookup(names, &format!("with-{count}")).unwrap();
        fs.create(small, "one-more");
        fs.unlink(small, "f0").unwrap();
    }
    for size in [0, 1, 59, 60, 61, 100, 156, 160, 300, 4096] {
        let file = fs.lookup(1, &format!("size-{size}")).unwrap();
        let mut expected = fs.read_all(file);
        fs.write(file, size, b"appended");
        expected.extend_from_slice(b"appended");
        assert_eq!(fs.read_all(file), expected, "{name}: {size}");
    }
    let holes = fs.lookup(1, "holes").unwrap();
    fs.truncate(holes, 5_000_000);
    let sparse = fs.lookup(1, "sparse-5g").unwrap();
    fs.truncate(sparse, 0);
    let xattrs = fs.lookup(1, "xattrs").unwrap();
    let more = fs.lookup(xattrs, "more").unwrap();
    fs.set_xattr(more, "user.new", b"value").unwrap();
    fs.remove_xattr(more, "user.attribute3").unwrap();
    assert_eq!(fs.xattr(more, "user.new").unwrap(), b"value");
    fs.unlink(xattrs, "long").unwrap();
    fs.unmount();
    check(image);
}

#[test]
fn names_stay_in_an_open_listing_while_they_change() {
    let directory = scratch("writing-listing");
    let image = fresh(&directory, &KINDS[1], "32M");
    let fs = Mounted::open(&image, "");
    let many = fs.mkdir(1, "many");
    let first = fs.create(many, "first");
    for number in 0..1000 {
        fs.link(first, many, &format!("stays-{number}"));
    }
    let seen = fs.list_while(many, |round| {
        // The tree is split over and over while it is read.
        fs.link(first, many, &format!("comes-{round}-{}", "x".repeat(100)));
    });
    for number in 0..1000 {
        let name = format!("stays-{number}");
        assert_eq!(
            seen.iter().filter(|seen| **seen == name).count(),
            1,
            "{name}"
        );
    }
    fs.unmount();
    check(&image);
}

#[test]
fn attributes_move_to_a_block_and_back() {
    let directory = scratch("writing-xattrs");
    for kind in KINDS {
        let image = fresh(&directory, kind, "32M");
        let fs = Mounted::open(&image, "");
        let before = fs.free();
        let file = fs.create(1, "file");
        let value = |number: u8| vec![number; 20 + usize::from(number) * 9];
        for number in 0..10 {
            fs.set_xattr(file, &format!("user.number-{number}"), &value(number))
                .unwrap();
        }
        assert_eq!(
            fs.set_xattr(file, "user.huge", &[1; 60_000]),
            Err(libc::ENOSPC)
        );
        fs.sync();
        let fs = fs.remount();
        check(&image);
        let file = fs.lookup(1, "file").unwrap();
        for number in 0..10 {
            let name = format!("user.number-{number}");
            assert_eq!(
                fs.xattr(file, &name).unwrap(),
                value(number),
                "{}",
                kind.name
            );
            fs.remove_xattr(file, &name).unwrap();
            assert_eq!(fs.xattr(file, &name), Err(libc::ENODATA));
        }
        fs.unlink(1, "file").unwrap();
        fs.forget_all();
        fs.sync();
        assert_eq!(fs.free(), before, "{}", kind.name);
        fs.unmount();
        check(&image);
    }
}

#[test]
fn a_failing_disk_makes_the_mount_read_only_and_the_image_stays_good() {
    let directory = scratch("writing-failing");
    for kind in KINDS
        .iter()
        .filter(|kind| matches!(kind.name, "ext4" | "ext3"))
    {
        let image = fresh(&directory, kind, "16M");
        for left in [0, 1, 2, 3, 5, 8, 13, 40, 100] {
            let source = std::sync::Arc::new(common::failing::Failing::new(&image, libc::EIO));
            let fs = Mounted::over(source.clone(), &image, "");
            let _ = fs.unlink(1, "kept");
            let file = fs.create(1, "kept");
            fs.write(file, 0, b"synced");
            fs.sync();
            source.fail_after(left);
            let mut failures = Vec::new();
            for number in 0..40 {
                match fs.try_create(1, &format!("lost-{left}-{number}")) {
                    Ok(node) => failures.extend(fs.try_write(node, 0, &[1; 9000]).err()),
                    Err(error) => failures.push(error),
                }
                failures.extend(fs.ext().sync().err().map(|error| error.code()));
            }
            assert!(failures.contains(&libc::EIO), "{failures:?}");
            if left < 40 {
                assert_eq!(failures.last(), Some(&libc::EROFS), "{}", kind.name);
            }
            fs.destroy();
            std::fs::write(&image, source.contents()).unwrap();
            let fs = Mounted::open(&image, "");
            let file = fs.lookup(1, "kept").unwrap();
            assert_eq!(fs.read_all(file), b"synced");
            fs.unmount();
            check(&image);
        }
    }
}

#[test]
fn modes_owners_and_default_acls() {
    let directory = scratch("writing-attributes");
    for kind in KINDS {
        let image = fresh(&directory, kind, "16M");
        let fs = Mounted::open(&image, "");
        let file = fs.create(1, "file");
        fs.chmod(file, 0o6755);
        fs.chown(file, 70_000, 80_000);
        assert_eq!(fs.attributes(file).perm, 0o755);
        let acl = |mask: u16| {
            let mut bytes = 2u32.to_le_bytes().to_vec();
            for (tag, permissions, id) in [
                (1u16, 7u16, u32::MAX),
                (2, 6, 1000),
                (4, 5, u32::MAX),
                (16, mask, u32::MAX),
                (32, 0, u32::MAX),
            ] {
                bytes.extend_from_slice(&tag.to_le_bytes());
                bytes.extend_from_slice(&permissions.to_le_bytes());
                bytes.extend_from_slice(&id.to_le_bytes());
            }
            bytes
        };
        let sub = fs.mkdir(1, "sub");
        fs.set_xattr(sub, "system.posix_acl_default", &acl(7))
            .unwrap();
        let below = fs.create(sub, "below");
        assert_eq!(fs.attributes(below).perm, 0o640, "{}", kind.name);
        fs.chmod(below, 0o660);
        let found = fs.xattr(below, "system.posix_acl_access").unwrap();
        assert_eq!(found[4 + 3 * 8 + 2], 6);
        let deeper = fs.mkdir(sub, "deeper");
        let inherited = fs.xattr(deeper, "system.posix_acl_default").unwrap();
        assert_eq!(inherited, acl(7));
        fs.remount_read_only(&image, |fs| {
            let file = fs.lookup(1, "file").unwrap();
            let found = fs.attributes(file);
            assert_eq!((found.uid, found.gid, found.perm), (70_000, 80_000, 0o755));
        });
        check(&image);
    }
}

#[test]
fn what_cannot_be_written_is_mounted_read_only_with_the_reason() {
    let directory = scratch("writing-refused");
    let cases = [
        ("quota", "writing with the feature quota"),
        ("bigalloc", "writing with the feature bigalloc"),
        ("mmp", "writing with the feature mmp"),
        ("ea_inode", "writing with the feature ea_inode"),
    ];
    for (feature, reason) in cases {
        let image = directory.join(feature);
        let options = ["-t", "ext4", "-O", feature];
        let path = image.to_str().unwrap();
        let arguments: Vec<_> = ["-q", "-F"]
            .iter()
            .chain(&options)
            .copied()
            .chain([path, "32M"])
            .collect();
        common::run("mke2fs", &arguments, &[0]);
        let before = std::fs::read(&image).unwrap();
        let file = std::fs::File::options()
            .read(true)
            .write(true)
            .open(&image)
            .unwrap();
        let fs = Mounted::try_over(std::sync::Arc::new(file), &image).unwrap();
        assert!(!fs.ext().is_writable());
        let lines = fs.lines.all();
        assert!(lines.iter().any(|line| line.contains(reason)), "{lines:?}");
        assert_eq!(fs.try_create(1, "file"), Err(libc::EROFS));
        fs.destroy();
        assert!(std::fs::read(&image).unwrap() == before, "{feature}");
    }
}

#[test]
fn several_threads_work_at_once() {
    let directory = scratch("writing-threads");
    for kind in KINDS
        .iter()
        .filter(|kind| matches!(kind.name, "ext4" | "ext2"))
    {
        let image = fresh(&directory, kind, "48M");
        let file = std::fs::File::options()
            .read(true)
            .write(true)
            .open(&image)
            .unwrap();
        let ext = view_ext::Ext::open(std::sync::Arc::new(file), "", Box::new(|_| {})).unwrap();
        let ext = std::sync::Mutex::new(Some(std::sync::Arc::new(ext)));
        std::thread::scope(|scope| {
            for thread in 0..4u64 {
                let ext = ext.lock().unwrap().clone().unwrap();
                scope.spawn(move || common::writable::work(&ext, thread));
            }
        });
        let ext = ext.lock().unwrap().take().unwrap();
        let mut ext = std::sync::Arc::into_inner(ext).unwrap();
        fuse_compat::Filesystem::destroy(&mut ext);
        check(&image);
        let fs = Mounted::open(&image, "ro");
        for thread in 0..4 {
            let sub = fs.lookup(1, &format!("thread-{thread}")).unwrap();
            assert_eq!(fs.names(sub).len(), 20, "{}", kind.name);
        }
    }
}
