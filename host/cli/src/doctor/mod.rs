//! `view doctor`: what this host allows, what is missing, what a call costs here.
//!
//! The same checks explain a view that could not be started.
//!
//! | Module   | Responsibility                                     |
//! |----------|----------------------------------------------------|
//! | `host`   | kernel, container, sysctls: what can be read       |
//! | `checks` | what has to be tried, and what each failure means  |

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::json;
use view_sys::probe::{self, StatCost};

use crate::args;
use crate::message::{Failure, VIEW_FAILED, print, print_json};

mod checks;
mod host;

/// How long the cost of a call is measured.
const MEASURE: Duration = Duration::from_millis(50);

/// How good the result of a check is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    /// Works.
    Ok,
    /// Missing, but views work without it.
    Missing,
    /// Worth knowing.
    Note,
    /// Views cannot work.
    Blocker,
}

impl Status {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Missing => "--",
            Self::Note => "note",
            Self::Blocker => "FAIL",
        }
    }
    fn json(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Missing => "missing",
            Self::Note => "note",
            Self::Blocker => "blocker",
        }
    }
}

/// One line of the report.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Check {
    name: &'static str,
    status: Status,
    detail: String,
    remedy: Option<String>,
}

impl Check {
    fn new(name: &'static str, status: Status, detail: impl Into<String>) -> Self {
        Self {
            name,
            status,
            detail: detail.into(),
            remedy: None,
        }
    }
    fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}

/// `view doctor [--json]`: 1 when a blocker is found.
pub fn doctor(arguments: &args::Doctor) -> Result<u8, Failure> {
    let facts = host::Facts::gather();
    let report = probe::notify(MEASURE).map_err(|errno| {
        let why = view_core::control::protocol::error_text(errno);
        Failure::new(1, "cannot start a child to try things with", why)
    })?;
    let checks = checks::all(&facts, &report);
    let is_blocked = checks.iter().any(|check| check.status == Status::Blocker);
    if arguments.json {
        print_json(&as_json(&facts, &checks, report.cost, !is_blocked))?;
    } else {
        print(as_text(&facts, &checks, report.cost).as_bytes())?;
    }
    Ok(u8::from(is_blocked))
}

/// Why a view cannot start on this host: the first thing it needs that is refused. `None` when all
/// of it works, so that the cause lies elsewhere.
pub fn explain_start_failure() -> Option<Failure> {
    let facts = host::Facts::gather();
    let report = probe::notify(Duration::ZERO).ok()?;
    let blocker = checks::all(&facts, &report)
        .into_iter()
        .find(|check| check.status == Status::Blocker)?;
    let mut failure = Failure::new(
        VIEW_FAILED,
        "cannot start a view",
        format!("{}: {}", blocker.name, blocker.detail),
    );
    failure.hint = Some(match blocker.remedy {
        Some(remedy) => format!("{remedy}; `view doctor` shows all checks"),
        None => "`view doctor` shows all checks".to_owned(),
    });
    Some(failure)
}

fn as_text(facts: &host::Facts, checks: &[Check], cost: Option<StatCost>) -> String {
    let mut text = format!("{}\n", facts.headline());
    let width = checks
        .iter()
        .map(|check| check.name.len())
        .max()
        .unwrap_or(0);
    for check in checks {
        let _ = writeln!(
            text,
            "{:<4}  {:width$}  {}",
            check.status.word(),
            check.name,
            check.detail
        );
        if let Some(remedy) = &check.remedy {
            let _ = writeln!(text, "      {:width$}  hint: {remedy}", "");
        }
    }
    if let Some(cost) = cost {
        let _ = writeln!(
            text,
            "cost  stat {:.1} us -> {:.1} us when notified (measured now, {} ms); read, write and mmap are never notified",
            cost.native_ns as f64 / 1000.0,
            cost.notified_ns as f64 / 1000.0,
            MEASURE.as_millis(),
        );
    }
    text
}

fn as_json(
    facts: &host::Facts,
    checks: &[Check],
    cost: Option<StatCost>,
    works: bool,
) -> serde_json::Value {
    let checks: Vec<_> = checks
        .iter()
        .map(|check| {
            json!({
                "name": check.name,
                "status": check.status.json(),
                "detail": check.detail,
                "remedy": check.remedy,
            })
        })
        .collect();
    json!({
        "schema": "view.doctor/1",
        "works": works,
        "kernel": facts.kernel,
        "machine": facts.machine,
        "container": facts.container,
        "user_namespaces": facts.user_namespaces,
        "checks": checks,
        "cost": cost.map(|cost| json!({
            "stat_native_ns": cost.native_ns,
            "stat_notified_ns": cost.notified_ns,
        })),
    })
}
