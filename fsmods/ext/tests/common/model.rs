//! A model of a file system in memory, and random operations on it and on a mount.

use std::collections::BTreeMap;
use std::path::Path;

use fuse_compat::RenameFlags;

use super::Random;
use super::writable::Mounted;

/// What a name leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Node {
    File(usize),
    Directory(BTreeMap<String, Node>),
}

/// Files by number, so that hard links share content.
#[derive(Default)]
struct Model {
    root: BTreeMap<String, Node>,
    files: Vec<Vec<u8>>,
}

type Path2 = Vec<String>;

fn directories(map: &BTreeMap<String, Node>, at: &Path2, out: &mut Vec<Path2>) {
    out.push(at.clone());
    for (name, node) in map {
        if let Node::Directory(below) = node {
            let mut path = at.clone();
            path.push(name.clone());
            directories(below, &path, out);
        }
    }
}

impl Model {
    fn directory(&mut self, path: &Path2) -> &mut BTreeMap<String, Node> {
        let mut map = &mut self.root;
        for name in path {
            match map.get_mut(name) {
                Some(Node::Directory(below)) => map = below,
                _ => panic!("no directory {path:?}"),
            }
        }
        map
    }

    fn any_directory(&self, random: &mut Random) -> Path2 {
        let mut all = Vec::new();
        directories(&self.root, &Vec::new(), &mut all);
        let index = random.below(all.len() as u64) as usize;
        all.swap_remove(index)
    }

    fn any_name(&mut self, path: &Path2, random: &mut Random) -> Option<String> {
        let map = self.directory(path);
        let count = map.len() as u64;
        map.keys().nth(random.below(count) as usize).cloned()
    }
}

fn node_of(fs: &Mounted, path: &Path2) -> u64 {
    path.iter()
        .fold(1, |parent, name| fs.lookup(parent, name).unwrap())
}

fn compare(
    fs: &Mounted,
    node: u64,
    map: &BTreeMap<String, Node>,
    files: &[Vec<u8>],
    context: &str,
) {
    let names: Vec<_> = map.keys().cloned().collect();
    assert_eq!(fs.names(node), names, "{context}");
    for (name, below) in map {
        let found = fs.lookup(node, name).unwrap();
        match below {
            Node::File(number) => {
                let content = fs.read_all(found);
                let same = content == files[*number];
                let first = content
                    .iter()
                    .zip(&files[*number])
                    .position(|(a, b)| a != b);
                assert!(
                    same,
                    "{context}: {name}: {} and {} bytes, differ at {first:?}",
                    content.len(),
                    files[*number].len()
                );
            }
            Node::Directory(map) => compare(fs, found, map, files, context),
        }
    }
}

/// A range is taken out, or put in, where the image has extents.
fn move_range(fs: &Mounted, node: u64, content: &mut Vec<u8>, random: &mut Random) {
    const BLOCK: u64 = 4096; // whole blocks on images with smaller ones, too
    let size = content.len() as u64;
    let place = random.below(40) * BLOCK;
    let length = (1 + random.below(12)) * BLOCK;
    let is_odd = random.below(8) == 0;
    let (collapse, insert) = (libc::FALLOC_FL_COLLAPSE_RANGE, libc::FALLOC_FL_INSERT_RANGE);
    if is_odd {
        assert!(fs.fallocate(node, place + 1, length, collapse).is_err());
        assert!(fs.fallocate(node, place, length + 1, insert).is_err());
        return;
    }
    let (at, end) = (place as usize, (place + length) as usize);
    if random.below(2) == 0 {
        match fs.fallocate(node, place, length, collapse) {
            Ok(()) => drop(content.drain(at..end)),
            Err(libc::EINVAL) => assert!(end as u64 >= size),
            Err(error) => assert_eq!(error, libc::EOPNOTSUPP),
        }
        return;
    }
    match fs.fallocate(node, place, length, insert) {
        Ok(()) => drop(content.splice(at..at, vec![0; length as usize])),
        Err(libc::EINVAL) => assert!(place >= size),
        Err(error) => assert_eq!(error, libc::EOPNOTSUPP),
    }
}

fn change_file(fs: &Mounted, node: u64, content: &mut Vec<u8>, random: &mut Random) {
    let limit = 200_000;
    let place = random.below(limit);
    match random.below(12) {
        0..=4 => {
            let length = 1 + random.below(40_000) as usize;
            let data = random.bytes(length);
            let at = if random.below(2) == 0 {
                content.len() as u64
            } else {
                place
            };
            fs.write(node, at, &data);
            let end = at as usize + data.len();
            if content.len() < end {
                content.resize(end, 0);
            }
            content[at as usize..end].copy_from_slice(&data);
        }
        5 | 6 => {
            fs.truncate(node, place);
            content.resize(place as usize, 0);
        }
        7 | 8 => move_range(fs, node, content, random),
        9 => {
            let length = 1 + random.below(60_000);
            let punch = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
            fs.fallocate(node, place, length, punch).unwrap();
            let end = (place + length).min(content.len() as u64) as usize;
            if (place as usize) < end {
                content[place as usize..end].fill(0);
            }
        }
        10 => {
            let length = 1 + random.below(60_000);
            let mode = if random.below(2) == 0 {
                0
            } else {
                libc::FALLOC_FL_KEEP_SIZE
            };
            if fs.fallocate(node, place, length, mode).is_ok() && mode == 0 {
                let end = (place + length) as usize;
                content.resize(content.len().max(end), 0);
            }
        }
        _ => {
            let length = 1 + random.below(60_000);
            if fs
                .fallocate(node, place, length, libc::FALLOC_FL_ZERO_RANGE)
                .is_ok()
            {
                let end = (place + length) as usize;
                content.resize(content.len().max(end), 0);
                content[place as usize..end].fill(0);
            }
        }
    }
}

