//! How a command is started: exit status, standard streams, signals, limits, environment, working directory.

use std::io::Write;
use std::process::Stdio;

use crate::setup::{Setup, Test, ensure, ensure_eq};

pub const TESTS: &[Test] = &[
    Test {
        name: "exit_status_is_the_commands",
        has_oracle: true,
        run: exit_status,
    },
    Test {
        name: "exit_status_128_plus_signal",
        has_oracle: true,
        run: exit_signal,
    },
    Test {
        name: "exit_status_126_and_127",
        has_oracle: true,
        run: exit_not_run,
    },
    Test {
        name: "exit_status_125_when_view_fails",
        has_oracle: false,
        run: exit_view_failed,
    },
    Test {
        name: "streams_pass_through",
        has_oracle: true,
        run: streams,
    },
    Test {
        name: "stdin_closed",
        has_oracle: true,
        run: stdin_closed,
    },
    Test {
        name: "state_is_inherited",
        has_oracle: false,
        run: state,
    },
    Test {
        name: "arguments_and_environment",
        has_oracle: true,
        run: arguments,
    },
    Test {
        name: "option_w_and_e",
        has_oracle: false,
        run: directory_and_variables,
    },
    Test {
        name: "option_name",
        has_oracle: false,
        run: name,
    },
];

fn exit_status(s: &Setup) -> Result<(), String> {
    for code in [0, 1, 3, 77, 125, 126, 127, 255] {
        let done = s.run(&[], &[&s.probe(), "exit", &code.to_string()])?;
        ensure_eq!(done.code, code, "{done:?}");
        ensure_eq!(done.out + &done.err, "", "{}", done.line);
    }
    Ok(())
}

fn exit_signal(s: &Setup) -> Result<(), String> {
    for signal in [1, 2, 6, 9, 11, 13, 15] {
        let done = s.run(&[], &[&s.probe(), "die", &signal.to_string()])?;
        ensure_eq!(done.code, 128 + signal, "{done:?}");
    }
    Ok(())
}

fn exit_not_run(s: &Setup) -> Result<(), String> {
    let (text, directory) = (s.file("text", "no program\n")?, s.directory("dir")?);
    let missing = s.path("missing");
    for (command, code) in [
        (missing.as_str(), 127),
        ("view-test-no-such-command", 127),
        (&text, 126),
        (&directory, 126),
    ] {
        let done = s.run(&[], &[command])?;
        ensure_eq!(done.code, code, "{done:?}");
        ensure!(!done.err.is_empty(), "{done:?}");
        ensure_eq!(done.out, "", "{}", done.line);
    }
    Ok(())
}

fn exit_view_failed(s: &Setup) -> Result<(), String> {
    let junk = s.file("junk.img", &"junk\n".repeat(2000))?;
    let point = s.directory("mnt")?;
    let (image, probed) = (
        format!("ext4:{}:{point}", s.path("nope.img")),
        format!("{junk}:{point}"),
    );
    for mount in [&image, &probed] {
        let done = s.run(&["-m", mount], &[&s.probe(), "exit", "0"])?;
        ensure_eq!(done.code, 125, "{done:?}");
        ensure!(done.err.starts_with("view: "), "{done:?}");
        ensure_eq!(done.out, "", "{}", done.line);
    }
    let done = s.run(&["--no-such-option"], &[&s.probe(), "exit", "0"])?;
    ensure!(done.code == 125 || done.code == 2, "{done:?}");
    Ok(())
}

fn streams(s: &Setup) -> Result<(), String> {
    // Data through a pipe, both ways, to the byte; nothing else is printed.
    let data: Vec<u8> = (0..3_000_000_u32)
        .map(|i| (i % 251) as u8 % 96 + 32)
        .collect();
    let mut command = s.run_command(&[], &["cat"]);
    let mut cat = s.start(command.stdin(Stdio::piped()))?;
    let mut input = cat.child.stdin.take().ok_or("no pipe")?;
    let copy = data.clone();
    let writer = std::thread::spawn(move || input.write_all(&copy));
    let done = cat.end()?;
    writer
        .join()
        .map_err(|_| "writer")?
        .map_err(|e| e.to_string())?;
    ensure_eq!(done.code, 0, "{}", done.err);
    ensure!(
        done.out.as_bytes() == data,
        "{} bytes came back of {}",
        done.out.len(),
        data.len()
    );
    ensure_eq!(done.err, "", "{}", done.line);
    // The two outputs stay apart.
    let done = s.script(&[], "echo out; echo err >&2")?;
    ensure_eq!(
        (done.out.as_str(), done.err.as_str()),
        ("out\n", "err\n"),
        "{}",
        done.line
    );
    // A file as input keeps its offset for what comes after.
    let file = s.file("lines", "one\ntwo\nthree\n")?;
    let done = s.script(&[], &format!("exec < {file}; read a; read b; echo $b; cat"))?;
    ensure_eq!(done.out, "two\nthree\n", "{done:?}");
    Ok(())
}

