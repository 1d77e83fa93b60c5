//! What this host allows, found by doing it: a child installs a real filter, makes real calls, and we answer.
//!
//! Every function forks, so it must be called by a process with one thread (`EDEADLK` otherwise). The child is
//! killed before the function returns. Which of the answers is a blocker is for the caller to say.
//!
//! Neighbours: `view doctor` and the explanation of a failed start; `filter`, `notify`, `memory`, `ptrace` are
//! probed as they are used in earnest.

mod wake_up;

pub use wake_up::{WakeUpCost, wake_up_cost};

use crate::filter::{FilterAction, FilterProgram};
use crate::notify::{Listener, Notification};
use crate::process::{ChildState, Fork, Waited, exit_now, fork, kill, send_descriptor, wait_child};
use crate::ptrace::{Stop, Tracee};
use crate::{last_errno, memory};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::MemfdFlags;
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};
use rustix::net::{SendFlags, SocketFlags, SocketType, recvmsg, send, socketpair};
use std::ffi::{CStr, CString};
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

/// The path that the child asks about. It does not exist, so a call that is let through fails.
const PATH: &CStr = c"/view probe, no such file";

/// An error that no kernel gives for stat(2): if the child sees it, our answer arrived.
const MARK: i32 = libc::EXFULL;

/// Any number the child's sixth argument register will not hold.
const COOKIE: u64 = 0x7669_6577_7072_6f62;

/// How long the child may take for a step.
const STEP_MS: i64 = 2000;

/// `ERESTARTNOINTR` of include/linux/errno.h: the call is made again.
const RESTART: i32 = 513;

/// Cost of stat(2) of a path that does not exist, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatCost {
    /// By the kernel alone.
    pub native_ns: u64,
    /// Notified, and answered "continue".
    pub notified_ns: u64,
}

/// What came of each step of the notification probe. `Err(ECANCELED)`: not reached.
#[derive(Debug, Clone, Copy)]
pub struct NotifyReport {
    /// prctl(PR_SET_NO_NEW_PRIVS).
    pub no_new_privs: Result<(), Errno>,
    /// seccomp(2) with a listener. `EBUSY`: an outer filter has one already.
    pub listener: Result<(), Errno>,
    /// One call was received and its answer reached the child.
    pub answer: Result<(), Errno>,
    /// SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (kernel 5.19).
    pub wait_killable: bool,
    /// SECCOMP_IOCTL_NOTIF_ADDFD (kernel 5.9).
    pub add: Result<(), Errno>,
    /// The same with the answer in one step (kernel 5.14).
    pub add_send: Result<(), Errno>,
    /// SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP (kernel 6.6).
    pub sync_wake_up: bool,
    /// process_vm_readv(2) on the child.
    pub read_memory: Result<(), Errno>,
    /// process_vm_writev(2) on the child.
    pub write_memory: Result<(), Errno>,
    /// pidfd_getfd(2) of one of the child's descriptors.
    pub get_descriptor: Result<(), Errno>,
    /// PTRACE_SEIZE, a stop in the middle of a notified call, and its restart.
    pub trace: Result<(), Errno>,
    /// Measured with the child's own calls.
    pub cost: Option<StatCost>,
}

const NOT_REACHED: Result<(), Errno> = Err(Errno::CANCELED);

impl NotifyReport {
    fn unreached() -> Self {
        Self {
            no_new_privs: NOT_REACHED,
            listener: NOT_REACHED,
            answer: NOT_REACHED,
            wait_killable: false,
            add: NOT_REACHED,
            add_send: NOT_REACHED,
            sync_wake_up: false,
            read_memory: NOT_REACHED,
            write_memory: NOT_REACHED,
            get_descriptor: NOT_REACHED,
            trace: NOT_REACHED,
            cost: None,
        }
    }
}

/// A child that does not outlive this value.
struct Child(u32);

impl Child {
    /// Runs `work` in a child; its result is the exit status.
    fn start(work: impl FnOnce() -> i32) -> Result<Self, Errno> {
        match fork()? {
            Fork::Parent(pid) => Ok(Self(pid)),
            Fork::Child => {
                let _ = rustix::process::set_parent_process_death_signal(Some(
                    rustix::process::Signal::KILL,
                ));
                exit_now(work())
            }
        }
    }

