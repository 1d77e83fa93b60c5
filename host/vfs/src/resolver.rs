//! The one resolver: every path of every system call is walked here.
//!
//! On the host it asks Linux in big steps: `openat2(O_PATH | RESOLVE_NO_SYMLINKS)` settles all components up to the
//! next mount point at once; only when that says `ELOOP` the components are looked at one by one. In a module it walks
//! dentries. Along the way it notes whether Linux, given the same path, would arrive at the same object: then the
//! call can simply be continued.
//!
//! Neighbours: `mount_table`, `place`, `object` (dentries). Takes no lock of its own.
//!
//! References: path_resolution(7), openat2(2), fs/namei.c.

use crate::attributes::Kind;
use crate::mount_table::{Mount, MountTable};
use crate::place::Place;
use crate::{host_ops, procfs};
use rustix::fs::OFlags;
use rustix::io::Errno;
use std::sync::Arc;

/// Most symbolic links that one walk may follow (path_resolution(7)).
const MAX_LINKS: u32 = 40;
const NAME_MAX: usize = 255;

/// What the resolver must know of the calling task.
pub trait WalkContext {
    /// What /proc/self means.
    fn process_id(&self) -> u32;
    /// What /proc/thread-self means.
    fn thread_id(&self) -> u32;
    /// The place behind a descriptor, working directory or program of any process, if the view made it.
    fn place_of(&self, device: u64, inode: u64) -> Option<Place>;
    /// May the caller search this directory of a module?
    fn may_search(&self, directory: &Place) -> Result<(), Errno>;
}

/// How to walk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WalkFlags {
    /// Follow a symbolic link in the last component.
    pub follow: bool,
    /// The caller will create or remove the last component: its parent is wanted, and a missing last component is no error.
    pub parent: bool,
    /// RESOLVE_NO_SYMLINKS
    pub no_symlinks: bool,
    /// RESOLVE_NO_MAGICLINKS
    pub no_magic_links: bool,
    /// RESOLVE_NO_XDEV
    pub no_mount_crossing: bool,
    /// RESOLVE_BENEATH
    pub beneath: bool,
    /// RESOLVE_IN_ROOT
    pub in_root: bool,
}

impl WalkFlags {
    /// Follow all links.
    pub const FOLLOW: WalkFlags = WalkFlags {
        follow: true,
        parent: false,
        no_symlinks: false,
        no_magic_links: false,
        no_mount_crossing: false,
        beneath: false,
        in_root: false,
    };
    /// Follow all links but one in the last component.
    pub const NO_FOLLOW: WalkFlags = WalkFlags { follow: false, ..Self::FOLLOW };
    /// For creating or removing a name.
    pub const PARENT: WalkFlags = WalkFlags { follow: false, parent: true, ..Self::FOLLOW };
}

/// The last component of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Last {
    /// A name.
    Name,
    /// `.`, `..`, `/` or the target of a magic link: there is no name to create or remove.
    Dot,
    /// `..`
    DotDot,
    /// The root.
    Root,
}

/// Where a walk ended.
#[derive(Debug, Clone)]
pub struct Found {
    /// The directory of the last component (set when [`WalkFlags::parent`] was, or the object is missing).
    pub parent: Option<Place>,
    /// The last component.
    pub name: Vec<u8>,
    /// What it is, when it exists.
    pub place: Option<Place>,
    /// Kind of the last component.
    pub last: Last,
    /// The path ends in a slash: only a directory will do.
    pub wants_directory: bool,
    /// Linux would find the same: the call may be continued.
    pub kernel_agrees: bool,
    /// The walk ended in an error that Linux will find by itself (only when `kernel_agrees`).
    pub kernel_error: Option<Errno>,
}

impl Found {
    /// The place, or the error of a walk that must find something.
    pub fn existing(self) -> Result<Place, Errno> {
        match (self.place, self.kernel_error) {
            (Some(place), _) => Ok(place),
            (None, Some(errno)) => Err(errno),
            (None, None) => Err(Errno::NOENT),
        }
    }
}

/// One walk.
pub struct Walk<'a> {
    table: Arc<MountTable>,
    caller: &'a dyn WalkContext,
    flags: WalkFlags,
    /// The walk may not leave this (the view's `/`, or that of RESOLVE_BENEATH and RESOLVE_IN_ROOT).
    root: Place,
    links: u32,
    kernel_agrees: bool,
}

enum Step {
    Arrived(Place),
    Missing { parent: Place, name: Vec<u8> },
    Link(Vec<u8>),
    /// A magic link: it jumps.
    Jump(Place),
    /// Linux ends the walk here with this error.
    Failed(Errno),
}

