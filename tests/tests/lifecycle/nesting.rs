//! Several views, and views in views.

use crate::setup::{Setup, Test, ensure, ensure_eq};

pub const TESTS: &[Test] = &[
    Test {
        name: "two_views_share_nothing",
        has_oracle: false,
        run: two_views,
    },
    Test {
        name: "three_deep",
        has_oracle: false,
        run: three_deep,
    },
    Test {
        name: "inner_mounts_stay_inside",
        has_oracle: false,
        run: inner_mounts,
    },
    Test {
        name: "inner_exit_status",
        has_oracle: false,
        run: inner_status,
    },
];

fn two_views(s: &Setup) -> Result<(), String> {
    let point = s.directory("t")?;
    let script =
        |word: &str| format!("echo {word} > {point}/f; echo up; read x; cat {point}/f; ls {point}");
    let mut a = s.start_run(&["--tmpfs", &point], &["sh", "-c", &script("first")])?;
    let mut b = s.start_run(&["--tmpfs", &point], &["sh", "-c", &script("second")])?;
    ensure_eq!(
        (a.line()?, b.line()?),
        ("up".into(), "up".into()),
        "both run"
    );
    ensure_eq!(s.views()?.len(), 2, "both are listed");
    ensure!(
        std::fs::read_dir(&point).is_ok_and(|mut d| d.next().is_none()),
        "nothing on the host"
    );
    let (a, b) = (a.end()?, b.end()?);
    ensure_eq!(
        (a.out.as_str(), b.out.as_str()),
        ("first\nf\n", "second\nf\n"),
        "{} {}",
        a.err,
        b.err
    );
    Ok(())
}

fn three_deep(s: &Setup) -> Result<(), String> {
    let view = s.view();
    let (a, b, c) = (s.directory("a")?, s.directory("b")?, s.directory("c")?);
    let innermost = s.file("3.sh", &format!("echo 3 > {c}/f; cat {a}/f {b}/f {c}/f; test -n \"$VIEW\" && echo named; echo new > {a}/g"))?;
    let middle = s.file(
        "2.sh",
        &format!(
            "echo 2 > {b}/f; {view} run --tmpfs {c} -- sh {innermost}; ls {c}; cat {b}/f {a}/g"
        ),
    )?;
    let outer = format!(
        "echo 1 > {a}/f; {view} run --tmpfs {b} -- sh {middle}; ls {b} {c} | grep -c f; cat {a}/f {a}/g"
    );
    let done = s.script(&["--tmpfs", &a], &outer)?;
    ensure_eq!(done.out, "1\n2\n3\nnamed\n2\nnew\n0\n1\nnew\n", "{done:?}");
    for path in [&a, &b, &c] {
        ensure!(
            std::fs::read_dir(path).is_ok_and(|mut d| d.next().is_none()),
            "{path} is empty on the host"
        );
    }
    Ok(())
}

fn inner_mounts(s: &Setup) -> Result<(), String> {
    let (view, source, point) = (s.view(), s.directory("src")?, s.directory("t")?);
    s.file("src/f", "bound\n")?;
    // The outer view keeps its mount; the inner one covers it and takes its own with it when it ends.
    let script = format!(
        "echo outer > {point}/f; {view} run -v {source}:{point} -- sh -c 'cat {point}/f; echo new > {point}/g'; cat {point}/f; ls {point}"
    );
    let done = s.script(&["--tmpfs", &point], &script)?;
    ensure_eq!(done.out, "bound\nouter\nf\n", "{done:?}");
    ensure!(
        std::fs::exists(format!("{source}/g")).unwrap_or(false),
        "the bind wrote through"
    );
    // A mount that the inner view makes while it runs.
    let script = format!(
        "{view} run -- sh -c '{view} mount {source} {point} && cat {point}/f'; cat {point}/f"
    );
    let done = s.script(
        &["--tmpfs", &point],
        &format!("echo outer > {point}/f; {script}"),
    )?;
    ensure_eq!(done.out, "bound\nouter\n", "{done:?}");
    Ok(())
}

fn inner_status(s: &Setup) -> Result<(), String> {
    let (view, probe) = (s.view(), s.probe());
    for (words, code) in [("exit 7", 7), ("die 9", 137), ("die 15", 143)] {
        let done = s.script(
            &[],
            &format!("{view} run -- {view} run -- {probe} {words}; echo $?"),
        )?;
        ensure_eq!(done.out, format!("{code}\n"), "{done:?}");
    }
    let done = s.script(&[], &format!("{view} run -- /nope 2>/dev/null; echo $?; {view} run -m ext4:/nope:/mnt -- true 2>/dev/null; echo $?"))?;
    ensure_eq!(done.out, "127\n125\n", "{done:?}");
    Ok(())
}
