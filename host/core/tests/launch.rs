//! The launcher: exit codes, inherited state, signals, job control, and the death of each of the four processes.

mod support;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use support::{Place, actor, finish, read_pid, run, wait_until};
use view_sys::process::kill;

/// Runs a shell script in a view.
fn shell(script: &str) -> support::Result {
    run(&mut actor(&Place::new(), "view", &["sh", "-c", script]))
}

/// Starts a shell script in a view; its output goes to a pipe.
fn start(place: &Place, mode: &str, script: &str) -> Child {
    actor(place, mode, &["sh", "-c", script])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn wait_for_file(path: &Path) {
    wait_until(&format!("{}", path.display()), || path.exists());
}

/// State letter and parent of a process.
fn state(pid: u32) -> Option<(char, u32)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = text.rsplit_once(')')?.1.split_ascii_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

fn is_alive(pid: u32) -> bool {
    state(pid).is_some_and(|(state, _)| state != 'Z')
}

#[test]
fn the_exit_code_is_the_commands() {
    assert_eq!(shell("exit 0").code, Some(0));
    assert_eq!(shell("exit 7").code, Some(7));
    assert_eq!(shell("kill -9 $$").code, Some(137));
    assert_eq!(shell("kill -TERM $$").code, Some(143));
    let result = shell("echo out; echo err >&2; exit 1");
    assert_eq!(
        (result.code, &*result.output, &*result.errors),
        (Some(1), "out\n", "err\n")
    );
}

#[test]
fn a_program_that_cannot_be_run() {
    let place = Place::new();
    let missing = run(actor(&place, "view", &["no-such-program"]).env("PATH", "/usr/bin:/bin"));
    assert_eq!(missing.code, Some(127));
    assert_eq!(
        missing.errors,
        "view: cannot run no-such-program: No such file or directory\n"
    );
    let path = place.path.join("file");
    let name = path.to_str().unwrap();
    let denied = run(&mut actor(&place, "view", &[name]));
    assert_eq!(denied.code, Some(126));
    assert_eq!(
        denied.errors,
        format!("view: cannot run {name}: Permission denied\n")
    );
    let directory =
        run(actor(&place, "view", &["true"]).env("VIEW_TEST_DIRECTORY", "/no/such/directory"));
    assert_eq!(directory.code, Some(125));
    let wanted = "view: cannot change directory to /no/such/directory: No such file or directory\n";
    assert_eq!(directory.errors, wanted);
}

#[test]
fn the_search_uses_the_new_path_and_the_shell() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    let script = place.path.join("dir/tool");
    std::fs::write(&script, "echo \"$0 $1 $PWD\"\n").unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let directory = place.path.join("dir");
    let mut command = actor(&place, "view", &["tool", "word"]);
    command.env("PATH", format!("/no/such:{}:/bin", directory.display()));
    command.env("VIEW_TEST_DIRECTORY", &directory);
    let result = run(&mut command);
    let wanted = format!("{} word {}\n", script.display(), directory.display());
    assert_eq!((result.code, result.output), (Some(0), wanted));
}

#[test]
fn a_failed_preparation_launches_nothing() {
    let place = Place::new();
    let marker = place.path.join("ran");
    let result = run(&mut actor(
        &place,
        "mount_fails",
        &["touch", marker.to_str().unwrap()],
    ));
    assert_eq!(result.code, Some(32));
    assert!(!marker.exists());
}

#[test]
fn the_command_inherits_what_the_front_was_given() {
    let place = Place::new();
    let program = place.tracee(&[]);
    let program = program.to_str().unwrap();
    // Ignored and blocked signals, a closed standard input, a descriptor of the caller's, a limit.
    let script = "trap '' HUP USR1 PIPE; ulimit -S -n 1024; exec <&- 7</dev/null; exec \"$@\"";
    let caller = ["env", "--block-signal=USR2,WINCH", "sh", "-c", script, "sh"];
    let run_by_caller = |words: &[&str]| {
        let inner = actor(&place, "view", &[program, "inherited"]);
        let mut command = Command::new(caller[0]);
        command.args(&caller[1..]).args(words);
        for (name, value) in inner.get_envs() {
            command.env(name, value.unwrap_or_default());
        }
        run(&mut command)
    };
    let inner = actor(&place, "view", &[]);
    let natively = run_by_caller(&[program, "inherited"]);
    let in_view = run_by_caller(&[inner.get_program().to_str().unwrap()]);
    assert!(natively.output.starts_with("open=1,2,7,"), "{natively:?}");
    assert!(
        natively
            .output
            .contains("ignored=1,10,13, blocked=12,28, nofile=1024")
    );
    assert_eq!(in_view.output, natively.output, "{in_view:?}");
}

