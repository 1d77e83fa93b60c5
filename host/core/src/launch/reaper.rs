//! The reaper: parent of the command, adopter of its orphans, and the end of them all when the supervisor dies.

use super::channel::{Channel, Message, Received, exit_code};
use super::child::{Gate, become_command};
use super::{Command, handover, tree};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};
use view_sys::process::{self, ChildState, Fork, Waited};

/// Others that end so soon after the command are not taken for ones that stay: whoever waits for the view then finds its
/// mounts free.
const DYING: Duration = Duration::from_millis(50);

/// Who tells the reaper when to start, and whose death ends everything.
#[derive(Debug)]
pub(super) enum Control {
    /// The supervisor: tells when to start, hears of the ends; its death ends all.
    Supervisor(Channel),
    /// Tells when to start; does not matter afterwards.
    Starter(Channel),
    /// Start at once; a hang-up ends all.
    Watched(OwnedFd),
}

impl Control {
    fn channel(&self) -> Option<&Channel> {
        match self {
            Control::Supervisor(channel) => Some(channel),
            _ => None,
        }
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Control::Supervisor(channel) => Some(channel.as_fd()),
            Control::Watched(socket) => Some(socket.as_fd()),
            Control::Starter(_) => None,
        }
    }
}

struct Reaper {
    control: Control,
    /// `None` once the front is gone.
    front: Option<Channel>,
    /// Process id of the front.
    front_pid: u32,
    signals: OwnedFd,
    command: u32,
    command_ended: bool,
    command_stopped: bool,
    /// The command's exit code while others are left, and when that is told.
    untold: Option<(i32, Instant)>,
}

/// Runs the reaper in a process of its own that has all signals blocked.
pub(super) fn run(
    control: Control,
    front: Channel,
    front_pid: u32,
    command: &Command,
    gate: Option<Gate<'_>>,
) -> ! {
    let _ = rustix::thread::set_name(c"view-reaper");
    let own = rustix::process::getpid();
    let prepared = rustix::process::set_child_subreaper(Some(own));
    let signals = prepared.and_then(|()| process::signal_descriptor());
    if let Control::Supervisor(channel) | Control::Starter(channel) = &control
        && channel.receive(true) != Received::Message(Message::Start)
    {
        // The view could not be set up, or who set it up was interrupted.
        process::exit_now(0);
    }
    let started = signals.and_then(|signals| {
        let keepers = socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )?;
        Ok((signals, keepers, process::fork()?))
    });
    let (signals, listener, pid) = match started {
        Ok((_, (_, keeper), Fork::Child)) => {
            drop((control, front));
            become_command(
                command,
                gate.map(|gate| Gate {
                    keeper: Some(keeper),
                    ..gate
                }),
            )
        }
        Ok((signals, (keeper, theirs), Fork::Parent(pid))) => {
            drop(theirs);
            // Comes at once, or the end of the file does.
            (signals, handover::receive(keeper.as_fd()).ok(), pid)
        }
        Err(errno) => {
            let message = Message::StartFailed(errno.raw_os_error());
            let _ = control.channel().map(|channel| channel.send(message));
            let _ = front.send(message);
            process::exit_now(super::EXIT_VIEW_FAILED)
        }
    };
    drop(gate);
    release_standard_streams();
    // Pipes and locks of the caller, and what the supervisor's closure holds.
    let listener = listener.as_ref().map(|handed| handed.listener.as_fd());
    let kept = [
        Some(front.as_fd()),
        Some(signals.as_fd()),
        control.descriptor(),
        listener,
    ];
    process::close_all_but(kept.into_iter().flatten());
    let mut reaper = Reaper {
        control,
        front: Some(front),
        front_pid,
        signals,
        command: pid,
        command_ended: false,
        command_stopped: false,
        untold: None,
    };
    reaper.tell_both(Message::Started {
        command: pid,
        reaper: std::process::id(),
    });
    reaper.serve();
    process::exit_now(0)
}

/// Points the three standard descriptors at /dev/null: a pipe of the caller's must see its end.
pub(super) fn release_standard_streams() {
    let open = || {
        rustix::fs::open(
            "/dev/null",
            rustix::fs::OFlags::RDWR | rustix::fs::OFlags::CLOEXEC,
            rustix::fs::Mode::empty(),
        )
    };
    if let Ok(null) = open() {
        let _ = rustix::stdio::dup2_stdin(&null);
        let _ = rustix::stdio::dup2_stdout(&null);
        let _ = rustix::stdio::dup2_stderr(&null);
    }
}

