//! /dev/loop-control and /dev/loopN for mount(8) in a view with an identity: opened, asked by ioctl(2), named by mount(2).
//!
//! Only for a caller who has CAP_SYS_ADMIN in the view. Neighbours: `identity::loops` (what is attached), `open`, `mount`,
//! `host_object` (stat). Reference: loop(4), linux/loop.h.

use super::target::{self, Target};
use crate::identity::ViewIdentity;
use crate::identity::ids::CAP_SYS_ADMIN;
use crate::identity::loops::{Attached, Node};
use crate::task::{Answer, Task};
use rustix::fs::MemfdFlags;
use rustix::io::Errno;
use view_sys::memory;
use view_vfs::attributes::{Attributes, Identity, make_device};
use view_vfs::place::{Place, child_path};
use view_vfs::resolver::Found;

/// The ioctls of loop devices: this and the 255 numbers after it.
pub const FIRST_IOCTL: u32 = 0x4c00;
/// The last one that is looked at.
pub const LAST_IOCTL: u32 = 0x4cff;

const LOOP_SET_FD: u32 = 0x4c00;
const LOOP_CLR_FD: u32 = 0x4c01;
const LOOP_SET_STATUS64: u32 = 0x4c04;
const LOOP_GET_STATUS64: u32 = 0x4c05;
const LOOP_CONFIGURE: u32 = 0x4c0a;
const LOOP_CTL_GET_FREE: u32 = 0x4c82;
const INFO_SIZE: usize = 232;
const OFFSET_IN_INFO: usize = 24;
const FLAGS_IN_INFO: usize = 52;
const FLAG_READ_ONLY: u32 = 1;
const LOOP_MAJOR: u32 = 7;

fn identity<'v>(task: &Task<'v>) -> Option<&'v ViewIdentity> {
    let identity = task.view.identity.get()?;
    identity
        .of(task.call.tid)
        .has(CAP_SYS_ADMIN)
        .then_some(identity)
}

/// Has the caller CAP_SYS_ADMIN in the view?
pub fn may_mount(task: &Task<'_>) -> bool {
    identity(task).is_some()
}

/// The node that a walk found, or whose name it found missing on the host.
pub fn found_node(task: &Task<'_>, found: &Found) -> Option<Node> {
    identity(task)?;
    match (&found.place, &found.parent) {
        (Some(Place::Host { path, .. }), _) if found.kernel_agrees => Node::named(path),
        (None, Some(Place::Host { path, .. })) => Node::named(&child_path(path, &found.name)),
        _ => None,
    }
}

/// What stat(2) says of a node that the host lacks.
pub fn made_up(node: Node) -> Option<Attributes> {
    let mut attributes = view_vfs::host_ops::attributes(b"/dev/null").ok()?;
    let (kind, device) = match node {
        Node::Control => (libc::S_IFCHR, make_device(10, 237)),
        Node::Device(number) => (libc::S_IFBLK, make_device(LOOP_MAJOR, number)),
    };
    (attributes.mode, attributes.rdev) = (kind | 0o660, device);
    attributes.inode = u64::MAX - device;
    Some(attributes)
}

/// What an open of a node gives.
pub enum Opens {
    /// The image that is attached.
    Image(Place),
    /// A descriptor that stands for the node.
    StandIn(Answer),
}

/// Opens a node.
pub fn open(task: &Task<'_>, found: &Found, close_on_exec: bool) -> Option<Result<Opens, Errno>> {
    let node = found_node(task, found)?;
    let identity = identity(task)?;
    if let Node::Device(number) = node
        && let Some(attached) = identity.loops.find(number)
    {
        return Some(Ok(Opens::Image(attached.image)));
    }
    let stand_in = rustix::fs::memfd_create("loop", MemfdFlags::CLOEXEC).and_then(|descriptor| {
        identity.loops.note_opened(Identity::of(&descriptor)?, node);
        Ok(Opens::StandIn(Answer::Descriptor {
            descriptor,
            close_on_exec,
        }))
    });
    Some(stand_in)
}

/// ioctl: ioctl(2); only those of loop devices are notified
pub fn ioctl(task: &Task<'_>) -> Result<Answer, Errno> {
    let Some(identity) = identity(task) else {
        return Ok(Answer::Continue);
    };
    let Ok(stat) = task.descriptor_stat(task.int(0)) else {
        return Ok(Answer::Continue);
    };
    let opened = Identity {
        device: stat.st_dev,
        inode: stat.st_ino,
    };
    let request = task.unsigned(1);
    match identity.loops.opened(opened) {
        None => Ok(Answer::Continue),
        Some(Node::Control) if request == LOOP_CTL_GET_FREE => {
            Ok(Answer::Value(i64::from(identity.loops.free())))
        }
        Some(Node::Control) => Err(Errno::NOTTY),
        Some(Node::Device(number)) => on_device(task, identity, number, request),
    }
}