    /// Runs `work` in a child and waits for it. `EIO` when it did not end by itself.
    fn run(work: impl FnOnce() -> i32) -> Result<i32, Errno> {
        let child = Self::start(work)?;
        match wait_child(Some(child.0), true) {
            Waited::Child(_, ChildState::Exited(code)) => {
                std::mem::forget(child);
                Ok(code)
            }
            _ => Err(Errno::IO),
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if kill(self.0, libc::SIGKILL).is_ok() {
            while let Waited::Child(_, ChildState::Stopped(_) | ChildState::Continued) =
                wait_child(Some(self.0), true)
            {}
        }
    }
}

/// An exit status that carries an errno (all of them fit).
fn status_of(result: Result<(), Errno>) -> i32 {
    result.err().map_or(0, Errno::raw_os_error)
}

fn result_of(status: i32) -> Result<(), Errno> {
    if status == 0 {
        Ok(())
    } else {
        Err(Errno::from_raw_os_error(status))
    }
}

/// Probes seccomp user notification, tracee memory, ptrace and descriptor passing. `measure`: how long to spend
/// on the cost of a call; zero for not at all.
///
/// Errors: those of fork(2) and socketpair(2).
pub fn notify(measure: Duration) -> Result<NotifyReport, Errno> {
    let flags = SocketFlags::CLOEXEC;
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    let mut report = NotifyReport::unreached();
    let child = Child::start(|| tracee(&theirs))?;
    let descriptor_number = theirs.as_raw_fd();
    drop(theirs);
    let Some(listener) = await_listener(&ours, &mut report) else {
        return Ok(report);
    };
    // Each step needs the one before it; what is not reached stays "not reached".
    let _ = converse(&listener, &child, descriptor_number, measure, &mut report);
    Ok(report)
}

/// The child: one filter, then stat calls for ever, each naming the former one's result as its directory.
fn tracee(socket: &OwnedFd) -> i32 {
    let say = |step: u8, errno: Errno| {
        let _ = send(
            socket,
            &[step, errno.raw_os_error() as u8],
            SendFlags::NOSIGNAL,
        );
        1
    };
    if let Err(errno) = rustix::thread::set_no_new_privs(true) {
        return say(b'p', errno);
    }
    let stat_number = libc::SYS_newfstatat as u32;
    let action = |number: u32| {
        if number == stat_number {
            FilterAction::Notify
        } else {
            FilterAction::Allow
        }
    };
    let program = FilterProgram::new(512, action, COOKIE);
    let (listener, kind) = match program.install(true) {
        Ok(listener) => (listener, b'K'),
        Err(Errno::INVAL) => match program.install(false) {
            Ok(listener) => (listener, b'L'),
            Err(errno) => return say(b's', errno),
        },
        Err(errno) => return say(b's', errno),
    };
    if let Err(errno) = send_descriptor(socket.as_fd(), &[kind, 0], listener.as_fd(), 0) {
        return say(b'd', errno);
    }
    drop(listener);
    let mut last = 0;
    loop {
        last = stat_raw(last);
        // A number that is not a descriptor here must not pass for one.
        if last >= 3 && rustix::io::fcntl_getfd(borrow(last).as_fd()).is_err() {
            last = -libc::EBADF;
        }
    }
}

/// The descriptor of that number, which the supervisor said it added.
fn borrow(number: i32) -> BorrowedFd<'static> {
    // SAFETY: the number is not negative; it is only asked whether it is open, and never closed or read.
    unsafe { BorrowedFd::borrow_raw(number) }
}

/// newfstatat(2) as a raw call: the result, or the negative errno.
fn stat_raw(directory: i32) -> i32 {
    // WHY UNSAFE: the result of a notified call is whatever the supervisor says; only the raw call shows it.
    // SAFETY:
    // 1. `PATH` is NUL-terminated and static;
    // 2. the kernel writes at most one struct stat, for which there is room.
    unsafe {
        let mut buffer = MaybeUninit::<libc::stat>::uninit();
        let result = libc::syscall(
            libc::SYS_newfstatat,
            directory,
            PATH.as_ptr(),
            buffer.as_mut_ptr(),
            0,
            0,
            0,
        );
        if result < 0 {
            -last_errno().raw_os_error()
        } else {
            result as i32
        }
    }
}

/// Takes the listener from the child, or notes why there is none.
fn await_listener(socket: &OwnedFd, report: &mut NotifyReport) -> Option<Listener> {
    wait_readable(socket.as_fd()).ok()?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut message = [0; 2];
    let parts = &mut [IoSliceMut::new(&mut message)];
    let received = recvmsg(socket, parts, &mut ancillary, RecvFlags::CMSG_CLOEXEC).ok()?;
    if received.bytes != 2 {
        return None;
    }
    let mut listener = None;
    for part in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(mut rights) = part {
            listener = rights.next();
        }
    }
    let [step, errno] = message;
    // Number 0 is no errno, and comes with a listener only.
    let errno = if errno == 0 {
        Errno::IO
    } else {
        Errno::from_raw_os_error(i32::from(errno))
    };
    match step {
        b'p' => report.no_new_privs = Err(errno),
        b's' => {
            report.no_new_privs = Ok(());
            report.listener = Err(errno);
        }
        b'K' | b'L' => {
            report.no_new_privs = Ok(());
            report.listener = Ok(());
            report.wait_killable = step == b'K';
            return listener.map(Listener::new);
        }
        _ => {
            report.no_new_privs = Ok(());
            report.listener = Ok(());
            report.answer = Err(errno);
        }
    }
    None
}

