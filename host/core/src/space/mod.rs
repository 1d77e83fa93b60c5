//! Filesystems that are nearly full: who writes to them is told ENOSPC by write(2), as on Linux.
//!
//! Tracees write natively into backing files, and the module learns of it later. So what a filesystem can take still is
//! what the module says, less what was accepted for it (`Instance::room`). That is looked at whenever somebody opens a file
//! for writing, and then so often that nobody can use it up between two looks. While less than [`TIGHT`] is left, the
//! threads of those who have a file of it open for writing are attached (`traced`): each call of theirs that writes is
//! looked at before it begins, and writes what fits, or nothing. As soon as there is room again, or the files are closed,
//! they are let go at their next call. Whoever opens a file for writing just then is attached before its open returns.
//!
//! Every process keeps its descriptors, with all that Linux does with them. What is not held back: stores through shared
//! mappings, writes by Linux aio, and threads that another tracer has.
//!
//! | Module    | Responsibility                                                |
//! |-----------|---------------------------------------------------------------|
//! | `call`    | what a system call is about to write                          |
//! | `ledger`  | what is left, between two looks                               |
//! | `traced`  | attached threads and their stops                              |
//! | `writers` | who has a file open for writing                               |
//!
//! One thread does the attaching, as ptrace wants it; others ask it by [`Space`]. Locks: `Space::state` is a leaf; no module is
//! asked under it.

mod call;
mod ledger;
mod traced;
mod writers;

use crate::view::View;
use ledger::Ledger;
use parking_lot::{Condvar, Mutex};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use traced::Traced;
use view_vfs::object::Instance;

/// With less room than this, in bytes, writers are held to it; with twice as much again, no more.
const TIGHT: i64 = 32 << 20;
/// Bytes that can be written in a second, at most.
const FASTEST: i64 = 8 << 30;
/// Between two looks at a filesystem.
const QUICK_LOOK: Duration = Duration::from_millis(1);
const SLOW_LOOK: Duration = Duration::from_millis(500);
/// Between two looks at who has its files open, and at its room, while it is nearly full.
const TIGHT_LOOK: Duration = Duration::from_millis(4);
/// Looking takes at most one part in this many of the time.
const SHARE: u32 = 10;
/// A process that opens a file is attached for so long though no descriptor is seen.
const OPENING: Duration = Duration::from_millis(100);
/// Longest wait for a thread to be attached or let go.
const ORDER_WAIT: Duration = Duration::from_millis(200);
/// While attached threads are at work they are looked at without a pause; later with longer and longer ones.
const BUSY: Duration = Duration::from_micros(300);
const LONGEST_PAUSE: Duration = Duration::from_millis(2);
/// Most openers that are remembered.
const MOST_OPENERS: usize = 256;
/// A filesystem whose files nobody has open is not looked at.
const UNUSED_LOOK: Duration = Duration::from_secs(1);

/// What the thread and those who ask it share.
#[derive(Default)]
pub struct Space {
    /// Id of the thread that attaches; 0: none.
    tracer: AtomicU32,
    state: Mutex<State>,
    /// There is something to do.
    wake: Condvar,
    /// An order has been carried out.
    done: Condvar,
}

#[derive(Default)]
struct State {
    is_running: bool,
    watched: HashMap<u64, Watched>,
    orders: Vec<Order>,
    ordered: u64,
    carried_out: u64,
    /// Threads that are to be let go at the end of their call.
    released: HashSet<u32>,
    /// Somebody else has to attach threads: so many.
    pauses: u32,
    is_any_attached: bool,
}

/// A filesystem that somebody may be writing to.
struct Watched {
    instance: Weak<Instance>,
    /// `None`: it has no limit.
    left: Option<i64>,
    looked_at: Instant,
    /// Since when it has had as much.
    same_since: Instant,
    opened_at: Instant,
    cost: Duration,
    is_tight: bool,
    /// Threads that opened a file for writing while there was room enough.
    openers: HashSet<u32>,
}

