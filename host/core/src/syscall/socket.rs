//! AF_UNIX addresses that are paths: bind(2), connect(2), sendto(2), getsockname(2), getpeername(2).
//!
//! A socket node of a module is a name for a real one in the private directory; the tracee binds and connects there
//! itself, so the kernel does the waiting. Other families are Linux's affair.

use super::injection;
use super::open::own_link;
use crate::scalpel::Argument;
use crate::task::{Answer, Task};
use rustix::io::Errno;
use std::os::fd::{AsFd, OwnedFd};
use view_sys::memory;
use view_vfs::attributes::Kind;
use view_vfs::host_ops;
use view_vfs::operations;
use view_vfs::permission::MAY_WRITE;
use view_vfs::place::Place;
use view_vfs::resolver::WalkFlags;

const FAMILY_SIZE: usize = 2;
const ADDRESS_MAX: usize = 110;
const AF_UNIX: u16 = 1;

/// The path of an AF_UNIX address in the tracee, if it has one.
fn unix_path(task: &Task<'_>, address: u64, length: usize) -> Result<Option<Vec<u8>>, Errno> {
    if !(FAMILY_SIZE + 1..=ADDRESS_MAX).contains(&length) || address == 0 {
        return Ok(None);
    }
    let mut bytes = [0u8; ADDRESS_MAX];
    memory::read_exact(task.call.tid, address, &mut bytes[..length])?;
    if u16::from_ne_bytes([bytes[0], bytes[1]]) != AF_UNIX || bytes[2] == 0 {
        return Ok(None);
    }
    let path = &bytes[FAMILY_SIZE..length];
    let end = path
        .iter()
        .position(|&byte| byte == 0)
        .unwrap_or(path.len());
    Ok(Some(path[..end].to_vec()))
}

/// An address by which a tracee reaches a real path.
struct RealAddress {
    bytes: Vec<u8>,
    /// Keeps the directory of a path that does not fit, which is then reached by the supervisor's descriptor.
    _directory: Option<OwnedFd>,
}

impl RealAddress {
    fn new(path: &[u8]) -> Result<Self, Errno> {
        if path.len() <= ADDRESS_MAX - FAMILY_SIZE {
            return Ok(Self {
                bytes: encode(path),
                _directory: None,
            });
        }
        let cut = path
            .iter()
            .rposition(|&byte| byte == b'/')
            .ok_or(Errno::NAMETOOLONG)?;
        let directory = host_ops::open_path(&path[..cut.max(1)])?;
        let short = [own_link(&directory).as_slice(), &path[cut..]].concat();
        if short.len() > ADDRESS_MAX - FAMILY_SIZE {
            return Err(Errno::NAMETOOLONG);
        }
        Ok(Self {
            bytes: encode(&short),
            _directory: Some(directory),
        })
    }

    /// The path in it.
    fn path(&self) -> &[u8] {
        self.bytes[FAMILY_SIZE..]
            .split(|&byte| byte == 0)
            .next()
            .unwrap_or_default()
    }
}

fn encode(path: &[u8]) -> Vec<u8> {
    let mut bytes = AF_UNIX.to_ne_bytes().to_vec();
    bytes.extend_from_slice(path);
    // A path that fills the address has no NUL (unix(7)).
    if bytes.len() < ADDRESS_MAX {
        bytes.push(0);
    }
    bytes
}

/// bind: bind(2)
pub fn bind(task: &Task<'_>) -> Result<Answer, Errno> {
    let Some(path) = unix_path(task, task.argument(1), task.argument(2) as usize)? else {
        return Ok(Answer::Continue);
    };
    let found = task.walk(libc::AT_FDCWD, &path, WalkFlags::PARENT)?;
    if found.kernel_agrees {
        return Ok(Answer::Continue);
    }
    if found.place.is_some() {
        return Err(Errno::ADDRINUSE);
    }
    let (parent, name) = operations::name_to_create(&found).map_err(|_| Errno::ADDRINUSE)?;
    let real = match parent {
        Place::Host { path, .. } => [path.as_slice(), b"/", name].concat(),
        Place::Node { .. } => task.view.private.node_path(),
    };
    let address = RealAddress::new(&real)?;
    let creator = task.creator();
    let on_mount = matches!(parent, Place::Node { .. });
    let arguments = [
        Argument::Value(task.argument(0)),
        Argument::Bytes(&address.bytes),
        Argument::Value(address.bytes.len() as u64),
    ];
    injection::run_then(task, libc::SYS_bind, &arguments, false, |result| {
        if result == 0 {
            task.view
                .socket_names
                .lock()
                .insert(address.path().to_vec(), path.clone());
        }
        if result != 0 || !on_mount {
            return result;
        }
        let made = operations::create_node(&found, libc::S_IFSOCK | 0o777, 0, &creator)
            .and_then(|()| task.walk(libc::AT_FDCWD, &path, WalkFlags::NO_FOLLOW))
            .and_then(|found| found.existing());
        match made.and_then(|place| remember(task, &place, &real)) {
            Ok(()) => 0,
            Err(errno) => {
                let _ = rustix::fs::unlink(real.as_slice());
                -i64::from(errno.raw_os_error())
            }
        }
    })
}

