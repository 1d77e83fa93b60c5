//! fsync(2), fdatasync(2), sync(2), syncfs(2), sync_file_range(2), msync(2): what was written natively into a backing
//! file goes to the module, and the module makes it durable.
//!
//! Files of the host, and of modules that give their own descriptors, are left to Linux.

use crate::mounting;
use crate::relocation::holders;
use crate::task::{Answer, Object, Task};
use crate::view::Backed;
use rustix::io::Errno;
use std::sync::Arc;
use view_sys::process::{Compared, is_same};
use view_vfs::attributes::{Identity, make_device};
use view_vfs::host_ops;
use view_vfs::page_cache::{Descriptor, Reporter};
use view_vfs::place::Place;

/// The descriptor of a mapping, which has none.
const NO_DESCRIPTOR: i32 = -1;

/// The descriptor by which a call asks to synchronize a file.
struct Asking<'a> {
    task: &'a Task<'a>,
    number: i32,
    identity: Identity,
}

impl Reporter for Asking<'_> {
    fn asking(&self) -> Descriptor {
        Descriptor {
            process: self.task.process(),
            number: self.number,
        }
    }

    fn descriptors(&self) -> Vec<Descriptor> {
        let mut found = vec![self.asking()];
        if self.number != NO_DESCRIPTOR {
            let holders = holders::of(self.identity).into_iter();
            let others = holders.map(|one| Descriptor {
                process: one.process,
                number: one.number,
            });
            found.extend(others.filter(|one| *one != self.asking() && self.has(*one)));
        }
        found
    }

    /// Where kcmp(2) is refused (by the profile of a container), only the descriptor itself.
    fn has(&self, one: Descriptor) -> bool {
        if self.number == NO_DESCRIPTOR || one.number == NO_DESCRIPTOR {
            return one == self.asking();
        }
        let numbers = Compared::Descriptors(self.number, one.number);
        match is_same(self.task.call.tid, one.process, numbers) {
            Ok(is_same) => is_same,
            Err(Errno::SRCH | Errno::BADF) => false,
            Err(_) => one == self.asking(),
        }
    }
}

/// What the descriptor in the first argument is, when that is the view's.
pub(super) fn backed(task: &Task<'_>) -> Result<Option<(Identity, Arc<Backed>)>, Errno> {
    match task.object(task.int(0))? {
        Object::Kernel => Ok(None),
        Object::Backed(..) if task.is_path_only(task.int(0)) => Err(Errno::BADF),
        Object::Backed(identity, backed) => Ok(Some((identity, backed))),
    }
}

/// fsync, fdatasync: fsync(2)
pub fn fsync(task: &Task<'_>, data_only: bool) -> Result<Answer, Errno> {
    let Some((identity, backed)) = backed(task)? else {
        return Ok(Answer::Continue);
    };
    match backed.place() {
        Place::Host { path, .. } => {
            let file = host_ops::open(&path, libc::O_RDONLY, 0, 0)?;
            rustix::fs::fsync(file)?;
            Ok(Answer::DONE)
        }
        Place::Node { dentry, .. } => {
            let asking = Asking {
                task,
                number: task.int(0),
                identity,
            };
            match dentry.synchronize_open(identity, &asking, data_only)? {
                true => Ok(Answer::DONE),
                false => Ok(Answer::Continue),
            }
        }
    }
}

/// sync: sync(2); errors are not told
pub fn sync(task: &Task<'_>) -> Result<Answer, Errno> {
    mounting::synchronize_all(task.view);
    Ok(Answer::Continue)
}

/// syncfs: sync(2)
pub fn syncfs(task: &Task<'_>) -> Result<Answer, Errno> {
    let Some((_, backed)) = backed(task)? else {
        return Ok(Answer::Continue);
    };
    match backed.place() {
        Place::Host { path, .. } => {
            let file = host_ops::open(&path, libc::O_RDONLY, 0, 0)?;
            rustix::fs::syncfs(file)?;
        }
        Place::Node { dentry, .. } => dentry.instance().synchronize()?,
    }
    Ok(Answer::DONE)
}

