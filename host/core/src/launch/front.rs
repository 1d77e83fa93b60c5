//! The front: what the caller started. It stays until the command has ended and hands signals on. When the command is
//! stopped the reaper stops the front too; the SIGCONT that ends this is handed on like any other.

use super::channel::{Channel, Message, Received, exit_code};
use super::{EXIT_VIEW_FAILED, tree};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};
use view_sys::process::{self, ChildState, ReceivedSignal, Waited};

/// How long the reaper may take to kill everything after the supervisor's death.
const KILL_TIME: Duration = Duration::from_secs(10);

struct Front {
    /// `None` once the reaper is gone.
    reaper: Option<Channel>,
    signals: OwnedFd,
    supervisor: Option<u32>,
    supervisor_end: Option<ChildState>,
    /// Id of the reaper; signals from below it are not handed on.
    reaper_pid: Option<u32>,
    /// Exit code of the command, and whether others are left.
    ended: Option<(i32, bool)>,
}

/// What the front is the parent of.
#[derive(Debug, Clone, Copy)]
pub(super) enum Child {
    /// The supervisor, whose child is the reaper.
    Supervisor(u32),
    /// The reaper.
    Reaper(u32),
}

/// Waits for the end; gives the exit code. All signals are blocked.
pub(super) fn wait(reaper: Channel, child: Child) -> Result<i32, Errno> {
    let supervisor = match child {
        Child::Supervisor(pid) => Some(pid),
        Child::Reaper(_) => None,
    };
    let signals = process::signal_descriptor()?;
    let mut front = Front {
        reaper: Some(reaper),
        signals,
        supervisor,
        supervisor_end: None,
        reaper_pid: None,
        ended: None,
    };
    loop {
        front.wait_for_something(None);
        front.take_signals();
        // After the supervisor's end was seen: what the reaper said before it is there by now.
        front.take_messages();
        if let Some(code) = front.verdict() {
            if let (Child::Reaper(pid), Some((_, false))) = (child, front.ended) {
                reap(pid);
            }
            return Ok(code);
        }
    }
}

/// Waits for the end of a reaper that has nothing to do any more. Left behind, it would be one more process of the view around
/// it, whose own end would come a moment after that of its command.
pub(super) fn reap(reaper: u32) {
    while let Waited::Child(_, ChildState::Stopped(_) | ChildState::Continued) =
        process::wait_child(Some(reaper), true)
    {}
}

impl Front {
    fn wait_for_something(&self, limit: Option<Duration>) {
        let limit = limit.and_then(|limit| limit.try_into().ok());
        let mut entries = vec![PollFd::new(&self.signals, PollFlags::IN)];
        if let Some(reaper) = &self.reaper {
            entries.push(PollFd::new(reaper, PollFlags::IN));
        }
        let _ = rustix::io::retry_on_intr(|| poll(&mut entries, limit.as_ref()));
    }

    fn take_signals(&mut self) {
        while let Some(signal) = process::take_signal(self.signals.as_fd()) {
            // A signal that came when the command was there is for the command.
            self.take_messages();
            if signal.number == libc::SIGCHLD {
                self.look_at_supervisor();
            } else {
                self.hand_on(signal);
            }
        }
    }

    fn look_at_supervisor(&mut self) {
        if let Some(pid) = self.supervisor
            && self.supervisor_end.is_none()
            && let Waited::Child(_, state @ (ChildState::Exited(_) | ChildState::Killed(_))) =
                process::wait_child(Some(pid), false)
        {
            self.supervisor_end = Some(state);
        }
    }

    fn hand_on(&self, signal: ReceivedSignal) {
        let number = signal.number;
        // What a terminal sends, it sends to the whole process group, so the command has it already.
        let from_terminal = matches!(
            number,
            libc::SIGINT
                | libc::SIGQUIT
                | libc::SIGTSTP
                | libc::SIGTTIN
                | libc::SIGTTOU
                | libc::SIGWINCH
        ) && !signal.by_process;
        match (self.reaper_pid, &self.reaper) {
            (Some(pid), Some(reaper)) => {
                let from_inside = signal.by_process
                    && number != libc::SIGCONT
                    && signal.sender != pid
                    && tree::is_below(signal.sender, pid);
                if !from_terminal && !from_inside {
                    let _ = reaper.send(Message::Signal(number));
                }
            }
            // Nothing is started: the supervisor alone is to end. It has a session of its own, so the terminal
            // does not reach it.
            _ => {
                let harmless =
                    [libc::SIGCONT, libc::SIGWINCH, libc::SIGURG, libc::SIGTSTP].contains(&number);
                if let Some(supervisor) = self.supervisor
                    && self.supervisor_end.is_none()
                    && !harmless
                {
                    let _ = process::kill(supervisor, number);
                }
            }
        }
    }

    fn take_messages(&mut self) {
        while let Some(reaper) = &self.reaper {
            match reaper.receive(false) {
                Received::Message(Message::Started { reaper, .. }) => {
                    self.reaper_pid = Some(reaper);
                }
                Received::Message(Message::StartFailed(_)) => {
                    self.ended = Some((EXIT_VIEW_FAILED, false));
                }
                Received::Message(Message::Ended { code, others }) => {
                    self.ended = Some((code, others));
                }
                Received::Message(_) => {}
                Received::Nothing => return,
                Received::Closed => self.reaper = None,
            }
        }
    }

    /// The exit code, once it is known.
    fn verdict(&mut self) -> Option<i32> {
        match (self.ended, self.supervisor, self.supervisor_end) {
            // Others live on without the front.
            (Some((code, true)), _, None) => Some(code),
            (Some((code, _)), None, _) => Some(code),
            (Some((code, _)), _, Some(ChildState::Exited(0))) => Some(code),
            (Some(_), _, Some(ChildState::Exited(failure))) => Some(failure),
            (_, _, Some(end @ ChildState::Killed(_))) => self.supervisor_killed(end),
            (None, _, Some(end)) => {
                self.wait_for_reaper();
                exit_code(end).map(|code| match (code, self.reaper_pid) {
                    // A supervisor that ends well leaves nothing running.
                    (0, Some(_)) => EXIT_VIEW_FAILED,
                    (code, _) => code,
                })
            }
            // The reaper of a nested view was killed.
            (None, None, _) if self.reaper.is_none() => Some(128 + libc::SIGKILL),
            _ => None,
        }
    }

    fn supervisor_killed(&mut self, end: ChildState) -> Option<i32> {
        self.wait_for_reaper();
        let code = exit_code(end)?;
        let interrupted = self.reaper_pid.is_none()
            && [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT].contains(&(code - 128));
        if !interrupted {
            eprintln!(
                "view: the supervisor was killed by signal {}; all processes of the view were ended",
                code - 128
            );
        }
        Some(code)
    }

    /// The reaper ends after all that it kills.
    fn wait_for_reaper(&mut self) {
        let until = Instant::now() + KILL_TIME;
        while self.reaper.is_some() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            self.wait_for_something(Some(left));
            while process::take_signal(self.signals.as_fd()).is_some() {}
            self.take_messages();
        }
    }
}
