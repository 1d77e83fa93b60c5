//! Lookups, caches, references, paths and listings.

use super::*;
use crate::attributes::Kind;
use std::collections::BTreeSet;
use std::time::Duration;

#[test]
fn a_name_is_asked_for_once_while_it_may_be_believed() {
    let mounted = mount();
    mounted.file("dir/file", b"x");
    let first = mounted.find("dir/file").unwrap();
    assert_eq!(mounted.lookups(), 2);
    let second = mounted.find("dir/file").unwrap();
    assert!(Arc::ptr_eq(&first, &second));
    assert_eq!(mounted.lookups(), 2);
    assert_eq!(first.attributes().unwrap().size, 1);
    assert_eq!(
        first.attributes().unwrap().device,
        mounted.instance.device()
    );
    assert_eq!(
        mounted.shared.getattrs.load(Ordering::Relaxed),
        1,
        "the root's, at mount"
    );
}

#[test]
fn names_that_cannot_be_cached_are_asked_for_each_time_and_stay_one_dentry() {
    let behaviour = Behaviour {
        ttl: Duration::ZERO,
        ..Behaviour::default()
    };
    let mounted = mount_with(behaviour, InstanceOptions::default());
    let number = mounted.file("file", b"x");
    let first = mounted.find("file").unwrap();
    let second = mounted.find("file").unwrap();
    assert!(Arc::ptr_eq(&first, &second));
    assert_eq!(mounted.lookups(), 2);
    assert_eq!(mounted.shared.references(), 2);
    mounted.shared.change(number, |attr| attr.size = 99);
    assert_eq!(first.attributes().unwrap().size, 99);
}

#[test]
fn a_name_that_changed_its_meaning_outside_gets_a_new_dentry() {
    let behaviour = Behaviour {
        ttl: Duration::ZERO,
        ..Behaviour::default()
    };
    let mounted = mount_with(behaviour, InstanceOptions::default());
    mounted.file("file", b"old");
    let old = mounted.find("file").unwrap();
    // Another host of the same filesystem removes it and makes a new one.
    mounted.shared.remove_name("file");
    assert_eq!(mounted.find("file").unwrap_err(), Errno::NOENT);
    assert!(old.is_deleted());
    mounted.file("file", b"new!");
    let new = mounted.find("file").unwrap();
    assert!(!Arc::ptr_eq(&old, &new));
    assert!(!new.is_deleted());
    assert_eq!(new.attributes().unwrap().size, 4);
}

#[test]
fn absent_names_are_remembered_only_when_that_is_allowed() {
    let mounted = mount();
    assert_eq!(mounted.find("none").unwrap_err(), Errno::NOENT);
    assert_eq!(mounted.find("none").unwrap_err(), Errno::NOENT);
    assert_eq!(mounted.lookups(), 2);
    let options = InstanceOptions {
        negative_ttl: Duration::from_secs(100),
        ..InstanceOptions::default()
    };
    let mounted = mount_with(Behaviour::default(), options);
    for _ in 0..5 {
        assert_eq!(mounted.find("none").unwrap_err(), Errno::NOENT);
    }
    assert_eq!(mounted.lookups(), 1);
    mounted
        .root
        .create_directory(b"none", 0o755, &owner())
        .unwrap();
    assert_eq!(mounted.find("none").unwrap().kind(), Kind::Directory);
    // Very many absent names do not grow without bound, and stay right.
    for number in 0..3000 {
        let name = format!("absent-{number}");
        assert_eq!(mounted.find(&name).unwrap_err(), Errno::NOENT);
    }
    assert!(mounted.find("none").is_ok());
}

#[test]
fn only_directories_have_names_and_names_are_limited() {
    let mounted = mount();
    mounted.file("file", b"");
    assert_eq!(mounted.find("file/below").unwrap_err(), Errno::NOTDIR);
    let long = "n".repeat(256);
    assert_eq!(mounted.find(&long).unwrap_err(), Errno::NAMETOOLONG);
    assert_eq!(mounted.find(&long[1..]).unwrap_err(), Errno::NOENT);
    assert_eq!(mounted.root.lookup_cached(b"unknown").map(|_| ()), None);
}

