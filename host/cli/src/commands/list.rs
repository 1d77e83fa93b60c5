//! `view ls`: the running views of this user.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;
use view_core::control::{client::running, protocol::ViewInfo};

use crate::args::Ls;
use crate::message::{Failure, io_text, print, print_json};
use crate::table::{age, columns, shown};

/// Lists them.
pub fn list(arguments: &Ls) -> Result<u8, Failure> {
    let views =
        running().map_err(|error| Failure::new(1, "cannot list the views", io_text(&error)))?;
    let views: Vec<ViewInfo> = views.into_iter().map(|(_, info)| info).collect();
    if arguments.json {
        print_json(&json!({ "schema": "view.ls/1", "views": views }))?;
        return Ok(0);
    }
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let rows: Vec<Vec<String>> = views.iter().map(|info| row(info, now)).collect();
    print(columns(&["NAME", "PID", "PROCS", "MOUNTS", "AGE", "COMMAND"], &rows).as_bytes())?;
    Ok(0)
}

fn row(info: &ViewInfo, now_unix_s: u64) -> Vec<String> {
    let command: Vec<String> = info.command.iter().map(|word| shown(word)).collect();
    vec![
        info.name.clone(),
        info.command_pid.to_string(),
        info.processes.to_string(),
        info.mounts.to_string(),
        age(now_unix_s.saturating_sub(info.started_unix_s)),
        command.join(" "),
    ]
}
