//! The process tree as /proc tells it, and killing all of it below one process.

use std::collections::HashMap;
use std::os::fd::BorrowedFd;
use std::time::Duration;
use view_sys::process::{self, Waited};

/// Between two rounds of killing.
const ROUND_TIME: Duration = Duration::from_millis(20);
/// Rounds of [`kill_all_processes`]: five seconds.
const KILL_ROUNDS: u32 = 250;

/// Parent of a process, from /proc/PID/stat.
fn parent_of(pid: u32) -> Option<u32> {
    let text = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    parent_field(&text)
}

/// The name may hold blanks and parentheses; it ends at the last parenthesis. State and parent follow.
fn parent_field(stat: &[u8]) -> Option<u32> {
    let end = stat.iter().rposition(|&byte| byte == b')')?;
    let rest = std::str::from_utf8(stat.get(end + 1..)?).ok()?;
    rest.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// Is `pid` the process `ancestor` or below it?
pub(super) fn is_below(pid: u32, ancestor: u32) -> bool {
    let mut at = pid;
    // A bound, for the tree changes while it is walked.
    for _ in 0..1000 {
        if at == ancestor {
            return true;
        }
        match parent_of(at) {
            Some(parent) if parent > 1 => at = parent,
            _ => return false,
        }
    }
    false
}

/// In the supervisor: is `pid` below it, so that it runs in the view? (Processes that entered are not.)
pub fn is_below_supervisor(pid: u32) -> bool {
    is_below(pid, std::process::id())
}

/// All processes below `root`.
fn descendants(root: u32) -> Vec<u32> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for entry in entries.flatten() {
        let pid = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok());
        if let Some(pid) = pid
            && let Some(parent) = parent_of(pid)
        {
            children.entry(parent).or_default().push(pid);
        }
    }
    let (mut found, mut next) = (Vec::new(), vec![root]);
    while let Some(pid) = next.pop() {
        for child in children.remove(&pid).unwrap_or_default() {
            found.push(child);
            next.push(child);
        }
    }
    found
}

/// How many processes are below `root`.
pub fn processes_below(root: u32) -> u32 {
    u32::try_from(descendants(root).len()).unwrap_or(u32::MAX)
}

/// Kills every process of the view, in the supervisor: all below it but its own child, the reaper, which then
/// reports that all are gone. Returns when none is left or after `KILL_ROUNDS` rounds.
pub fn kill_all_processes() {
    let own = std::process::id();
    for _ in 0..KILL_ROUNDS {
        let mut any = false;
        for pid in descendants(own) {
            if parent_of(pid) != Some(own) {
                any |= process::kill(pid, libc::SIGKILL).is_ok();
            }
        }
        if !any {
            return;
        }
        std::thread::sleep(ROUND_TIME);
    }
}

/// Kills everything below this process, which is a child subreaper, until it has no child. `signals`: a signal
/// descriptor to be drained meanwhile.
pub(super) fn kill_all_below(signals: Option<BorrowedFd<'_>>) {
    loop {
        for pid in descendants(std::process::id()) {
            let _ = process::kill(pid, libc::SIGKILL);
        }
        loop {
            match process::wait_child(None, false) {
                Waited::NoChildren => return,
                Waited::Nothing => break,
                Waited::Child(..) => {}
            }
        }
        if let Some(signals) = signals {
            while process::take_signal(signals).is_some() {}
        }
        std::thread::sleep(ROUND_TIME);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_does_not_confuse() {
        assert_eq!(parent_field(b"12 (a b) S 7) R 34 1 1"), Some(34));
        assert_eq!(parent_field(b"12 (sh) S 1 12 12"), Some(1));
        assert_eq!(parent_field(b"12 (sh"), None);
        assert_eq!(parent_field(b""), None);
    }

    #[test]
    fn this_process_is_below_its_parent() {
        let own = std::process::id();
        let parent = parent_of(own).unwrap();
        assert!(is_below(own, own));
        assert!(is_below(own, parent));
        assert!(!is_below(parent, own));
        assert!(descendants(parent).contains(&own));
    }
}
