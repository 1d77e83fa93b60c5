//! How much memory and how many descriptors cached files may use.
//!
//! Reference: cgroups(7) and the kernel's `admin-guide/cgroup-v2.rst` (memory.max, memory.high), proc_meminfo(5).

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use rustix::process::{Resource, getrlimit};

/// Share of the free memory that is used by default, and largest share of the budget for one file.
const SHARE: u64 = 4;
/// The default is never smaller.
const SMALLEST_DEFAULT: u64 = 16 << 20;

/// Limits and use. Plain counters: a moment of overuse does no harm.
pub(super) struct Budget {
    total_bytes: u64,
    used_bytes: AtomicU64,
    descriptors: AtomicUsize,
    /// Half of what this process may have. Asked for when it is first needed: a supervisor raises its limit at the start.
    descriptor_limit: OnceLock<u64>,
}

impl Budget {
    /// `None`: a quarter of what this process may still use.
    pub(super) fn new(total_bytes: Option<u64>) -> Budget {
        let total_bytes =
            total_bytes.unwrap_or_else(|| (available_bytes() / SHARE).max(SMALLEST_DEFAULT));
        Budget {
            total_bytes,
            used_bytes: AtomicU64::new(0),
            descriptors: AtomicUsize::new(0),
            descriptor_limit: OnceLock::new(),
        }
    }

    pub(super) fn total_bytes(&self) -> u64 {
        self.total_bytes
    }

    pub(super) fn used_bytes(&self) -> u64 {
        self.used_bytes.load(Ordering::Relaxed)
    }

    pub(super) fn descriptors(&self) -> usize {
        self.descriptors.load(Ordering::Relaxed)
    }

    /// Most bytes of one file in memory.
    fn largest_file(&self) -> u64 {
        self.total_bytes / SHARE
    }

    /// May a file of this size be held in memory now?
    pub(super) fn admits(&self, bytes: u64) -> bool {
        let rest = self.total_bytes.saturating_sub(self.used_bytes());
        bytes <= self.largest_file() && bytes <= rest
    }

    /// Is there room for a file of this size and its descriptor, with the `reserve`th part of the limits (0: nothing)
    /// left free? Files too large for the memory need only the descriptor.
    pub(super) fn has_room(&self, bytes: u64, reserve: u64) -> bool {
        let bytes = if bytes > self.largest_file() {
            0
        } else {
            bytes
        };
        let free_part = |limit: u64| limit.checked_div(reserve).unwrap_or(0);
        let most_bytes = self.total_bytes - free_part(self.total_bytes);
        let descriptor_limit = *self.descriptor_limit.get_or_init(descriptor_limit);
        let most_descriptors = descriptor_limit - free_part(descriptor_limit);
        let has_memory =
            bytes == 0 || self.used_bytes().saturating_add(bytes) <= most_bytes.max(bytes);
        has_memory && (self.descriptors() as u64) < most_descriptors.max(1)
    }
}

/// What one cached file uses; given back when dropped.
pub(super) struct Charge {
    budget: Arc<Budget>,
    bytes: u64,
}

impl Charge {
    pub(super) fn new(budget: &Arc<Budget>, bytes: u64) -> Charge {
        budget.used_bytes.fetch_add(bytes, Ordering::Relaxed);
        budget.descriptors.fetch_add(1, Ordering::Relaxed);
        Charge {
            budget: Arc::clone(budget),
            bytes,
        }
    }
}

impl Charge {
    /// What the file takes, as far as was said.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The file takes this many bytes now.
    pub(super) fn set(&mut self, bytes: u64) {
        let used = &self.budget.used_bytes;
        used.fetch_add(bytes, Ordering::Relaxed);
        used.fetch_sub(self.bytes, Ordering::Relaxed);
        self.bytes = bytes;
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.budget
            .used_bytes
            .fetch_sub(self.bytes, Ordering::Relaxed);
        self.budget.descriptors.fetch_sub(1, Ordering::Relaxed);
    }
}

impl std::fmt::Debug for Charge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Charge({} bytes)", self.bytes)
    }
}

/// Half of the descriptors that this process may have.
fn descriptor_limit() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX) / 2
}