#[test]
fn signals_are_handed_on() {
    for (signal, name) in [
        (libc::SIGTERM, "TERM"),
        (libc::SIGUSR1, "USR1"),
        (libc::SIGINT, "INT"),
    ] {
        let place = Place::new();
        let ready = place.path.join("ready");
        let script = format!(
            "trap 'exit 9' {name}; touch {}; while :; do sleep 0.02; done",
            ready.display()
        );
        let child = start(&place, "view", &script);
        wait_for_file(&ready);
        kill(child.id(), signal).unwrap();
        assert_eq!(finish(child).code, Some(9), "{name}");
    }
}

#[test]
fn a_signal_from_inside_is_not_doubled() {
    let place = Place::new();
    let log = place.path.join("log");
    // The whole process group, so the front too.
    let script = format!(
        "trap 'echo got >> {}' USR1; kill -USR1 0; sleep 0.3; exit 4",
        log.display()
    );
    let mut command = actor(&place, "view", &["sh", "-c", &script]);
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    assert_eq!(run(&mut command).code, Some(4));
    assert_eq!(std::fs::read_to_string(log).unwrap(), "got\n");
}

#[test]
fn the_front_stops_with_the_command() {
    let place = Place::new();
    let child = start(&place, "view", "kill -STOP $$; exit 6");
    let front = child.id();
    wait_until("the front's stop", || {
        state(front).is_some_and(|(state, _)| state == 'T')
    });
    let command = read_pid(&place, "command");
    assert_eq!(state(command).map(|(state, _)| state), Some('T'));
    kill(front, libc::SIGCONT).unwrap();
    let result = finish(child);
    assert_eq!(result.code, Some(6), "{result:?}");
    // The command alone is continued: the front follows.
    let place = Place::new();
    let child = start(&place, "view", "kill -STOP $$; exit 6");
    let front = child.id();
    wait_until("the front's stop", || {
        state(front).is_some_and(|(state, _)| state == 'T')
    });
    kill(read_pid(&place, "command"), libc::SIGCONT).unwrap();
    let result = finish(child);
    assert_eq!(result.code, Some(6), "{result:?}");
}

#[test]
fn the_view_outlives_the_front_while_others_run() {
    let place = Place::new();
    let done = place.path.join("done");
    let script = format!(
        "(sleep 1; cat /virtual/file > {}) </dev/null >/dev/null 2>&1 & exit 5",
        done.display()
    );
    let begin = Instant::now();
    // Nothing may hold the pipes of standard output and error.
    let result = finish(start(&place, "view", &script));
    assert_eq!(result.code, Some(5));
    assert!(
        begin.elapsed() < Duration::from_millis(900),
        "{:?}",
        begin.elapsed()
    );
    let supervisor = read_pid(&place, "supervisor");
    assert!(is_alive(supervisor));
    wait_for_file(&done);
    wait_until("the supervisor's end", || !is_alive(supervisor));
    // The view was served after the front had gone.
    assert_eq!(std::fs::read_to_string(done).unwrap(), "hello\n");
}

#[test]
fn an_error_of_the_supervisor_wins() {
    let place = Place::new();
    std::fs::write(place.path.join("exit_code"), "77").unwrap();
    assert_eq!(run(&mut actor(&place, "view", &["true"])).code, Some(77));
}

#[test]
fn a_killed_supervisor_takes_the_tree_along() {
    for number in 0..10 {
        let place = Place::new();
        let script = "trap '' TERM HUP; setsid sleep 100 & echo $! > $0; sleep 100 & sleep 100";
        let pids = place.path.join("pids");
        let mut command = actor(
            &place,
            "view",
            &["sh", "-c", script, pids.to_str().unwrap()],
        );
        let child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let supervisor = read_pid(&place, "supervisor");
        let command = read_pid(&place, "command");
        let daemon = (number > 4).then(|| read_pid(&place, "pids"));
        kill(supervisor, libc::SIGKILL).unwrap();
        let result = finish(child);
        assert_eq!(result.code, Some(137), "{result:?}");
        assert_eq!(
            result.errors,
            "view: the supervisor was killed by signal 9; all processes of the view were ended\n"
        );
        assert!(!is_alive(command));
        assert!(daemon.is_none_or(|daemon| !is_alive(daemon)));
    }
}

