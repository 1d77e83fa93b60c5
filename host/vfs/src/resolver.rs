//! The one resolver: every path of every system call is walked here.
//!
//! On the host it asks Linux in big steps: `openat2(O_PATH | RESOLVE_NO_SYMLINKS)` settles all components up to the
//! next mount point at once; only when that says `ELOOP` the components are looked at one by one. In a module it walks
//! dentries. Along the way it notes whether Linux, given the same path, would arrive at the same object: then the
//! call can simply be continued.
//!
//! | Module | Responsibility                                        |
//! |--------|-------------------------------------------------------|
//! | `host` | steps through host directories, up to the next mount  |
//! | `proc` | /proc: the caller as `self`, links that jump          |
//!
//! Neighbours: `mount_table`, `place`, `object` (dentries). Takes no lock of its own.
//!
//! References: path_resolution(7), openat2(2), fs/namei.c.

mod host;
mod proc;

use crate::attributes::Kind;
use crate::host_ops;
use crate::mount_table::MountTable;
use crate::place::Place;
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
    pub const NO_FOLLOW: WalkFlags = WalkFlags {
        follow: false,
        ..Self::FOLLOW
    };
    /// For creating or removing a name.
    pub const PARENT: WalkFlags = WalkFlags {
        follow: false,
        parent: true,
        ..Self::FOLLOW
    };
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
    Missing {
        parent: Place,
        name: Vec<u8>,
    },
    Link(Vec<u8>),
    /// A magic link: it jumps.
    Jump(Place),
    /// Linux ends the walk here with this error.
    Failed(Errno),
}

impl<'a> Walk<'a> {
    /// Prepares a walk. `start` is the directory that relative paths begin at.
    pub fn new(
        table: Arc<MountTable>,
        caller: &'a dyn WalkContext,
        flags: WalkFlags,
        start: &Place,
    ) -> Self {
        let root = if flags.beneath || flags.in_root {
            start.clone()
        } else {
            view_root(&table)
        };
        Self {
            table,
            caller,
            flags,
            root,
            links: 0,
            kernel_agrees: true,
        }
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
            let length = rest
                .iter()
                .position(|&byte| byte == b'/')
                .unwrap_or(rest.len());
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
                    let cut = used
                        .iter()
                        .rposition(|&byte| byte == b'/')
                        .map_or(0, |slash| slash + 1);
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
                Step::Missing {
                    parent: directory,
                    name: missing,
                } => {
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
        if self.links > MAX_LINKS {
            Err(Errno::LOOP)
        } else {
            Ok(())
        }
    }

    /// Linux arrives here only if the view names no other object on the way.
    fn note(&mut self, place: &Place) {
        self.kernel_agrees &= place.is_plain_host();
    }

    /// RESOLVE_NO_XDEV.
    fn stay_on_mount(&self, from: &Place, to: &Place) -> Result<(), Errno> {
        if self.flags.no_mount_crossing && from.mount().id() != to.mount().id() {
            Err(Errno::XDEV)
        } else {
            Ok(())
        }
    }

    /// Is it a directory that the caller may search?
    fn may_walk_through(&self, place: &Place) -> Result<(), Errno> {
        match place {
            Place::Node { dentry, .. } => {
                if dentry.kind() == Kind::Directory {
                    self.caller.may_search(place)
                } else {
                    Err(Errno::NOTDIR)
                }
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
                return if self.flags.beneath {
                    Err(Errno::XDEV)
                } else {
                    Ok(at)
                };
            }
            match at.parent_in_mount() {
                Some(parent) => {
                    return self.cross(parent);
                }
                // Moved out of a bind.
                None if !at.is_mount_root() => return Err(Errno::NOENT),
                None => match at.mount().point() {
                    Some(_) if self.flags.no_mount_crossing && at.mount().is_attached() => {
                        return Err(Errno::XDEV);
                    }
                    Some(point) if at.mount().is_attached() => at = point.clone(),
                    _ => return Ok(at),
                },
            }
        }
    }

    /// Takes as many components of `rest` as can be settled at once.
    fn step(&mut self, at: &Place, rest: &[u8]) -> Result<(usize, Step), Errno> {
        match at {
            Place::Host { .. } => self.host_step(at, rest),
            Place::Node { .. } => {
                let length = rest
                    .iter()
                    .position(|&byte| byte == b'/')
                    .unwrap_or(rest.len());
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
        let Place::Node { mount, dentry } = at else {
            return Err(Errno::IO);
        };
        self.may_walk_through(at)?;
        if component.len() > NAME_MAX {
            return Err(Errno::NAMETOOLONG);
        }
        let child = match dentry.lookup(component) {
            Ok(child) => child,
            Err(Errno::NOENT) => {
                return Ok(Step::Missing {
                    parent: at.clone(),
                    name: component.to_vec(),
                });
            }
            Err(errno) => return Err(errno),
        };
        if follow && child.kind() == Kind::Symlink {
            return Ok(Step::Link(child.read_link()?.to_vec()));
        }
        let place = Place::Node {
            mount: mount.clone(),
            dentry: child,
        };
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
}

/// The view's `/`: whatever is mounted on the root.
fn view_root(table: &MountTable) -> Place {
    table.cross_down(table.root().root_place())
}

/// The directory reached by `components` (none of them a link or a mount point) from `at`.
fn arrive_directory(at: &Place, components: &[u8]) -> Result<Place, Errno> {
    let mut place = at.clone();
    for component in components
        .split(|&byte| byte == b'/')
        .filter(|one| !one.is_empty())
    {
        place = match &place {
            Place::Host { mount, path } => Place::join_host(mount, path, component),
            Place::Node { mount, dentry } => Place::Node {
                mount: mount.clone(),
                dentry: dentry.lookup(component)?,
            },
        };
    }
    Ok(place)
}

#[cfg(test)]
mod tests;