/// Memory that this process may still use, in bytes: the free memory of the machine, and the limits of its cgroups.
fn available_bytes() -> u64 {
    let machine = fs::read_to_string("/proc/meminfo")
        .ok()
        .and_then(|text| parse_available(&text))
        .unwrap_or(SMALLEST_DEFAULT * SHARE);
    let group = fs::read_to_string("/proc/self/cgroup")
        .ok()
        .and_then(|text| group_limit(&text, Path::new("/sys/fs/cgroup")));
    group.map_or(machine, |group| group.min(machine))
}

/// `MemAvailable` of /proc/meminfo, in bytes.
fn parse_available(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kilobytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    kilobytes.checked_mul(1024)
}

/// The smallest rest of the limits on the way from the process's cgroup to the top. Version 2 hierarchies, and the
/// memory controller of version 1.
fn group_limit(self_cgroup: &str, top: &Path) -> Option<u64> {
    let mut smallest: Option<u64> = None;
    for line in self_cgroup.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?);
        let (base, limits, usage): (_, &[&str], _) = if controllers.is_empty() {
            let limits = &["memory.max", "memory.high"];
            (top.to_path_buf(), limits, "memory.current")
        } else if controllers.split(',').any(|name| name == "memory") {
            let limits = &["memory.limit_in_bytes"];
            (top.join("memory"), limits, "memory.usage_in_bytes")
        } else {
            continue;
        };
        let group = base.join(path.trim_start_matches('/'));
        for directory in group.ancestors().take_while(|dir| dir.starts_with(&base)) {
            let used = read_number(&directory.join(usage)).unwrap_or(0);
            let rests = limits
                .iter()
                .filter_map(|limit| read_number(&directory.join(limit)))
                .map(|limit| limit.saturating_sub(used));
            smallest = smallest.into_iter().chain(rests).min();
        }
    }
    smallest
}

/// A file with one number; `max` is none.
fn read_number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_memory_is_read_from_meminfo() {
        let text = "MemTotal: 9 kB\nMemFree: 1 kB\nMemAvailable:   2048 kB\n";
        assert_eq!(parse_available(text), Some(2 << 20));
        assert_eq!(parse_available("MemTotal: 9 kB\n"), None);
        assert!(available_bytes() > 0);
    }

    #[test]
    fn the_tightest_limit_above_the_process_counts() {
        let top = std::env::temp_dir().join(format!("view-budget-{}", std::process::id()));
        let inner = top.join("outer/inner");
        fs::create_dir_all(&inner).unwrap();
        fs::write(inner.join("memory.max"), "max\n").unwrap();
        fs::write(inner.join("memory.high"), "900\n").unwrap();
        fs::write(inner.join("memory.current"), "100\n").unwrap();
        fs::write(top.join("outer/memory.max"), "700\n").unwrap();
        fs::write(top.join("outer/memory.current"), "150\n").unwrap();
        assert_eq!(group_limit("0::/outer/inner\n", &top), Some(550));
        assert_eq!(group_limit("3:cpu:/\n", &top), None);
        fs::remove_dir_all(&top).unwrap();
    }

    #[test]
    fn charges_are_given_back() {
        let budget = Arc::new(Budget::new(Some(1000)));
        let charge = Charge::new(&budget, 240);
        assert_eq!((budget.used_bytes(), budget.descriptors()), (240, 1));
        assert!(budget.admits(250) && !budget.admits(251));
        let rest = Charge::new(&budget, 600);
        assert!(!budget.admits(200), "a small file that does not fit now");
        assert!(!budget.has_room(200, 0) && budget.has_room(100, 0) && !budget.has_room(100, 8));
        assert!(budget.has_room(5000, 0), "goes to the spool");
        drop((charge, rest));
        assert_eq!((budget.used_bytes(), budget.descriptors()), (0, 0));
    }

    #[test]
    fn descriptors_are_limited_as_well() {
        let limit = descriptor_limit();
        let budget = Arc::new(Budget::new(Some(1000)));
        // A charge is only a count, so very many are cheap; no limit at all is nothing to test.
        if limit > 1 << 24 {
            return;
        }
        let mut charges: Vec<Charge> = (1..limit).map(|_| Charge::new(&budget, 0)).collect();
        assert!(budget.has_room(0, 0));
        assert!(!budget.has_room(0, 8), "not with an eighth left free");
        charges.push(Charge::new(&budget, 0));
        assert!(!budget.has_room(0, 0));
    }
}