fn remember(task: &Task<'_>, place: &Place, real: &[u8]) -> Result<(), Errno> {
    let identity = place.attributes()?.identity();
    task.view
        .special_nodes
        .lock()
        .insert(identity, real.to_vec());
    if let Some(node) = crate::task::host_identity(real) {
        task.view.register_file(node, place.clone());
    }
    Ok(())
}

/// The real address behind a path of the view. `None`: Linux finds it by the same path.
fn real_address(task: &Task<'_>, path: &[u8]) -> Result<Option<RealAddress>, Errno> {
    let found = task.walk(libc::AT_FDCWD, path, WalkFlags::FOLLOW)?;
    if found.kernel_agrees {
        return Ok(None);
    }
    let place = found.existing()?;
    let real = match &place {
        Place::Host { path, .. } => path.clone(),
        Place::Node { .. } => {
            if place.kind()? != Kind::Socket {
                return Err(Errno::CONNREFUSED);
            }
            if let Place::Node { mount, dentry } = &place {
                dentry.check_access(&task.asker().on(mount), MAY_WRITE)?;
            }
            let identity = place.attributes()?.identity();
            // A node that nobody bound in this view: as a socket file whose process is gone.
            task.view
                .special_nodes
                .lock()
                .get(&identity)
                .cloned()
                .ok_or(Errno::CONNREFUSED)?
        }
    };
    RealAddress::new(&real).map(Some)
}

/// connect: connect(2)
pub fn connect(task: &Task<'_>) -> Result<Answer, Errno> {
    let Some(path) = unix_path(task, task.argument(1), task.argument(2) as usize)? else {
        return Ok(Answer::Continue);
    };
    let Some(address) = real_address(task, &path)? else {
        return Ok(Answer::Continue);
    };
    let arguments = [
        Argument::Value(task.argument(0)),
        Argument::Bytes(&address.bytes),
        Argument::Value(address.bytes.len() as u64),
    ];
    injection::run(task, libc::SYS_connect, &arguments, true)
}

/// sendto: send(2); a datagram to a path; its sixth argument is taken, so the supervisor sends
pub fn sendto(task: &Task<'_>) -> Result<Answer, Errno> {
    let Some(path) = unix_path(task, task.argument(4), task.argument(5) as usize)? else {
        return Ok(Answer::Continue);
    };
    let Some(address) = real_address(task, &path)? else {
        return Ok(Answer::Continue);
    };
    let socket = task.description(task.int(0)).map_err(|errno| {
        if errno == Errno::NOSYS {
            Errno::CONNREFUSED
        } else {
            errno
        }
    })?;
    let size = (task.argument(2) as usize).min(1 << 20);
    let mut data = vec![0u8; size];
    memory::read_exact(task.call.tid, task.argument(1), &mut data)?;
    let target = rustix::net::SocketAddrUnix::new(address.path())?;
    let flags = rustix::net::SendFlags::from_bits_retain(task.unsigned(3))
        | rustix::net::SendFlags::NOSIGNAL;
    let sent = rustix::net::sendto(&socket, &data, flags, &target)?;
    Ok(Answer::Value(sent as i64))
}

/// getsockname, getpeername: the path of a socket bound on a mount, as the view knows it
pub fn name(task: &Task<'_>) -> Result<Answer, Errno> {
    if task.view.socket_names.lock().is_empty() {
        return Ok(Answer::Continue);
    }
    let Ok(socket) = task.description(task.int(0)) else {
        return Ok(Answer::Continue);
    };
    let of_peer = i64::from(task.call.number) == libc::SYS_getpeername;
    let Ok(address) = view_sys::socket::name(socket.as_fd(), of_peer) else {
        return Ok(Answer::Continue);
    };
    let Some((family, path)) = address.split_at_checked(FAMILY_SIZE) else {
        return Ok(Answer::Continue);
    };
    if family != AF_UNIX.to_ne_bytes() {
        return Ok(Answer::Continue);
    }
    let real = path.split(|&byte| byte == 0).next().unwrap_or_default();
    let Some(shown) = task.view.socket_names.lock().get(real).cloned() else {
        return Ok(Answer::Continue);
    };
    let bytes = encode(&shown);
    let mut length = [0u8; 4];
    memory::read_exact(task.call.tid, task.argument(2), &mut length)?;
    let room = i32::from_ne_bytes(length);
    if room < 0 {
        return Err(Errno::INVAL);
    }
    let count = bytes.len().min(room as usize);
    task.write(task.argument(1), &bytes[..count])?;
    task.write(task.argument(2), &(bytes.len() as u32).to_ne_bytes())?;
    Ok(Answer::DONE)
}
