//! Bringing what was written to safety: sync(2), the signal to end, an unmount, and the end of the view.
//!
//! Neighbours: `view_vfs::page_cache` (what is written, and when else), `supervisor` (the end), `syscall::sync`.

use super::detach_unused;
use crate::control::protocol::{LogLevel, Refusal};
use crate::view::View;
use rustix::io::Errno;
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};
use view_vfs::mount_table::Root;
use view_vfs::object::Instance;
use view_vfs::page_cache::Unwritten;

/// How long the end of a view waits for filesystems that were unmounted lazily: perhaps just because they do not answer.
const DETACHED_WAIT: Duration = Duration::from_secs(10);

/// How long the end of a view waits for the last user of a module to let go of it, and for the module's own end: it may
/// have much to delete, and a disk to wait for. An image that is not waited for needs its journal replayed; one without
/// a journal needs e2fsck(8).
const RELEASE_WAIT: Duration = Duration::from_secs(60);

/// The modules that are mounted anywhere, the last mounted first: its source may lie on one of the others.
fn instances(view: &View) -> Vec<Arc<Instance>> {
    let mut found: Vec<Arc<Instance>> = Vec::new();
    for namespace in view.all_namespaces() {
        for mount in namespace.table().mounts() {
            if let Root::Node(root) = mount.root()
                && !found.iter().any(|one| Arc::ptr_eq(one, root.instance()))
            {
                found.push(root.instance().clone());
            }
        }
    }
    found.sort_unstable_by_key(|one| std::cmp::Reverse(one.device()));
    found
}

/// Writes the changes of one instance back and makes them durable; what could not be written is said, and its error
/// answered.
pub(super) fn synchronize(view: &View, instance: &Arc<Instance>) -> Result<(), Errno> {
    if instance.is_read_only() {
        return Ok(());
    }
    let unwritten = instance.write_back();
    unwritten.iter().for_each(|one| complain(view, one));
    if let Some(one) = unwritten.first() {
        return Err(one.error);
    }
    // Files of the host are the kernel's to keep.
    if instance.host_root().is_some() {
        return Ok(());
    }
    instance.synchronize().inspect_err(|error| {
        let why = Refusal::from_errno(*error);
        let kind = instance.kind_name();
        view.say(
            LogLevel::Error,
            &format!("cannot synchronize the {kind} filesystem: {why}"),
        );
    })
}

fn complain(view: &View, unwritten: &Unwritten) {
    view.say(
        LogLevel::Error,
        &format!(
            "cannot write back {}: {}",
            String::from_utf8_lossy(&unwritten.path),
            Refusal::from_errno(unwritten.error)
        ),
    );
}

/// Writes everything back and makes it durable, as far as that is possible; true if all of it was.
pub fn synchronize_all(view: &View) -> bool {
    let mut is_safe = true;
    for instance in instances(view) {
        is_safe &= synchronize(view, &instance).is_ok();
    }
    is_safe
}

/// The end of the view, when no process is left: writes everything back and lets all modules go. Answers whether
/// nothing was lost.
pub fn end(view: &Arc<View>) -> bool {
    let mut is_safe = true;
    for instance in instances(view) {
        is_safe &= synchronize(view, &instance).is_ok();
        // What could not be written now never will.
        instance.abandon_unwritten();
    }
    let mut watched = Vec::new();
    for namespace in view.all_namespaces() {
        while let Some(mount) = namespace
            .table()
            .mounts()
            .iter()
            .rev()
            .find(|mount| mount.point().is_some())
            .cloned()
        {
            if let Root::Node(root) = mount.root() {
                watched.push(root.instance().destroyed());
            }
            match namespace.remove(&mount, true, |_| false) {
                Ok(removed) => detach_unused(view, &removed),
                Err(_) => break,
            }
        }
    }
    view.forget_everything();
    is_safe &= write_back_detached(view);
    // A thread may be at the end of its work with one.
    let until = Instant::now() + RELEASE_WAIT;
    let count_left = || {
        let left = watched.iter().filter(|one| !one.load(Ordering::Acquire));
        left.count()
    };
    while count_left() > 0 && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(1));
    }
    let left = count_left();
    if left > 0 {
        view.say(
            LogLevel::Warn,
            &format!(
                "{left} filesystems are still in use at the end: they were not unmounted cleanly"
            ),
        );
    }
    is_safe
}

/// What lazily unmounted filesystems still wait for.
fn write_back_detached(view: &Arc<View>) -> bool {
    if !view.page_cache.has_written_files() {
        return true;
    }
    let (done, wait) = mpsc::channel();
    let cache = view.page_cache.clone();
    let started = std::thread::Builder::new()
        .name("last-write-back".into())
        .spawn(move || {
            let _ = done.send(cache.write_back_all());
        });
    match (started, wait.recv_timeout(DETACHED_WAIT)) {
        (Ok(_), Ok(unwritten)) => {
            unwritten.iter().for_each(|one| complain(view, one));
            unwritten.is_empty()
        }
        _ => {
            view.say(
                LogLevel::Error,
                "cannot write back the files of a filesystem that was unmounted with -l: it does not answer",
            );
            false
        }
    }
}