/// Random operations, compared with the model at times and after a remount.
pub fn run(image: &Path, name: &str, seed: u64, rounds: u64) {
    let mut random = Random::new(seed);
    let mut model = Model::default();
    let mut fs = Mounted::open(image, "");
    model
        .root
        .insert("lost+found".to_owned(), Node::Directory(BTreeMap::new()));
    for round in 0..rounds {
        step(&fs, &mut model, &mut random);
        if round % 97 == 0 {
            fs.forget_all();
        }
        if round % 61 == 0 {
            fs.sync();
        }
        if round % 500 == 499 {
            compare(
                &fs,
                1,
                &model.root,
                &model.files,
                &format!("{name} round {round}"),
            );
            fs.unmount();
            super::writable::check(image);
            fs = Mounted::open(image, "");
            compare(
                &fs,
                1,
                &model.root,
                &model.files,
                &format!("{name} after {round}"),
            );
        }
    }
    compare(&fs, 1, &model.root, &model.files, name);
    fs.unmount();
}

fn step(fs: &Mounted, model: &mut Model, random: &mut Random) {
    let parent = model.any_directory(random);
    let parent_node = node_of(fs, &parent);
    let fresh = format!(
        "{:x}-{}",
        random.below(1 << 20),
        "n".repeat(random.below(60) as usize)
    );
    match random.below(20) {
        0..=4 => {
            if model.directory(&parent).contains_key(&fresh) {
                return;
            }
            let node = fs.create(parent_node, &fresh);
            let mut content = Vec::new();
            change_file(fs, node, &mut content, random);
            model.files.push(content);
            let number = model.files.len() - 1;
            model.directory(&parent).insert(fresh, Node::File(number));
        }
        5 if parent.len() < 5 => {
            if fs.try_mkdir(parent_node, &fresh).is_ok() {
                model
                    .directory(&parent)
                    .insert(fresh, Node::Directory(BTreeMap::new()));
            }
        }
        6..=11 => {
            let Some(name) = model.any_name(&parent, random) else {
                return;
            };
            let found = fs.lookup(parent_node, &name).unwrap();
            if let Some(Node::File(number)) = model.directory(&parent).get(&name).cloned() {
                let mut content = std::mem::take(&mut model.files[number]);
                change_file(fs, found, &mut content, random);
                model.files[number] = content;
            }
        }
        12..=14 => {
            let Some(name) = model.any_name(&parent, random) else {
                return;
            };
            match model.directory(&parent).get(&name).cloned() {
                Some(Node::File(_)) => fs.unlink(parent_node, &name).unwrap(),
                Some(Node::Directory(below)) => {
                    let expected = if below.is_empty() {
                        Ok(())
                    } else {
                        Err(libc::ENOTEMPTY)
                    };
                    assert_eq!(fs.rmdir(parent_node, &name), expected);
                    if !below.is_empty() {
                        return;
                    }
                }
                None => return,
            }
            model.directory(&parent).remove(&name);
        }
        15 => {
            let Some(name) = model.any_name(&parent, random) else {
                return;
            };
            if let Some(node @ Node::File(_)) = model.directory(&parent).get(&name).cloned() {
                let found = fs.lookup(parent_node, &name).unwrap();
                if fs.try_link(found, parent_node, &fresh).is_ok() {
                    model.directory(&parent).insert(fresh, node);
                }
            }
        }
        _ => rename(fs, model, random, &parent, &fresh),
    }
}

fn rename(fs: &Mounted, model: &mut Model, random: &mut Random, parent: &Path2, fresh: &str) {
    let Some(name) = model.any_name(parent, random) else {
        return;
    };
    let other = model.any_directory(random);
    let target = match model.any_name(&other, random) {
        Some(target) if random.below(2) == 0 => target,
        _ => fresh.to_owned(),
    };
    let flags = match random.below(4) {
        0 => RenameFlags::RENAME_NOREPLACE,
        1 => RenameFlags::RENAME_EXCHANGE,
        _ => RenameFlags::empty(),
    };
    let (from, to) = (node_of(fs, parent), node_of(fs, &other));
    let answer = fs.rename((from, &name), (to, &target), flags);
    if answer.is_err() {
        return;
    }
    if (parent, &name) == (&other, &target) {
        return;
    }
    let Some(moved) = model.directory(parent).get(&name).cloned() else {
        panic!("{name}")
    };
    if flags == RenameFlags::RENAME_EXCHANGE {
        let Some(back) = model.directory(&other).get(&target).cloned() else {
            panic!("{target}")
        };
        model.directory(&other).insert(target, moved);
        model.directory(parent).insert(name, back);
        return;
    }
    // Two names of one inode: rename(2) does nothing.
    let existing = model.directory(&other).get(&target).cloned();
    if let (Some(Node::File(a)), Node::File(b)) = (&existing, &moved)
        && a == b
    {
        return;
    }
    model.directory(parent).remove(&name);
    model.directory(&other).insert(target, moved);
}
