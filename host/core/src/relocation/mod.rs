//! Files that are written and outgrow memory: another backing file under the descriptors of running processes.
//!
//! The page cache says which file has become too large ([`PageCache::wait_for_growth`]). Here every process that has it
//! open is found and stopped, thread by thread (ptrace); while they stand still the page cache copies the file to the
//! spool, and each descriptor is replaced by one of the copy, with the same position and flags. The descriptors get in
//! by the way that all of a view's do: a stopped thread is made to call fsync(2), which the filter hands to the
//! supervisor, and the answer to that call replaces them ([`Exchanges`]). Then the registers are put back, and the
//! processes go on with the call that they were stopped in.
//!
//! What makes it safe: nobody who could read or write the file runs meanwhile; afterwards the kernel is asked whether the
//! old file is open or mapped anywhere still (`page_cache::relocation`), and if so everything is put back. Files that
//! are locked are left alone, since a lock belongs to the file. So are processes that another tracer has, and threads
//! that sleep in a call which would be cut short by a stop (see `holders`).
//!
//! | Module    | Responsibility                                             |
//! |-----------|------------------------------------------------------------|
//! | `holders` | what /proc tells of those who have a file open             |
//! | `late`    | threads that are not done with when the others go on       |
//! | `stopped` | threads that stand still, and the call that they make      |
//!
//! All of it runs in one thread, as ptrace wants it; a thread that could not be stopped in time is let go as soon as it
//! does stop. No lock of the view is held while a thread is waited for. `Exchanges::work` is a leaf.

pub(crate) mod holders;
mod late;
mod stopped;

pub(crate) use holders::{is_stoppable, numbers, parse_info, threads};
pub(crate) use late::{is_short_write, rest_of, resumed, together};

use crate::control::protocol::LogLevel;
use crate::view::View;
use holders::Descriptor;
use late::Late;
use parking_lot::Mutex;
use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use stopped::Stopped;
use view_sys::notify::{Listener, Notification};
use view_sys::process::{Compared, is_same};
use view_vfs::attributes::Identity;
use view_vfs::page_cache::{Holders, Outgrown, PageCache, reopen};

/// Longest wait for something to do.
const WAIT: Duration = Duration::from_secs(1);
/// The same while a thread is to be let go.
const SHORT_WAIT: Duration = Duration::from_millis(2);

/// A descriptor of a process, and what is to take its place.
struct Replacement {
    number: i32,
    close_on_exec: bool,
    by: Arc<OwnedFd>,
}

/// The calls that stopped threads make to have descriptors replaced: one at a time.
#[derive(Default)]
pub struct Exchanges {
    /// The thread; 0: none.
    thread: AtomicU32,
    work: Mutex<Work>,
}

#[derive(Default)]
struct Work {
    replacements: Vec<Replacement>,
    result: Option<Result<(), Errno>>,
}

impl Exchanges {
    /// Is the call of this thread one of ours? Asked for every call.
    pub fn is_expected(&self, thread: u32) -> bool {
        self.thread.load(Ordering::Acquire) == thread
    }

    /// Replaces the descriptors of the thread's process, and answers its call.
    pub fn serve(&self, listener: &Listener, call: &Notification) {
        let mut work = self.work.lock();
        let replaced = work.replacements.iter().try_for_each(|one| {
            listener
                .replace(call.id, one.by.as_fd(), one.close_on_exec, one.number)
                .map(drop)
        });
        work.result = Some(replaced);
        // What it returns is seen by nobody.
        let _ = listener.answer_value(call.id, 0);
    }

    fn expect(&self, thread: u32, replacements: Vec<Replacement>) {
        *self.work.lock() = Work {
            replacements,
            result: None,
        };
        self.thread.store(thread, Ordering::Release);
    }

    /// How it went; `None` when the call never came.
    fn finish(&self) -> Option<Result<(), Errno>> {
        self.thread.store(0, Ordering::Release);
        std::mem::take(&mut *self.work.lock()).result
    }
}

/// Starts the thread, and lets writers begin in memory.
pub fn start(view: &Arc<View>) -> std::io::Result<()> {
    let cache = Arc::downgrade(&view.page_cache);
    view.page_cache.begin_in_memory();
    let view = Arc::downgrade(view);
    std::thread::Builder::new()
        .name("relocation".into())
        .stack_size(512 * 1024)
        .spawn(move || run(&view, &cache))
        .map(drop)
}