impl Watched {
    /// How long what is known of it can be relied on.
    fn shelf_life(&self) -> Duration {
        let left = match self.left {
            Some(left) => left.saturating_sub(TIGHT).max(0),
            None => i64::MAX,
        };
        let filled_in = Duration::from_millis((left / (FASTEST / 1000)).unsigned_abs());
        let shortest = match self.is_tight {
            true => TIGHT_LOOK,
            false => QUICK_LOOK,
        };
        filled_in
            .clamp(shortest, SLOW_LOOK)
            .max(self.cost.saturating_mul(SHARE))
    }

    fn is_due(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.looked_at) >= self.shelf_life()
    }
}

#[derive(Clone, Copy, Debug)]
enum Order {
    /// Attach the process of this thread, which is opening a file.
    Attach(u32),
    /// Let this thread go.
    Release(u32),
}

impl std::fmt::Debug for Space {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Space").finish_non_exhaustive()
    }
}

impl Space {
    /// A thread is about to get a descriptor for writing to a file: if there is little room it is attached when this
    /// returns.
    pub fn opens(&self, thread: u32, instance: &Arc<Instance>) {
        if self.is_tight(instance, false) {
            self.order(Order::Attach(thread));
        } else if let Some(watched) = self.state.lock().watched.get_mut(&instance.device()) {
            if watched.openers.len() >= MOST_OPENERS {
                watched.openers.clear(); // those are found by their descriptors, a little later
            }
            watched.openers.insert(thread);
        }
    }

    /// Was more accepted for this filesystem than it can take? Then nothing new is begun.
    pub fn is_overfull(&self, instance: &Arc<Instance>) -> bool {
        let is_suspect = || {
            let state = self.state.lock();
            let known = state.watched.get(&instance.device());
            known.is_some_and(|known| known.left.is_some_and(|left| left < 0))
        };
        self.is_tight(instance, false)
            && is_suspect()
            && self.is_tight(instance, true)
            && is_suspect()
    }

    /// Is this the thread that attaches?
    pub fn is_tracer(&self, thread: u32) -> bool {
        self.tracer.load(Ordering::Acquire) == thread
    }

    /// The view is to run a call in this thread, which waits in a notified one. True if it is attached: a stop is due
    /// now, so the call can be answered so as to be made again, and the thread is let go before that.
    pub fn releases(&self, thread: u32) -> bool {
        self.order(Order::Release(thread));
        self.state.lock().released.remove(&thread)
    }

    /// Lets all threads go until the answer is dropped: somebody else has to attach them.
    pub fn pause(&self) -> Pause<'_> {
        let mut state = self.state.lock();
        state.pauses += 1;
        self.wake.notify_one();
        let deadline = Instant::now() + ORDER_WAIT;
        while state.is_any_attached && !self.done.wait_until(&mut state, deadline).timed_out() {}
        Pause(self)
    }

    /// Is it nearly full? Looks if what is known is too old, or `anew`.
    fn is_tight(&self, instance: &Arc<Instance>, anew: bool) -> bool {
        let device = instance.device();
        {
            let mut state = self.state.lock();
            if !state.is_running {
                return false;
            }
            if let Some(known) = state.watched.get_mut(&device) {
                let now = Instant::now();
                known.opened_at = now;
                if !anew && !known.is_due(now) {
                    return known.is_tight;
                }
            }
        }
        let is_tight = self.look(instance);
        // It may have slept for long.
        self.wake.notify_one();
        is_tight
    }

    /// Asks the filesystem.
    fn look(&self, instance: &Arc<Instance>) -> bool {
        let start = own_time();
        let left = instance.room().map(|room| room.left);
        let mut state = self.state.lock();
        let now = Instant::now();
        let watched = state
            .watched
            .entry(instance.device())
            .or_insert_with(|| Watched {
                instance: Arc::downgrade(instance),
                left,
                looked_at: now,
                same_since: now,
                opened_at: now,
                cost: Duration::ZERO,
                is_tight: false,
                openers: HashSet::new(),
            });
        let limit = match watched.is_tight {
            true => TIGHT.saturating_mul(2),
            false => TIGHT,
        };
        if watched.left != left {
            watched.same_since = now;
        }
        watched.left = left;
        watched.looked_at = now;
        watched.cost = own_time().saturating_sub(start);
        watched.is_tight = left.is_some_and(|left| left < limit);
        watched.is_tight
    }

    fn order(&self, order: Order) {
        let mut state = self.state.lock();
        if !state.is_running {
            return;
        }
        state.ordered += 1;
        let number = state.ordered;
        state.orders.push(order);
        self.wake.notify_one();
        let deadline = Instant::now() + ORDER_WAIT;
        while state.carried_out < number {
            if self.done.wait_until(&mut state, deadline).timed_out() {
                return;
            }
        }
    }
}

