//! The listener's way from the command's process to the supervisor, and the gate that holds the command back.
//!
//! The command's process sends one packet: `L`, a byte that says whether notifications wait killably, and the
//! listener; or `E` and an error number when it could not install the filter. It then waits for one byte.

use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags, recvmsg, send};
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use view_sys::process;

const LISTENER: u8 = b'L';
const FAILED: u8 = b'E';
const PACKET_SIZE: usize = 5;

/// What the command's process has handed over.
#[derive(Debug)]
pub struct Handed {
    /// The seccomp listener.
    pub listener: OwnedFd,
    /// The filter has `SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV` (kernel 5.19).
    pub wait_killable: bool,
}

/// Receives the listener, in the supervisor.
///
/// Errors: the command's own when it could not install the filter (`EBUSY`: it is under another listener already),
/// `ECONNRESET` when it is gone, or those of recvmsg(2).
pub fn receive(socket: BorrowedFd<'_>) -> Result<Handed, Errno> {
    let mut packet = [0u8; PACKET_SIZE];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = rustix::io::retry_on_intr(|| {
        recvmsg(
            socket,
            &mut [IoSliceMut::new(&mut packet)],
            &mut control,
            RecvFlags::CMSG_CLOEXEC,
        )
    })?;
    if received.bytes == 0 {
        return Err(Errno::CONNRESET);
    }
    let listener = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut list) => list.next(),
        _ => None,
    });
    match (packet, listener) {
        ([LISTENER, killable, ..], Some(listener)) => Ok(Handed {
            listener,
            wait_killable: killable != 0,
        }),
        ([FAILED, errno @ ..], _) => Err(Errno::from_raw_os_error(
            i32::from_le_bytes(errno).clamp(1, 4095),
        )),
        _ => Err(Errno::PROTO),
    }
}

/// Lets the command go on, in the supervisor.
pub fn release(socket: BorrowedFd<'_>) -> Result<(), Errno> {
    rustix::io::retry_on_intr(|| send(socket, &[1], SendFlags::NOSIGNAL)).map(|_| ())
}

/// Sends the listener, in the command's process: its filter is installed, so the call carries the cookie.
pub(super) fn send_listener(
    socket: BorrowedFd<'_>,
    listener: BorrowedFd<'_>,
    wait_killable: bool,
    cookie: u64,
) -> Result<(), Errno> {
    let packet = [LISTENER, u8::from(wait_killable), 0, 0, 0];
    process::send_descriptor(socket, &packet, listener, cookie)
}

/// Sends the listener and waits to be released.
pub(super) fn hand_over(
    socket: BorrowedFd<'_>,
    listener: BorrowedFd<'_>,
    wait_killable: bool,
    cookie: u64,
) -> Result<(), Errno> {
    send_listener(socket, listener, wait_killable, cookie)?;
    let mut byte = [0u8];
    // read(2) is never intercepted.
    match rustix::io::retry_on_intr(|| rustix::io::read(socket, &mut byte))? {
        0 => Err(Errno::CONNRESET),
        _ => Ok(()),
    }
}

/// Tells why there is no listener, in the command's process: no filter is installed.
pub(super) fn report_failure(socket: BorrowedFd<'_>, errno: Errno) {
    let mut packet = [FAILED; PACKET_SIZE];
    if let Some(number) = packet.last_chunk_mut::<4>() {
        *number = errno.raw_os_error().to_le_bytes();
    }
    let _ = send(socket, &packet, SendFlags::NOSIGNAL);
}