fn stdin_closed(s: &Setup) -> Result<(), String> {
    let probe = s.probe();
    let mut words = vec![probe.as_str(), "launch", "close=0", "--"];
    let view = s.view();
    if !view.is_empty() {
        words.extend([view.as_str(), "run", "--"]);
    }
    words.extend(["sh", "-c", "read x; echo \"read=$?\"; ls /proc/self/fd >/dev/null && test -e /etc/passwd && echo works"]);
    let mut command = s.view_command(&[]);
    let mut replaced = std::process::Command::new(words[0]);
    replaced
        .args(&words[1..])
        .envs(command.get_envs().filter_map(|(k, v)| v.map(|v| (k, v))))
        .current_dir(s.path("."));
    command = replaced;
    let done = s.finish(command)?;
    ensure_eq!(done.code, 0, "{done:?}");
    ensure!(
        done.out.starts_with("read=") && !done.out.starts_with("read=0"),
        "{done:?}"
    );
    ensure!(done.out.ends_with("works\n"), "{done:?}");
    Ok(())
}

/// Signals, limits, descriptors and ids as the starter has them: compared with a native start, to the byte.
fn state(s: &Setup) -> Result<(), String> {
    let (probe, view) = (s.probe(), s.view());
    let cases: &[&[&str]] = &[
        &[],
        &["ignore=1,2,13,15", "block=10,12"],
        &["ignore=13", "block=1,2,3,15,17,31,34,60"],
        &["nofile=512"],
        &["nofile=1024", "umask=077", "core=0"],
        &["umask=0", "ignore=17"],
    ];
    for case in cases {
        let start = |inside: bool| {
            let mut command = std::process::Command::new(&probe);
            command.arg("launch").args(*case).arg("--");
            if inside {
                command.args([view.as_str(), "run", "--"]);
            }
            command
                .args([probe.as_str(), "status"])
                .current_dir(s.path("."));
            command
                .env("XDG_RUNTIME_DIR", s.path("run"))
                .env_remove("VIEW")
                .env_remove("VIEW_SOCKET");
            let _ = std::fs::create_dir(s.path("run"));
            s.finish(command)
        };
        let (native, inside) = (start(false)?, start(true)?);
        ensure_eq!(native.code, 0, "{native:?}");
        ensure_eq!(inside.code, 0, "{inside:?}");
        ensure_eq!(inside.out, native.out, "case {case:?}; {}", inside.err);
    }
    Ok(())
}

fn arguments(s: &Setup) -> Result<(), String> {
    let mut command = s.run_command(
        &[],
        &["printf", "<%s>", "a b", "", "*", "--", "-x", "\u{e9}\n"],
    );
    command.env("ODD", "x y\n=z");
    let done = s.finish(command)?;
    ensure_eq!(done.out, "<a b><><*><--><-x><\u{e9}\n>", "{done:?}");
    let mut command = s.run_command(
        &[],
        &["sh", "-c", "printf '%s|' \"$ODD\" \"$PWD\" \"$(pwd)\""],
    );
    command.env("ODD", "x y\n=z");
    let done = s.finish(command)?;
    let here = s.path("");
    let here = here.trim_end_matches('/');
    ensure_eq!(done.out, format!("x y\n=z|{here}|{here}|"), "{done:?}");
    Ok(())
}

fn directory_and_variables(s: &Setup) -> Result<(), String> {
    let (real, point) = (s.directory("real")?, s.directory("mnt")?);
    for directory in [&real, &point] {
        let done = s.run(
            &[
                "--tmpfs", &point, "-w", directory, "-e", "K=V", "-e", "EMPTY=",
            ],
            &[
                "sh",
                "-c",
                "pwd; echo $K-${EMPTY-unset}-; echo x > f; cat f",
            ],
        )?;
        ensure_eq!(done.out, format!("{directory}\nV--\nx\n"), "{done:?}");
    }
    ensure!(
        std::fs::exists(s.path("real/f")).unwrap_or(false),
        "the host's directory got its file"
    );
    ensure!(
        !std::fs::exists(s.path("mnt/f")).unwrap_or(true),
        "nothing reached the directory under the mount"
    );
    let done = s.run(&["-w", &s.path("nope")], &["pwd"])?;
    ensure_eq!(done.code, 125, "{done:?}");
    ensure!(done.err.starts_with("view: "), "{done:?}");
    Ok(())
}

fn name(s: &Setup) -> Result<(), String> {
    let done = s.run(
        &["--name", "some-name.1"],
        &[
            "sh",
            "-c",
            "echo $VIEW; test -S \"$VIEW_SOCKET\" && echo socket",
        ],
    )?;
    ensure_eq!(done.out, "some-name.1\nsocket\n", "{done:?}");
    let done = s.script(&[], "echo $VIEW")?;
    ensure!(done.out.len() > 1, "a name is made up: {done:?}");
    for bad in ["a/b", "", "..", "-x"] {
        let done = s.run(&[&format!("--name={bad}")], &["true"])?;
        ensure!(done.code != 0, "name {bad:?}: {done:?}");
    }
    // A name is taken as long as its view runs.
    let mut first = s.start_run(&["--name", "taken"], &[&s.probe(), "sleep"])?;
    first.line()?;
    let done = s.run(&["--name", "taken"], &["true"])?;
    ensure_eq!(done.code, 125, "{done:?}");
    first.signal(rustix::process::Signal::TERM)?;
    first.end()?;
    s.wait_for_no_view()?;
    let done = s.run(&["--name", "taken"], &["true"])?;
    ensure_eq!(done.code, 0, "{done:?}");
    Ok(())
}
