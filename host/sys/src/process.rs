//! Process creation, signal state and descriptor passing for the launcher: fork, exec, wait, signals.
//!
//! What the process was given by its parent is recorded before Rust's runtime changes it (it ignores SIGPIPE and
//! opens /dev/null in place of closed standard descriptors), so that a launched command finds everything as `view`
//! found it. Everything here belongs to a process with one thread; [`fork`] checks that.
//!
//! Reference: fork(2), execve(2), sigaction(2), signalfd(2), waitpid(2), unix(7).

use crate::last_errno;
use rustix::io::Errno;
use std::ffi::{CStr, CString};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};

/// Highest signal number (asm/signal.h).
pub const LAST_SIGNAL: i32 = 64;

/// Signals ignored when the process began, bit N-1 for signal N.
static IGNORED: AtomicU64 = AtomicU64::new(0);
/// Signals blocked when the process began.
static BLOCKED: AtomicU64 = AtomicU64::new(0);
/// Descriptors that were open when the process began, bit N%64 of word N/64; higher ones are not known.
static OPEN: [AtomicU64; RECORDED_DESCRIPTORS / 64] = [const { AtomicU64::new(0) }; 16];
/// How many descriptors are recorded: the usual soft limit.
const RECORDED_DESCRIPTORS: usize = 1024;

/// Runs before `main` and before Rust's runtime touches any of this.
#[used]
// SAFETY: the section holds pointers to functions that the C library calls once, in the only thread, before main;
// `record` needs no initialised runtime.
#[unsafe(link_section = ".init_array")]
static RECORD: extern "C" fn() = record;

extern "C" fn record() {
    let mut ignored = 0;
    for signal in 1..=LAST_SIGNAL {
        if disposition(signal) == Ok(Disposition::Ignore) {
            ignored |= bit(signal);
        }
    }
    IGNORED.store(ignored, Ordering::Relaxed);
    BLOCKED.store(change_mask(libc::SIG_BLOCK, 0), Ordering::Relaxed);
    let mut entries = [libc::pollfd {
        fd: 0,
        events: 0,
        revents: 0,
    }; RECORDED_DESCRIPTORS];
    for (entry, number) in entries.iter_mut().zip(0..) {
        entry.fd = number;
    }
    // More entries than the limit of open files are refused with EINVAL; that many are the question then.
    let mut count = RECORDED_DESCRIPTORS;
    // SAFETY: `entries` is live and has at least `count` elements.
    while count > 0 && unsafe { libc::poll(entries.as_mut_ptr(), count as libc::nfds_t, 0) } < 0 {
        count /= 2;
    }
    for (number, entry) in entries.iter().take(count).enumerate() {
        if entry.revents & libc::POLLNVAL == 0
            && let Some(word) = OPEN.get(number / 64)
        {
            word.fetch_or(1 << (number % 64), Ordering::Relaxed);
        }
    }
}

fn was_open(number: usize) -> bool {
    OPEN.get(number / 64)
        .is_some_and(|word| word.load(Ordering::Relaxed) & (1 << (number % 64)) != 0)
}

fn bit(signal: i32) -> u64 {
    1u64.checked_shl(signal.unsigned_abs().wrapping_sub(1))
        .unwrap_or(0)
}

/// What happens when a signal comes; a handler shows as [`Disposition::Default`], which is what exec makes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// The default action.
    Default,
    /// Nothing happens.
    Ignore,
}

/// The kernel's struct sigaction: the C library's own refuses the two signals that it keeps for itself.
#[repr(C)]
struct KernelAction {
    handler: usize,
    flags: libc::c_ulong,
    restorer: usize,
    mask: u64,
}

/// What happens now when `signal` comes.
pub fn disposition(signal: i32) -> Result<Disposition, Errno> {
    let mut old = KernelAction {
        handler: 0,
        flags: 0,
        restorer: 0,
        mask: 0,
    };
    action(signal, ptr::null(), &mut old)?;
    Ok(if old.handler == libc::SIG_IGN {
        Disposition::Ignore
    } else {
        Disposition::Default
    })
}

/// Sets what happens when `signal` comes, for the whole process.
pub fn set_disposition(signal: i32, disposition: Disposition) -> Result<(), Errno> {
    let handler = match disposition {
        Disposition::Default => libc::SIG_DFL,
        Disposition::Ignore => libc::SIG_IGN,
    };
    let new = KernelAction {
        handler,
        flags: 0,
        restorer: 0,
        mask: 0,
    };
    action(signal, &new, ptr::null_mut())
}