impl<'a> Walk<'a> {
    /// Prepares a walk. `start` is the directory that relative paths begin at.
    pub fn new(table: Arc<MountTable>, caller: &'a dyn WalkContext, flags: WalkFlags, start: &Place) -> Self {
        let root = if flags.beneath || flags.in_root {
            start.clone()
        } else {
            view_root(&table)
        };
        Self { table, caller, flags, root, links: 0, kernel_agrees: true }
    }

    /// The kernel has a stand-in where the walk starts, so it would not find the same.
    pub fn from_stand_in(mut self) -> Self {
        self.kernel_agrees = false;
        self
    }

    /// Walks `path`. An error is what the system call fails with.
    pub fn run(mut self, start: &Place, path: &[u8]) -> Result<Found, Errno> {
        if path.is_empty() {
            return Err(Errno::NOENT);
        }
        let mut at = start.clone();
        if path[0] == b'/' {
            at = self.absolute()?;
        }
        self.note(&at);
        let mut pending: Vec<u8> = path.to_vec();
        let mut position = 0;
        let mut last = Last::Root;
        let mut parent: Option<Place> = None;
        let mut name: Vec<u8> = Vec::new();
        loop {
            while pending.get(position) == Some(&b'/') {
                position += 1;
            }
            let rest = &pending[position..];
            if rest.is_empty() {
                break;
            }
            let length = rest.iter().position(|&byte| byte == b'/').unwrap_or(rest.len());
            let component = &rest[..length];
            if component == b"." || component == b".." {
                if let Err(errno) = self.may_walk_through(&at) {
                    return self.fail(errno);
                }
                last = Last::Dot;
                if component == b".." {
                    at = self.dot_dot(at)?;
                    last = Last::DotDot;
                }
                position += length;
                continue;
            }
            let (consumed, step) = self.step(&at, rest)?;
            let used = &rest[..consumed];
            let after = &rest[consumed..];
            let is_last = after.iter().all(|&byte| byte == b'/');
            match step {
                Step::Arrived(place) => {
                    let cut = used.iter().rposition(|&byte| byte == b'/').map_or(0, |slash| slash + 1);
                    if is_last {
                        name = used[cut..].to_vec();
                        parent = match self.flags.parent {
                            true => Some(arrive_directory(&at, &used[..cut])?),
                            false => None,
                        };
                    }
                    last = Last::Name;
                    at = place;
                    position += consumed;
                }
                Step::Link(target) => {
                    self.count_link()?;
                    if target.is_empty() {
                        return Err(Errno::NOENT);
                    }
                    let cut = used.iter().rposition(|&byte| byte == b'/');
                    at = match cut {
                        Some(slash) => arrive_directory(&at, &used[..slash])?,
                        None => at,
                    };
                    if target[0] == b'/' {
                        let root = self.absolute()?;
                        self.stay_on_mount(&at, &root)?;
                        at = root;
                        self.note(&at);
                        last = Last::Root;
                    }
                    let mut next = target;
                    next.extend_from_slice(after);
                    pending = next;
                    position = 0;
                }
                Step::Jump(place) => {
                    self.count_link()?;
                    if self.flags.no_magic_links {
                        return Err(Errno::LOOP);
                    }
                    self.stay_on_mount(&at, &place)?;
                    if self.flags.beneath || self.flags.in_root {
                        return Err(Errno::XDEV);
                    }
                    self.note(&place);
                    at = place;
                    last = Last::Dot;
                    name.clear();
                    parent = None;
                    position += consumed;
                }
                Step::Missing { parent: directory, name: missing } => {
                    if !is_last {
                        return self.fail(Errno::NOENT);
                    }
                    let name = missing;
                    if name.len() > NAME_MAX {
                        return Err(Errno::NAMETOOLONG);
                    }
                    return Ok(Found {
                        parent: Some(directory),
                        name,
                        place: None,
                        last: Last::Name,
                        wants_directory: !after.is_empty(),
                        kernel_agrees: self.kernel_agrees,
                        kernel_error: None,
                    });
                }
                Step::Failed(errno) => return self.fail(errno),
            }
        }
        let wants_directory = pending.last() == Some(&b'/');
        if wants_directory
            && last == Last::Name
            && !self.kernel_agrees
            && !self.flags.parent
            && at.kind()? != Kind::Directory
        {
            return Err(Errno::NOTDIR);
        }
        Ok(Found {
            parent,
            name,
            place: Some(at),
            last,
            wants_directory,
            kernel_agrees: self.kernel_agrees,
            kernel_error: None,
        })
    }