/// As long as it lives nobody is attached.
#[derive(Debug)]
pub struct Pause<'a>(&'a Space);

impl Drop for Pause<'_> {
    fn drop(&mut self) {
        self.0.state.lock().pauses -= 1;
        self.0.wake.notify_one();
    }
}

/// Starts the thread; it ends with the view.
pub fn start(view: &Arc<View>) -> std::io::Result<()> {
    let space = Arc::clone(&view.space);
    space.state.lock().is_running = true;
    let view = Arc::downgrade(view);
    std::thread::Builder::new()
        .name("space".into())
        .stack_size(512 * 1024)
        .spawn(move || run(&view, &space))
        .map(drop)
}

/// What only the thread knows.
#[derive(Default)]
struct Keeper {
    traced: Traced,
    ledger: Ledger,
    /// Processes that are opening a file.
    opening: HashMap<u32, Instant>,
    writers: BTreeSet<u32>,
}

fn run(view: &Weak<View>, space: &Space) {
    space.tracer.store(own_thread(), Ordering::Release);
    let mut keeper = Keeper::default();
    let mut last_stop = Instant::now();
    let mut next_scan = Instant::now();
    loop {
        let pause = match keeper.traced.is_empty() {
            true => SLOW_LOOK,
            false => match last_stop.elapsed() {
                elapsed if elapsed < BUSY => Duration::ZERO,
                elapsed => (elapsed / 8).min(LONGEST_PAUSE),
            },
        };
        let (orders, number, is_paused) = space.wait(pause);
        let Some(view) = view.upgrade() else {
            return;
        };
        let released: Vec<u32> = orders
            .into_iter()
            .filter_map(|order| keeper.carry_out(order, is_paused))
            .collect();
        if is_paused {
            keeper.traced.release_all();
            next_scan = Instant::now();
        } else {
            keeper.traced.attach_again();
        }
        if keeper.traced.serve(&view, &mut keeper.ledger) {
            last_stop = Instant::now();
        }
        space.carried_out(number, released, !keeper.traced.is_empty());
        let (tight, openers) = space.look_at_all(&view, &mut keeper.ledger);
        if !openers.is_empty() {
            keeper.attach_openers(openers, is_paused);
            next_scan = Instant::now();
        }
        let has_work = !(tight.is_empty() && keeper.traced.is_empty());
        if has_work && !is_paused && Instant::now() >= next_scan {
            let start = own_time();
            keeper.scan(&view, &tight);
            let cost = own_time().saturating_sub(start);
            next_scan = Instant::now() + TIGHT_LOOK.max(cost * SHARE);
        }
    }
}

impl Keeper {
    /// Answers a thread that is to be let go.
    fn carry_out(&mut self, order: Order, is_paused: bool) -> Option<u32> {
        match order {
            Order::Attach(thread) => {
                let process = crate::task::process_of(thread).unwrap_or(thread);
                self.opening.insert(process, Instant::now());
                if !is_paused {
                    self.traced.attach(process, Some(thread));
                }
                None
            }
            Order::Release(thread) => self.traced.release(thread).then_some(thread),
        }
    }

    fn attach_openers(&mut self, threads: Vec<u32>, is_paused: bool) {
        for thread in threads.into_iter().filter(|_| !is_paused) {
            if let Some(process) = crate::task::process_of(thread) {
                self.traced.attach(process, None);
            }
        }
    }

    /// Attaches those who have a file of a nearly full filesystem open, and lets the others go.
    fn scan(&mut self, view: &View, tight: &HashSet<u64>) {
        let now = Instant::now();
        self.opening
            .retain(|_, since| now.saturating_duration_since(*since) < OPENING);
        self.writers = match tight.is_empty() {
            true => BTreeSet::new(),
            false => writers::of(view, tight),
        };
        if tight.is_empty() {
            self.opening.clear();
        }
        let (opening, writers) = (&self.opening, &self.writers);
        self.traced
            .keep(|process| writers.contains(&process) || opening.contains_key(&process));
        for &process in writers {
            self.traced.attach(process, None);
        }
    }
}