fn action(signal: i32, new: *const KernelAction, old: *mut KernelAction) -> Result<(), Errno> {
    // WHY UNSAFE: rt_sigaction has no safe wrapper.
    // SAFETY:
    // 1. each pointer is null or names a live struct of the kernel's layout (arch/x86/include/uapi/asm/signal.h);
    // 2. the handler installed is SIG_DFL or SIG_IGN, so no code of ours runs at a signal.
    let result =
        unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, new, old, size_of::<u64>()) };
    if result < 0 {
        Err(last_errno())
    } else {
        Ok(())
    }
}

/// Changes the calling thread's mask of blocked signals; gives the former one.
fn change_mask(how: i32, mask: u64) -> u64 {
    let mut old = 0u64;
    let (new, former): (*const u64, *mut u64) = (&mask, &mut old);
    // WHY UNSAFE: rt_sigprocmask has no safe wrapper.
    // SAFETY: both pointers name live variables of the eight bytes that the size argument says.
    unsafe {
        libc::syscall(libc::SYS_rt_sigprocmask, how, new, former, size_of::<u64>());
    }
    old
}

/// Blocks every signal in the calling thread.
pub fn block_all_signals() {
    change_mask(libc::SIG_SETMASK, u64::MAX);
}

/// Blocks one more signal in the calling thread and in those that it starts from now on.
pub fn block_signal(signal: i32) {
    change_mask(libc::SIG_BLOCK, bit(signal));
}

/// Takes [`block_signal`] back, for the calling thread.
pub fn unblock_signal(signal: i32) {
    change_mask(libc::SIG_UNBLOCK, bit(signal));
}

/// Blocks no signal in the calling thread.
pub fn unblock_all_signals() {
    change_mask(libc::SIG_SETMASK, 0);
}

/// Puts ignored signals, blocked signals and closed standard descriptors back to what the process was started with.
/// The last step of a child before it execs.
pub fn restore_inherited_state() {
    let ignored = IGNORED.load(Ordering::Relaxed);
    for signal in 1..=LAST_SIGNAL {
        let wanted = if ignored & bit(signal) == 0 {
            Disposition::Default
        } else {
            Disposition::Ignore
        };
        // SIGKILL and SIGSTOP refuse; they have no state.
        let _ = set_disposition(signal, wanted);
    }
    for number in 0..3usize {
        if !was_open(number) {
            // SAFETY: the descriptor is the /dev/null of Rust's runtime; nothing uses it before the exec that
            // follows, and a write to a closed standard stream is an error that is passed over.
            unsafe { libc::close(number as i32) };
        }
    }
    restore_inherited_mask();
}

/// Blocks the signals that were blocked when the process began, and no others.
pub fn restore_inherited_mask() {
    change_mask(libc::SIG_SETMASK, BLOCKED.load(Ordering::Relaxed));
}

/// Closes the descriptors from 3 on that the process was started with: a pipe or a lock of the caller must not stay
/// open for as long as a process in the background lives. Nothing in this process may own one of them.
pub fn close_inherited_descriptors() {
    for number in 3..RECORDED_DESCRIPTORS {
        // SAFETY: the number was open before main and still has no close-on-exec mark, which every descriptor
        // opened by Rust's library has; so it is the caller's, and no object here owns it.
        unsafe {
            if was_open(number) && libc::fcntl(number as i32, libc::F_GETFD) == 0 {
                libc::close(number as i32);
            }
        }
    }
}

/// Closes every descriptor from 3 on but these, in a process that uses no other any more and will not return to
/// code that does: objects that own a closed one must never be dropped.
pub fn close_all_but<'a>(kept: impl IntoIterator<Item = BorrowedFd<'a>>) {
    let mut kept: Vec<u32> = kept
        .into_iter()
        .map(|kept| kept.as_raw_fd().unsigned_abs())
        .collect();
    kept.sort_unstable();
    let mut from = 3;
    for number in kept.into_iter().chain([u32::MAX]) {
        if number > from {
            // SAFETY: the caller promises that nothing uses the descriptors of this range, none of which is kept.
            // A kernel without close_range (before 5.9) closes nothing, which leaves them open for longer.
            unsafe { libc::syscall(libc::SYS_close_range, from, number - 1, 0) };
        }
        from = from.max(number.saturating_add(1));
    }
}

