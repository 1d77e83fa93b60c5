//! Steps of a walk below /proc, wherever it is bound: `self` is the caller, never the supervisor.
//!
//! Reference: proc(5).

use super::{Step, Walk, view_root};
use crate::mount_table::Mount;
use crate::place::Place;
use crate::{host_ops, procfs};
use rustix::io::Errno;
use std::sync::Arc;

impl Walk<'_> {
    /// One component at or below /proc, where `self` is the caller and links may be magic.
    pub(super) fn proc_step(
        &mut self,
        mount: &Arc<Mount>,
        directory: &[u8],
        candidate: Vec<u8>,
        rest: &[u8],
        consumed: usize,
    ) -> Result<Step, Errno> {
        if mount.has_children()
            && let Some(point) = self
                .table
                .first_point_on(mount.id(), directory.len(), &candidate)
            && point.len() == candidate.len()
        {
            let place = Place::Host {
                mount: mount.clone(),
                path: candidate,
            };
            return self.cross(place).map(Step::Arrived);
        }
        let follow = self.follows(&rest[consumed..]);
        if follow && candidate == b"/proc/self" {
            return Ok(Step::Link(
                self.caller.process_id().to_string().into_bytes(),
            ));
        }
        if follow && candidate == b"/proc/thread-self" {
            return Ok(Step::Link(
                format!(
                    "{}/task/{}",
                    self.caller.process_id(),
                    self.caller.thread_id()
                )
                .into_bytes(),
            ));
        }
        let host = Place::Host {
            mount: mount.clone(),
            path: candidate.clone(),
        };
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
            let place = Place::Host {
                mount: self.table.root().clone(),
                path: text,
            };
            return Ok(Step::Jump(place));
        }
        match host_ops::read_link(&candidate) {
            Ok(target) => Ok(Step::Link(target)),
            Err(Errno::INVAL) => Ok(Step::Arrived(host)),
            Err(Errno::NOENT) => Ok(Step::Missing {
                parent: Place::Host {
                    mount: mount.clone(),
                    path: directory.to_vec(),
                },
                name: candidate[directory.len()..]
                    .strip_prefix(b"/")
                    .unwrap_or_default()
                    .to_vec(),
            }),
            Err(errno) => Ok(Step::Failed(errno)),
        }
    }
}
