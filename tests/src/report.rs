//! Counting results. The closing line is exactly `N passed, N failed`.

use std::collections::BTreeMap;
use std::sync::Mutex;

/// Result of one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// As expected.
    Passed,
    /// Not as expected; the text says how.
    Failed(String),
    /// The host can't do what the test is about, natively either.
    Skipped(String),
}

/// Collects the results of all runs; shared by the runner's threads.
#[derive(Debug, Default)]
pub struct Report {
    counts: Mutex<BTreeMap<String, (usize, usize, usize)>>,
    is_verbose: bool,
}

impl Report {
    /// An empty report; `is_verbose` prints passed runs too.
    #[must_use]
    pub fn new(is_verbose: bool) -> Self {
        Self {
            counts: Mutex::default(),
            is_verbose,
        }
    }

    /// Counts a run of `name` in `group`, and prints it where that is useful.
    pub fn add(&self, group: &str, name: &str, verdict: &Verdict) {
        let mut counts = self
            .counts
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let entry = counts.entry(group.to_string()).or_default();
        match verdict {
            Verdict::Passed => {
                entry.0 += 1;
                if self.is_verbose {
                    println!("ok      {name} ({group})");
                }
            }
            Verdict::Failed(text) => {
                entry.1 += 1;
                println!("FAILED  {name} ({group})\n{}", indent(text));
            }
            Verdict::Skipped(why) => {
                entry.2 += 1;
                println!("skipped {name} ({group}): {why}");
            }
        }
    }

    /// Prints the table and the closing line; gives the exit status.
    #[must_use]
    pub fn close(&self) -> i32 {
        let counts = self
            .counts
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut total = (0, 0);
        println!(
            "{:<10} {:>7} {:>7} {:>8}",
            "group", "passed", "failed", "skipped"
        );
        for (group, (passed, failed, skipped)) in counts.iter() {
            println!("{group:<10} {passed:>7} {failed:>7} {skipped:>8}");
            total = (total.0 + passed, total.1 + failed);
        }
        println!("{} passed, {} failed", total.0, total.1);
        i32::from(total.1 != 0 || total.0 == 0)
    }
}

fn indent(text: &str) -> String {
    text.lines()
        .map(|line| format!("        {line}"))
        .collect::<Vec<_>>()
        .join("\n")
}