    /// A failed walk: an error, or left to Linux when it would fail the same.
    fn fail(&self, errno: Errno) -> Result<Found, Errno> {
        if !self.kernel_agrees {
            return Err(errno);
        }
        Ok(Found {
            parent: None,
            name: Vec::new(),
            place: None,
            last: Last::Name,
            wants_directory: false,
            kernel_agrees: true,
            kernel_error: Some(errno),
        })
    }

    fn absolute(&self) -> Result<Place, Errno> {
        if self.flags.beneath {
            return Err(Errno::XDEV);
        }
        Ok(self.root.clone())
    }

    fn count_link(&mut self) -> Result<(), Errno> {
        if self.flags.no_symlinks {
            return Err(Errno::LOOP);
        }
        self.links += 1;
        if self.links > MAX_LINKS { Err(Errno::LOOP) } else { Ok(()) }
    }

    /// Linux arrives here only if the view names no other object on the way.
    fn note(&mut self, place: &Place) {
        self.kernel_agrees &= place.is_plain_host();
    }

    /// RESOLVE_NO_XDEV.
    fn stay_on_mount(&self, from: &Place, to: &Place) -> Result<(), Errno> {
        if self.flags.no_mount_crossing && from.mount().id() != to.mount().id() { Err(Errno::XDEV) } else { Ok(()) }
    }

    /// Is it a directory that the caller may search?
    fn may_walk_through(&self, place: &Place) -> Result<(), Errno> {
        match place {
            Place::Node { dentry, .. } => {
                if dentry.kind() == Kind::Directory { self.caller.may_search(place) } else { Err(Errno::NOTDIR) }
            }
            // The working directory, removed: `.` and `..` still lead somewhere.
            Place::Host { .. } if place.is_deleted() => Ok(()),
            Place::Host { path, .. } => {
                let itself = [path.as_slice(), b"/."].concat();
                host_ops::probe(&itself, OFlags::DIRECTORY | OFlags::NOFOLLOW)
            }
        }
    }

    /// `..`, through mount roots, never above the walk's root.
    fn dot_dot(&mut self, from: Place) -> Result<Place, Errno> {
        let mut at = from;
        loop {
            if at.is_same(&self.root) {
                return if self.flags.beneath { Err(Errno::XDEV) } else { Ok(at) };
            }
            match at.parent_in_mount() {
                Some(parent) => {
                    return self.cross(parent);
                }
                // Moved out of a bind.
                None if !at.is_mount_root() => return Err(Errno::NOENT),
                None => match at.mount().point() {
                    Some(_) if self.flags.no_mount_crossing => return Err(Errno::XDEV),
                    Some(point) => at = point.clone(),
                    None => return Ok(at),
                },
            }
        }
    }

    /// Takes as many components of `rest` as can be settled at once.
    fn step(&mut self, at: &Place, rest: &[u8]) -> Result<(usize, Step), Errno> {
        match at {
            Place::Host { .. } => self.host_step(at, rest),
            Place::Node { .. } => {
                let length = rest.iter().position(|&byte| byte == b'/').unwrap_or(rest.len());
                let follow = self.follows(&rest[length..]);
                Ok((length, self.node_step(at, &rest[..length], follow)?))
            }
        }
    }

    /// Is a link followed that has `after` behind it in the path? A slash behind the last component says so too,
    /// except for calls that make or remove names.
    fn follows(&self, after: &[u8]) -> bool {
        let is_last = after.iter().all(|&byte| byte == b'/');
        self.flags.follow || !is_last || !after.is_empty() && !self.flags.parent
    }

    fn node_step(&mut self, at: &Place, component: &[u8], follow: bool) -> Result<Step, Errno> {
        let Place::Node { mount, dentry } = at else { return Err(Errno::IO) };
        self.may_walk_through(at)?;
        if component.len() > NAME_MAX {
            return Err(Errno::NAMETOOLONG);
        }
        let child = match dentry.lookup(component) {
            Ok(child) => child,
            Err(Errno::NOENT) => {
                return Ok(Step::Missing { parent: at.clone(), name: component.to_vec() });
            }
            Err(errno) => return Err(errno),
        };
        if follow && child.kind() == Kind::Symlink {
            return Ok(Step::Link(child.read_link()?.to_vec()));
        }
        let place = Place::Node { mount: mount.clone(), dentry: child };
        self.cross(place).map(Step::Arrived)
    }

    /// Enters what is mounted on `place`.
    fn cross(&mut self, place: Place) -> Result<Place, Errno> {
        if self.table.covering(&place).is_none() {
            return Ok(place);
        }
        if self.flags.no_mount_crossing {
            return Err(Errno::XDEV);
        }
        let place = self.table.cross_down(place);
        self.note(&place);
        Ok(place)
    }

