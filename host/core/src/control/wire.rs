//! Messages on the control socket: a length, JSON, and now and then a descriptor.
//!
//! A message is a 32-bit little-endian length and that many bytes of JSON. Descriptors travel as
//! SCM_RIGHTS with any of its bytes; they are kept only if the receiver expects them. A message over
//! [`MAX_MESSAGE_BYTES`] or one that dribbles in past its deadline is an error, never a wait without end.
//!
//! Neighbours: `client` and `server`. References: unix(7), cmsg(3).

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::{Serialize, de::DeserializeOwned};

/// Longest message, in bytes.
pub const MAX_MESSAGE_BYTES: usize = 4 << 20;

/// Most descriptors one message may carry.
const MAX_DESCRIPTORS: usize = 4;

/// Bytes read at a time, so that a length alone makes nobody allocate.
const CHUNK_BYTES: usize = 16 << 10;

/// Sends one message, with descriptors attached to its first byte.
///
/// Errors: `InvalidData` when it is too long, `TimedOut` past the deadline, else sendmsg(2)'s.
pub fn send<T: Serialize>(
    stream: &UnixStream,
    message: &T,
    descriptors: &[BorrowedFd<'_>],
    deadline: Instant,
) -> io::Result<()> {
    let body = serde_json::to_vec(message).map_err(io::Error::other)?;
    if body.len() > MAX_MESSAGE_BYTES {
        return Err(bad("message too long"));
    }
    let length = u32::try_from(body.len()).map_err(|_| bad("message too long"))?;
    let mut bytes = length.to_le_bytes().to_vec();
    bytes.extend_from_slice(&body);

    let mut rest = bytes.as_slice();
    let mut descriptors = descriptors;
    while !rest.is_empty() {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(descriptors))
        {
            return Err(bad("too many descriptors"));
        }
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        match sendmsg(stream, &[IoSlice::new(rest)], &mut ancillary, flags) {
            Ok(sent) => {
                descriptors = &[];
                rest = rest.get(sent..).unwrap_or_default();
            }
            Err(Errno::AGAIN) => wait(stream.as_fd(), PollFlags::OUT, deadline)?,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Receives one message and the descriptors that came with it.
///
/// `Ok(None)` when the peer closed before the first byte. Errors: `InvalidData` for a bad length or
/// bad JSON, `UnexpectedEof` for a message cut short, `TimedOut` past the deadline.
pub fn receive<T: DeserializeOwned>(
    stream: &UnixStream,
    deadline: Instant,
) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
    let mut descriptors = Vec::new();
    let mut header = Vec::with_capacity(4);
    read_exactly(stream, 4, &mut header, &mut descriptors, deadline)?;
    let Ok(header) = <[u8; 4]>::try_from(header.as_slice()) else {
        if header.is_empty() {
            return Ok(None);
        }
        return Err(io::ErrorKind::UnexpectedEof.into());
    };
    let length = u32::from_le_bytes(header) as usize;
    if length > MAX_MESSAGE_BYTES {
        return Err(bad("message too long"));
    }
    let mut body = Vec::new();
    read_exactly(stream, length, &mut body, &mut descriptors, deadline)?;
    if body.len() != length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let message = serde_json::from_slice(&body)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    Ok(Some((message, descriptors)))
}

/// Reads up to `wanted` bytes into `into`; fewer only at the end of the stream.
fn read_exactly(
    stream: &UnixStream,
    wanted: usize,
    into: &mut Vec<u8>,
    descriptors: &mut Vec<OwnedFd>,
    deadline: Instant,
) -> io::Result<()> {
    let mut chunk = vec![0; wanted.min(CHUNK_BYTES)];
    while into.len() < wanted {
        let room = (wanted - into.len()).min(chunk.len());
        let Some(slot) = chunk.get_mut(..room) else {
            return Err(bad("message too long"));
        };
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
        let received = match recvmsg(stream, &mut [IoSliceMut::new(slot)], &mut ancillary, flags) {
            Ok(received) => received,
            Err(Errno::AGAIN) => {
                wait(stream.as_fd(), PollFlags::IN, deadline)?;
                continue;
            }
            Err(Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        };
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(rights) = message {
                descriptors.extend(rights);
            }
        }
        if received.flags.contains(ReturnFlags::CTRUNC) || descriptors.len() > MAX_DESCRIPTORS {
            return Err(bad("too many descriptors"));
        }
        if received.bytes == 0 {
            return Ok(());
        }
        into.extend(chunk.iter().take(received.bytes));
    }
    Ok(())
}

/// Waits for the stream to be ready, or fails with `TimedOut`.
pub(super) fn wait(
    stream: BorrowedFd<'_>,
    for_what: PollFlags,
    deadline: Instant,
) -> io::Result<()> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let timeout = Timespec::try_from(left.min(Duration::from_secs(3600)))
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?;
        match poll(&mut [PollFd::new(&stream, for_what)], Some(&timeout)) {
            Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn bad(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}