/// sync_file_range: hands what was written in the range to the module; like the call itself it promises nothing
pub fn sync_file_range(task: &Task<'_>) -> Result<Answer, Errno> {
    const KNOWN_FLAGS: u32 = 7;
    const SYNC_FILE_RANGE_WRITE: u32 = 2;
    let (offset, length) = (task.argument(1) as i64, task.argument(2) as i64);
    let Some((_, backed)) = backed(task)? else {
        return Ok(Answer::Continue);
    };
    let is_valid = offset >= 0 && length >= 0 && offset.checked_add(length).is_some();
    if !is_valid || task.unsigned(3) & !KNOWN_FLAGS != 0 {
        return Err(Errno::INVAL);
    }
    let is_write = task.unsigned(3) & SYNC_FILE_RANGE_WRITE != 0;
    let start = offset.unsigned_abs();
    let end = match length.unsigned_abs() {
        _ if !is_write => start,
        0 => u64::MAX,
        length => start.saturating_add(length),
    };
    match backed.place() {
        // Linux would write the backing file.
        Place::Node { dentry, .. } if dentry.write_back_range(start, end)? => Ok(Answer::DONE),
        _ => Ok(Answer::Continue),
    }
}

/// msync with MS_SYNC: msync(2)
pub fn msync(task: &Task<'_>) -> Result<Answer, Errno> {
    if !task.view.page_cache.has_written_files() {
        return Ok(Answer::Continue);
    }
    let start = task.argument(0);
    let end = start.saturating_add(task.argument(1));
    let maps = std::fs::read(format!("/proc/{}/maps", task.call.tid)).unwrap_or_default();
    let mut synchronized: Vec<Identity> = Vec::new();
    for identity in maps
        .split(|byte| *byte == b'\n')
        .filter_map(|line| shared_mapping(line, start, end))
    {
        if synchronized.contains(&identity) {
            continue;
        }
        synchronized.push(identity);
        let Some(backed) = task.view.backings.find(identity) else {
            continue;
        };
        let asking = Asking {
            task,
            number: NO_DESCRIPTOR,
            identity,
        };
        if let Place::Node { dentry, .. } = backed.place() {
            dentry.synchronize_open(identity, &asking, true)?;
        }
    }
    // Linux finds what is wrong with the range.
    Ok(Answer::Continue)
}

/// The file of a line of /proc/PID/maps, if it is a shared mapping that meets the range; proc_pid_maps(5).
fn shared_mapping(line: &[u8], start: u64, end: u64) -> Option<Identity> {
    let line = std::str::from_utf8(line.get(..line.len().min(100))?)
        .or_else(|error| std::str::from_utf8(line.get(..error.valid_up_to()).unwrap_or_default()))
        .ok()?;
    let mut fields = line.split_ascii_whitespace();
    let (from, to) = fields.next()?.split_once('-')?;
    let from = u64::from_str_radix(from, 16).ok()?;
    let to = u64::from_str_radix(to, 16).ok()?;
    let is_shared = fields.next()?.ends_with('s');
    let (major, minor) = fields.nth(1)?.split_once(':')?;
    let inode = fields.next()?.parse().ok()?;
    let device = make_device(
        u32::from_str_radix(major, 16).ok()?,
        u32::from_str_radix(minor, 16).ok()?,
    );
    let meets = from < end && start < to;
    (is_shared && meets && inode != 0).then_some(Identity { device, inode })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_mappings_of_a_range_are_found() {
        let line = b"7f0000001000-7f0000003000 rw-s 00001000 fd:10 1234   /memfd:x (deleted)";
        let expected = Identity {
            device: make_device(0xfd, 0x10),
            inode: 1234,
        };
        let find = |start: u64, end: u64| shared_mapping(line, start, end);
        assert_eq!(find(0x7f00_0000_1000, 0x7f00_0000_2000), Some(expected));
        assert_eq!(find(0x7f00_0000_2fff, 0x7f00_0000_9000), Some(expected));
        assert_eq!(find(0x7f00_0000_3000, 0x7f00_0000_9000), None);
        assert_eq!(find(0, 0x7f00_0000_1000), None);
        let private = b"1000-2000 rw-p 00000000 fd:10 1234 /x";
        assert_eq!(shared_mapping(private, 0, u64::MAX), None);
        for broken in [
            &b""[..],
            b"x",
            b"1-2",
            b"1-2 rw-s",
            b"1-2 rw-s 0 0",
            b"\xff\xfe 1",
        ] {
            assert_eq!(shared_mapping(broken, 0, u64::MAX), None);
        }
    }
}
