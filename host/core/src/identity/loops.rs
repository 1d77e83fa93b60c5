//! Loop devices of a view: what `mount -o loop` sets up between an image and mount(2).
//!
//! A device is only a number with an image behind it; the image is then mounted itself, and the number is free again.
//!
//! Neighbours: `syscall::loop_device` (the calls on them). Locks: both are leaves.

use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};
use view_vfs::attributes::Identity;
use view_vfs::place::Place;

/// What a descriptor that stands for a node of loop devices is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Node {
    /// /dev/loop-control
    Control,
    /// /dev/loopN
    Device(u32),
}

/// A device with an image.
#[derive(Debug, Clone)]
pub struct Attached {
    /// The image.
    pub image: Place,
    /// `struct loop_info64` as it was set (linux/loop.h).
    pub info: Vec<u8>,
}

/// All of a view.
#[derive(Debug, Default)]
pub struct Loops {
    attached: Mutex<BTreeMap<u32, Attached>>,
    opened: Mutex<HashMap<Identity, Node>>,
}

/// Descriptors of nodes that are kept in mind; mount(8) has one at a time.
const MOST_OPENED: usize = 1024;

impl Node {
    /// The node of that path.
    pub fn named(path: &[u8]) -> Option<Node> {
        match path.strip_prefix(b"/dev/loop")? {
            b"-control" => Some(Node::Control),
            number if number.first() == Some(&b'0') && number.len() > 1 => None,
            number => Some(Node::Device(
                std::str::from_utf8(number).ok()?.parse().ok()?,
            )),
        }
    }
}

impl Loops {
    /// The lowest number that neither the view nor the host uses.
    pub fn free(&self) -> u32 {
        let attached = self.attached.lock();
        let is_free = |number: &u32| {
            let used = format!("/sys/block/loop{number}/loop/backing_file");
            !attached.contains_key(number) && !std::path::Path::new(&used).exists()
        };
        (0..u32::MAX).find(is_free).unwrap_or(u32::MAX)
    }

    /// Puts an image behind a number. `false`: there is one.
    pub fn attach(&self, number: u32, device: Attached) -> bool {
        let mut attached = self.attached.lock();
        let is_free = !attached.contains_key(&number);
        if is_free {
            attached.insert(number, device);
        }
        is_free
    }

    /// The image of a number.
    pub fn find(&self, number: u32) -> Option<Attached> {
        self.attached.lock().get(&number).cloned()
    }

    /// Changes what is known of it. `false`: there is none.
    pub fn describe(&self, number: u32, info: Vec<u8>) -> bool {
        let mut attached = self.attached.lock();
        attached
            .get_mut(&number)
            .map(|device| device.info = info)
            .is_some()
    }

    /// Takes the image away.
    pub fn detach(&self, number: u32) -> Option<Attached> {
        self.attached.lock().remove(&number)
    }

    /// Notes what a descriptor stands for.
    pub fn note_opened(&self, identity: Identity, node: Node) {
        let mut opened = self.opened.lock();
        if opened.len() >= MOST_OPENED {
            opened.clear();
        }
        opened.insert(identity, node);
    }

    /// What it stands for.
    pub fn opened(&self, identity: Identity) -> Option<Node> {
        self.opened.lock().get(&identity).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_nodes() {
        assert_eq!(Node::named(b"/dev/loop-control"), Some(Node::Control));
        assert_eq!(Node::named(b"/dev/loop12"), Some(Node::Device(12)));
        for other in [
            &b"/dev/loop"[..],
            b"/dev/loop01",
            b"/dev/loop1p1",
            b"/tmp/loop1",
        ] {
            assert_eq!(Node::named(other), None);
        }
    }
}