/// The two sides of a fork.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fork {
    /// This is the new process.
    Child,
    /// This is the old process; the new one has this id.
    Parent(u32),
}

/// Makes a copy of this process.
///
/// Errors: `EDEADLK` when the process has more than one thread (a lock held by another one would stay locked for
/// ever in the copy), or fork(2)'s own.
pub fn fork() -> Result<Fork, Errno> {
    if thread_count()? != 1 {
        return Err(Errno::DEADLK);
    }
    // WHY UNSAFE: a fork copies the memory of all threads but only one of the threads.
    // SAFETY: this thread is the only one, so no lock is held elsewhere and no other thread can have been added
    // since (only a thread of this process adds one).
    match unsafe { libc::fork() } {
        -1 => Err(last_errno()),
        0 => Ok(Fork::Child),
        pid => Ok(Fork::Parent(pid.unsigned_abs())),
    }
}

fn thread_count() -> Result<usize, Errno> {
    let list = std::fs::read_dir("/proc/self/task")
        .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    Ok(list.count())
}

/// Replaces the program. Returns only on failure, with the reason.
pub fn exec(path: &CStr, arguments: &[CString], environment: &[CString]) -> Errno {
    let pointers = |strings: &[CString]| -> Vec<*const libc::c_char> {
        strings
            .iter()
            .map(|text| text.as_ptr())
            .chain([ptr::null()])
            .collect()
    };
    let (argv, envp) = (pointers(arguments), pointers(environment));
    // WHY UNSAFE: execve takes raw arrays.
    // SAFETY: both arrays end with a null pointer, and each other element names a NUL-terminated string that
    // lives as long as the call.
    unsafe { libc::execve(path.as_ptr(), argv.as_ptr(), envp.as_ptr()) };
    last_errno()
}

/// Ends this process at once: nothing is flushed, no exit handler runs.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: _exit ends the process; it takes no pointer.
    unsafe { libc::_exit(code) }
}

/// How a child ended or why it stands still.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChildState {
    /// It ended with this code.
    Exited(i32),
    /// This signal killed it.
    Killed(i32),
    /// This signal stopped it.
    Stopped(i32),
    /// It goes on after a stop.
    Continued,
}

/// One change of a child (or of a subreaper's adopted descendant).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waited {
    /// The state of this child changed.
    Child(u32, ChildState),
    /// There are children, none has anything to report.
    Nothing,
    /// There is no child left.
    NoChildren,
}

/// Takes one child's change of state: of any child, or of the one named. `block`: wait for it.
pub fn wait_child(pid: Option<u32>, block: bool) -> Waited {
    let wanted = pid.and_then(|pid| i32::try_from(pid).ok()).unwrap_or(-1);
    let flags = libc::WUNTRACED | libc::WCONTINUED | if block { 0 } else { libc::WNOHANG };
    loop {
        let mut status = 0;
        // SAFETY: `status` is a live c_int that the kernel writes.
        let found = unsafe { libc::waitpid(wanted, &mut status, flags) };
        if found == 0 {
            return Waited::Nothing;
        }
        if found < 0 {
            if last_errno() == Errno::INTR {
                continue;
            }
            return Waited::NoChildren;
        }
        let state = if libc::WIFEXITED(status) {
            ChildState::Exited(libc::WEXITSTATUS(status))
        } else if libc::WIFSIGNALED(status) {
            ChildState::Killed(libc::WTERMSIG(status))
        } else if libc::WIFSTOPPED(status) {
            ChildState::Stopped(libc::WSTOPSIG(status))
        } else {
            ChildState::Continued
        };
        return Waited::Child(found.unsigned_abs(), state);
    }
}

/// Sends a signal to one process. Signal 0 only asks whether it exists.
pub fn kill(pid: u32, signal: i32) -> Result<(), Errno> {
    let pid = i32::try_from(pid)
        .ok()
        .filter(|&pid| pid > 0)
        .ok_or(Errno::SRCH)?;
    // SAFETY: kill takes no pointer.
    if unsafe { libc::kill(pid, signal) } < 0 {
        Err(last_errno())
    } else {
        Ok(())
    }
}