fn wait_readable(descriptor: BorrowedFd<'_>) -> Result<(), Errno> {
    let timeout = Timespec {
        tv_sec: STEP_MS / 1000,
        tv_nsec: 0,
    };
    match poll(
        &mut [PollFd::new(&descriptor, PollFlags::IN)],
        Some(&timeout),
    )? {
        0 => Err(Errno::TIMEDOUT),
        _ => Ok(()),
    }
}

/// The next call of the child, and the result of the one before it.
fn next_call(listener: &Listener) -> Result<(Notification, i32), Errno> {
    wait_readable(listener.descriptor())?;
    let call = listener.receive()?;
    Ok((call, call.arguments[0] as i32))
}

fn converse(
    listener: &Listener,
    child: &Child,
    descriptor_number: i32,
    measure: Duration,
    report: &mut NotifyReport,
) -> Result<(), Errno> {
    let (mut call, _) = next_call(listener).inspect_err(|errno| report.answer = Err(*errno))?;
    report.read_memory = match memory::read_path(call.tid, call.arguments[1]) {
        Ok(path) if path == PATH.to_bytes() => Ok(()),
        Ok(_) => Err(Errno::IO),
        Err(errno) => Err(errno),
    };
    report.write_memory = memory::write(call.tid, call.arguments[2], &[0; 8]);
    report.get_descriptor = get_descriptor(child, descriptor_number);

    report.trace = match trace(listener, child, &call) {
        Ok(()) => {
            call = next_call(listener)
                .inspect_err(|errno| report.trace = Err(*errno))?
                .0;
            Ok(())
        }
        Err(errno) => Err(errno),
    };
    let answered = listener
        .answer_error(call.id, MARK)
        .and_then(|()| next_call(listener));
    let (call, result) = answered.inspect_err(|errno| report.answer = Err(*errno))?;
    report.answer = if result == -MARK {
        Ok(())
    } else {
        Err(Errno::IO)
    };

    let null = rustix::fs::open(
        "/dev/null",
        rustix::fs::OFlags::RDONLY,
        rustix::fs::Mode::empty(),
    )?;
    let added = listener.add(call.id, null.as_fd(), true, 0);
    listener.answer_value(call.id, i64::from(added.unwrap_or(-1)))?;
    let (call, result) = next_call(listener)?;
    report.add = added.and_then(|number| {
        if number == result {
            Ok(())
        } else {
            Err(Errno::IO)
        }
    });

    let flags = libc::SECCOMP_ADDFD_FLAG_SEND as u32;
    match listener.add(call.id, null.as_fd(), true, flags) {
        Ok(number) => {
            let (call, result) = next_call(listener)?;
            report.add_send = if number == result {
                Ok(())
            } else {
                Err(Errno::IO)
            };
            listener.answer_error(call.id, MARK)?;
        }
        Err(errno) => {
            report.add_send = Err(errno);
            listener.answer_error(call.id, MARK)?;
        }
    }
    report.sync_wake_up = listener.set_synchronous_wake_up(true);
    if !measure.is_zero() {
        report.cost = Some(cost(listener, measure)?);
    }
    Ok(())
}

fn get_descriptor(child: &Child, number: i32) -> Result<(), Errno> {
    let pid = i32::try_from(child.0)
        .ok()
        .and_then(rustix::process::Pid::from_raw);
    let process = rustix::process::pidfd_open(
        pid.ok_or(Errno::SRCH)?,
        rustix::process::PidfdFlags::empty(),
    )?;
    rustix::process::pidfd_getfd(&process, number, rustix::process::PidfdGetfdFlags::empty())?;
    Ok(())
}

/// Stops the child in the middle of its call and lets it make the call again, as an injected call does.
fn trace(listener: &Listener, child: &Child, call: &Notification) -> Result<(), Errno> {
    let mut tracee = Tracee::seize(child.0)?;
    // On an error the child dies with its `Child`, and with it the attachment.
    tracee.interrupt()?;
    listener.answer_error(call.id, RESTART)?;
    match tracee.wait(child.0) {
        Stop::Trap(_) => tracee.detach(0),
        _ => Err(Errno::IO),
    }
}

