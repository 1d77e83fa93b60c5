//! The document `docs/benchmarks.md`.

use super::jobs::Row;
use crate::command::{command, output};

/// What is true of every run; kept apart from the figures.
const CLIFFS: &str = include_str!("../../../benches/cliffs.md");

/// A row for the terminal.
pub fn line(row: &Row) -> String {
    let ratio = row
        .ratio
        .map_or_else(String::new, |ratio| format!(" x{ratio:.2}"));
    let peer = match peers(row) {
        peers if peers.is_empty() => peers,
        peers => format!("  {peers}"),
    };
    format!(
        "{:<58} {} {}  view {}{ratio} {}{peer}  {}",
        row.name,
        row.base_name,
        cell(&row.base),
        cell(&row.view),
        row.unit,
        limit(row)
    )
}

fn cell(value: &crate::Result<f64>) -> String {
    match value {
        Ok(value) if *value >= 100.0 => format!("{value:.0}"),
        Ok(value) if *value >= 10.0 => format!("{value:.1}"),
        Ok(value) => format!("{value:.2}"),
        Err(message) => format!(
            "failed ({})",
            message
                .lines()
                .last()
                .unwrap_or_default()
                .chars()
                .take(60)
                .collect::<String>()
        ),
    }
}

fn limit(row: &Row) -> String {
    let words: Vec<String> = row
        .verdicts
        .iter()
        .map(|(text, is_kept)| match is_kept {
            true => format!("{text}: kept"),
            false => format!("{text}: **missed**"),
        })
        .collect();
    match words.is_empty() {
        true => "-".to_owned(),
        false => words.join("; "),
    }
}

fn peers(row: &Row) -> String {
    let named = |(name, value): &(&str, crate::Result<f64>)| format!("{name} {}", cell(value));
    let all: Vec<String> = row.peer.iter().chain(&row.other).map(named).collect();
    all.join(", ")
}

/// The whole document.
pub fn document(rows: &[Row], writing: &[Row], rounds: usize) -> String {
    let ask = |program: &str, arguments: &[&str]| {
        output(command(program).args(arguments))
            .unwrap_or_default()
            .trim()
            .to_owned()
    };
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
        .map_or("unknown", |(_, name)| name.trim());
    let mut text = format!(
        "# Benchmarks\n\nWritten by `cargo xtask bench`: Linux {}, {} CPUs ({model}), {rounds} rounds. In each round every candidate of a \
         job runs once, one after the other; a cell is the median over the rounds, xN the median of the ratios within a round \
         (view to base). Absolute figures belong to this machine, whose load was {} (processes that want to run, mean of a minute) at \
         the end; the ratios are what to compare.\n\n## Reading and names\n\n",
        ask("uname", &["-r"]),
        ask("nproc", &[]),
        load.split_ascii_whitespace().next().unwrap_or("unknown"),
    );
    add_table(&mut text, rows);
    text.push_str("\n## Writing\n\n");
    add_table(&mut text, writing);
    text.push('\n');
    text.push_str(CLIFFS);
    text
}

fn add_table(text: &mut String, rows: &[Row]) {
    text.push_str(
        "| job | base | base | view | ratio | peer | unit | limit |\n| --- | --- | ---: | ---: | ---: | ---: | --- | --- |\n",
    );
    for row in rows {
        let ratio = row
            .ratio
            .map_or_else(|| "-".to_owned(), |ratio| format!("x{ratio:.2}"));
        let peer = match peers(row) {
            peers if peers.is_empty() => "-".to_owned(),
            peers => peers,
        };
        text.push_str(&format!(
            "| {} | {} | {} | {} | {ratio} | {peer} | {} | {} |\n",
            row.name,
            row.base_name,
            cell(&row.base),
            cell(&row.view),
            row.unit,
            limit(row)
        ));
    }
}