#[test]
fn every_reference_is_handed_back() {
    let options = InstanceOptions {
        dentry_capacity: 50,
        ..InstanceOptions::default()
    };
    let mounted = mount_with(Behaviour::default(), options);
    for number in 0..500 {
        mounted.file(&format!("d{}/file-{number}", number % 7), b"");
    }
    for number in 0..500 {
        mounted
            .find(&format!("d{}/file-{number}", number % 7))
            .unwrap();
    }
    let kept = mounted.shared.references();
    assert!(kept > 0 && kept < 100, "{kept} references for 50 dentries");
    assert!(mounted.instance.inode_count() < 100);
    let in_use = mounted.find("d3/file-3").unwrap();
    mounted.instance.invalidate();
    assert_eq!(mounted.instance.inode_count(), 3, "file, directory, root");
    assert!(in_use.attributes().is_ok());
    drop(in_use);
    assert_eq!(mounted.shared.references(), 0);
}

#[test]
fn listing_references_are_handed_back_too() {
    let mounted = mount();
    for number in 0..1000 {
        mounted.file(&format!("dir/file-{number:04}"), b"");
    }
    let directory = mounted.find("dir").unwrap();
    assert_eq!(directory.read_directory(0).unwrap().len(), 1002);
    assert_eq!(mounted.shared.references(), 1001);
    drop(directory);
    mounted.instance.invalidate();
    assert_eq!(mounted.shared.references(), 0);
}

#[test]
fn an_unmounted_instance_ends_with_its_last_user() {
    let mounted = mount();
    mounted.file("dir/file", b"");
    let file = mounted.find("dir/file").unwrap();
    let shared = Arc::clone(&mounted.shared);
    mounted.instance.detach();
    drop(mounted);
    assert!(!shared.is_destroyed.load(Ordering::Relaxed));
    let again = file.parent().unwrap().lookup(b"file").unwrap();
    assert!(Arc::ptr_eq(&again, &file));
    drop((file, again));
    assert!(shared.is_destroyed.load(Ordering::Relaxed));
    assert_eq!(shared.references(), 0);
}

#[test]
fn very_deep_trees_are_dropped_without_a_deep_stack() {
    let mounted = mount();
    let mut directory = Arc::clone(&mounted.root);
    for _ in 0..20_000 {
        directory = directory.create_directory(b"d", 0o755, &owner()).unwrap();
    }
    mounted.instance.names.close();
    assert_eq!(mounted.shared.references(), 20_000);
    let dropping = std::thread::Builder::new()
        .stack_size(64 * 1024)
        .spawn(move || drop(directory))
        .unwrap();
    dropping.join().unwrap();
    assert_eq!(mounted.shared.references(), 0);
}

#[test]
fn paths_and_ancestors_follow_the_tree() {
    let mounted = mount();
    mounted.file("a/b/c", b"");
    let file = mounted.find("a/b/c").unwrap();
    let a = mounted.find("a").unwrap();
    assert_eq!(file.path_in_mount(), b"/a/b/c");
    assert_eq!(mounted.root.path_in_mount(), b"");
    assert_eq!(file.path_below(&a), b"b/c");
    assert_eq!(file.path_below(&file), b"");
    assert_eq!(file.path_below(&mounted.root), b"a/b/c");
    assert!(a.is_ancestor_of(&file) && a.is_ancestor_of(&a));
    assert!(mounted.root.is_ancestor_of(&file));
    assert!(!file.is_ancestor_of(&a));
    assert!(mounted.root.parent().is_none());
}

#[test]
fn listings_are_complete_at_any_cookie_and_fill_the_name_cache() {
    let mounted = mount();
    for number in 0..5000 {
        mounted.file(&format!("dir/file-{number:04}"), b"");
    }
    let directory = mounted.find("dir").unwrap();
    let mut names = Vec::new();
    let mut cookie = 0;
    loop {
        let batch = directory.read_directory(cookie).unwrap();
        let (bytes, last) = encode_dirents64(&batch, 1000).unwrap();
        let Some(last) = last else {
            assert!(bytes.is_empty());
            break;
        };
        let taken = batch.iter().position(|entry| entry.next_cookie == last);
        names.extend(batch[..=taken.unwrap()].iter().map(|e| e.name.clone()));
        cookie = last;
    }
    assert_eq!(names.len(), 5002);
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), 5002);
    let before = mounted.lookups();
    for number in 0..5000 {
        let name = format!("file-{number:04}");
        directory.lookup(name.as_bytes()).unwrap();
    }
    assert_eq!(mounted.lookups(), before, "all came with the listing");
    // The middle of the directory, after the listing has gone.
    let calls = mounted.shared.listings.load(Ordering::Relaxed);
    mounted.instance.listings.clear();
    let rest = directory.read_directory(2500).unwrap();
    assert_eq!((rest.len(), rest[0].next_cookie), (2502, 2501));
    assert!(mounted.shared.listings.load(Ordering::Relaxed) > calls);
}

