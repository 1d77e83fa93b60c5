//! How a view ends: signals, killed supervisors and members, daemons, orphans, the last process.

use std::fs;
use std::time::Duration;

use rustix::process::Signal;

use crate::setup::{Setup, Test, ensure, ensure_eq, is_alive, kill};

pub const TESTS: &[Test] = &[
    Test {
        name: "signals_reach_the_command",
        has_oracle: true,
        run: signals,
    },
    Test {
        name: "default_signals_end_it",
        has_oracle: true,
        run: default_signals,
    },
    Test {
        name: "command_killed",
        has_oracle: false,
        run: command_killed,
    },
    Test {
        name: "member_killed_others_go_on",
        has_oracle: true,
        run: member_killed,
    },
    Test {
        name: "supervisor_killed_tree_dies",
        has_oracle: false,
        run: supervisor_killed,
    },
    Test {
        name: "front_killed_tree_dies",
        has_oracle: false,
        run: front_killed,
    },
    Test {
        name: "last_process_ends_the_view",
        has_oracle: false,
        run: last_process,
    },
    Test {
        name: "daemon_keeps_the_view",
        has_oracle: false,
        run: daemon,
    },
    Test {
        name: "orphan_keeps_its_names",
        has_oracle: false,
        run: orphan,
    },
    Test {
        name: "nothing_is_left_behind",
        has_oracle: false,
        run: leftovers,
    },
    Test {
        name: "no_orphan_is_left_to_others",
        has_oracle: false,
        run: no_orphan,
    },
    Test {
        name: "many_at_once",
        has_oracle: true,
        run: many,
    },
];

/// What is in the runtime directory, but for the measurement that is kept for the next view.
fn sockets(s: &Setup) -> Vec<std::ffi::OsString> {
    fs::read_dir(s.path("run/view"))
        .map(|entries| entries.flatten().map(|entry| entry.file_name()).collect())
        .map(|names: Vec<_>| names.into_iter().filter(|name| name != "wake-up").collect())
        .unwrap_or_default()
}

/// Waits until process `pid` is dead. The kernel closes a process's descriptors before it shows it as dead, so an end of
/// file on a pipe that `pid` held comes a moment earlier.
fn ended(s: &Setup, who: &str, pid: i32) -> Result<(), String> {
    s.wait_for(&format!("the end of {who}"), Duration::from_secs(2), || {
        !is_alive(pid)
    })
}

fn signals(s: &Setup) -> Result<(), String> {
    for signal in [
        Signal::TERM,
        Signal::INT,
        Signal::HUP,
        Signal::QUIT,
        Signal::USR1,
        Signal::USR2,
    ] {
        let mut run = s.start_run(&[], &[&s.probe(), "trap"])?;
        ensure_eq!(run.line()?, "ready", "{signal:?}");
        run.signal(signal)?;
        let done = run.end()?;
        ensure_eq!(done.code, signal.as_raw(), "{done:?}");
    }
    Ok(())
}

fn default_signals(s: &Setup) -> Result<(), String> {
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let mut run = s.start_run(&[], &[&s.probe(), "sleep"])?;
        run.line()?;
        run.signal(signal)?;
        let done = run.end()?;
        ensure_eq!(done.code, 128 + signal.as_raw(), "{done:?}");
    }
    Ok(())
}

fn command_killed(s: &Setup) -> Result<(), String> {
    let mut run = s.start_run(&["--name", "v"], &[&s.probe(), "sleep"])?;
    let pid: i32 = run.line()?.parse().map_err(|_| "no pid")?;
    ensure_eq!(
        s.view_field("v", "command_pid")?,
        pid,
        "`view ls` knows the command"
    );
    kill(pid, Signal::KILL)?;
    let done = run.end()?;
    ensure_eq!(done.code, 137, "{done:?}");
    s.wait_for_no_view()
}

fn member_killed(s: &Setup) -> Result<(), String> {
    let script = "i=0; while [ $i -lt 30 ]; do sh -c 'while :; do test -e /etc/passwd; done' & p=$!; \
                  test -e /etc/passwd || exit 1; kill -9 $p; wait $p; i=$((i+1)); done 2>/dev/null; echo done";
    let done = s.script(&[], script)?;
    ensure_eq!((done.code, done.out.as_str()), (0, "done\n"), "{done:?}");
    Ok(())
}

fn supervisor_killed(s: &Setup) -> Result<(), String> {
    let mut run = s.start_run(
        &["--name", "v", "--tmpfs", &s.directory("t")?],
        &[&s.probe(), "sleep", "30"],
    )?;
    let pid: i32 = run.line()?.parse().map_err(|_| "no pid")?;
    let supervisor = s.view_field("v", "supervisor_pid")?;
    ensure!(is_alive(supervisor) && is_alive(pid), "both run");
    kill(supervisor, Signal::KILL)?;
    // Everybody who held the caller's pipe is gone within two seconds.
    run.rest(Duration::from_secs(2))
        .map_err(|e| format!("after the supervisor was killed: {e}"))?;
    ended(s, "the command", pid)?;
    let code = run.wait(Duration::from_secs(2))?;
    ensure!(
        code != 0,
        "`view run` says that something was wrong: {code}"
    );
    s.wait_for_no_view()
}

