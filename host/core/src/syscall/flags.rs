//! ioctl_iflags(2), `FS_IOC_GETFLAGS` and `FS_IOC_SETFLAGS`: lsattr(1) and chattr(1) on mounts.
//!
//! Files of the host, and of modules that give their own descriptors, are left to Linux; of a bound directory, whose descriptor
//! is a stand-in, the host is asked.

use crate::task::{Answer, Object, Task};
use rustix::io::Errno;
use view_sys::memory;
use view_vfs::attributes::Kind;

/// Reads the flags.
pub const GET_FLAGS: u32 = 0x8008_6601;
/// Sets them.
pub const SET_FLAGS: u32 = 0x4008_6602;

/// ioctl with one of these two requests
pub fn ioctl(task: &Task<'_>) -> Result<Answer, Errno> {
    let descriptor = task.int(0);
    let Object::Backed(_, backed) = task.object(descriptor)? else {
        return Ok(Answer::Continue);
    };
    if task.is_path_only(descriptor) {
        return Err(Errno::BADF);
    }
    let place = backed.place();
    if !matches!(place.kind()?, Kind::RegularFile | Kind::Directory) {
        return Ok(Answer::Continue);
    }
    let address = task.argument(2);
    let current = match place.flags() {
        // The kernel has the module's own file.
        Err(Errno::NOTTY) if place.kind()? == Kind::RegularFile => return Ok(Answer::Continue),
        other => other?,
    };
    if task.unsigned(1) == GET_FLAGS {
        task.write(address, &current.to_ne_bytes())?;
        return Ok(Answer::DONE);
    }
    let mut flags = [0; 4];
    memory::read_exact(task.call.tid, address, &mut flags)?;
    task.commit()?;
    place.set_flags(u32::from_ne_bytes(flags), &task.asker())?;
    Ok(Answer::DONE)
}
