//! Where receivers are woken: on the tracee's CPU, or where the scheduler likes. Measured once for each boot of the
//! machine; the runtime directory keeps the answer, so that only the first view pays for the measurement.
//!
//! Neighbours: `supervisor` (asks before it has threads), `intercept` (does it). No locks.

use std::fs;
use std::path::Path;
use view_sys::probe::{self, WakeUpCost};

/// Name of the file in the runtime directory: the boot's id and one of the words below.
const FILE: &str = "wake-up";
const SYNCHRONOUS: &str = "synchronous";
const PLAIN: &str = "plain";

/// Shall receivers be woken on the tracee's CPU? May fork: the caller has one thread.
///
/// What can't be measured or kept is not an error: the answer is then yes, as most machines want it.
pub fn is_synchronous(runtime_directory: &Path) -> bool {
    let file = runtime_directory.join(FILE);
    let Ok(boot) = fs::read_to_string("/proc/sys/kernel/random/boot_id") else {
        return true;
    };
    let boot = boot.trim();
    if let Ok(kept) = fs::read_to_string(&file)
        && let Some(word) = kept.trim().strip_prefix(boot)
    {
        return word.trim() != PLAIN;
    }
    let is_synchronous = probe::wake_up_cost().map_or(true, prefers_synchronous);
    let word = if is_synchronous { SYNCHRONOUS } else { PLAIN };
    // Two that start at once write the same few bytes; a reader of half of them measures again.
    let _ = fs::write(&file, format!("{boot} {word}\n"));
    is_synchronous
}

/// The scheduler's choice must be clearly better: the measurement is short.
fn prefers_synchronous(cost: WakeUpCost) -> bool {
    cost.plain_ns.saturating_mul(5) > cost.synchronous_ns.saturating_mul(4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clearly_cheaper_way_is_taken() {
        let prefers = |synchronous_ns, plain_ns| {
            prefers_synchronous(WakeUpCost {
                synchronous_ns,
                plain_ns,
            })
        };
        assert!(prefers(5_000, 60_000));
        assert!(prefers(5_000, 4_500));
        assert!(!prefers(5_000, 3_000));
    }

    #[test]
    fn what_was_measured_in_this_boot_is_kept() {
        let directory = std::env::temp_dir().join(format!("view-wake-up-{}", std::process::id()));
        fs::create_dir(&directory).unwrap();
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
        let file = directory.join(FILE);
        for (word, expected) in [(PLAIN, false), (SYNCHRONOUS, true)] {
            fs::write(&file, format!("{} {word}\n", boot.trim())).unwrap();
            assert_eq!(is_synchronous(&directory), expected);
        }
        fs::remove_dir_all(&directory).unwrap();
    }
}
