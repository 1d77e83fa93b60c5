//! Inode numbers, and where each known inode is below the root.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use fuse_compat::{Errno, INodeNo};
use rustix::fs::Stat;

/// Numbers from here on are ours; below, they are the host's `st_ino`.
const FIRST_OWN_NUMBER: u64 = 1 << 63;
/// Deeper than any path; only a tree that is being moved about can seem deeper.
const MOST_STEPS: usize = 100_000;

/// Identity of a host object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) dev: u64,
    pub(crate) ino: u64,
}

impl Key {
    pub(crate) fn of(stat: &Stat) -> Key {
        Key {
            dev: stat.st_dev,
            ino: stat.st_ino,
        }
    }
}

#[derive(Debug)]
struct Node {
    key: Key,
    parent: INodeNo,
    name: OsString,
    /// References of the host program.
    references: u64,
    /// Nodes whose place is below this one: they keep it.
    children: u64,
    /// The object itself, once it has lost the name above.
    pinned: Option<Arc<OwnedFd>>,
}

/// Where to find an inode.
pub(crate) struct Place {
    /// Start here; `None` for the root.
    pub(crate) base: Option<Arc<OwnedFd>>,
    /// And follow these names.
    pub(crate) relative: PathBuf,
    /// What must be there.
    pub(crate) key: Key,
}

#[derive(Debug)]
pub(crate) struct Table {
    root: Key,
    nodes: HashMap<u64, Node>,
    /// Numbers given to objects whose `st_ino` cannot be used.
    own_numbers: HashMap<Key, INodeNo>,
    next_own_number: u64,
}

impl Table {
    pub(crate) fn new(root: Key) -> Table {
        Table {
            root,
            nodes: HashMap::new(),
            own_numbers: HashMap::new(),
            next_own_number: FIRST_OWN_NUMBER,
        }
    }

    /// The inode number of an object: `st_ino` on the root's own filesystem, one of ours for what is mounted below it.
    pub(crate) fn number(&mut self, key: Key) -> INodeNo {
        if key == self.root {
            return INodeNo::ROOT;
        }
        if key.dev == self.root.dev && (2..FIRST_OWN_NUMBER).contains(&key.ino) {
            return INodeNo(key.ino);
        }
        let next = &mut self.next_own_number;
        *self.own_numbers.entry(key).or_insert_with(|| {
            *next += 1;
            INodeNo(*next - 1)
        })
    }

    /// Where an inode is. Errors: `ESTALE` when it is not known (any more).
    pub(crate) fn place(&self, ino: INodeNo) -> Result<Place, Errno> {
        let mut names: Vec<&OsStr> = Vec::new();
        let mut base = None;
        let mut here = ino;
        while here != INodeNo::ROOT {
            let node = self.nodes.get(&here.0).ok_or(Errno::ESTALE)?;
            if let Some(descriptor) = &node.pinned {
                base = Some(Arc::clone(descriptor));
                break;
            }
            if names.len() >= MOST_STEPS {
                return Err(Errno::ESTALE);
            }
            names.push(&node.name);
            here = node.parent;
        }
        let key = match ino {
            INodeNo::ROOT => self.root,
            _ => self.nodes.get(&ino.0).ok_or(Errno::ESTALE)?.key,
        };
        let relative = names.into_iter().rev().collect();
        Ok(Place {
            base,
            relative,
            key,
        })
    }

    /// Parent and name of an inode that has one.
    pub(crate) fn name(&self, ino: INodeNo) -> Option<(INodeNo, &OsStr)> {
        let node = self.nodes.get(&ino.0)?;
        node.pinned.is_none().then_some((node.parent, &node.name))
    }

    /// An object was found at a name; gives the host program a reference.
    pub(crate) fn found(&mut self, parent: INodeNo, name: &OsStr, key: Key) -> INodeNo {
        let ino = self.number(key);
        if ino == INodeNo::ROOT {
            return ino;
        }
        self.settle(ino, parent, name, key, None);
        ino
    }

    /// An object without a name; gives the host program a reference.
    pub(crate) fn found_unnamed(
        &mut self,
        parent: INodeNo,
        key: Key,
        descriptor: OwnedFd,
    ) -> INodeNo {
        let ino = self.number(key);
        let pinned = Some(Arc::new(descriptor));
        self.settle(ino, parent, OsStr::new(""), key, pinned);
        ino
    }

    fn settle(
        &mut self,
        ino: INodeNo,
        parent: INodeNo,
        name: &OsStr,
        key: Key,
        pinned: Option<Arc<OwnedFd>>,
    ) {
        // The new place first, so that the old one does not take an ancestor with it.
        self.add_child(parent);
        let old = self.nodes.remove(&ino.0);
        let (references, children) = match &old {
            Some(node) => (node.references, node.children),
            None => (0, 0),
        };
        let node = Node {
            key,
            parent,
            name: name.to_owned(),
            references: references + 1,
            children,
            pinned,
        };
        self.nodes.insert(ino.0, node);
        if let Some(old) = old {
            self.remove_child(old.parent);
        }
    }

