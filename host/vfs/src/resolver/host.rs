//! Steps of a walk through directories of the host: as many components at once as Linux settles.

use super::{NAME_MAX, Step, Walk};
use crate::mount_table::Mount;
use crate::place::Place;
use crate::{host_ops, procfs};
use rustix::fs::OFlags;
use rustix::io::Errno;
use std::sync::Arc;

impl Walk<'_> {
    /// Takes as many components of `rest` as lead to the next `.`, `..`, link or mount point.
    pub(super) fn host_step(&mut self, at: &Place, rest: &[u8]) -> Result<(usize, Step), Errno> {
        let Place::Host { mount, path } = at else {
            return Err(Errno::IO);
        };
        // As many plain names as there are before the next `.` or `..`.
        let mut candidate = path.clone();
        let mut consumed = 0;
        let base = path.len();
        let is_proc = path == b"/" && rest.starts_with(b"proc") || procfs::is_below(path);
        let mut position = 0;
        while position < rest.len() {
            let length = rest[position..]
                .iter()
                .position(|&byte| byte == b'/')
                .unwrap_or(rest.len() - position);
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
            let place = Place::Host {
                mount: mount.clone(),
                path: point.to_vec(),
            };
            return Ok((consumed, Step::Arrived(self.cross(place)?)));
        }
        let is_last = rest[consumed..].iter().all(|&byte| byte == b'/');
        let follow = self.follows(&rest[consumed..]);
        let mut flags = OFlags::empty();
        flags.set(OFlags::NOFOLLOW, !follow);
        flags.set(OFlags::DIRECTORY, !is_last);
        match host_ops::probe(&candidate, flags) {
            Ok(()) => {
                let place = Place::Host {
                    mount: mount.clone(),
                    path: candidate,
                };
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
    fn host_missing(
        &mut self,
        mount: &Arc<Mount>,
        candidate: Vec<u8>,
        consumed: usize,
    ) -> Result<(usize, Step), Errno> {
        let end = candidate
            .iter()
            .rposition(|&byte| byte == b'/')
            .unwrap_or(0);
        let parent = if end == 0 {
            b"/".to_vec()
        } else {
            candidate[..end].to_vec()
        };
        let name = candidate[end + 1..].to_vec();
        let parent = Place::Host {
            mount: mount.clone(),
            path: parent,
        };
        match self.may_walk_through(&parent) {
            Ok(()) => Ok((consumed, Step::Missing { parent, name })),
            Err(errno) => Ok((consumed, Step::Failed(errno))),
        }
    }

    /// Some component of the first `limit` bytes of `rest` is a symbolic link: finds the first one.
    fn host_components(
        &mut self,
        at: &Place,
        rest: &[u8],
        limit: usize,
        follow: bool,
    ) -> Result<(usize, Step), Errno> {
        let Place::Host { mount, path } = at else {
            return Err(Errno::IO);
        };
        let mut candidate = path.clone();
        let mut position = 0;
        while position < limit {
            let length = rest[position..limit]
                .iter()
                .position(|&byte| byte == b'/')
                .unwrap_or(limit - position);
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
                return Ok((
                    end,
                    Step::Arrived(Place::Host {
                        mount: mount.clone(),
                        path: candidate,
                    }),
                ));
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
        Ok((
            limit,
            Step::Arrived(Place::Host {
                mount: mount.clone(),
                path: candidate,
            }),
        ))
    }
}

/// How many bytes of `rest` lead from `base` (a directory path) to `point`.
fn consumed_for(base: usize, directory: &[u8], point: &[u8], rest: &[u8]) -> usize {
    let tail = if directory == b"/" {
        &point[1..]
    } else {
        &point[(base + 1).min(point.len())..]
    };
    let wanted = tail.split(|&byte| byte == b'/').count();
    let mut position = 0;
    let mut seen = 0;
    while position < rest.len() {
        let length = rest[position..]
            .iter()
            .position(|&byte| byte == b'/')
            .unwrap_or(rest.len() - position);
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