/// One signal taken from a [`signal_descriptor`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReceivedSignal {
    /// Signal number.
    pub number: i32,
    /// Process that sent it, 0 when the kernel did.
    pub sender: u32,
    /// Sent by kill(2), sigqueue(3) or tgkill(2), not by a terminal or the kernel.
    pub by_process: bool,
}

/// A descriptor that reports every (blocked) signal instead of its action: signalfd(2), non-blocking.
pub fn signal_descriptor() -> Result<OwnedFd, Errno> {
    let mask = u64::MAX;
    let set: *const u64 = &mask;
    // WHY UNSAFE: signalfd has no safe wrapper.
    // SAFETY: `set` names eight live bytes, as the size argument says; the new descriptor is nobody else's.
    unsafe {
        let result = libc::syscall(
            libc::SYS_signalfd4,
            -1,
            set,
            size_of::<u64>(),
            libc::SFD_CLOEXEC | libc::SFD_NONBLOCK,
        );
        if result < 0 {
            Err(last_errno())
        } else {
            Ok(OwnedFd::from_raw_fd(result as i32))
        }
    }
}

/// Takes the next signal from a [`signal_descriptor`], if there is one.
pub fn take_signal(descriptor: BorrowedFd<'_>) -> Option<ReceivedSignal> {
    // WHY UNSAFE: struct signalfd_siginfo is filled by read(2) as raw bytes.
    // SAFETY:
    // 1. all-zero is a valid value of the plain struct;
    // 2. read writes at most the size given, which is the struct's.
    let (count, raw) = unsafe {
        let mut raw: libc::signalfd_siginfo = std::mem::zeroed();
        let buffer: *mut libc::signalfd_siginfo = &mut raw;
        let size = size_of::<libc::signalfd_siginfo>();
        (libc::read(descriptor.as_raw_fd(), buffer.cast(), size), raw)
    };
    if count != size_of::<libc::signalfd_siginfo>() as isize {
        return None;
    }
    Some(ReceivedSignal {
        number: raw.ssi_signo as i32,
        sender: raw.ssi_pid,
        by_process: raw.ssi_code <= 0,
    })
}

/// A limit of getrlimit(2) that another process of this user can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// `RLIMIT_NOFILE`
    Descriptors,
    /// `RLIMIT_FSIZE`, in bytes
    FileSize,
}

/// The soft limit of a process or thread; `u64::MAX`: none. `EPERM` when its ids differ from this process's.
pub fn soft_limit(process: u32, limit: Limit) -> Result<u64, Errno> {
    let resource = match limit {
        Limit::Descriptors => libc::RLIMIT_NOFILE,
        Limit::FileSize => libc::RLIMIT_FSIZE,
    };
    let process = libc::pid_t::try_from(process).map_err(|_| Errno::SRCH)?;
    let mut now = libc::rlimit64 {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: no new limit is given, and the kernel writes the old one to a live struct.
    let result = unsafe { libc::prlimit64(process, resource, std::ptr::null(), &mut now) };
    match result {
        0 => Ok(now.rlim_cur),
        _ => Err(last_errno()),
    }
}

/// What kcmp(2) can compare of two threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compared {
    /// The open file descriptions behind a descriptor of the one and one of the other.
    Descriptors(i32, i32),
    /// The descriptor tables.
    Tables,
}

/// Do two threads share this? kcmp(2); needs the right to trace both.
pub fn is_same(one: u32, other: u32, what: Compared) -> Result<bool, Errno> {
    const KCMP_FILE: libc::c_long = 0;
    const KCMP_FILES: libc::c_long = 2;
    let (kind, first, second) = match what {
        Compared::Descriptors(first, second) => (KCMP_FILE, first.into(), second.into()),
        Compared::Tables => (KCMP_FILES, 0, 0),
    };
    let (one, other) = (libc::c_long::from(one), libc::c_long::from(other));
    let (first, second): (libc::c_long, libc::c_long) = (first, second);
    // SAFETY: of these kinds the kernel takes numbers only.
    let result = unsafe { libc::syscall(libc::SYS_kcmp, one, other, kind, first, second) };
    match result {
        0 => Ok(true),
        1..=3 => Ok(false),
        _ => Err(last_errno()),
    }
}