    fn host_step(&mut self, at: &Place, rest: &[u8]) -> Result<(usize, Step), Errno> {
        let Place::Host { mount, path } = at else { return Err(Errno::IO) };
        // As many plain names as there are before the next `.` or `..`.
        let mut candidate = path.clone();
        let mut consumed = 0;
        let base = path.len();
        let is_proc = path == b"/" && rest.starts_with(b"proc") || procfs::is_below(path);
        let mut position = 0;
        while position < rest.len() {
            let length = rest[position..].iter().position(|&byte| byte == b'/').unwrap_or(rest.len() - position);
            let component = &rest[position..position + length];
            if length > 0 {
                if component == b"." || component == b".." {
                    break;
                }
                if length > NAME_MAX {
                    break;
                }
                if candidate != b"/" {
                    candidate.push(b'/');
                }
                candidate.extend_from_slice(component);
                consumed = position + length;
                if is_proc {
                    break;
                }
            }
            position += length + 1;
        }
        if consumed == 0 {
            return Ok((0, Step::Failed(Errno::NAMETOOLONG)));
        }
        if is_proc {
            let step = self.proc_step(mount, path, candidate, rest, consumed)?;
            return Ok((consumed, step));
        }
        if mount.has_children()
            && let Some(point) = self.table.first_point_on(mount.id(), base, &candidate)
        {
            let consumed = consumed_for(base, path, point, rest);
            let place = Place::Host { mount: mount.clone(), path: point.to_vec() };
            return Ok((consumed, Step::Arrived(self.cross(place)?)));
        }
        let is_last = rest[consumed..].iter().all(|&byte| byte == b'/');
        let follow = self.follows(&rest[consumed..]);
        let mut flags = OFlags::empty();
        flags.set(OFlags::NOFOLLOW, !follow);
        flags.set(OFlags::DIRECTORY, !is_last);
        match host_ops::probe(&candidate, flags) {
            Ok(()) => {
                let place = Place::Host { mount: mount.clone(), path: candidate };
                Ok((consumed, Step::Arrived(place)))
            }
            Err(Errno::LOOP) => self.host_components(at, rest, consumed, follow),
            Err(Errno::NOENT) => {
                if !is_last {
                    return Ok((consumed, Step::Failed(Errno::NOENT)));
                }
                if self.kernel_agrees && !self.flags.parent {
                    return Ok((consumed, Step::Failed(Errno::NOENT)));
                }
                self.host_missing(mount, candidate, consumed)
            }
            Err(errno) => Ok((consumed, Step::Failed(errno))),
        }
    }

    /// The last component of `candidate` is missing: is its parent there?
    fn host_missing(&mut self, mount: &Arc<Mount>, candidate: Vec<u8>, consumed: usize) -> Result<(usize, Step), Errno> {
        let end = candidate.iter().rposition(|&byte| byte == b'/').unwrap_or(0);
        let parent = if end == 0 { b"/".to_vec() } else { candidate[..end].to_vec() };
        let name = candidate[end + 1..].to_vec();
        let parent = Place::Host { mount: mount.clone(), path: parent };
        match self.may_walk_through(&parent) {
            Ok(()) => Ok((consumed, Step::Missing { parent, name })),
            Err(errno) => Ok((consumed, Step::Failed(errno))),
        }
    }

    /// Some component of the first `limit` bytes of `rest` is a symbolic link: finds the first one.
    fn host_components(&mut self, at: &Place, rest: &[u8], limit: usize, follow: bool) -> Result<(usize, Step), Errno> {
        let Place::Host { mount, path } = at else { return Err(Errno::IO) };
        let mut candidate = path.clone();
        let mut position = 0;
        while position < limit {
            let length = rest[position..limit].iter().position(|&byte| byte == b'/').unwrap_or(limit - position);
            if length == 0 {
                position += 1;
                continue;
            }
            if candidate != b"/" {
                candidate.push(b'/');
            }
            candidate.extend_from_slice(&rest[position..position + length]);
            let end = position + length;
            let is_final = end == limit && rest[limit..].iter().all(|&byte| byte == b'/');
            if is_final && !follow {
                return Ok((end, Step::Arrived(Place::Host { mount: mount.clone(), path: candidate })));
            }
            match host_ops::read_link(&candidate) {
                Ok(target) => return Ok((end, Step::Link(target))),
                Err(Errno::INVAL) => {}
                Err(Errno::NOENT) if is_final => {
                    return self.host_missing(mount, candidate, end);
                }
                Err(errno) => return Ok((end, Step::Failed(errno))),
            }
            position = end;
        }
        // The tree changed meanwhile: there is no link any more.
        Ok((limit, Step::Arrived(Place::Host { mount: mount.clone(), path: candidate })))
    }

