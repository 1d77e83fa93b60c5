//! The notification loop: receive, hand to the call's function, answer.
//!
//! All receivers are alike. Each takes one notification, serves it and answers it on the same thread, so a quick call
//! costs one switch to the supervisor and one back. A receiver that takes a call and leaves none waiting starts another
//! first: a call that blocks never keeps the others from being received.
//!
//! Neighbours: `syscall` (what each call does), `task` (who calls), `answer` (how it ends). No locks: `Pool` has counters.

mod answer;
pub mod in_flight;
pub mod placement;
pub mod unreceived;

use crate::syscall;
use crate::task::Task;
use crate::view::View;
use in_flight::InFlight;
use rustix::io::Errno;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use unreceived::Unreceived;
use view_sys::notify::{Listener, Notification};

/// Receivers at the start.
const FIRST_RECEIVERS: usize = 2;
/// Receivers that stay when there is nothing to do.
const IDLE_RECEIVERS: usize = 8;

/// What is known of the calls of one listener.
#[derive(Debug)]
pub struct Calls {
    /// Those that are taking effect.
    pub in_flight: InFlight,
    /// Those that nobody received.
    pub unreceived: Unreceived,
}

/// The receivers of one listener.
pub struct Pool {
    view: Arc<View>,
    listener: Arc<Listener>,
    waiting: AtomicUsize,
    calls: Calls,
    on_end: Box<dyn Fn() + Send + Sync>,
}

/// Starts to serve a listener; returns at once. `wait_killable`: calls that were received are not interrupted. `on_end`
/// is called when no tracee can notify any more.
pub fn serve(
    view: Arc<View>,
    listener: Arc<Listener>,
    wait_killable: bool,
    on_end: Box<dyn Fn() + Send + Sync>,
) -> std::io::Result<()> {
    listener.set_synchronous_wake_up(view.abilities.wakes_synchronously);
    let pool = Arc::new(Pool {
        view,
        listener,
        waiting: AtomicUsize::new(0),
        calls: Calls {
            in_flight: InFlight::default(),
            unreceived: Unreceived::new(wait_killable),
        },
        on_end,
    });
    for _ in 0..FIRST_RECEIVERS {
        pool.start()?;
    }
    Ok(())
}

impl Pool {
    fn start(self: &Arc<Self>) -> std::io::Result<()> {
        self.waiting.fetch_add(1, Ordering::AcqRel);
        let pool = self.clone();
        let started = std::thread::Builder::new()
            .name("receiver".into())
            .stack_size(512 * 1024)
            .spawn(move || pool.receive());
        if started.is_err() {
            self.waiting.fetch_sub(1, Ordering::AcqRel);
        }
        started.map(drop)
    }

    fn receive(self: Arc<Self>) {
        loop {
            match self.listener.receive() {
                Ok(call) => {
                    self.calls.unreceived.received(call.id);
                    if self.waiting.fetch_sub(1, Ordering::AcqRel) == 1 {
                        // Without a free receiver the next call waits until this one is done: slower, not wrong.
                        let _ = self.start();
                    }
                    self.serve_one(call);
                    if self.may_leave() {
                        return;
                    }
                }
                // The tracee died before the notification was taken, or a signal came to this thread.
                Err(Errno::NOENT | Errno::INTR) => {
                    if view_has_ended(&self.listener) {
                        break;
                    }
                }
                Err(_) => break,
            }
        }
        (self.on_end)();
    }

    /// Leaves the waiting ones if there are enough others; one who leaves is no longer counted by anybody.
    fn may_leave(&self) -> bool {
        let fewer = |waiting| (waiting > IDLE_RECEIVERS).then(|| waiting - 1);
        self.waiting
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, fewer)
            .is_ok()
    }

    fn serve_one(&self, call: Notification) {
        if self.view.exchanges.is_expected(call.tid) {
            self.waiting.fetch_add(1, Ordering::AcqRel);
            self.view.exchanges.serve(&self.listener, &call);
            return;
        }
        self.calls.in_flight.await_the_dead(&self.listener);
        let task = Task::new(&self.view, &self.listener, &self.calls, call);
        let result =
            catch_unwind(AssertUnwindSafe(|| syscall::dispatch(&task))).unwrap_or_else(|_| {
                self.view.say(
                    crate::control::protocol::LogLevel::Error,
                    &format!(
                        "{} failed inside the view: a bug, answered with EIO",
                        syscall::table::name(call.number as u32)
                    ),
                );
                Err(Errno::IO)
            });
        task.end();
        // The tracee's next call may come before the answer has returned: this receiver is as good as waiting.
        self.waiting.fetch_add(1, Ordering::AcqRel);
        answer::send(&task, result);
    }
}

/// Has the last process under the filter gone (the listener then hangs up, kernel 5.8)?
fn view_has_ended(listener: &Listener) -> bool {
    use rustix::event::{PollFd, PollFlags, poll};
    let descriptor = listener.descriptor();
    let mut polled = [PollFd::new(&descriptor, PollFlags::IN)];
    let now = rustix::event::Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    matches!(poll(&mut polled, Some(&now)), Ok(1)) && polled[0].revents().contains(PollFlags::HUP)
}
