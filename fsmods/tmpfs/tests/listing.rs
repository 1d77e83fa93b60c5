//! Listings: stable positions, large directories, small buffers, references.
#![forbid(unsafe_code)]

mod common;

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};

use common::{NO_HANDLE, ROOT, T, new};
use fuse_compat::*;

fn step(t: &T, ino: INodeNo, offset: u64, max_bytes: usize) -> Vec<DirEntry> {
    sync::readdir(&*t.fs, &t.req, ino, NO_HANDLE, offset, max_bytes).unwrap()
}

#[test]
fn listing_has_dots_kinds_and_inodes() {
    let t = new("");
    let dir = t.mkdir(ROOT, "d").unwrap();
    let file = t.file(dir, "f");
    t.symlink(dir, "l", "x").unwrap();
    t.mknod(dir, "p", libc::S_IFIFO, 0).unwrap();
    let listing = step(&t, dir, 0, 4096);
    let seen: Vec<_> = listing
        .iter()
        .map(|entry| (entry.name.to_str().unwrap(), entry.kind))
        .collect();
    let expected = [
        (".", FileType::Directory),
        ("..", FileType::Directory),
        ("f", FileType::RegularFile),
        ("l", FileType::Symlink),
        ("p", FileType::NamedPipe),
    ];
    assert_eq!(seen, expected);
    assert_eq!(
        (listing[0].ino, listing[1].ino, listing[2].ino),
        (dir, ROOT, file)
    );
    let not_directory = sync::readdir(&*t.fs, &t.req, file, NO_HANDLE, 0, 4096);
    assert_eq!(not_directory, Err(Errno::ENOTDIR));
    assert_eq!(
        sync::opendir(&*t.fs, &t.req, file, OpenFlags(0)).unwrap_err(),
        Errno::ENOTDIR
    );
}

#[test]
fn one_entry_at_a_time_and_from_any_earlier_position() {
    let t = new("");
    for number in 0..20 {
        t.file(ROOT, &format!("file{number}"));
    }
    let all = step(&t, ROOT, 0, 1 << 20);
    assert_eq!(all.len(), 22);
    for (index, entry) in all.iter().enumerate() {
        // telldir, seekdir: each offset continues exactly after its entry.
        let rest = step(&t, ROOT, entry.offset, 1 << 20);
        assert_eq!(rest, all[index + 1..]);
        let next = step(&t, ROOT, entry.offset, 40);
        assert!(next.len() <= 1);
        assert_eq!(next.first(), all.get(index + 1));
    }
}

#[test]
fn changes_during_a_listing_neither_hide_nor_repeat_other_names() {
    let t = new("");
    for number in 0..1000 {
        t.symlink(ROOT, &format!("keep{number}"), "x").unwrap();
        t.symlink(ROOT, &format!("drop{number}"), "x").unwrap();
    }
    let mut seen = Vec::new();
    let mut offset = 0;
    let mut round = 0;
    loop {
        let entries = step(&t, ROOT, offset, 400);
        let Some(last) = entries.last() else { break };
        offset = last.offset;
        seen.extend(entries.into_iter().map(|entry| entry.name));
        if round < 1000 {
            t.unlink(ROOT, &format!("drop{round}")).unwrap();
            t.unlink(ROOT, &format!("drop{}", 999 - round)).ok();
            t.symlink(ROOT, &format!("new{round}"), "x").unwrap();
            // A safely replaced file keeps its place in the listing.
            t.symlink(ROOT, "temporary", "x").unwrap();
            t.rename((ROOT, "temporary"), (ROOT, &format!("keep{round}")))
                .unwrap();
            round += 1;
            if round == 500 {
                round = 1000;
            }
        }
    }
    let unique: HashSet<_> = seen.iter().collect();
    assert_eq!(unique.len(), seen.len(), "a name came twice");
    for number in 0..1000 {
        assert!(
            unique.contains(&OsString::from(format!("keep{number}"))),
            "keep{number}"
        );
    }
}

#[test]
fn removing_all_while_listing_ends() {
    let t = new("");
    for number in 0..500 {
        t.mkdir(ROOT, &format!("d{number}")).unwrap();
    }
    let mut offset = 0;
    loop {
        let entries = step(&t, ROOT, offset, 300);
        let Some(last) = entries.last() else { break };
        offset = last.offset;
        for entry in &entries {
            if entry.name != "." && entry.name != ".." {
                t.rmdir(ROOT, entry.name.to_str().unwrap()).unwrap();
            }
        }
    }
    assert!(t.list(ROOT).is_empty());
    assert_eq!(t.attr(ROOT).nlink, 2);
}

#[test]
fn a_hundred_thousand_entries() {
    let t = new("nr_inodes=0");
    for number in 0..100_000 {
        t.symlink(ROOT, &format!("name{number}"), "x").unwrap();
    }
    let mut offset = 0;
    let mut count = 0;
    loop {
        let entries = step(&t, ROOT, offset, 32 << 10);
        let Some(last) = entries.last() else { break };
        offset = last.offset;
        count += entries.len();
    }
    assert_eq!(count, 100_002);
    assert!(t.lookup(ROOT, "name99999").is_ok());
    for number in (0..100_000).rev() {
        t.unlink(ROOT, &format!("name{number}")).unwrap();
    }
    assert_eq!(t.attr(ROOT).size, 40);
}

#[test]
fn readdirplus_gives_attributes_and_references() {
    let t = new("");
    let ino = t.mkdir(ROOT, "d").unwrap();
    t.forget(ino, 1);
    let plus = |offset, max_bytes| {
        sync::readdirplus(&*t.fs, &t.req, ROOT, NO_HANDLE, offset, max_bytes).unwrap()
    };
    let listing = plus(0, 4096);
    assert_eq!(listing.len(), 3);
    assert_eq!(listing[2].name, OsStr::new("d"));
    assert_eq!(listing[2].entry.attr, t.attr(ino));
    assert_eq!(listing[2].entry.attr.ino, listing[2].ino);
    // The listing gave one reference: the removed directory stays until it is handed back.
    t.rmdir(ROOT, "d").unwrap();
    assert_eq!(t.attr(ino).nlink, 0);
    t.forget(ino, 1);
    assert_eq!(sync::getattr(&*t.fs, &t.req, ino, None), Err(Errno::ESTALE));
    // An entry that does not fit gives none.
    let ino = t.mkdir(ROOT, "e").unwrap();
    t.forget(ino, 1);
    assert_eq!(plus(2, 100).len(), 0);
    t.rmdir(ROOT, "e").unwrap();
    assert_eq!(sync::getattr(&*t.fs, &t.req, ino, None), Err(Errno::ESTALE));
}

#[test]
fn many_threads_create_and_remove_in_one_directory() {
    let t = new("");
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let t = &t;
            scope.spawn(move || {
                for round in 0..200 {
                    let (one, two) = (format!("a{thread}-{round}"), format!("b{thread}-{round}"));
                    let ino = t.file(ROOT, &one);
                    t.rename((ROOT, &one), (ROOT, &two)).unwrap();
                    assert_eq!(t.write(ino, 0, two.as_bytes()), Ok(two.len() as u32));
                    assert_eq!(t.lookup(ROOT, &two).unwrap().ino, ino);
                    t.unlink(ROOT, &two).unwrap();
                    assert_eq!(t.read(ino, 0, 100).unwrap(), two.as_bytes());
                    t.forget(ino, 2);
                }
            });
        }
    });
    assert!(t.list(ROOT).is_empty());
}