    /// One component at or below /proc, where `self` is the caller and links may be magic.
    fn proc_step(
        &mut self,
        mount: &Arc<Mount>,
        directory: &[u8],
        candidate: Vec<u8>,
        rest: &[u8],
        consumed: usize,
    ) -> Result<Step, Errno> {
        if mount.has_children()
            && let Some(point) = self.table.first_point_on(mount.id(), directory.len(), &candidate)
            && point.len() == candidate.len()
        {
            let place = Place::Host { mount: mount.clone(), path: candidate };
            return self.cross(place).map(Step::Arrived);
        }
        let follow = self.follows(&rest[consumed..]);
        if follow && candidate == b"/proc/self" {
            return Ok(Step::Link(self.caller.process_id().to_string().into_bytes()));
        }
        if follow && candidate == b"/proc/thread-self" {
            return Ok(Step::Link(format!("{}/task/{}", self.caller.process_id(), self.caller.thread_id()).into_bytes()));
        }
        let host = Place::Host { mount: mount.clone(), path: candidate.clone() };
        if !follow {
            return match host_ops::attributes(&candidate) {
                Ok(_) => Ok(Step::Arrived(host)),
                Err(errno) => Ok(Step::Failed(errno)),
            };
        }
        if procfs::is_magic_link(&candidate) {
            let target = match rustix::fs::stat(candidate.as_slice()) {
                Ok(target) => target,
                Err(errno) => return Ok(Step::Failed(errno)),
            };
            if let Some(place) = self.caller.place_of(target.st_dev, target.st_ino) {
                return Ok(Step::Jump(place));
            }
            let text = host_ops::read_link(&candidate)?;
            if text == b"/" && matches!(procfs::split_task(&candidate), Some((_, b"root"))) {
                return Ok(Step::Jump(view_root(&self.table)));
            }
            // An object of the host. When the walk ends here Linux can follow the link itself.
            let is_last = consumed == rest.len();
            let is_path = text.first() == Some(&b'/') && !text.ends_with(b" (deleted)");
            if is_last && (!is_path || self.kernel_agrees) {
                return Ok(Step::Arrived(host));
            }
            if !is_path {
                return Ok(Step::Failed(Errno::NOTDIR));
            }
            let place = Place::Host { mount: self.table.root().clone(), path: text };
            return Ok(Step::Jump(place));
        }
        match host_ops::read_link(&candidate) {
            Ok(target) => Ok(Step::Link(target)),
            Err(Errno::INVAL) => Ok(Step::Arrived(host)),
            Err(Errno::NOENT) => Ok(Step::Missing {
                parent: Place::Host { mount: mount.clone(), path: directory.to_vec() },
                name: candidate[directory.len()..].strip_prefix(b"/").unwrap_or_default().to_vec(),
            }),
            Err(errno) => Ok(Step::Failed(errno)),
        }
    }
}

/// The view's `/`: whatever is mounted on the root.
fn view_root(table: &MountTable) -> Place {
    table.cross_down(table.root().root_place())
}

/// The directory reached by `components` (none of them a link or a mount point) from `at`.
fn arrive_directory(at: &Place, components: &[u8]) -> Result<Place, Errno> {
    let mut place = at.clone();
    for component in components.split(|&byte| byte == b'/').filter(|one| !one.is_empty()) {
        place = match &place {
            Place::Host { mount, path } => Place::join_host(mount, path, component),
            Place::Node { mount, dentry } => Place::Node { mount: mount.clone(), dentry: dentry.lookup(component)? },
        };
    }
    Ok(place)
}

/// How many bytes of `rest` lead from `base` (a directory path) to `point`.
fn consumed_for(base: usize, directory: &[u8], point: &[u8], rest: &[u8]) -> usize {
    let tail = if directory == b"/" { &point[1..] } else { &point[(base + 1).min(point.len())..] };
    let wanted = tail.split(|&byte| byte == b'/').count();
    let mut position = 0;
    let mut seen = 0;
    while position < rest.len() {
        let length = rest[position..].iter().position(|&byte| byte == b'/').unwrap_or(rest.len() - position);
        if length > 0 {
            seen += 1;
            if seen == wanted {
                return position + length;
            }
        }
        position += length + 1;
    }
    rest.len()
}

#[cfg(test)]
mod tests;
