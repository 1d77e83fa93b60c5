//! copy_file_range(2) between two files of one filesystem whose backing files lie on two of the host's, one in memory and one on
//! disk: Linux would say EXDEV. Everything else is left to Linux.

use crate::task::{Answer, Object, Task};
use crate::view::Backed;
use rustix::fs::SeekFrom;
use rustix::io::{Errno, pread, pwrite};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use view_sys::memory;
use view_vfs::attributes::{Identity, Kind};
use view_vfs::place::Place;

/// Most bytes of one call: callers go on where it ends.
const MOST_BYTES: u64 = 64 << 20;
const BUFFER_BYTES: u64 = 1 << 20;

/// One of the two sides.
struct Side {
    file: OwnedFd,
    /// Address of the position; 0: that of the descriptor.
    address: u64,
    position: u64,
}

impl Side {
    fn new(task: &Task<'_>, index: usize) -> Result<Side, Errno> {
        let file = task.description(task.int(index))?;
        let address = task.argument(index + 1);
        let position = match address {
            0 => rustix::fs::tell(&file)?,
            _ => {
                let mut bytes = [0; 8];
                memory::read_exact(task.call.tid, address, &mut bytes)?;
                u64::try_from(i64::from_ne_bytes(bytes)).map_err(|_| Errno::INVAL)?
            }
        };
        Ok(Side {
            file,
            address,
            position,
        })
    }

    fn moved(&self, task: &Task<'_>, by: u64) -> Result<(), Errno> {
        let position = self.position + by;
        match self.address {
            0 => rustix::fs::seek(&self.file, SeekFrom::Start(position)).map(drop),
            address => task.write(address, &position.to_ne_bytes()),
        }
    }
}

fn side(task: &Task<'_>, index: usize) -> Result<Option<(Identity, Arc<Backed>)>, Errno> {
    match task.object(task.int(index))? {
        Object::Backed(identity, backed) => Ok(Some((identity, backed))),
        Object::Kernel => Ok(None),
    }
}

/// copy_file_range: copy_file_range(2)
pub fn copy_file_range(task: &Task<'_>) -> Result<Answer, Errno> {
    let (Some((from, input)), Some((to, output))) = (side(task, 0)?, side(task, 2)?) else {
        return Ok(Answer::Continue);
    };
    if from.device == to.device || task.unsigned(5) != 0 {
        return Ok(Answer::Continue);
    }
    let is_one = match (input.place(), output.place()) {
        (Place::Node { dentry: one, .. }, Place::Node { dentry: other, .. }) => {
            Arc::ptr_eq(one.instance(), other.instance())
                && one.kind() == Kind::RegularFile
                && other.kind() == Kind::RegularFile
        }
        _ => false,
    };
    let flags = |index: usize| {
        task.descriptor_flags(task.int(index))
            .unwrap_or(libc::O_PATH)
    };
    let may_read = flags(0) & (libc::O_PATH | libc::O_ACCMODE) != libc::O_WRONLY;
    let may_write = flags(2) & (libc::O_PATH | libc::O_APPEND) == 0
        && flags(2) & libc::O_ACCMODE != libc::O_RDONLY;
    // What is wrong otherwise Linux says, and where descriptors cannot be had it has to say EXDEV.
    if !is_one || !may_read || !may_write {
        return Ok(Answer::Continue);
    }
    let (input, output) = match (Side::new(task, 0), Side::new(task, 2)) {
        (Ok(input), Ok(output)) => (input, output),
        (Err(Errno::NOSYS | Errno::PERM), _) | (_, Err(Errno::NOSYS | Errno::PERM)) => {
            return Ok(Answer::Continue);
        }
        (Err(error), _) | (_, Err(error)) => return Err(error),
    };
    let room = task.file_size_limit().min(i64::MAX as u64);
    let most = task
        .argument(4)
        .min(MOST_BYTES)
        .min(room.saturating_sub(output.position));
    if most == 0 {
        return Ok(Answer::Continue);
    }
    task.commit()?;
    let copied = copy(&input, &output, most)?;
    input.moved(task, copied)?;
    output.moved(task, copied)?;
    Ok(Answer::Value(copied as i64))
}

/// Copies at most so many bytes; fails only when not one could be copied.
fn copy(input: &Side, output: &Side, most: u64) -> Result<u64, Errno> {
    let mut buffer = vec![0; most.min(BUFFER_BYTES) as usize];
    let mut copied = 0;
    while copied < most {
        let count = (most - copied).min(BUFFER_BYTES) as usize;
        let part = buffer.get_mut(..count).ok_or(Errno::IO)?;
        let step = pread(&input.file, &mut *part, input.position + copied).and_then(|got| {
            let part = part.get(..got).unwrap_or_default();
            match part.is_empty() {
                true => Ok(0),
                false => pwrite(&output.file, part, output.position + copied),
            }
        });
        match step {
            Ok(0) => break,
            Ok(count) => copied += count as u64,
            Err(error) if copied == 0 => return Err(error),
            Err(_) => break,
        }
    }
    Ok(copied)
}