fn run(view: &Weak<View>, cache: &Weak<PageCache>) {
    let mut late: Vec<Late> = Vec::new();
    loop {
        let Some(cache) = cache.upgrade() else {
            return;
        };
        let limit = if late.is_empty() { WAIT } else { SHORT_WAIT };
        let found = cache.wait_for_growth(limit);
        late::let_go(&mut late);
        let Some(view) = view.upgrade() else {
            return;
        };
        for file in found {
            let text = match relocate(&view, &cache, &file, &mut late) {
                Ok(()) => "a file that outgrew memory was moved".to_owned(),
                Err(errno) => {
                    cache.postpone_move(&file);
                    format!("a file that outgrew memory could not be moved: {errno}")
                }
            };
            view.say(LogLevel::Debug, &text);
        }
    }
}

/// Moves one file.
fn relocate(
    view: &View,
    cache: &PageCache,
    file: &Outgrown,
    late: &mut Vec<Late>,
) -> Result<(), Errno> {
    // Its holders may be attached there.
    let _pause = view.space.pause();
    let mut stopped = Stopped::default();
    let result = stop_holders(&mut stopped, file.identity).and_then(|()| {
        let mut standing = Standing {
            view,
            stopped: &mut stopped,
        };
        cache.move_to_spool(file, &mut standing)
    });
    stopped.let_go(late);
    result.map(drop)
}

/// Stops every process that has the file open, also those that come to have it meanwhile.
fn stop_holders(stopped: &mut Stopped, identity: Identity) -> Result<(), Errno> {
    const ROUNDS: usize = 8;
    for _ in 0..ROUNDS {
        let found = holders::of(identity);
        if found.iter().any(|one| one.is_locked) {
            return Err(Errno::BUSY);
        }
        let mut processes: Vec<u32> = found.iter().map(|one| one.process).collect();
        processes.dedup();
        let mut is_new = false;
        for &process in &processes {
            if holders::is_mapped(process, identity) {
                return Err(Errno::BUSY);
            }
            is_new |= stopped.stop(process)?;
        }
        if !is_new {
            return Ok(());
        }
        stopped.wait()?;
    }
    Err(Errno::BUSY)
}

/// The holders of a file, all stopped.
struct Standing<'a> {
    view: &'a View,
    stopped: &'a mut Stopped,
}

impl Holders for Standing<'_> {
    fn replace(
        &mut self,
        (old, old_file): (Identity, &OwnedFd),
        (new, new_file): (Identity, &OwnedFd),
    ) -> Result<(), Errno> {
        if let Some(backed) = self.view.backings.find(old) {
            self.view.backings.register(new, backed);
        }
        let replaced = self.exchange(old, new_file);
        if replaced.is_err() {
            // What was replaced already gets the old file again.
            let undone = self.exchange(new, old_file);
            self.view.backings.remove(new);
            if let Err(errno) = undone {
                let text = format!("a file that is written has come apart: {errno}");
                self.view.say(LogLevel::Error, &text);
            }
        }
        replaced
    }
}

impl Standing<'_> {
    /// Replaces all descriptors of one file.
    fn exchange(&mut self, old: Identity, by: &OwnedFd) -> Result<(), Errno> {
        let mut made: Vec<(Descriptor, Arc<OwnedFd>)> = Vec::new();
        let mut wanted: BTreeMap<u32, Vec<Replacement>> = BTreeMap::new();
        for one in holders::of(old) {
            let mut shared = None;
            for (other, description) in &made {
                let what = Compared::Descriptors(other.number, one.number);
                if is_same(other.process, one.process, what)? {
                    shared = Some(Arc::clone(description));
                    break;
                }
            }
            let description = match shared {
                Some(description) => description,
                None => {
                    let opened = reopen(by.as_fd(), one.flags)?;
                    seek(&opened, SeekFrom::Start(one.position))?;
                    let opened = Arc::new(opened);
                    made.push((one, Arc::clone(&opened)));
                    opened
                }
            };
            wanted.entry(one.process).or_default().push(Replacement {
                number: one.number,
                close_on_exec: one.flags & libc::O_CLOEXEC != 0,
                by: description,
            });
        }
        drop(made);
        let mut done: Vec<u32> = Vec::new();
        for (process, replacements) in wanted {
            let mut has_table = false;
            for &other in &done {
                has_table |= is_same(other, process, Compared::Tables)?;
            }
            if !has_table {
                self.stopped
                    .exchange(process, &self.view.exchanges, replacements)?;
            }
            done.push(process);
        }
        Ok(())
    }
}
