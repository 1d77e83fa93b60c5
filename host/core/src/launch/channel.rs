//! The messages between front, supervisor and reaper: one SOCK_SEQPACKET packet each, between copies of one program.

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socketpair,
};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use view_sys::process::ChildState;

/// One end of a channel.
#[derive(Debug)]
pub(super) struct Channel(OwnedFd);

/// What the processes tell each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Message {
    /// To the reaper: start the command.
    Start,
    /// From the reaper: the command's process exists.
    Started { command: u32, reaper: u32 },
    /// From the reaper: there is no process for the command.
    StartFailed(i32),
    /// To the reaper: a signal for the command.
    Signal(i32),
    /// From the reaper: the command ended with this exit code; are there others?
    Ended { code: i32, others: bool },
    /// To the supervisor: no process of the view is left.
    AllGone,
}

/// What came out of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Received {
    Message(Message),
    /// Nothing there yet.
    Nothing,
    /// The other end is gone.
    Closed,
}

const PACKET_SIZE: usize = 12;

impl Message {
    fn encode(self) -> [u8; PACKET_SIZE] {
        let (tag, first, second) = match self {
            Message::Start => (1, 0, 0),
            Message::Started { command, reaper } => (2, command, reaper),
            Message::StartFailed(errno) => (3, errno.cast_unsigned(), 0),
            Message::Signal(number) => (4, number.cast_unsigned(), 0),
            Message::Ended { code, others } => (5, code.cast_unsigned(), u32::from(others)),
            Message::AllGone => (6, 0, 0),
        };
        let mut packet = [0; PACKET_SIZE];
        for (place, word) in packet.chunks_exact_mut(4).zip([tag, first, second]) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        packet
    }

    fn decode(packet: [u8; PACKET_SIZE]) -> Option<Self> {
        let mut words = packet
            .chunks_exact(4)
            .filter_map(<[u8]>::first_chunk)
            .map(|w| u32::from_le_bytes(*w));
        let (tag, first, second) = (words.next()?, words.next()?, words.next()?);
        Some(match tag {
            1 => Message::Start,
            2 => Message::Started {
                command: first,
                reaper: second,
            },
            3 => Message::StartFailed(first.cast_signed()),
            4 => Message::Signal(first.cast_signed()),
            5 => Message::Ended {
                code: first.cast_signed(),
                others: second != 0,
            },
            6 => Message::AllGone,
            _ => return None,
        })
    }
}

impl Channel {
    /// Two connected ends.
    pub(super) fn pair() -> Result<(Self, Self), Errno> {
        let (one, other) = socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )?;
        Ok((Self(one), Self(other)))
    }

    /// Sends. `EPIPE`: the other end is gone.
    pub(super) fn send(&self, message: Message) -> Result<(), Errno> {
        rustix::io::retry_on_intr(|| send(&self.0, &message.encode(), SendFlags::NOSIGNAL))
            .map(|_| ())
    }

    /// Takes the next message; waits for one only if `block`.
    pub(super) fn receive(&self, block: bool) -> Received {
        let flags = if block {
            RecvFlags::empty()
        } else {
            RecvFlags::DONTWAIT
        };
        let mut packet = [0; PACKET_SIZE];
        loop {
            return match recv(&self.0, &mut packet, flags) {
                Ok((_, PACKET_SIZE)) => {
                    Message::decode(packet).map_or(Received::Closed, Received::Message)
                }
                // A peer that left without reading all: said once, ahead of what it had sent (unix(7) does not
                // tell; net/unix/af_unix.c, unix_release_sock).
                Err(Errno::INTR | Errno::CONNRESET) => continue,
                Err(Errno::AGAIN) => Received::Nothing,
                _ => Received::Closed,
            };
        }
    }
}

impl From<Channel> for OwnedFd {
    fn from(channel: Channel) -> Self {
        channel.0
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The exit code that stands for an end, as a shell tells it; `None` while there is no end.
pub(super) fn exit_code(state: ChildState) -> Option<i32> {
    match state {
        ChildState::Exited(code) => Some(code),
        ChildState::Killed(signal) => Some(128 + signal),
        ChildState::Stopped(_) | ChildState::Continued => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_arrive_as_sent() {
        let (one, other) = Channel::pair().unwrap();
        let messages = [
            Message::Start,
            Message::Started {
                command: 7,
                reaper: u32::MAX,
            },
            Message::StartFailed(-1),
            Message::Signal(64),
            Message::Ended {
                code: 137,
                others: true,
            },
            Message::Ended {
                code: 0,
                others: false,
            },
            Message::AllGone,
        ];
        assert_eq!(other.receive(false), Received::Nothing);
        for message in messages {
            one.send(message).unwrap();
        }
        drop(one);
        for message in messages {
            assert_eq!(other.receive(true), Received::Message(message));
        }
        assert_eq!(other.receive(true), Received::Closed);
        assert_eq!(other.send(Message::Start), Err(Errno::PIPE));
    }

    #[test]
    fn a_peer_that_left_messages_unread_is_still_heard() {
        let (one, other) = Channel::pair().unwrap();
        one.send(Message::Signal(18)).unwrap();
        other.send(Message::AllGone).unwrap();
        drop(other);
        assert_eq!(one.receive(true), Received::Message(Message::AllGone));
        assert_eq!(one.receive(true), Received::Closed);
    }
}
