//! Hash trees that grow: a full leaf is split by hash, a full node in the middle, a full root puts a level
//! below itself.

use super::directory::{NODE_LIST_AT, Place, ROOT_LIST_AT, sound};
use super::edit::{Edit, FLAG_INDEX};
use super::entries::{self, Target};
use super::{Op, refuse};
use crate::bytes::{le16, le32, put, put16, put32, u8_at};
use crate::dir::hash::{Function, hash};
use crate::error::{Result, bad_inode};
use crate::features::INCOMPAT_LARGEDIR;

const BLOCK_MASK: u32 = 0x0fff_ffff;

/// The hash of an entry, with its inode, type byte and name.
type Hashed = (u32, (u32, u8, Vec<u8>));

/// A node on the way to a leaf.
struct Node {
    number: u64,
    at: u64,
    /// Where its list starts.
    start: usize,
    limit: usize,
    /// Hash and block; the first hash is 0.
    list: Vec<(u32, u32)>,
    position: usize,
}

/// How a tree hashes.
#[derive(Clone, Copy)]
struct Hashing {
    function: Function,
    is_unsigned: bool,
    seed: [u32; 4],
    /// Levels of nodes below the root.
    depth: u8,
}

impl Hashing {
    fn of(self, name: &[u8]) -> u32 {
        hash(self.function, self.is_unsigned, &self.seed, name)
    }
}