#[test]
fn modules_without_readdirplus_are_listed_as_well() {
    let behaviour = Behaviour {
        has_readdirplus: false,
        ..Behaviour::default()
    };
    let mounted = mount_with(behaviour, InstanceOptions::default());
    mounted.file("b", b"");
    mounted.shared.make("a", FileType::Symlink, 0o777, b"b");
    let listed: Vec<_> = mounted
        .root
        .read_directory(0)
        .unwrap()
        .iter()
        .map(|entry| (entry.name.to_vec(), entry.kind))
        .collect();
    assert_eq!(
        listed,
        [
            (b".".to_vec(), Some(Kind::Directory)),
            (b"..".to_vec(), Some(Kind::Directory)),
            (b"a".to_vec(), Some(Kind::Symlink)),
            (b"b".to_vec(), Some(Kind::RegularFile)),
        ]
    );
    assert_eq!(mounted.shared.references(), 0);
    let file = mounted.find("b").unwrap();
    assert_eq!(file.read_directory(0).err(), Some(Errno::NOTDIR));
}

#[test]
fn an_immutable_instance_is_asked_once_for_everything() {
    let behaviour = Behaviour {
        ttl: Duration::ZERO,
        ..Behaviour::default()
    };
    let options = InstanceOptions {
        is_immutable: true,
        is_read_only: true,
        ..InstanceOptions::default()
    };
    let mounted = mount_with(behaviour, options);
    mounted.file("file", b"");
    mounted
        .shared
        .make("link", FileType::Symlink, 0o777, b"file");
    for _ in 0..3 {
        mounted.find("file").unwrap().attributes().unwrap();
        assert_eq!(mounted.find("none").unwrap_err(), Errno::NOENT);
        let target = mounted.find("link").unwrap().read_link().unwrap();
        assert_eq!(&*target, b"file");
        assert_eq!(mounted.root.read_directory(0).unwrap().len(), 4);
    }
    assert_eq!(mounted.lookups(), 3);
    assert!(mounted.shared.listings.load(Ordering::Relaxed) <= 2);
}

#[test]
fn threads_that_look_up_create_and_remove_lose_no_reference() {
    let options = InstanceOptions {
        dentry_capacity: 20,
        ..InstanceOptions::default()
    };
    let mounted = mount_with(Behaviour::default(), options);
    for number in 0..40 {
        mounted.file(&format!("dir/file-{number}"), b"");
    }
    std::thread::scope(|scope| {
        for thread in 0..4_usize {
            let mounted = &mounted;
            scope.spawn(move || {
                for round in 0..2000_usize {
                    let name = format!("file-{}", (round * 7 + thread * 3) % 40);
                    let Ok(directory) = mounted.find("dir") else {
                        continue;
                    };
                    match round % 5 {
                        0 => drop(directory.remove_file(name.as_bytes(), false, &owner())),
                        1 => {
                            drop(directory.create_node(name.as_bytes(), 0o644, 0, false, &owner()));
                        }
                        2 => drop(directory.read_directory(0)),
                        _ => drop(directory.lookup(name.as_bytes())),
                    }
                }
            });
        }
    });
    // What the cache believes is what the filesystem has.
    let directory = mounted.find("dir").unwrap();
    for number in 0..40 {
        let name = format!("file-{number}");
        let believed = directory.lookup(name.as_bytes()).is_ok();
        assert_eq!(believed, mounted.shared.has_name("dir", &name));
    }
    drop(directory);
    mounted.instance.invalidate();
    assert_eq!(mounted.shared.references(), 0);
}