fn front_killed(s: &Setup) -> Result<(), String> {
    let mut run = s.start_run(&["--name", "v"], &[&s.probe(), "sleep", "30"])?;
    let pid: i32 = run.line()?.parse().map_err(|_| "no pid")?;
    let supervisor = s.view_field("v", "supervisor_pid")?;
    run.signal(Signal::KILL)?;
    run.rest(Duration::from_secs(3))
        .map_err(|e| format!("after `view run` was killed: {e}"))?;
    ended(s, "the command", pid)?;
    ended(s, "the supervisor", supervisor)
}

fn last_process(s: &Setup) -> Result<(), String> {
    let mut run = s.start_run(&["--name", "v"], &["sh", "-c", "echo up; read x"])?;
    run.line()?;
    let supervisor = s.view_field("v", "supervisor_pid")?;
    let done = run.end()?;
    ensure!(done.code <= 1, "{done:?}");
    ended(s, "the supervisor", supervisor)?;
    ensure_eq!(s.views()?.len(), 0, "no view is listed");
    let left = sockets(s);
    ensure!(left.is_empty(), "the socket is gone: {left:?}");
    Ok(())
}

/// A process that is left behind in the view with a tmpfs: it reads a file of the mount after the command has ended.
fn left_behind(s: &Setup, verb: &str) -> Result<(), String> {
    let (point, go, result) = (s.directory("t")?, s.path("go"), s.path("result"));
    let script = format!(
        "echo kept > {point}/f && {} {verb} {point}/f {go} {result}",
        s.probe()
    );
    let mut run = s.start_run(&["--name", "v", "--tmpfs", &point], &["sh", "-c", &script])?;
    let limit = Duration::from_secs(5);
    let code = run.wait(limit)?; // the command's end is the end of `view run`, not the last process's
    ensure_eq!(code, 0, "{verb}");
    if verb == "daemon" {
        ensure_eq!(
            run.rest(limit)?,
            "",
            "nobody holds the output of a command that has ended"
        );
    }
    ensure_eq!(s.views()?.len(), 1, "the view lives on");
    ensure!(
        !fs::exists(format!("{point}/f")).unwrap_or(true),
        "the file is in the view only"
    );
    fs::write(&go, "").map_err(|e| e.to_string())?;
    s.wait_for("the process left behind", limit, || {
        fs::exists(&result).unwrap_or(false)
    })?;
    ensure_eq!(
        fs::read_to_string(&result).unwrap_or_default(),
        "kept\n",
        "{verb}"
    );
    s.wait_for_no_view()
}

fn daemon(s: &Setup) -> Result<(), String> {
    left_behind(s, "daemon")
}

fn orphan(s: &Setup) -> Result<(), String> {
    left_behind(s, "orphan")
}

fn leftovers(s: &Setup) -> Result<(), String> {
    let uid = rustix::process::getuid().as_raw();
    let mine = || {
        let entries = fs::read_dir("/dev/shm")
            .map(|d| d.flatten().collect::<Vec<_>>())
            .unwrap_or_default();
        let own = |e: &fs::DirEntry| {
            e.metadata()
                .is_ok_and(|m| std::os::unix::fs::MetadataExt::uid(&m) == uid)
        };
        let mut names: Vec<_> = entries
            .iter()
            .filter(|e| own(e))
            .map(fs::DirEntry::file_name)
            .collect();
        names.sort();
        names
    };
    let point = s.directory("t")?;
    let script = format!(
        "cd {point} && mkdir a b && cd a && echo x > ../b/f && mkfifo p && exec 9<../b 8<>p 7<../b/f && ls -lR .. && kill -9 $$"
    );
    let before = mine();
    for _ in 0..3 {
        let done = s.script(&["--tmpfs", &point], &script)?;
        ensure_eq!(done.code, 137, "{done:?}");
    }
    s.wait_for_no_view()?;
    // Other tests run beside this one and come and go; what stays all the time is left behind.
    let mut left = mine();
    s.wait_for(
        "nothing of ours left in /dev/shm",
        Duration::from_secs(5),
        || {
            let now = mine();
            left.retain(|name| now.contains(name) && !before.contains(name));
            left.is_empty()
        },
    )?;
    let left = sockets(s);
    ensure!(left.is_empty(), "sockets: {left:?}");
    Ok(())
}

fn no_orphan(s: &Setup) -> Result<(), String> {
    let view = s.view();
    let refused = [view.as_str(), "run", "-m", "/nonexistent:/nonexistent"];
    let nested = [view.as_str(), "run", "--", view.as_str(), "run"];
    for command in [
        &[view.as_str(), "run"][..],
        &refused,
        &nested,
        &[&nested[..], &refused[2..]].concat(),
    ] {
        let probe = s.probe();
        let line = [&[probe.as_str(), "adopt"], command, &["--", "true"]].concat();
        let mut adopter = std::process::Command::new(line[0]);
        adopter.args(&line[1..]);
        let done = s.finish(s.prepare(adopter))?;
        ensure_eq!((done.code, done.out.as_str()), (0, "0\n"), "{done:?}");
    }
    Ok(())
}

fn many(s: &Setup) -> Result<(), String> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..6)
            .map(|k| {
                scope.spawn(move || {
                    for i in 0..5 {
                        let code = (k * 10 + i) % 100;
                        let done =
                            s.script(&[], &format!("echo {code} | cat | cat; exit {code}"))?;
                        ensure_eq!(
                            (done.code, done.out.trim()),
                            (code, code.to_string().as_str()),
                            "{done:?}"
                        );
                    }
                    Ok(())
                })
            })
            .collect();
        threads
            .into_iter()
            .try_for_each(|t| t.join().map_err(|_| "panic".to_string())?)
    })
}
