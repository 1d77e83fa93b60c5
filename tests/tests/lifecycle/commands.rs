//! The other verbs: ls, mounts, enter, doctor, and their output.

use crate::setup::{Setup, Test, ensure, ensure_eq};

pub const TESTS: &[Test] = &[
    Test {
        name: "ls_json",
        has_oracle: false,
        run: ls,
    },
    Test {
        name: "mounts_json",
        has_oracle: false,
        run: mounts,
    },
    Test {
        name: "enter",
        has_oracle: false,
        run: enter,
    },
    Test {
        name: "proc_mounts_in_a_view",
        has_oracle: false,
        run: proc_mounts,
    },
    Test {
        name: "doctor_json",
        has_oracle: false,
        run: doctor,
    },
    Test {
        name: "usage_errors",
        has_oracle: false,
        run: usage,
    },
];

fn ls(s: &Setup) -> Result<(), String> {
    ensure_eq!(s.views()?.len(), 0, "none yet");
    let mut run = s.start_run(&["--name", "one"], &["sh", "-c", "echo up; read x"])?;
    run.line()?;
    let views = s.views()?;
    ensure_eq!(views.len(), 1, "{views:?}");
    ensure_eq!(views[0]["name"], "one", "{views:?}");
    ensure!(
        views[0]["command_pid"].as_u64().is_some_and(|p| p > 1),
        "{views:?}"
    );
    ensure!(
        views[0]["processes"].as_u64().is_some_and(|p| p >= 1),
        "{views:?}"
    );
    let done = s.verb(&["ls", "--json"])?;
    ensure!(done.out.contains("\"view.ls/1\""), "{done:?}");
    let done = s.verb(&["ls"])?;
    ensure!(
        done.code == 0 && done.out.lines().count() == 2 && done.out.contains("one"),
        "{done:?}"
    );
    run.end()?;
    s.wait_for_no_view()
}

fn mounts(s: &Setup) -> Result<(), String> {
    let (source, a, b) = (s.directory("src")?, s.directory("a")?, s.directory("b")?);
    let script = format!(
        "{0} mounts --json; echo; {0} mounts | tail -n +2 | wc -l",
        s.view()
    );
    let done = s.script(&["--tmpfs", &a, "-v", &format!("{source}:{b}:ro")], &script)?;
    ensure_eq!(done.code, 0, "{done:?}");
    let end = done.out.rfind('}').map_or(0, |i| i + 1);
    let document: serde_json::Value =
        serde_json::from_str(&done.out[..end]).map_err(|e| format!("{e}: {done:?}"))?;
    ensure_eq!(document["schema"], "view.mounts/1", "{document}");
    let list = document["mounts"].as_array().ok_or("no list")?;
    let find = |target: &str| {
        list.iter()
            .find(|m| m["target"] == target)
            .cloned()
            .ok_or_else(|| format!("no {target} in {document}"))
    };
    ensure_eq!(find(&a)?["filesystem"], "tmpfs", "{document}");
    let bind = find(&b)?;
    ensure!(
        bind["source"] == source.as_str()
            && bind["options"]
                .as_str()
                .is_some_and(|o| o.split(',').any(|o| o == "ro")),
        "{bind}"
    );
    // From outside, by name.
    let mut run = s.start_run(
        &["--name", "v", "--tmpfs", &a],
        &["sh", "-c", "echo up; read x"],
    )?;
    run.line()?;
    let done = s.verb(&["mounts", "--in", "v"])?;
    ensure!(done.code == 0 && done.out.contains(&a), "{done:?}");
    let done = s.verb(&["mounts", "--in", "nobody"])?;
    ensure!(done.code == 1 && done.err.starts_with("view: "), "{done:?}");
    let done = s.verb(&["mounts"])?;
    ensure_eq!(done.code, 1, "in no view: {done:?}");
    Ok(())
}

fn enter(s: &Setup) -> Result<(), String> {
    let point = s.directory("t")?;
    let mut run = s.start_run(
        &["--name", "v", "--tmpfs", &point],
        &[
            "sh",
            "-c",
            &format!("echo from-run > {point}/f; echo up; read x; cat {point}/g"),
        ],
    )?;
    run.line()?;
    let done = s.verb(&[
        "enter",
        "v",
        "--",
        "sh",
        "-c",
        &format!("cat {point}/f; echo from-enter > {point}/g; exit 5"),
    ])?;
    ensure_eq!(
        (done.code, done.out.as_str()),
        (5, "from-run\n"),
        "{done:?}"
    );
    let done = s.verb(&[
        "enter",
        "-w",
        &point,
        "-e",
        "K=V",
        "v",
        "sh",
        "-c",
        "pwd; ls; echo $K $VIEW",
    ])?;
    ensure_eq!(done.out, format!("{point}\nf\ng\nV v\n"), "{done:?}");
    let done = s.verb(&["enter", "v", "/nope"])?;
    ensure_eq!(done.code, 127, "{done:?}");
    let done = s.verb(&["enter", "nobody", "true"])?;
    ensure!(
        done.code == 125 && done.err.starts_with("view: "),
        "{done:?}"
    );
    let done = run.end()?;
    ensure_eq!(done.out, "from-enter\n", "{done:?}");
    Ok(())
}

fn proc_mounts(s: &Setup) -> Result<(), String> {
    let point = s.directory("t")?;
    let script = format!(
        "grep -c ' {point} tmpfs ' /proc/self/mounts; grep -c ' {point} ' /proc/self/mountinfo; grep -c ' {point} ' /proc/mounts; df {point} | tail -n 1 | grep -c {point}; stat -f -c %T {point}; \
         sh -c 'grep -c \" {point} \" /proc/$PPID/mountinfo'"
    );
    let done = s.script(&["--tmpfs", &point], &script)?;
    ensure_eq!(done.out, "1\n1\n1\n1\ntmpfs\n1\n", "{done:?}");
    Ok(())
}

fn doctor(s: &Setup) -> Result<(), String> {
    let done = s.verb(&["doctor", "--json"])?;
    ensure_eq!(done.code, 0, "this host runs views: {done:?}");
    let document: serde_json::Value =
        serde_json::from_str(&done.out).map_err(|e| format!("{e}: {done:?}"))?;
    ensure!(
        document["schema"]
            .as_str()
            .is_some_and(|x| x.starts_with("view.doctor/")),
        "{document}"
    );
    let done = s.verb(&["doctor"])?;
    ensure!(done.code == 0 && !done.out.is_empty(), "{done:?}");
    Ok(())
}

fn usage(s: &Setup) -> Result<(), String> {
    for (args, needle) in [
        (vec!["no-such-verb"], "no-such-verb"),
        (vec!["run"], ""),
        (vec!["mount", "only-one"], "mount"),
        (vec!["umount"], ""),
    ] {
        let done = s.verb(&args)?;
        ensure_eq!(done.code, 2, "{done:?}");
        ensure!(done.out.is_empty() && done.err.contains(needle), "{done:?}");
    }
    let done = s.verb(&["--version"])?;
    ensure!(done.code == 0 && done.out.starts_with("view "), "{done:?}");
    let done = s.verb(&["run", "--help"])?;
    ensure!(
        done.code == 0 && done.out.contains("--tmpfs") && done.err.is_empty(),
        "{done:?}"
    );
    let done = s.verb(&["umount", "/nowhere"])?;
    ensure!(
        done.code == 32 && done.err.starts_with("view: "),
        "{done:?}"
    );
    Ok(())
}
