//! Forgetting what nobody has open any more.
//!
//! Nothing depends on its being prompt: a forgotten entry only frees memory. It runs in a thread of its own.
//!
//! Neighbours: `view` (whose tables it sweeps).

use crate::view::{Backed, View};
use std::collections::HashSet;
use std::sync::{Arc, Weak};
use std::time::Duration;
use view_vfs::attributes::Identity;

/// How often the tables are swept while they hold anything.
const PERIOD: Duration = Duration::from_secs(5);
/// Entered directories are looked for in /proc only when there are many.
const MANY_DIRECTORIES: usize = 64;

/// Starts the sweeping thread; it ends with the view.
pub fn start(view: &Arc<View>) -> std::io::Result<()> {
    let view = Arc::downgrade(view);
    std::thread::Builder::new().name("housekeeping".into()).stack_size(256 * 1024).spawn(move || sweep(&view)).map(drop)
}

fn sweep(view: &Weak<View>) {
    loop {
        std::thread::sleep(PERIOD);
        let Some(view) = view.upgrade() else { return };
        if view.backings.is_empty() {
            continue;
        }
        view.collect();
        if view.markers.pinned().len() > MANY_DIRECTORIES {
            view.collect_directories();
        }
    }
}

impl View {
    /// Forgets entered directories that are no process's working directory, root or descriptor any more.
    pub fn collect_directories(&self) {
        let pinned: HashSet<Identity> = self.markers.pinned().into_iter().collect();
        if pinned.is_empty() {
            return;
        }
        let used = used_identities(&pinned);
        for identity in pinned.difference(&used) {
            self.markers.release(*identity);
            if matches!(self.backings.find(*identity).as_deref(), Some(Backed::Marker(_))) {
                self.backings.remove(*identity);
            }
        }
    }
}

/// Which of `wanted` some process of this user refers to.
fn used_identities(wanted: &HashSet<Identity>) -> HashSet<Identity> {
    let mut used = HashSet::new();
    let mut note = |path: &std::path::Path| {
        if let Ok(stat) = rustix::fs::stat(path) {
            let identity = Identity { device: stat.st_dev, inode: stat.st_ino };
            if wanted.contains(&identity) {
                used.insert(identity);
            }
        }
    };
    let Ok(processes) = std::fs::read_dir("/proc") else { return wanted.clone() };
    for process in processes.flatten() {
        if !process.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit) {
            continue;
        }
        let Ok(threads) = std::fs::read_dir(process.path().join("task")) else { continue };
        for thread in threads.flatten() {
            note(&thread.path().join("cwd"));
            if let Ok(descriptors) = std::fs::read_dir(thread.path().join("fd")) {
                for descriptor in descriptors.flatten() {
                    note(&descriptor.path());
                }
            }
        }
    }
    used
}
