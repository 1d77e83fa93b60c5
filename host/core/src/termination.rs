//! SIGTERM to the supervisor: the machine goes down, or somebody wants the view to come to an end. What was written is
//! brought to safety at once; the view goes on, since its processes have got, or will get, the signal themselves.
//!
//! The signal is blocked in every thread of the supervisor but for the descriptor of the thread here. No locks.
//!
//! Neighbours: `supervisor` (blocks the signal), `mounting::end` (writes back).

use crate::control::protocol::LogLevel;
use crate::mounting;
use crate::view::View;
use rustix::event::{PollFd, PollFlags, poll};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Weak};
use view_sys::process;

/// Starts the thread that waits for the signal; it ends with the view.
pub fn start(view: &Arc<View>) -> std::io::Result<()> {
    let signals = process::signal_descriptor()?;
    let view = Arc::downgrade(view);
    std::thread::Builder::new()
        .name("termination".into())
        .stack_size(512 * 1024)
        .spawn(move || wait(&view, &signals))
        .map(drop)
}

fn wait(view: &Weak<View>, signals: &OwnedFd) {
    loop {
        let mut polled = [PollFd::new(signals, PollFlags::IN)];
        let _ = rustix::io::retry_on_intr(|| poll(&mut polled, None));
        let Some(view) = view.upgrade() else { return };
        let mut is_asked = false;
        while let Some(signal) = process::take_signal(signals.as_fd()) {
            is_asked |= signal.number == libc::SIGTERM;
        }
        if is_asked {
            mounting::synchronize_all(&view);
            view.say(LogLevel::Info, "SIGTERM: everything is written back");
        }
    }
}