/// Measures for that long, half of it each way.
fn cost(listener: &Listener, measure: Duration) -> Result<StatCost, Errno> {
    let half = measure / 2;
    let mut rounds = 0_u64;
    let start = Instant::now();
    while start.elapsed() < half {
        let call = listener.receive()?;
        listener.answer_continue(call.id)?;
        rounds += 1;
    }
    let notified_ns = per_round(start.elapsed(), rounds);
    let mut rounds = 0_u64;
    let start = Instant::now();
    while start.elapsed() < half {
        for _ in 0..16 {
            stat_raw(libc::AT_FDCWD);
            rounds += 1;
        }
    }
    Ok(StatCost {
        native_ns: per_round(start.elapsed(), rounds),
        notified_ns,
    })
}

fn per_round(elapsed: Duration, rounds: u64) -> u64 {
    let total = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
    total.checked_div(rounds).unwrap_or(0)
}

/// Tries unshare(CLONE_NEWUSER) in a child. View does not need it; the answer tells what rivals could do here.
pub fn user_namespaces() -> Result<(), Errno> {
    let status = Child::run(|| {
        // WHY UNSAFE: unshare has no wrapper that is safe for all flags.
        // SAFETY: it takes no pointer, and the process has one thread and ends right after.
        let result = unsafe { libc::unshare(libc::CLONE_NEWUSER) };
        status_of(if result < 0 {
            Err(last_errno())
        } else {
            Ok(())
        })
    })?;
    result_of(status)
}

/// The Landlock ABI of this kernel; `ENOSYS` or `EOPNOTSUPP` when there is none.
pub fn landlock_abi() -> Result<u32, Errno> {
    const CREATE_RULESET_VERSION: u32 = 1;
    // WHY UNSAFE: the call has no safe wrapper.
    // SAFETY: with this flag the call takes a null pointer and size zero, and reads nothing.
    let result = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            std::ptr::null::<u8>(),
            0,
            CREATE_RULESET_VERSION,
        )
    };
    if result < 0 {
        Err(last_errno())
    } else {
        Ok(result as u32)
    }
}

/// Executes a program from a memfd in a child, as the view does for programs on a mount.
///
/// Errors: `EACCES` where vm.memfd_noexec is 2 or a security module forbids it.
pub fn execute_memfd() -> Result<(), Errno> {
    let status = Child::run(|| status_of(execute_memfd_here()))?;
    // The program itself exits with a status that is no errno.
    if status == TINY_STATUS {
        Ok(())
    } else {
        result_of(status).and(Err(Errno::IO))
    }
}

/// Exit status of [`tiny_program`].
const TINY_STATUS: i32 = 0xee;

fn execute_memfd_here() -> Result<(), Errno> {
    let name = c"view-probe";
    let memfd = match rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::EXEC) {
        // Before kernel 6.3 there is no such flag, and every memfd is executable.
        Err(Errno::INVAL) => rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC)?,
        other => other?,
    };
    let program = tiny_program();
    if rustix::io::write(&memfd, &program)? != program.len() {
        return Err(Errno::IO);
    }
    rustix::fs::fchmod(&memfd, rustix::fs::Mode::from_raw_mode(0o700))?;
    // The kernel refuses to execute a file that is open for writing.
    let path = format!("/proc/self/fd/{}", memfd.as_raw_fd());
    let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::CLOEXEC;
    let readable = rustix::fs::open(path.as_str(), flags, rustix::fs::Mode::empty())?;
    drop(memfd);
    let path = format!("/proc/self/fd/{}", readable.as_raw_fd());
    let path = CString::new(path).map_err(|_| Errno::INVAL)?;
    Err(crate::process::exec(
        &path,
        std::slice::from_ref(&path),
        &[],
    ))
}

/// The smallest ELF file: one segment, one system call (elf(5)).
fn tiny_program() -> Vec<u8> {
    const BASE: u64 = 0x40_0000;
    const HEADERS: u64 = 64 + 56;
    // mov eax, 231 (exit_group); mov edi, TINY_STATUS; syscall
    let mut code = vec![0xb8, 231, 0, 0, 0, 0xbf];
    code.extend(TINY_STATUS.to_le_bytes());
    code.extend([0x0f, 0x05]);
    let size = HEADERS + code.len() as u64;

    let mut file = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    file.extend([2_u8, 0, 62, 0, 1, 0, 0, 0]); // ET_EXEC, EM_X86_64, EV_CURRENT
    for word in [BASE + HEADERS, 64, 0] {
        file.extend(word.to_le_bytes()); // entry, program headers, section headers
    }
    file.extend(0_u32.to_le_bytes()); // flags
    for half in [64_u16, 56, 1, 0, 0, 0] {
        file.extend(half.to_le_bytes()); // sizes and counts of headers
    }
    file.extend([1_u8, 0, 0, 0, 5, 0, 0, 0]); // PT_LOAD, readable and executable
    for word in [0, BASE, BASE, size, size, 0x1000] {
        file.extend(word.to_le_bytes()); // offset, addresses, sizes, alignment
    }
    file.extend(code);
    file
}
