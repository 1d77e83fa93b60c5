//! Processes that a test step left running, found by a mark in their environment.

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// The name of the variable that marks each process of one test run.
pub const MARK: &str = "VIEW_TEST_RUN";

/// Waits until no process has the mark, `patience` at most; ends those that are left, by pid, and returns what they were.
pub fn end(mark: &str, patience: Duration) -> Vec<String> {
    let deadline = Instant::now() + patience;
    loop {
        let left = marked(mark);
        if left.is_empty() {
            return Vec::new();
        }
        if Instant::now() >= deadline {
            let names = left
                .iter()
                .map(|&pid| format!("{pid} {}", name(pid)))
                .collect();
            for pid in left {
                if let Some(pid) = Pid::from_raw(pid) {
                    let _ = kill_process(pid, Signal::KILL);
                }
            }
            return names;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The living processes that have `VIEW_TEST_RUN=mark` in their environment.
fn marked(mark: &str) -> Vec<i32> {
    let wanted = format!("{MARK}={mark}").into_bytes();
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok())
        .filter(|&pid| {
            !Path::new("/proc/self")
                .read_link()
                .is_ok_and(|own| own.as_os_str() == pid.to_string().as_str())
        })
        .filter(|pid| {
            std::fs::read(format!("/proc/{pid}/environ")).is_ok_and(|environment| {
                environment
                    .split(|&byte| byte == 0)
                    .any(|variable| variable == wanted)
            })
        })
        .collect()
}

fn name(pid: i32) -> String {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words: Vec<_> = line
        .split(|&byte| byte == 0)
        .map(String::from_utf8_lossy)
        .collect();
    words
        .join(" ")
        .replace('\n', " ")
        .chars()
        .take(120)
        .collect()
}