impl Op<'_> {
    fn deepest(&self) -> u8 {
        match self.volume.geometry.features.incompat(INCOMPAT_LARGEDIR) {
            true => 2,
            false => 1,
        }
    }

    fn required_block(&self, dir: &Edit, number: u64) -> Result<Place> {
        match self.directory_block(dir, number)? {
            Some(place) => Ok(place),
            None => bad_inode(
                dir.number,
                format!("directory index: block {number} is missing"),
            ),
        }
    }

    fn hashing(&self, dir: &Edit) -> Result<Hashing> {
        let place = self.required_block(dir, 0)?;
        let root = place.block.data();
        let geometry = &self.volume.geometry;
        let function = Function::from_number(u8_at(root, 28), geometry.is_hash_unsigned);
        let depth = u8_at(root, 30);
        match function {
            Some((function, is_unsigned)) if u8_at(root, 29) == 8 && depth <= self.deepest() => {
                Ok(Hashing {
                    function,
                    is_unsigned,
                    seed: geometry.hash_seed,
                    depth,
                })
            }
            _ => bad_inode(dir.number, "directory index: the root can't be used"),
        }
    }

    fn read_node(&self, dir: &Edit, number: u64, start: usize) -> Result<Node> {
        let place = self.required_block(dir, number)?;
        let bytes = place.block.data();
        let limit = usize::from(le16(bytes, start));
        let count = usize::from(le16(bytes, start.saturating_add(2)));
        let tail = if self.volume.geometry.has_checksums() {
            8
        } else {
            0
        };
        let room = bytes.len().saturating_sub(start).saturating_sub(tail) / 8;
        let is_node = start == ROOT_LIST_AT
            || (le32(bytes, 0) == 0 && crate::dir::block::record_length(bytes, 0) == bytes.len());
        if count == 0 || count > limit || limit > room || !is_node {
            return bad_inode(
                dir.number,
                format!("directory index: block {number} is no node"),
            );
        }
        let mut list = Vec::with_capacity(count);
        for index in 0..count {
            let at = start.saturating_add(index.saturating_mul(8));
            let hash = if index == 0 { 0 } else { le32(bytes, at) };
            list.push((hash, le32(bytes, at.saturating_add(4)) & BLOCK_MASK));
        }
        let stored = list.get(1..).unwrap_or(&[]);
        if !stored.is_sorted_by_key(|(hash, _)| *hash) || list.iter().any(|(_, block)| *block == 0)
        {
            return bad_inode(
                dir.number,
                format!("directory index: block {number} is not in order"),
            );
        }
        Ok(Node {
            number,
            at: place.at,
            start,
            limit,
            list,
            position: 0,
        })
    }

    /// Puts a node's list back. `bytes` is the node's block before.
    fn write_node_list(&self, dir: &Edit, node: &Node, mut bytes: Vec<u8>) -> Result<()> {
        for (index, (hash, block)) in node.list.iter().enumerate() {
            let at = node.start.saturating_add(index.saturating_mul(8));
            if index > 0 {
                put32(&mut bytes, at, *hash);
            }
            put32(&mut bytes, at.saturating_add(4), *block);
        }
        put16(&mut bytes, node.start, node.limit as u16);
        put16(
            &mut bytes,
            node.start.saturating_add(2),
            node.list.len() as u16,
        );
        self.put_directory_block(dir, node.number, node.at, bytes)
    }

    fn rewrite_node(&self, dir: &Edit, node: &Node) -> Result<()> {
        let bytes = self.volume.blocks.get(node.at)?.data().to_vec();
        self.write_node_list(dir, node, bytes)
    }

    /// The nodes from the root to the one above the leaf for a hash.
    fn index_path(&self, dir: &Edit, hashing: Hashing, wanted: u32) -> Result<Vec<Node>> {
        let mut path = Vec::new();
        let mut next = (0u64, ROOT_LIST_AT);
        for _ in 0..=hashing.depth {
            let mut node = self.read_node(dir, next.0, next.1)?;
            node.position = node
                .list
                .get(1..)
                .unwrap_or(&[])
                .partition_point(|(hash, _)| *hash <= wanted);
            next = (below(&node), NODE_LIST_AT);
            path.push(node);
        }
        Ok(path)
    }

    /// Moves on to the next leaf if names of this hash continue there.
    fn next_leaf(&self, dir: &Edit, path: &mut Vec<Node>, wanted: u32) -> Result<bool> {
        let depth = path.len();
        while let Some(node) = path.last_mut() {
            node.position = node.position.saturating_add(1);
            match node.list.get(node.position) {
                Some((hash, _)) if *hash == wanted | 1 => break,
                Some(_) => return Ok(false),
                None => drop(path.pop()),
            }
        }
        if path.is_empty() {
            return Ok(false);
        }
        while path.len() < depth {
            let number = path.last().map_or(0, below);
            path.push(self.read_node(dir, number, NODE_LIST_AT)?);
        }
        Ok(true)
    }

    /// The leaf that holds a name.
    pub(crate) fn find_indexed(&self, dir: &Edit, name: &[u8]) -> Result<Option<Place>> {
        let hashing = self.hashing(dir)?;
        let wanted = hashing.of(name);
        let mut path = self.index_path(dir, hashing, wanted)?;
        for _ in 0..=self.directory_blocks(dir) {
            let number = path.last().map_or(0, below);
            let place = self.required_block(dir, number)?;
            if sound(
                dir,
                number,
                entries::has(place.block.data(), self.entries_end(), name),
            )? {
                return Ok(Some(place));
            }
            if !self.next_leaf(dir, &mut path, wanted)? {
                return Ok(None);
            }
        }
        bad_inode(dir.number, "directory index: it goes round in circles")
    }

    /// Gives a directory of one block an index: its names move to a leaf.
    pub(crate) fn make_index(&mut self, dir: &mut Edit) -> Result<()> {
        let place = self.required_block(dir, 0)?;
        let mut list = Vec::new();
        let mut parent = 0;
        for entry in entries::used(place.block.data(), self.entries_end()) {
            let entry = sound(dir, 0, entry)?;
            match entry.name {
                _ if entry.inode == 0 => {}
                b"." => {}
                b".." => parent = entry.inode,
                name => list.push((entry.inode, entry.kind, name.to_vec())),
            }
        }
        if parent == 0 {
            return bad_inode(dir.number, "directory has no `..`");
        }
        let size = self.volume.geometry.block_size;
        let (number, at) = self.append_directory_block(dir)?;
        let Ok(leaf) = u32::try_from(number) else {
            return refuse(libc::ENOSPC);
        };
        dir.set_flags(dir.flags() | FLAG_INDEX);
        let packed = entries::pack(size, self.entries_end(), &list);
        self.put_directory_block(dir, number, at, packed)?;
        let kind = self.entry_kind(crate::inode::Kind::Directory);
        let mut root = vec![0u8; size];
        entries::write_entry(
            &mut root,
            0,
            12,
            Target {
                name: b".",
                inode: dir.number,
                kind,
            },
        );
        let rest = size.saturating_sub(12);
        entries::write_entry(
            &mut root,
            12,
            rest,
            Target {
                name: b"..",
                inode: parent,
                kind,
            },
        );
        put(&mut root, 28, &[self.writer.hash_version, 8, 0, 0]);
        let tail = if self.volume.geometry.has_checksums() {
            8
        } else {
            0
        };
        let node = Node {
            number: 0,
            at: place.at,
            start: ROOT_LIST_AT,
            limit: size.saturating_sub(ROOT_LIST_AT + tail) / 8,
            list: vec![(0, leaf)],
            position: 0,
        };
        self.write_node_list(dir, &node, root)
    }

    /// Adds a name to an indexed directory.
    ///
    /// # Errors
    /// ENOSPC (also when the index is full), faults of the index.
    pub(crate) fn add_indexed(&mut self, dir: &mut Edit, target: Target<'_>) -> Result<()> {
        let end = self.entries_end();
        // A split makes room, unless all names of a leaf have one hash; then the next round splits again.
        for _ in 0..8 {
            let hashing = self.hashing(dir)?;
            let wanted = hashing.of(target.name);
            let mut path = self.index_path(dir, hashing, wanted)?;
            let number = path.last().map_or(0, below);
            let place = self.required_block(dir, number)?;
            let mut bytes = place.block.data().to_vec();
            if sound(dir, number, entries::insert(&mut bytes, end, target))? {
                return self.put_directory_block(dir, number, place.at, bytes);
            }
            self.split_leaf(dir, hashing, &mut path, &place)?;
        }
        refuse(libc::ENOSPC)
    }

    fn split_leaf(
        &mut self,
        dir: &mut Edit,
        hashing: Hashing,
        path: &mut Vec<Node>,
        place: &Place,
    ) -> Result<()> {
        let end = self.entries_end();
        let size = self.volume.geometry.block_size;
        let mut list: Vec<Hashed> = Vec::new();
        for entry in entries::used(place.block.data(), end) {
            let entry = sound(dir, place.number, entry)?;
            if entry.inode != 0 {
                let content = (entry.inode, entry.kind, entry.name.to_vec());
                list.push((hashing.of(entry.name), content));
            }
        }
        list.sort_by_key(|(hash, _)| *hash);
        let total: usize = list
            .iter()
            .map(|(_, (_, _, name))| entries::needed(name))
            .sum();
        let mut used = 0usize;
        let mut middle = list.len() / 2;
        for (index, (_, (_, _, name))) in list.iter().enumerate() {
            used = used.saturating_add(entries::needed(name));
            if used.saturating_mul(2) >= total {
                middle = index.saturating_add(1);
                break;
            }
        }
        let middle = middle.clamp(1, list.len().saturating_sub(1).max(1));
        let upper = list.split_off(middle.min(list.len()));
        let Some((hash, _)) = upper.first() else {
            return bad_inode(dir.number, "directory index: a leaf of one name is full");
        };
        let continues = list.last().is_some_and(|(last, _)| last == hash);
        let key = hash | u32::from(continues);
        let (number, at) = self.append_directory_block(dir)?;
        let Some(leaf) = u32::try_from(number)
            .ok()
            .filter(|leaf| *leaf <= BLOCK_MASK)
        else {
            return refuse(libc::ENOSPC);
        };
        let strip = |list: Vec<Hashed>| -> Vec<_> {
            list.into_iter().map(|(_, content)| content).collect()
        };
        let lower = entries::pack(size, end, &strip(list));
        let upper = entries::pack(size, end, &strip(upper));
        self.put_directory_block(dir, place.number, place.at, lower)?;
        self.put_directory_block(dir, number, at, upper)?;
        let level = path.len().saturating_sub(1);
        self.insert_index(dir, path, level, (key, leaf))
    }

    /// Adds an entry behind the current position of a node, which is split when it is full.
    fn insert_index(
        &mut self,
        dir: &mut Edit,
        path: &mut Vec<Node>,
        level: usize,
        new: (u32, u32),
    ) -> Result<()> {
        let depth = path.len();
        let Some(node) = path.get_mut(level) else {
            return refuse(libc::EIO);
        };
        if node.list.len() < node.limit {
            let place = node.position.saturating_add(1).min(node.list.len());
            node.list.insert(place, new);
            return self.rewrite_node(dir, node);
        }
        let size = self.volume.geometry.block_size;
        let tail = if self.volume.geometry.has_checksums() {
            8
        } else {
            0
        };
        let limit = size.saturating_sub(NODE_LIST_AT + tail) / 8;
        let (number, at) = self.append_directory_block(dir)?;
        let Some(block) = u32::try_from(number)
            .ok()
            .filter(|block| *block <= BLOCK_MASK)
        else {
            return refuse(libc::ENOSPC);
        };
        let mut fresh = vec![0u8; size];
        entries::write_entry(
            &mut fresh,
            0,
            size,
            Target {
                name: b"",
                inode: 0,
                kind: 0,
            },
        );
        if level == 0 {
            // The root's list moves one level down.
            if depth > usize::from(self.deepest()) {
                return refuse(libc::ENOSPC);
            }
            let moved = Node {
                number,
                at,
                start: NODE_LIST_AT,
                limit,
                list: std::mem::replace(&mut node.list, vec![(0, block)]),
                position: std::mem::take(&mut node.position),
            };
            let mut root = self.volume.blocks.get(node.at)?.data().to_vec();
            put(&mut root, 30, &[depth as u8]);
            self.write_node_list(dir, node, root)?;
            self.write_node_list(dir, &moved, fresh)?;
            path.insert(1, moved);
            return self.insert_index(dir, path, 1, new);
        }
        let middle = node.list.len() / 2;
        let mut right = node.list.split_off(middle);
        let Some(first) = right.first_mut() else {
            return refuse(libc::EIO);
        };
        let key = std::mem::take(&mut first.0);
        let mut upper = Node {
            number,
            at,
            start: NODE_LIST_AT,
            limit,
            list: right,
            position: 0,
        };
        match node.position.checked_sub(middle) {
            Some(position) => {
                let place = position.saturating_add(1).min(upper.list.len());
                upper.list.insert(place, new);
            }
            None => {
                let place = node.position.saturating_add(1).min(node.list.len());
                node.list.insert(place, new);
            }
        }
        self.rewrite_node(dir, node)?;
        self.write_node_list(dir, &upper, fresh)?;
        let above = level.saturating_sub(1);
        self.insert_index(dir, path, above, (key, block))
    }
}

/// The block below a node's position.
fn below(node: &Node) -> u64 {
    node.list
        .get(node.position)
        .map_or(0, |(_, block)| u64::from(*block))
}
