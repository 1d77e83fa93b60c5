//! Owner, mode and times.

use super::edit::{Edit, FLAG_APPEND, FLAG_IMMUTABLE, Stamp};
use super::{Op, refuse};
use crate::acl;
use crate::error::Result;
use crate::inode::Time;

/// What to change; `None` leaves it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) mode: Option<u32>,
    pub(crate) uid: Option<u32>,
    pub(crate) gid: Option<u32>,
    pub(crate) size: Option<u64>,
    pub(crate) accessed: Option<Time>,
    pub(crate) modified: Option<Time>,
    pub(crate) changed: Option<Time>,
    pub(crate) created: Option<Time>,
    /// A time is other than that of now.
    pub(crate) sets_times: bool,
}

impl Op<'_> {
    /// Changes attributes. A size is changed first, as an operation of its own.
    ///
    /// # Errors
    /// EPERM, EISDIR, EINVAL, EFBIG, ENOSPC.
    pub(crate) fn set_attributes(&mut self, number: u32, change: Change) -> Result<()> {
        let flags = self.volume.inode(number)?.flags;
        if flags & FLAG_IMMUTABLE != 0 {
            return refuse(libc::EPERM);
        }
        let is_setting = change.mode.is_some()
            || change.uid.is_some()
            || change.gid.is_some()
            || change.sets_times;
        // What comes with a time of change is the host's own account of what was written.
        if flags & FLAG_APPEND != 0 && is_setting && change.changed.is_none() {
            return refuse(libc::EPERM);
        }
        if let Some(size) = change.size {
            self.truncate(number, size)?;
        }
        let rest = Change {
            size: None,
            sets_times: false,
            ..change
        };
        if rest == Change::default() {
            return Ok(());
        }
        self.run(|op| {
            let mut edit = op.edit(number)?;
            op.apply(&mut edit, rest)?;
            op.store(&mut edit)
        })
    }

    fn apply(&mut self, edit: &mut Edit, change: Change) -> Result<()> {
        if change.uid.is_some() || change.gid.is_some() {
            let inode = edit.inode(self.volume)?;
            edit.set_owner(
                change.uid.unwrap_or(inode.uid),
                change.gid.unwrap_or(inode.gid),
            );
        }
        if (change.uid.is_some() || change.gid.is_some()) && !edit.is_directory() {
            super::file::drop_set_ids(edit);
        }
        if let Some(mode) = change.mode {
            edit.set_mode(edit.mode() & 0xf000 | (mode & 0o7777) as u16);
            // chmod changes an access ACL too.
            let inode = edit.inode(self.volume)?;
            if let Some(list) = self.raw_xattr(&inode, acl::INDEX_ACCESS, b"")? {
                let list = acl::with_mode(&list, (mode & 0o777) as u16);
                self.put_raw_xattr(edit, acl::INDEX_ACCESS, b"", Some(&list))?;
            }
        }
        for (stamp, time) in [
            (Stamp::Access, change.accessed),
            (Stamp::Modify, change.modified),
            (Stamp::Birth, change.created),
        ] {
            if let Some(time) = time {
                edit.set_time(stamp, time);
            }
        }
        match change.changed {
            Some(time) => edit.set_time(Stamp::Change, time),
            None => edit.changed(),
        }
        Ok(())
    }
}