/// Allows process `tracer` to trace this one where the yama module (ptrace_scope 1) would not. Elsewhere this fails
/// harmlessly.
pub fn allow_tracer(tracer: u32) {
    // SAFETY: the arguments of PR_SET_PTRACER are numbers.
    unsafe { libc::prctl(libc::PR_SET_PTRACER, u64::from(tracer), 0, 0, 0) };
}

/// Sends one message with a descriptor attached. `cookie` is put into the unused sixth argument register, so that
/// a filter that is already installed on the caller lets the call through.
pub fn send_descriptor(
    socket: BorrowedFd<'_>,
    message: &[u8],
    descriptor: BorrowedFd<'_>,
    cookie: u64,
) -> Result<(), Errno> {
    /// A cmsghdr with room for one descriptor, aligned as CMSG_FIRSTHDR wants it.
    #[repr(C)]
    struct Control {
        header: libc::cmsghdr,
        descriptor: i32,
        padding: i32,
    }
    let payload = size_of::<i32>();
    // SAFETY: all-zero is a valid value of these plain structs.
    let (mut control, mut header): (Control, libc::msghdr) = unsafe { std::mem::zeroed() };
    control.header.cmsg_len = size_of::<libc::cmsghdr>() + payload;
    control.header.cmsg_level = libc::SOL_SOCKET;
    control.header.cmsg_type = libc::SCM_RIGHTS;
    control.descriptor = descriptor.as_raw_fd();
    let mut part = libc::iovec {
        iov_base: message.as_ptr().cast_mut().cast(),
        iov_len: message.len(),
    };
    header.msg_iov = &mut part;
    header.msg_iovlen = 1;
    let control_pointer: *mut Control = &mut control;
    header.msg_control = control_pointer.cast();
    header.msg_controllen = size_of::<Control>();
    let header_pointer: *const libc::msghdr = &header;
    loop {
        // WHY UNSAFE: the cookie needs the raw call.
        // SAFETY: `header` and all it names live through the call; the kernel only reads them.
        let result = unsafe {
            libc::syscall(
                libc::SYS_sendmsg,
                socket.as_raw_fd(),
                header_pointer,
                libc::MSG_NOSIGNAL,
                0,
                0,
                cookie,
            )
        };
        if result >= 0 {
            return Ok(());
        }
        let errno = last_errno();
        if errno != Errno::INTR {
            return Err(errno);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::{AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};
    use rustix::net::{SocketFlags, SocketType, recvmsg, socketpair};
    use std::mem::MaybeUninit;
    use std::os::fd::AsFd;

    #[test]
    fn fork_refuses_a_process_with_threads() {
        let (sender, receiver) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || receiver.recv());
        assert_eq!(fork(), Err(Errno::DEADLK));
        drop(sender);
        let _ = thread.join();
    }

    #[test]
    fn dispositions_are_read_back() {
        set_disposition(libc::SIGUSR2, Disposition::Ignore).unwrap();
        assert_eq!(disposition(libc::SIGUSR2), Ok(Disposition::Ignore));
        set_disposition(libc::SIGUSR2, Disposition::Default).unwrap();
        assert_eq!(disposition(libc::SIGUSR2), Ok(Disposition::Default));
        assert_eq!(
            set_disposition(libc::SIGKILL, Disposition::Ignore),
            Err(Errno::INVAL)
        );
        assert_eq!(disposition(65), Err(Errno::INVAL));
    }

    #[test]
    fn a_descriptor_travels_with_its_message() {
        let (ours, theirs) = socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )
        .unwrap();
        let file = std::fs::File::open("/dev/null").unwrap();
        send_descriptor(ours.as_fd(), b"L", file.as_fd(), 0xdead_beef_dead_beef).unwrap();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut byte = [0u8; 4];
        let got = recvmsg(
            &theirs,
            &mut [std::io::IoSliceMut::new(&mut byte)],
            &mut control,
            RecvFlags::CMSG_CLOEXEC,
        )
        .unwrap();
        assert_eq!((got.bytes, byte[0]), (1, b'L'));
        let mut passed = Vec::new();
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(list) = message {
                passed.extend(list);
            }
        }
        let passed = passed.pop().unwrap();
        assert_eq!(
            rustix::fs::fstat(&passed).unwrap().st_rdev,
            rustix::fs::fstat(&file).unwrap().st_rdev
        );
    }
}
