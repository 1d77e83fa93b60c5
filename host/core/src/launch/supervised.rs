//! The supervisor's side: starting the command once the view is ready, hearing of its end and of the last one's.

use super::channel::{Channel, Message, Received};
use super::reaper::{Control, release_standard_streams};
use super::{EXIT_VIEW_FAILED, LaunchError, at_step, handover, reason, tree};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Resource, Rlimit, getrlimit, pidfd_open, setrlimit};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use view_sys::notify::Listener;
use view_sys::process::{self, Disposition, Fork};

/// How long a reaper may take to end what is left.
const REAP_TIME: Timespec = Timespec {
    tv_sec: 10,
    tv_nsec: 0,
};

/// A supervisor whose command is not started yet.
#[derive(Debug)]
pub struct Supervised {
    channel: Channel,
    handover: OwnedFd,
}

/// A command that exists and waits to be released.
#[derive(Debug)]
pub struct Started {
    /// The listener that its notifications come from.
    pub listener: Arc<Listener>,
    /// Process id of the command.
    pub command: u32,
    /// Notifications that were received wait killably (kernel 5.19).
    pub wait_killable: bool,
    channel: Channel,
    handover: OwnedFd,
}

/// What the reaper reports. Dropping it kills every process of the view.
#[derive(Debug)]
pub struct Reaper(Channel);

/// A report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The command ended with this exit code (128+N: by signal N). With `others` the view lives on and the front
    /// has returned; the supervisor's standard error then goes nowhere.
    CommandEnded {
        /// The exit code.
        code: i32,
        /// Other processes of the view are left.
        others: bool,
    },
    /// No process of the view is left: time to end.
    AllGone,
    /// The reaper was killed; so have been all processes of the view that could be found. Time to end.
    ReaperLost,
}

/// Becomes the supervisor: forks the reaper (`run_reaper` never returns), leaves the session, runs `supervise`.
pub(super) fn become_supervisor(
    run_reaper: impl FnOnce(Control, OwnedFd),
    supervise: impl FnOnce(Supervised) -> i32,
) -> ! {
    let code = match split(run_reaper) {
        Ok((supervised, reaper)) => {
            let run = std::panic::AssertUnwindSafe(|| supervise(supervised));
            // The panic's own message has been printed.
            let code = std::panic::catch_unwind(run).unwrap_or(EXIT_VIEW_FAILED);
            reap(reaper);
            code
        }
        Err(error) => {
            eprintln!("view: {}: {}", error.step, reason(error.errno));
            EXIT_VIEW_FAILED
        }
    };
    super::flush();
    process::exit_now(code)
}

/// Takes the end of the reaper, which has nothing to do any more or sees that the supervisor is done. In a container
/// whose first process does not care for orphans it would stay a zombie.
fn reap(reaper: u32) {
    let opened = i32::try_from(reaper)
        .ok()
        .and_then(Pid::from_raw)
        .map(|pid| pidfd_open(pid, PidfdFlags::empty()));
    if let Some(Ok(end)) = opened {
        let mut entry = [PollFd::new(&end, PollFlags::IN)];
        let _ = rustix::io::retry_on_intr(|| poll(&mut entry, Some(&REAP_TIME)));
    }
    let _ = process::wait_child(Some(reaper), false);
}

fn split(run_reaper: impl FnOnce(Control, OwnedFd)) -> Result<(Supervised, u32), LaunchError> {
    let pair = || Channel::pair().map_err(at_step("cannot make a socket pair"));
    let ((channel, control), (ours, theirs)) = (pair()?, pair()?);
    match process::fork().map_err(at_step("cannot start the reaper"))? {
        Fork::Child => {
            drop((channel, ours));
            run_reaper(Control::Supervisor(control), theirs.into());
            process::exit_now(EXIT_VIEW_FAILED)
        }
        Fork::Parent(reaper) => {
            drop((control, theirs));
            let _ = rustix::thread::set_name(c"view-supervisor");
            // A child is never a process group leader, so this does not fail.
            let _ = rustix::process::setsid();
            // Should the reaper be killed, its children become ours, to be killed.
            let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
            raise_limit(Resource::Nofile);
            // An image that must not be written so far is an error for who writes to it, no reason to end.
            raise_limit(Resource::Fsize);
            let _ = process::set_disposition(libc::SIGXFSZ, Disposition::Ignore);
            redirect_input_and_output();
            process::unblock_all_signals();
            let supervised = Supervised {
                channel,
                handover: ours.into(),
            };
            Ok((supervised, reaper))
        }
    }
}

/// The command keeps the soft limit that it had.
fn raise_limit(resource: Resource) {
    let limit = getrlimit(resource);
    let _ = setrlimit(
        resource,
        Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        },
    );
}

/// Standard error stays until the command has ended: messages are for the user.
fn redirect_input_and_output() {
    if let Ok(null) = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null")
    {
        let _ = rustix::stdio::dup2_stdin(&null);
        let _ = rustix::stdio::dup2_stdout(&null);
    }
}

impl Supervised {
    /// Starts the command's process, which installs the filter and then waits for [`Started::release`].
    ///
    /// Until this is called a SIGTERM or an interrupt ends the supervisor, and nothing was launched; from then on
    /// signals are for the command and the supervisor ignores them.
    pub fn start(self) -> Result<Started, LaunchError> {
        self.channel
            .send(Message::Start)
            .map_err(at_step("cannot reach the reaper"))?;
        let command = match self.channel.receive(true) {
            Received::Message(Message::Started { command, .. }) => command,
            Received::Message(Message::StartFailed(errno)) => {
                let errno = Errno::from_raw_os_error(errno);
                return Err(LaunchError {
                    step: "cannot start the command",
                    errno,
                });
            }
            _ => {
                return Err(LaunchError {
                    step: "the reaper has died",
                    errno: Errno::PIPE,
                });
            }
        };
        let handed = handover::receive(self.handover.as_fd())
            .map_err(at_step("cannot install the system call filter"))?;
        Ok(Started {
            listener: Arc::new(Listener::new(handed.listener)),
            command,
            wait_killable: handed.wait_killable,
            channel: self.channel,
            handover: self.handover,
        })
    }
}

impl Started {
    /// Lets the command go on to its exec; receivers should be there. Descriptors that this process was started
    /// with, other than the standard ones, are closed.
    pub fn release(self) -> Reaper {
        for signal in [
            libc::SIGHUP,
            libc::SIGINT,
            libc::SIGQUIT,
            libc::SIGTERM,
            libc::SIGUSR1,
            libc::SIGUSR2,
            libc::SIGALRM,
            libc::SIGPIPE,
        ] {
            let _ = process::set_disposition(signal, Disposition::Ignore);
        }
        process::close_inherited_descriptors();
        // A command that was killed meanwhile is reported like any other end.
        let _ = handover::release(self.handover.as_fd());
        Reaper(self.channel)
    }
}

impl Reaper {
    /// Waits for the next report.
    pub fn next_event(&self) -> Event {
        loop {
            match self.0.receive(true) {
                Received::Message(Message::Ended { code, others }) => {
                    if others {
                        release_standard_streams();
                    }
                    return Event::CommandEnded { code, others };
                }
                Received::Message(Message::AllGone) => return Event::AllGone,
                Received::Message(_) | Received::Nothing => {}
                Received::Closed => {
                    tree::kill_all_below(None);
                    return Event::ReaperLost;
                }
            }
        }
    }

    /// Readable when there is a report.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
