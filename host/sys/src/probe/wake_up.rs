//! What a call costs with and without SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP: which is the faster one depends on the
//! machine (idle CPUs of a virtual machine take long to wake), so it is measured.
//!
//! Neighbours: `view-core` keeps the result; `view doctor` shows it. No locks.

use super::{Child, MARK, NotifyReport, await_listener, next_call, per_round, tracee};
use crate::notify::Listener;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use std::time::Instant;

/// Calls of one batch.
const BATCH: u64 = 16;
/// Batches of each way, taken in turns; the quickest counts, so that other load does not.
const BATCHES: usize = 4;

/// The cost of one notified call, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WakeUpCost {
    /// The receiver is woken on the tracee's CPU.
    pub synchronous_ns: u64,
    /// The scheduler chooses.
    pub plain_ns: u64,
}

/// Measures both ways, with a child's calls; takes about a millisecond, ten where calls are slow.
///
/// Errors: those of [`super::notify`]; `EOPNOTSUPP` when the kernel has one way only (before 6.6).
pub fn wake_up_cost() -> Result<WakeUpCost, Errno> {
    let (ours, theirs) = socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )?;
    let _child = Child::start(|| tracee(&theirs))?;
    drop(theirs);
    let listener = await_listener(&ours, &mut NotifyReport::unreached()).ok_or(Errno::OPNOTSUPP)?;
    let mut best = [u64::MAX; 2];
    for _ in 0..BATCHES {
        for (is_synchronous, best) in [false, true].into_iter().zip(&mut best) {
            if !listener.set_synchronous_wake_up(is_synchronous) {
                return Err(Errno::OPNOTSUPP);
            }
            *best = batch(&listener)?.min(*best);
        }
    }
    let [plain_ns, synchronous_ns] = best;
    Ok(WakeUpCost {
        synchronous_ns,
        plain_ns,
    })
}

fn batch(listener: &Listener) -> Result<u64, Errno> {
    // The one before the first is not counted: its tracee was still woken the other way.
    let call = next_call(listener)?.0;
    listener.answer_error(call.id, MARK)?;
    let start = Instant::now();
    for _ in 0..BATCH {
        let call = listener.receive()?;
        listener.answer_error(call.id, MARK)?;
    }
    Ok(per_round(start.elapsed(), BATCH))
}
