//! Names of sockets as the kernel tells them, byte for byte.
//!
//! rustix has getsockname(2) too, but takes an AF_UNIX path that fills its address for a malformed one.

use crate::last_errno;
use rustix::io::Errno;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Room for an AF_UNIX address whose path has no NUL, and the NUL that the kernel adds (unix(7)).
const ROOM: usize = 128;

/// The raw address of a socket, or of its peer.
pub fn name(socket: BorrowedFd<'_>, of_peer: bool) -> Result<Vec<u8>, Errno> {
    let mut bytes = [0u8; ROOM];
    let mut length = ROOM as libc::socklen_t;
    let address = bytes.as_mut_ptr().cast::<libc::sockaddr>();
    // SAFETY:
    // 1. `address` points at `length` writable bytes, of any alignment: the kernel copies to it.
    // 2. `length` is a live variable.
    let result = unsafe {
        if of_peer {
            libc::getpeername(socket.as_raw_fd(), address, &mut length)
        } else {
            libc::getsockname(socket.as_raw_fd(), address, &mut length)
        }
    };
    if result != 0 {
        return Err(last_errno());
    }
    Ok(bytes[..ROOM.min(length as usize)].to_vec())
}