#[test]
fn a_killed_reaper_ends_the_view() {
    let place = Place::new();
    let child = start(&place, "view", "sleep 100 & sleep 100; true");
    let (supervisor, command) = (read_pid(&place, "supervisor"), read_pid(&place, "command"));
    let (_, reaper) = state(command).unwrap();
    assert_ne!(reaper, supervisor);
    kill(reaper, libc::SIGKILL).unwrap();
    assert_eq!(finish(child).code, Some(125));
    assert!(!is_alive(command) && !is_alive(supervisor));
}

#[test]
fn a_killed_front_ends_the_command() {
    let place = Place::new();
    let child = start(&place, "view", "exec sleep 100");
    let supervisor = read_pid(&place, "supervisor");
    let command = read_pid(&place, "command");
    kill(child.id(), libc::SIGKILL).unwrap();
    assert_eq!(finish(child).code, None);
    wait_until("the command's end", || !is_alive(command));
    wait_until("the supervisor's end", || !is_alive(supervisor));
}

#[test]
fn a_killed_command_is_reported_at_once() {
    let place = Place::new();
    let child = start(&place, "view", "exec sleep 100");
    kill(read_pid(&place, "command"), libc::SIGKILL).unwrap();
    let result = finish(child);
    assert_eq!(result.code, Some(137), "{result:?}");
}

#[test]
fn nested_commands_have_their_own_reaper() {
    let nested = |script: &str| {
        let place = Place::new();
        let inner = actor(&place, "nested", &[]);
        let mut command = actor(&place, "view", &[inner.get_program().to_str().unwrap()]);
        // The outer launch removes VIEW_TEST_*, so the inner words travel by env(1).
        let words = format!("VIEW_TEST_ARGUMENTS=sh\u{1e}-c\u{1e}{script}");
        command.env(
            "VIEW_TEST_ARGUMENTS",
            [
                "env",
                "VIEW_TEST_MODE=nested",
                &words,
                inner.get_program().to_str().unwrap(),
            ]
            .join("\u{1f}"),
        );
        run(&mut command)
    };
    let result = nested("cat /virtual/file 2>&1; exit 3");
    assert_eq!(result.code, Some(3), "{result:?}");
    assert_eq!(nested("kill -TERM $$").code, Some(143));
    let place = Place::new();
    let marker = place.path.join("ran");
    let refused = run(&mut actor(
        &place,
        "nested_refused",
        &["touch", marker.to_str().unwrap()],
    ));
    assert_eq!(refused.code, Some(32));
    assert!(!marker.exists());
    // Without a view around it, it is just a front and a reaper.
    let result = run(&mut actor(
        &place,
        "nested",
        &["sh", "-c", "(sleep 0.5 >&- 2>&-) & exit 2"],
    ));
    assert_eq!(result.code, Some(2));
}

#[test]
fn a_command_enters_a_running_view() {
    let enter = |script: &str| {
        let place = Place::new();
        let program = place.tracee(&[]);
        let server = actor(&place, "serve", &[])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        wait_for_file(&place.path.join("socket"));
        let script = script.replace("TRACEE", program.to_str().unwrap());
        let child = start(&place, "entered", &script);
        (place, server, child)
    };
    let (_place, mut server, child) = enter("TRACEE chdir /virtual/dir; exit 8");
    let result = finish(child);
    assert_eq!(
        (result.code, &*result.output),
        (Some(8), "inside\n"),
        "{result:?}"
    );
    server.kill().unwrap();
    server.wait().unwrap();
    // The supervisor's death ends the command.
    let (place, mut server, child) = enter(
        "echo $$ > PLACE/pid; sleep 100"
            .replace("PLACE", "$PLACE")
            .as_str(),
    );
    let _ = &place;
    std::thread::sleep(Duration::from_millis(200));
    server.kill().unwrap();
    server.wait().unwrap();
    let result = finish(child);
    assert_eq!(result.code, Some(137), "{result:?}");
}
