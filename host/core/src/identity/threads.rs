//! Who each thread is: kept by thread id and start time, inherited from whoever made the thread.
//!
//! The supervisor is not told of new threads. An unknown one is found out about when it first asks: it has the ids of
//! its thread group, or else of its parent. Therefore, before a thread's ids change, and before a process that has other
//! ids than the view began with ends, what it has made and is still unknown is written down.
//!
//! Not seen: a parent with changed ids that is killed (or whose last thread ends alone) while a child of its has never
//! been heard of; that child has the ids that the view began with. In a process whose threads differ, new threads have
//! the ids of the first one.
//!
//! Neighbours: `syscall::identity` (changes), `task` (asks). Locks: `known` is a leaf; under it only /proc is read.

use super::ids::Ids;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A chain of ancestors is finite; the bound only guards against a tree that changes under us.
const MOST_ANCESTORS: u32 = 4096;
/// Entries beyond which those of dead threads are dropped.
const PRUNE_FROM: usize = 1024;

#[derive(Debug)]
struct Known {
    started: u64,
    ids: Arc<Ids>,
}

/// The ids of all threads of a view.
#[derive(Debug)]
pub struct Threads {
    initial: Arc<Ids>,
    has_changed: AtomicBool,
    known: Mutex<HashMap<u32, Known>>,
}

/// Parent process and start time (clock ticks since boot), from /proc/TID/stat.
fn parent_and_start(thread: u32) -> Option<(u32, u64)> {
    let text = std::fs::read(format!("/proc/{thread}/stat")).ok()?;
    // The name may hold blanks and parentheses; it ends at the last parenthesis.
    let end = text.iter().rposition(|&byte| byte == b')')?;
    let rest = std::str::from_utf8(text.get(end + 1..)?).ok()?;
    let mut fields = rest.split_ascii_whitespace();
    let parent = fields.nth(1)?.parse().ok()?;
    let started = fields.nth(17)?.parse().ok()?;
    Some((parent, started))
}

fn numbers(text: &str) -> Vec<u32> {
    text.split_ascii_whitespace()
        .filter_map(|number| number.parse().ok())
        .collect()
}

fn threads_of(process: u32) -> Vec<u32> {
    let entries = std::fs::read_dir(format!("/proc/{process}/task"));
    let names = entries.into_iter().flatten().flatten();
    names
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

/// The processes that a thread has made. Kernels without CONFIG_PROC_CHILDREN do not tell: then those of its process.
fn children_of(process: u32, thread: u32) -> Vec<u32> {
    let path = format!("/proc/{process}/task/{thread}/children");
    if let Ok(text) = std::fs::read_to_string(path) {
        return numbers(&text);
    }
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|&id| parent_and_start(id).is_some_and(|(parent, _)| parent == process))
        .collect()
}

impl Threads {
    /// All threads have these.
    pub fn new(initial: Ids) -> Self {
        Threads {
            initial: Arc::new(initial),
            has_changed: AtomicBool::new(false),
            known: Mutex::new(HashMap::new()),
        }
    }

    /// Those that the view began with.
    pub fn initial(&self) -> &Arc<Ids> {
        &self.initial
    }

    /// The ids of a thread.
    pub fn of(&self, thread: u32) -> Arc<Ids> {
        if !self.has_changed.load(Ordering::Acquire) {
            return self.initial.clone();
        }
        self.find(&mut self.known.lock(), thread, MOST_ANCESTORS)
    }

    fn find(&self, known: &mut HashMap<u32, Known>, thread: u32, depth: u32) -> Arc<Ids> {
        let Some((parent, started)) = parent_and_start(thread) else {
            return self.initial.clone();
        };
        if let Some(found) = known.get(&thread).filter(|found| found.started == started) {
            return found.ids.clone();
        }
        let process = crate::task::process_of(thread).unwrap_or(thread);
        let ids = if depth == 0 || parent <= 1 || parent == std::process::id() {
            self.initial.clone()
        } else if process != thread {
            self.find(known, process, depth - 1)
        } else {
            let maker = self.maker(known, parent, thread);
            self.find(known, maker, depth - 1)
        };
        self.remember(known, thread, started, ids.clone());
        ids
    }

    /// Which thread of `parent` made `child`: it only matters where they differ.
    fn maker(&self, known: &HashMap<u32, Known>, parent: u32, child: u32) -> u32 {
        let threads = threads_of(parent);
        let mut kept = threads
            .iter()
            .filter_map(|id| known.get(id))
            .map(|known| &known.ids);
        let first = kept.next();
        if threads.len() < 2 || kept.all(|ids| Some(ids) == first) {
            return parent;
        }
        let made = |thread: &u32| children_of(parent, *thread).contains(&child);
        threads.into_iter().find(made).unwrap_or(parent)
    }

    fn remember(&self, known: &mut HashMap<u32, Known>, thread: u32, started: u64, ids: Arc<Ids>) {
        if known.len() >= PRUNE_FROM && known.len().is_power_of_two() {
            known.retain(|id, kept| {
                parent_and_start(*id).is_some_and(|(_, now)| now == kept.started)
            });
        }
        known.insert(thread, Known { started, ids });
    }

    /// Gives `thread`, of `process`, other ids.
    pub fn set(&self, process: u32, thread: u32, ids: Ids) {
        let mut known = self.known.lock();
        self.write_down(&mut known, process, thread);
        if let Some((_, started)) = parent_and_start(thread) {
            self.remember(&mut known, thread, started, Arc::new(ids));
            self.has_changed.store(true, Ordering::Release);
        }
    }

    /// Writes down what a thread has made, and the other threads of its process.
    fn write_down(&self, known: &mut HashMap<u32, Known>, process: u32, thread: u32) {
        self.find(known, thread, MOST_ANCESTORS);
        for made in threads_of(process)
            .into_iter()
            .chain(children_of(process, thread))
        {
            self.find(known, made, MOST_ANCESTORS);
        }
    }

    /// `thread` is about to end, or with `whole` all of `process`: its children will have another parent.
    pub fn ends(&self, process: u32, thread: u32, whole: bool) {
        if !self.has_changed.load(Ordering::Acquire) {
            return;
        }
        let mut known = self.known.lock();
        if Arc::ptr_eq(
            &self.find(&mut known, thread, MOST_ANCESTORS),
            &self.initial,
        ) {
            return;
        }
        let ending = if whole {
            threads_of(process)
        } else {
            vec![thread]
        };
        for thread in ending {
            for child in children_of(process, thread) {
                self.find(&mut known, child, MOST_ANCESTORS);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_go_from_parent_to_child_and_not_back() {
        let threads = Threads::new(Ids::new(0, 0));
        let own = std::process::id();
        let mut child = std::process::Command::new("sleep")
            .arg("30")
            .spawn()
            .unwrap();
        let other = std::process::Command::new("sleep").arg("30").spawn();
        threads.set(child.id(), child.id(), Ids::new(7, 7));
        assert_eq!(threads.of(child.id()).user.real, 7);
        assert_eq!(threads.of(own).user.real, 0);
        let mut other = other.unwrap();
        assert_eq!(threads.of(other.id()).user.real, 0);
        for child in [&mut child, &mut other] {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        assert_eq!(threads.of(child.id()).user.real, 0);
    }
}
