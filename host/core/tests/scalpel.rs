//! Injected system calls, tried on real programs: dynamic, static, with threads, under a storm of signals.

mod support;

use support::{Place, actor, finish, read_pid, run};

/// Runs a mode of the tracee in a view, dynamic and static; the outputs.
fn tracee(mode: &str, arguments: &[&str]) -> Vec<support::Result> {
    [&[][..], &["-static"][..]]
        .map(|options| {
            let place = Place::new();
            let program = place.tracee(options);
            let words = [&[program.to_str().unwrap(), mode], arguments].concat();
            let result = run(&mut actor(&place, "view", &words));
            assert_eq!(result.code, Some(0), "{mode}: {result:?}");
            result
        })
        .into()
}

#[test]
fn an_open_is_replaced() {
    for result in tracee("cat", &["/virtual/file"]) {
        assert_eq!(result.output, "hello\n");
    }
}

#[test]
fn a_change_of_directory_is_replaced() {
    for result in tracee("chdir", &["/virtual/dir"]) {
        assert_eq!(result.output, "inside\n");
    }
}

#[test]
fn registers_and_stack_stay() {
    tracee("intact", &["/virtual/dir"]);
}

#[test]
fn a_blocked_open_is_interrupted() {
    tracee("fifo_eintr", &["/virtual/fifo"]);
}

#[test]
fn a_blocked_open_is_restarted() {
    tracee("fifo_restart", &["/virtual/fifo"]);
}

#[test]
fn a_storm_of_signals_does_no_harm() {
    tracee("storm", &["/virtual/dir"]);
}

#[test]
fn threads_at_once() {
    tracee("threads", &["/virtual/dir"]);
}

#[test]
fn a_long_path_needs_a_mapping() {
    let place = Place::new();
    let program = place.tracee(&[]);
    let name = "a".repeat(200);
    let mut path = place.path.clone();
    for _ in 0..4 {
        path.push(&name);
    }
    std::fs::create_dir_all(&path).unwrap();
    std::fs::write(path.join("inside"), "deep\n").unwrap();
    let shown = format!("/virtual/{name}/{name}/{name}/{name}");
    let result = run(&mut actor(
        &place,
        "view",
        &[program.to_str().unwrap(), "chdir", &shown],
    ));
    assert_eq!(
        (result.code, &*result.output),
        (Some(0), "deep\n"),
        "{result:?}"
    );
}

#[test]
fn a_program_is_replaced() {
    for mode in ["exec", "thread_exec"] {
        for result in tracee(mode, &["/virtual/tracee", "one", "two"]) {
            let wanted =
                "execfn=/virtual/tracee comm=tracee blocked=0 argv=[/virtual/tracee][one][two]\n";
            assert_eq!(result.output, wanted);
        }
    }
}

#[test]
fn the_command_itself_may_be_virtual() {
    let place = Place::new();
    place.tracee(&[]);
    let result = run(&mut actor(&place, "view", &["/virtual/tracee", "self"]));
    assert_eq!(
        result.output,
        "execfn=/virtual/tracee comm=tracee blocked=0 argv=[/virtual/tracee][self]\n"
    );
}

#[test]
fn a_script_gets_its_view_path() {
    let script = |mode: &str, line: &str, wanted: &str| {
        let place = Place::new();
        let program = place.tracee(&[]);
        let path = place.path.join("script.sh");
        std::fs::write(&path, line).unwrap();
        rustix::fs::chmod(&path, rustix::fs::Mode::from_raw_mode(0o755)).unwrap();
        let many = vec!["x"; 300];
        let words = [
            &[program.to_str().unwrap(), mode, "/virtual/script.sh"][..],
            &many[..],
        ]
        .concat();
        let result = run(&mut actor(&place, "view", &words));
        let tail = if mode == "exec_null" {
            String::new()
        } else {
            "[x]".repeat(300)
        };
        let wanted = format!(
            "execfn=/virtual/script.sh comm=script.sh blocked=0 argv={wanted}[/virtual/script.sh]{tail}\n"
        );
        assert_eq!(result.output, wanted, "{result:?}");
    };
    script("exec", "#!/virtual/tracee\n", "[/virtual/tracee]");
    script(
        "exec",
        "#!/virtual/tracee -a b \n",
        "[/virtual/tracee][-a b]",
    );
    script("exec_null", "#!/virtual/tracee\n", "[/virtual/tracee]");
}

#[test]
fn a_failing_exec_gives_its_error() {
    for options in [&[][..], &["-static"][..]] {
        let place = Place::new();
        let program = place.tracee(options);
        let words = [program.to_str().unwrap(), "exec_fails", "/virtual/file"];
        let result = run(&mut actor(&place, "view", &words));
        assert_eq!(result.code, Some(0), "{result:?}");
    }
}

#[test]
fn an_exec_ends_the_injections_of_other_threads() {
    let place = Place::new();
    let program = place.tracee(&[]);
    for _ in 0..40 {
        let words = [program.to_str().unwrap(), "thread_exec", "/virtual/tracee"];
        let result = run(&mut actor(&place, "view", &words));
        let wanted = "execfn=/virtual/tracee comm=tracee blocked=0 argv=[/virtual/tracee]\n";
        assert_eq!(result.output, wanted, "{result:?}");
    }
}

#[test]
fn stops_in_the_middle_do_no_harm() {
    for mode in ["threads", "storm"] {
        let place = Place::new();
        let program = place.tracee(&[]);
        let words = [program.to_str().unwrap(), mode, "/virtual/dir"];
        let child = actor(&place, "view", &words).spawn().unwrap();
        let pid = read_pid(&place, "command");
        for round in 0..60 {
            // The command has ended when there is no such process.
            let _ = view_sys::process::kill(pid, libc::SIGSTOP);
            std::thread::sleep(std::time::Duration::from_micros(100 * (round % 7)));
            let _ = view_sys::process::kill(pid, libc::SIGCONT);
            std::thread::sleep(std::time::Duration::from_micros(1000 + 170 * round));
        }
        assert_eq!(finish(child).code, Some(0), "{mode}");
    }
}

#[test]
fn a_killed_thread_leaves_nothing_waiting() {
    let place = Place::new();
    let program = place.tracee(&[]);
    let words = [program.to_str().unwrap(), "fifo_wait", "/virtual/fifo"];
    // In the blocked call.
    let mut command = actor(&place, "view", &words);
    let child = command
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let pid = read_pid(&place, "command");
    std::thread::sleep(std::time::Duration::from_millis(300));
    view_sys::process::kill(pid, libc::SIGKILL).unwrap();
    assert_eq!(finish(child).code, Some(128 + 9));
    // At any moment of many calls.
    for round in 0..40u64 {
        let mode = if round % 2 == 0 { "threads" } else { "storm" };
        let place = Place::new();
        std::fs::copy(&program, place.path.join("tracee")).unwrap();
        let program = place.path.join("tracee");
        let words = [program.to_str().unwrap(), mode, "/virtual/dir"];
        let child = actor(&place, "view", &words)
            .stdout(std::process::Stdio::piped())
            .spawn();
        let wait = std::time::Duration::from_micros(20_000 + 777 * round);
        std::thread::sleep(wait);
        let pid = std::fs::read_to_string(place.path.join("command"));
        if let Some(pid) = pid.ok().and_then(|text| text.parse().ok()) {
            let _ = view_sys::process::kill(pid, libc::SIGKILL);
        }
        let code = finish(child.unwrap()).code;
        assert!(matches!(code, Some(0 | 137)), "{code:?}");
    }
}