impl State {
    /// When a filesystem has to be looked at.
    fn next_look(&self) -> Duration {
        let now = Instant::now();
        let limited = self.watched.values().filter(|one| one.left.is_some());
        let of_each = limited.map(|watched| {
            let age = now.saturating_duration_since(watched.looked_at);
            watched.shelf_life().saturating_sub(age)
        });
        of_each
            .min()
            .unwrap_or(SLOW_LOOK)
            .max(Duration::from_micros(100))
    }
}

impl Space {
    /// Waits for orders, or for the next look, but no longer than `pause`; answers them and the number of the last.
    fn wait(&self, pause: Duration) -> (Vec<Order>, u64, bool) {
        if pause.is_zero() {
            std::thread::yield_now();
        }
        let mut state = self.state.lock();
        if state.orders.is_empty() && !pause.is_zero() {
            let pause = pause.min(state.next_look());
            self.wake.wait_for(&mut state, pause);
        }
        let orders = std::mem::take(&mut state.orders);
        (orders, state.ordered, state.pauses > 0)
    }

    fn carried_out(&self, number: u64, released: Vec<u32>, is_any_attached: bool) {
        let mut state = self.state.lock();
        state.released.extend(released);
        let is_last = state.is_any_attached && !is_any_attached;
        state.is_any_attached = is_any_attached;
        if state.carried_out != number || is_last {
            state.carried_out = number;
            self.done.notify_all();
        }
    }

    /// Looks at all that are due. Answers which are nearly full, and who has opened files of those that have become
    /// so. Those that nobody writes to are forgotten.
    fn look_at_all(&self, view: &View, ledger: &mut Ledger) -> (HashSet<u64>, Vec<u32>) {
        let now = Instant::now();
        let mut due: Vec<Arc<Instance>> = Vec::new();
        let mut unused = HashSet::new();
        self.state.lock().watched.retain(|device, watched| {
            if watched.left.is_none() || !watched.is_due(now) {
                return true;
            }
            let last = watched.same_since.max(watched.opened_at);
            if now.saturating_duration_since(last) > UNUSED_LOOK {
                unused.insert(*device);
            }
            let instance = watched.instance.upgrade();
            let is_there = instance.is_some();
            due.extend(instance);
            is_there
        });
        for instance in &due {
            self.look(instance);
        }
        if !unused.is_empty() {
            self.forget_unused(unused, |devices| writers::any(view, devices));
        }
        let mut openers = Vec::new();
        let mut tight: Vec<(u64, Weak<Instance>)> = Vec::new();
        for (device, watched) in &mut self.state.lock().watched {
            if watched.is_tight {
                openers.extend(watched.openers.drain());
                tight.push((*device, watched.instance.clone()));
            }
        }
        ledger.keep(&tight.iter().map(|(device, _)| *device).collect());
        for (device, instance) in &tight {
            let is_due = due.iter().any(|one| one.device() == *device) || !ledger.has(*device);
            if is_due && let Some(instance) = instance.upgrade() {
                ledger.look(&instance);
            }
        }
        let tight = tight.into_iter().map(|(device, _)| device).collect();
        (tight, openers)
    }

    /// These had as much for a while: unless somebody has their files open they are not looked at any more.
    fn forget_unused(&self, devices: HashSet<u64>, any: impl Fn(&HashSet<u64>) -> bool) {
        let is_used = any(&devices);
        let now = Instant::now();
        self.state.lock().watched.retain(|device, watched| {
            let is_opened = now.saturating_duration_since(watched.opened_at) < UNUSED_LOOK;
            if !devices.contains(device) || is_opened {
                return true;
            }
            // Asked again after the same time.
            watched.same_since = now;
            is_used
        });
    }
}

/// The time that this thread has run for.
fn own_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(
        time.tv_sec.unsigned_abs(),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    )
}

fn own_thread() -> u32 {
    rustix::thread::gettid()
        .as_raw_nonzero()
        .get()
        .unsigned_abs()
}
