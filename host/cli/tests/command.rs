//! The command from outside: exit statuses, what goes to stdout and what to stderr.

use std::process::{Command, Output};

fn view(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_view"))
        .args(arguments)
        .env_remove("VIEW_SOCKET")
        .env_remove("VIEW_LOG")
        .output()
        .expect("the command starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

#[test]
fn doctor_tries_things_and_says_so_in_json() {
    let output = view(&["doctor", "--json"]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report["schema"], "view.doctor/1");
    let works = report["works"].as_bool().expect("a verdict");
    assert_eq!(output.status.code(), Some(if works { 0 } else { 1 }));
    let checks = report["checks"].as_array().expect("checks");
    let blockers = checks.iter().filter(|check| check["status"] == "blocker");
    assert_eq!(blockers.count() == 0, works);
    if works {
        let cost = &report["cost"];
        let native = cost["stat_native_ns"].as_u64().expect("native");
        let notified = cost["stat_notified_ns"].as_u64().expect("notified");
        assert!(native > 0 && notified > native, "{native} {notified}");
    }
}

#[test]
fn doctor_for_people_has_a_line_for_each_check() {
    let output = view(&["doctor"]);
    let report = text(&output.stdout);
    assert!(report.starts_with("kernel "), "{report}");
    for name in [
        "seccomp-notify",
        "tracee memory",
        "trace children",
        "scratch directory",
    ] {
        assert!(
            report.contains(name) || output.status.code() == Some(1),
            "{name}: {report}"
        );
    }
}

#[test]
fn vim_users_get_a_hint_and_status_2() {
    let output = view(&["notes.txt"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    assert_eq!(
        text(&output.stderr),
        "view: notes.txt: not a verb of view\n  hint: did you mean vim's view? try `vim -R notes.txt`\n"
    );
}

#[test]
fn help_and_version_are_data() {
    for arguments in [["--help"], ["--version"]] {
        let output = view(&arguments);
        assert_eq!(output.status.code(), Some(0));
        assert!(output.stderr.is_empty() && !output.stdout.is_empty());
    }
    let alone = view(&[]);
    assert_eq!(alone.status.code(), Some(2));
    assert!(alone.stdout.is_empty());
}

#[test]
fn statuses_of_failures() {
    assert_eq!(view(&["run"]).status.code(), Some(2));
    assert_eq!(view(&["mount", "one"]).status.code(), Some(2));
    assert_eq!(view(&["mount", "ntfs", "a", "/b"]).status.code(), Some(32));
    assert_eq!(view(&["umount", "/x"]).status.code(), Some(32));
    assert_eq!(view(&["enter", "no-such-view"]).status.code(), Some(125));
    assert_eq!(view(&["run", "-v", "x", "true"]).status.code(), Some(125));
    assert_eq!(view(&["mounts"]).status.code(), Some(1));
}

#[test]
fn listing_in_json_is_one_document() {
    let output = view(&["ls", "--json"]);
    assert_eq!(output.status.code(), Some(0));
    let listing: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(listing["schema"], "view.ls/1");
    assert!(listing["views"].is_array());
}

#[test]
fn generated_texts() {
    assert!(text(&view(&["completions", "bash"]).stdout).contains("_view"));
    assert!(text(&view(&["completions", "zsh"]).stdout).starts_with("#compdef view"));
    assert!(text(&view(&["completions", "fish"]).stdout).contains("complete -c view"));
    assert!(text(&view(&["man"]).stdout).contains(".TH view 1"));
    assert!(!view(&["compat"]).stdout.is_empty());
}

#[test]
fn a_reader_that_stops_reading_is_no_failure() {
    let script = format!(
        "'{}' completions zsh | head -n 1 >/dev/null; echo ${{PIPESTATUS[0]}}",
        env!("CARGO_BIN_EXE_view")
    );
    let output = Command::new("bash")
        .args(["-c", &script])
        .output()
        .expect("bash");
    assert_eq!(text(&output.stdout), "0\n", "{}", text(&output.stderr));
}
