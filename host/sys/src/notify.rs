//! The seccomp listener: receiving a notification, answering it, adding a descriptor to the tracee.
//!
//! A [`Listener`] is shared by all receiver threads; each ioctl on it is atomic in the kernel.
//! Reference: seccomp_unotify(2), kernel file kernel/seccomp.c.

use crate::last_errno;
use rustix::io::Errno;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};

/// One intercepted system call: `id` names the notification until it is answered.
#[derive(Debug, Clone, Copy, Default)]
pub struct Notification {
    /// The kernel's cookie for this notification.
    pub id: u64,
    /// Thread id of the tracee, in the supervisor's pid namespace.
    pub tid: u32,
    /// System call number.
    pub number: i32,
    /// Address just behind the tracee's `syscall` instruction.
    pub instruction_pointer: u64,
    /// The six raw argument registers.
    pub arguments: [u64; 6],
}

/// The descriptor that a filter with `SECCOMP_FILTER_FLAG_NEW_LISTENER` gave.
#[derive(Debug)]
pub struct Listener(OwnedFd);

impl Listener {
    /// Takes over a listener descriptor.
    pub fn new(descriptor: OwnedFd) -> Self {
        Self(descriptor)
    }

    /// The listener as a borrowed descriptor (for poll).
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        use std::os::fd::AsFd;
        self.0.as_fd()
    }

    /// Waits for the next notification. `ENOENT`: the tracee died meanwhile; `EINTR`: a signal came;
    /// any other error means that no tracee is left or the listener is unusable.
    pub fn receive(&self) -> Result<Notification, Errno> {
        // WHY UNSAFE: the ioctl has no safe wrapper.
        // SAFETY:
        // 1. `raw` is plain old data; all-zero is a valid value, and the kernel demands it zeroed.
        // 2. The kernel writes at most size_of::<seccomp_notif>() bytes to it.
        let raw = unsafe {
            let mut raw: libc::seccomp_notif = std::mem::zeroed();
            if libc::ioctl(self.0.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_RECV, &mut raw) < 0 {
                return Err(last_errno());
            }
            raw
        };
        Ok(Notification {
            id: raw.id,
            tid: raw.pid,
            number: raw.data.nr,
            instruction_pointer: raw.data.instruction_pointer,
            arguments: raw.data.args,
        })
    }

    fn send(&self, id: u64, value: i64, error: i32, flags: u32) -> Result<(), Errno> {
        let mut response = libc::seccomp_notif_resp {
            id,
            val: value,
            error,
            flags,
        };
        // SAFETY: `response` is a live struct of the size the ioctl number encodes; the kernel only reads it.
        let result = unsafe {
            libc::ioctl(
                self.0.as_raw_fd(),
                libc::SECCOMP_IOCTL_NOTIF_SEND,
                &mut response,
            )
        };
        if result < 0 {
            Err(last_errno())
        } else {
            Ok(())
        }
    }

    /// Answers with a return value. `ENOENT`: the tracee is gone or was interrupted.
    pub fn answer_value(&self, id: u64, value: i64) -> Result<(), Errno> {
        self.send(id, value, 0, 0)
    }

    /// Answers with an error number (positive, as in errno.h; kernel-internal numbers such as 513 too).
    pub fn answer_error(&self, id: u64, errno: i32) -> Result<(), Errno> {
        self.send(id, 0, -errno, 0)
    }

    /// Lets the kernel execute the call as if it had not been intercepted.
    pub fn answer_continue(&self, id: u64) -> Result<(), Errno> {
        self.send(id, 0, 0, libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32)
    }

    /// Is the notification still waiting for an answer (so that its pid means what it meant)?
    pub fn is_waiting(&self, id: u64) -> bool {
        let mut id = id;
        // SAFETY: the ioctl reads one u64 from a live variable.
        unsafe {
            libc::ioctl(
                self.0.as_raw_fd(),
                libc::SECCOMP_IOCTL_NOTIF_ID_VALID,
                &mut id,
            ) == 0
        }
    }

    /// Adds a copy of `descriptor` to the tracee; the call stays unanswered.
    pub fn add(
        &self,
        id: u64,
        descriptor: BorrowedFd<'_>,
        close_on_exec: bool,
        flags: u32,
    ) -> Result<RawFd, Errno> {
        self.add_as(id, descriptor, close_on_exec, flags, 0)
    }

    /// Replaces the tracee's descriptor `number` by a copy of `descriptor`, as dup2(2) does; the call stays unanswered.
    pub fn replace(
        &self,
        id: u64,
        descriptor: BorrowedFd<'_>,
        close_on_exec: bool,
        number: RawFd,
    ) -> Result<RawFd, Errno> {
        let flags = libc::SECCOMP_ADDFD_FLAG_SETFD as u32;
        self.add_as(id, descriptor, close_on_exec, flags, number as u32)
    }

    fn add_as(
        &self,
        id: u64,
        descriptor: BorrowedFd<'_>,
        close_on_exec: bool,
        flags: u32,
        number: u32,
    ) -> Result<RawFd, Errno> {
        let mut request = libc::seccomp_notif_addfd {
            id,
            flags,
            srcfd: descriptor.as_raw_fd() as u32,
            newfd: number,
            newfd_flags: if close_on_exec {
                libc::O_CLOEXEC as u32
            } else {
                0
            },
        };
        // SAFETY: `request` is a live struct of the size the ioctl number encodes; the kernel only reads it.
        let result = unsafe {
            libc::ioctl(
                self.0.as_raw_fd(),
                libc::SECCOMP_IOCTL_NOTIF_ADDFD,
                &mut request,
            )
        };
        if result < 0 {
            Err(last_errno())
        } else {
            Ok(result)
        }
    }

    /// Asks the kernel to wake a receiver on the CPU of the tracee (kernel 6.6). `false`: not supported.
    pub fn set_synchronous_wake_up(&self, on: bool) -> bool {
        // SAFETY: this ioctl takes its flags by value.
        unsafe {
            libc::ioctl(
                self.0.as_raw_fd(),
                libc::SECCOMP_IOCTL_NOTIF_SET_FLAGS,
                u64::from(on), // SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP
            ) == 0
        }
    }
}