impl Reaper {
    /// Until no process is left.
    fn serve(&mut self) {
        loop {
            self.wait_for_something();
            while process::take_signal(self.signals.as_fd()).is_some() {}
            if self.take_children() {
                return;
            }
            if let Some((code, until)) = self.untold
                && Instant::now() >= until
            {
                self.untold = None;
                self.tell_ended(code, true);
            }
            self.take_orders();
            if self.is_abandoned() || self.is_front_killed() {
                tree::kill_all_below(Some(self.signals.as_fd()));
                return;
            }
        }
    }

    fn wait_for_something(&self) {
        let mut entries = vec![PollFd::new(&self.signals, PollFlags::IN)];
        if let Some(front) = &self.front {
            entries.push(PollFd::new(front, PollFlags::IN));
        }
        let control = self.control.descriptor();
        if let Some(control) = &control {
            // Only the hang-up: a byte in a watched socket is for the command's process.
            entries.push(PollFd::new(control, PollFlags::empty()));
        }
        let limit = self
            .untold
            .and_then(|(_, until)| until.duration_since(Instant::now()).try_into().ok());
        let _ = rustix::io::retry_on_intr(|| poll(&mut entries, limit.as_ref()));
    }

    /// Takes all changes of children; true when there is no child any more.
    fn take_children(&mut self) -> bool {
        let mut ended = None;
        let all_gone = loop {
            match process::wait_child(None, false) {
                Waited::Nothing => break false,
                Waited::NoChildren => break true,
                Waited::Child(pid, state) if pid == self.command && !self.command_ended => {
                    ended = exit_code(state);
                    self.command_ended = ended.is_some();
                    self.follow_job_control(state);
                }
                Waited::Child(..) => {}
            }
        };
        if let Some(code) = ended {
            self.untold = Some((code, Instant::now() + DYING));
        }
        if all_gone {
            if let Some((code, _)) = self.untold.take() {
                self.tell_ended(code, false);
            }
            let _ = self
                .control
                .channel()
                .map(|channel| channel.send(Message::AllGone));
        }
        all_gone
    }

    fn follow_job_control(&mut self, state: ChildState) {
        match state {
            ChildState::Stopped(_) => {
                self.command_stopped = true;
                self.signal_front(libc::SIGSTOP);
            }
            // Whoever continued or killed the command may not have continued the front.
            _ if self.command_stopped => {
                self.command_stopped = false;
                self.signal_front(libc::SIGCONT);
            }
            _ => {}
        }
    }

    /// Stops or continues the front. Both come from this one process, so they arrive in their order.
    fn signal_front(&self, signal: i32) {
        if self
            .front
            .as_ref()
            .is_some_and(|front| !is_hung_up(front.as_fd()))
        {
            let _ = process::kill(self.front_pid, signal);
        }
    }

    /// Signals for the command. It is a child that has not been waited for, so its id is its own.
    fn take_orders(&mut self) {
        while let Some(front) = &self.front {
            match front.receive(false) {
                Received::Message(Message::Signal(number)) if !self.command_ended => {
                    let _ = process::kill(self.command, number);
                }
                Received::Message(_) => {}
                Received::Nothing => return,
                Received::Closed => self.front = None,
            }
        }
    }

    /// The front goes by itself only after the command. Whoever kills it means the command.
    fn is_front_killed(&self) -> bool {
        self.front.is_none() && !self.command_ended
    }

    fn is_abandoned(&self) -> bool {
        self.control.descriptor().is_some_and(is_hung_up)
    }

    /// After the supervisor's death the command fails in its own ways; the front tells the cause.
    fn tell_ended(&self, code: i32, others: bool) {
        if !self.is_abandoned() {
            self.tell_both(Message::Ended { code, others });
        }
    }

    fn tell_both(&self, message: Message) {
        for channel in [self.control.channel(), self.front.as_ref()]
            .into_iter()
            .flatten()
        {
            // A peer that is gone is noticed by its hang-up.
            let _: Result<(), Errno> = channel.send(message);
        }
    }
}

/// Is the other end of this socket gone?
fn is_hung_up(socket: BorrowedFd<'_>) -> bool {
    let mut entry = [PollFd::new(&socket, PollFlags::empty())];
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    rustix::io::retry_on_intr(|| poll(&mut entry, Some(&now))).is_ok_and(|count| count > 0)
}