fn on_device(
    task: &Task<'_>,
    identity: &ViewIdentity,
    number: u32,
    request: u32,
) -> Result<Answer, Errno> {
    let (loops, argument) = (&identity.loops, task.argument(2));
    let read_info = |address: u64| {
        let mut info = vec![0; INFO_SIZE];
        memory::read_exact(task.call.tid, address, &mut info).map(|()| info)
    };
    let done_if = |done: bool, errno: Errno| if done { Ok(Answer::DONE) } else { Err(errno) };
    match request {
        LOOP_CONFIGURE => {
            // struct loop_config: descriptor, block size, struct loop_info64.
            let mut descriptor = [0; 4];
            memory::read_exact(task.call.tid, argument, &mut descriptor)?;
            let image = image(task, i32::from_le_bytes(descriptor))?;
            let info = read_info(argument.wrapping_add(8))?;
            task.commit()?;
            done_if(loops.attach(number, Attached { image, info }), Errno::BUSY)
        }
        LOOP_SET_FD => {
            let image = image(task, argument as i32)?;
            task.commit()?;
            let info = vec![0; INFO_SIZE];
            done_if(loops.attach(number, Attached { image, info }), Errno::BUSY)
        }
        LOOP_SET_STATUS64 => done_if(loops.describe(number, read_info(argument)?), Errno::NXIO),
        LOOP_GET_STATUS64 => {
            let attached = loops.find(number).ok_or(Errno::NXIO)?;
            task.write(argument, &attached.info)?;
            Ok(Answer::DONE)
        }
        LOOP_CLR_FD => done_if(loops.detach(number).is_some(), Errno::NXIO),
        _ => Err(Errno::NOTTY),
    }
}

/// The regular file that a descriptor of the task is.
fn image(task: &Task<'_>, descriptor: i32) -> Result<Place, Errno> {
    let place = match target::of_descriptor(task, descriptor)? {
        Target::Place(place) => place,
        Target::Kernel => {
            let path = rustix::fs::readlink(task.descriptor_link(descriptor), Vec::new())
                .map_err(|_| Errno::BADF)?;
            Place::Host {
                mount: task.table.root().clone(),
                path: path.into_bytes(),
            }
        }
    };
    if place.attributes()?.is_regular() {
        Ok(place)
    } else {
        Err(Errno::INVAL)
    }
}

/// What mount(2) of a loop device mounts.
pub struct Image {
    /// Path of the image in the view.
    pub path: Vec<u8>,
    /// Options that the device stands for.
    pub options: String,
    number: u32,
}

/// The image behind the source of a mount(2), if that is a loop device of the view.
pub fn image_of_source(task: &Task<'_>, source: &[u8]) -> Option<Image> {
    let Node::Device(number) = Node::named(source)? else {
        return None;
    };
    let attached = identity(task)?.loops.find(number)?;
    let bytes = |at: usize| attached.info.get(at..);
    let offset = bytes(OFFSET_IN_INFO)?
        .first_chunk()
        .map_or(0, |word| u64::from_le_bytes(*word));
    let flags = bytes(FLAGS_IN_INFO)?
        .first_chunk()
        .map_or(0, |word| u32::from_le_bytes(*word));
    let mut options = Vec::new();
    if offset != 0 {
        options.push(format!("offset={offset}"));
    }
    if flags & FLAG_READ_ONLY != 0 {
        options.push("ro".to_owned());
    }
    Some(Image {
        path: attached.image.view_path(),
        options: options.join(","),
        number,
    })
}

/// The image is mounted: the number is free again.
pub fn release(task: &Task<'_>, image: &Image) {
    if let Some(identity) = identity(task) {
        identity.loops.detach(image.number);
    }
}

/// A file below /sys/block/loopN/loop, which the host has only for devices of its own. `path` as it was asked for from
/// `directory`; `None`: not one of these.
pub fn sysfs_text(task: &Task<'_>, directory: i32, path: &[u8]) -> Option<Vec<u8>> {
    let identity = identity(task)?;
    let (rest, name) = split_last(path)?;
    let rest = match rest.strip_suffix(b"/loop") {
        Some(device) => device.to_vec(),
        None if rest == b"loop" => task.start(directory).ok()?.place.host_path()?.to_vec(),
        None => return None,
    };
    if !rest.starts_with(b"/sys/") {
        return None;
    }
    let (_, device) = split_last(&rest)?;
    let number = device
        .strip_prefix(b"loop")
        .or_else(|| device.strip_prefix(b"7:"))?;
    let attached = identity
        .loops
        .find(std::str::from_utf8(number).ok()?.parse().ok()?)?;
    let word = |at: usize| {
        let bytes = attached.info.get(at..).and_then(<[u8]>::first_chunk);
        bytes.map_or(0, |word| u64::from_le_bytes(*word))
    };
    let mut text = match name {
        b"autoclear" => ((word(FLAGS_IN_INFO) >> 2) & 1).to_string().into_bytes(),
        b"offset" => word(OFFSET_IN_INFO).to_string().into_bytes(),
        b"sizelimit" => word(OFFSET_IN_INFO + 8).to_string().into_bytes(),
        b"backing_file" => attached.image.view_path(),
        _ => return None,
    };
    text.push(b'\n');
    Some(text)
}

fn split_last(path: &[u8]) -> Option<(&[u8], &[u8])> {
    let slash = path.iter().rposition(|&byte| byte == b'/')?;
    Some((path.get(..slash)?, path.get(slash + 1..)?))
}