    /// A name was moved (by rename): the inode that was there is elsewhere now.
    pub(crate) fn moved(&mut self, key: Key, parent: INodeNo, name: &OsStr) {
        let ino = self.number(key);
        if self.nodes.contains_key(&ino.0) {
            self.settle(ino, parent, name, key, None);
            self.forget(ino, 1);
        }
    }

    /// A name is gone: if it is the place of a known inode, that is held by its descriptor from now on.
    pub(crate) fn lost_name(&mut self, parent: INodeNo, name: &OsStr, key: Key, object: OwnedFd) {
        let ino = self.number(key);
        if let Some(node) = self.nodes.get_mut(&ino.0)
            && node.parent == parent
            && node.name == name
        {
            node.pinned = Some(Arc::new(object));
        }
    }

    /// One more reference of the host program on an inode that is known.
    pub(crate) fn reference(&mut self, ino: INodeNo) {
        if let Some(node) = self.nodes.get_mut(&ino.0) {
            node.references += 1;
        }
    }

    pub(crate) fn forget(&mut self, ino: INodeNo, count: u64) {
        if let Some(node) = self.nodes.get_mut(&ino.0) {
            node.references = node.references.saturating_sub(count);
            self.drop_if_unused(ino);
        }
    }

    fn add_child(&mut self, parent: INodeNo) {
        if let Some(node) = self.nodes.get_mut(&parent.0) {
            node.children += 1;
        }
    }

    fn remove_child(&mut self, parent: INodeNo) {
        if let Some(node) = self.nodes.get_mut(&parent.0) {
            node.children = node.children.saturating_sub(1);
            self.drop_if_unused(parent);
        }
    }

    /// Drops an inode that nobody needs, and its parents that were kept for it.
    fn drop_if_unused(&mut self, ino: INodeNo) {
        let mut here = ino;
        loop {
            let is_unused = |node: &Node| node.references == 0 && node.children == 0;
            if !self.nodes.get(&here.0).is_some_and(is_unused) {
                return;
            }
            let Some(node) = self.nodes.remove(&here.0) else {
                return;
            };
            here = node.parent;
            if let Some(parent) = self.nodes.get_mut(&here.0) {
                parent.children = parent.children.saturating_sub(1);
            }
        }
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(ino: u64) -> Key {
        Key { dev: 7, ino }
    }

    fn relative(table: &Table, ino: INodeNo) -> String {
        let place = table.place(ino).unwrap();
        place.relative.to_str().unwrap().to_owned()
    }

    #[test]
    fn places_follow_moves_of_their_parents() {
        let mut table = Table::new(key(100));
        let a = table.found(INodeNo::ROOT, OsStr::new("a"), key(101));
        let b = table.found(a, OsStr::new("b"), key(102));
        let c = table.found(b, OsStr::new("c"), key(103));
        assert_eq!(relative(&table, c), "a/b/c");
        table.moved(key(102), INodeNo::ROOT, OsStr::new("x"));
        assert_eq!(relative(&table, c), "x/c");
        // Parents stay known while something below them is.
        table.forget(b, 1);
        assert_eq!(relative(&table, c), "x/c");
        table.forget(a, 1);
        table.forget(c, 1);
        assert_eq!(table.len(), 0);
        assert!(table.place(c).is_err());
    }

    #[test]
    fn numbers_are_the_hosts_where_they_can_be() {
        let mut table = Table::new(key(100));
        assert_eq!(table.number(key(100)), INodeNo::ROOT);
        assert_eq!(table.number(key(5)), INodeNo(5));
        let one = table.number(key(1));
        let foreign = table.number(Key { dev: 8, ino: 5 });
        assert!(one.0 >= FIRST_OWN_NUMBER && foreign.0 >= FIRST_OWN_NUMBER);
        assert_ne!(one, foreign);
        assert_eq!(table.number(Key { dev: 8, ino: 5 }), foreign);
        assert_ne!(table.number(Key { dev: 8, ino: 100 }), INodeNo::ROOT);
    }

    #[test]
    fn directories_that_seem_to_contain_each_other_are_stale_not_endless() {
        let mut table = Table::new(key(100));
        let a = table.found(INodeNo::ROOT, OsStr::new("a"), key(101));
        let b = table.found(a, OsStr::new("b"), key(102));
        table.found(b, OsStr::new("a"), key(101));
        assert_eq!(table.place(a).err(), Some(Errno::ESTALE));
        table.forget(a, 2);
        table.forget(b, 1);
    }
}
