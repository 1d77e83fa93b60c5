//! What the programs and compile steps use: all of it lies below `work/` and belongs to the test user.

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use super::{directory, write};
use crate::command::{at, command, output, run};
use crate::prng::Prng;
use crate::{Result, project, setup};

pub fn build(top: &Path, owner: (u32, u32)) -> Result<()> {
    directory(top)?;
    executables(&top.join("bin"))?;
    scripts(&top.join("scripts"))?;
    python(&top.join("python"))?;
    database(&top.join("database"))?;
    let project = top.join("c-project");
    run(command("cp")
        .arg("-a")
        .arg(project::fixtures().join("c-project/source"))
        .arg(&project))?;
    run(command("cp")
        .arg("-a")
        .arg(project::root().join("tests/acceptance/c/project"))
        .arg(top.join("small-project")))?;
    let repository = top.join("repository");
    super::bulk::ordinary_files(&repository, &mut Prng::new(4), 400, 2 << 20)?;
    make_repository(&repository, owner)?;
    if project::is_root() {
        run(command("chown")
            .args(["-R", &format!("{}:{}", owner.0, owner.1)])
            .arg(top))?;
    }
    run(command("chmod").args(["-R", "a+rX"]).arg(top))
}

/// A static program, a static Go program, dynamic programs with and without PIE, and a library found by $ORIGIN.
fn executables(top: &Path) -> Result<()> {
    directory(top)?;
    run(command("cp")
        .arg(setup::found("busybox"))
        .arg(top.join("busybox")))?;
    for applet in ["sha256sum", "sort", "wc"] {
        at(top, symlink("busybox", top.join(format!("bb-{applet}"))))?;
    }
    run(command("cp").arg("/bin/true").arg(top.join("true")))?;
    let sources = project::root().join("tests/acceptance");
    let cache = project::fixtures().join("go-cache");
    run(command(setup::found("go"))
        .args(["build", "-trimpath", "-ldflags=-s -w", "-o"])
        .arg(top.join("go-static"))
        .arg(sources.join("go/static.go"))
        .env("CGO_ENABLED", "0")
        .env("GO111MODULE", "off")
        .env("GOFLAGS", "")
        .env("GOCACHE", cache))?;
    let cc = |arguments: &[&str]| output(command("gcc").args(arguments).current_dir(top)).map(drop);
    let c = |name: &str| sources.join("c").join(name).to_string_lossy().into_owned();
    cc(&[
        "-O1",
        "-shared",
        "-fPIC",
        "-o",
        "libgreeting.so",
        &c("greeting.c"),
    ])?;
    cc(&[
        "-O1",
        "-pie",
        "-fPIE",
        "-o",
        "dynamic-pie",
        &c("hello.c"),
        "-L.",
        "-lgreeting",
        "-Wl,-rpath,$ORIGIN",
    ])?;
    cc(&[
        "-O1",
        "-no-pie",
        "-fno-pie",
        "-o",
        "dynamic",
        &c("hello.c"),
        "-L.",
        "-lgreeting",
        "-Wl,-rpath,$ORIGIN",
    ])?;
    cc(&[
        "-O1",
        "-static",
        "-o",
        "static",
        &c("hello.c"),
        &c("greeting.c"),
    ])?;
    cc(&[
        "-O1",
        "-static-pie",
        "-o",
        "static-pie",
        &c("hello.c"),
        &c("greeting.c"),
    ])?;
    cc(&["-O1", "-pthread", "-o", "exec-cases", &c("exec-cases.c")])?;
    run(command("cp")
        .arg("/lib64/ld-linux-x86-64.so.2")
        .arg(top.join("ld.so")))
}

fn scripts(top: &Path) -> Result<()> {
    directory(top)?;
    let cases = [
        ("plain.sh", "#!/bin/sh\necho \"plain $0 $*\"\n"),
        (
            "argument.sh",
            "#!/bin/sh -eu\necho \"argument $*\"\nfalse\necho unreachable\n",
        ),
        (
            "env.sh",
            "#!/usr/bin/env bash\necho \"env $BASH_VERSION\" | sed 's/ .*//'\necho \"$*\"\n",
        ),
        (
            "env-split.py",
            "#!/usr/bin/env -S python3 -B\nimport sys\nprint('python', sys.argv[1:])\n",
        ),
        ("no-interpreter", "echo \"no interpreter $*\"\n"),
        ("missing-interpreter", "#!/no/such/interpreter\n"),
    ];
    for (name, text) in cases {
        let path = top.join(name);
        write(&path, text.as_bytes())?;
        at(
            &path,
            std::fs::set_permissions(&path, Permissions::from_mode(0o755)),
        )?;
    }
    let plain = top.join("not-executable");
    write(&plain, b"#!/bin/sh\necho no\n")
}

fn python(top: &Path) -> Result<()> {
    directory(&top.join("package"))?;
    write(
        &top.join("package/__init__.py"),
        b"from .inner import answer\n",
    )?;
    write(
        &top.join("package/inner.py"),
        b"import os\n\n\ndef answer():\n    return sorted(os.listdir(os.path.dirname(__file__)))\n",
    )?;
    write(
        &top.join("main.py"),
        b"import package\nprint([n for n in package.answer() if n.endswith('.py')])\n",
    )
}

fn database(top: &Path) -> Result<()> {
    directory(top)?;
    let statements = "PRAGMA page_size=4096; CREATE TABLE t(k INTEGER PRIMARY KEY, v TEXT); \
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 20000) \
        INSERT INTO t SELECT i, 'value ' || (i * 7919 % 10007) FROM n; CREATE INDEX byvalue ON t(v);";
    output(
        command(setup::found("sqlite3"))
            .arg(top.join("test.sqlite3"))
            .arg(statements),
    )
    .map(drop)
}

/// Turns a directory into a git repository with a few commits whose names and dates are fixed.
pub fn make_repository(top: &Path, owner: (u32, u32)) -> Result<()> {
    let git = |arguments: &[&str]| {
        let mut git = command(setup::found("git"));
        for role in ["AUTHOR", "COMMITTER"] {
            git.env(format!("GIT_{role}_NAME"), "Test")
                .env(format!("GIT_{role}_EMAIL"), "test@example.org");
            git.env(format!("GIT_{role}_DATE"), "2024-01-01T00:00:00Z");
        }
        git.env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("HOME", "/nonexistent");
        git.arg("-C")
            .arg(top)
            .args(["-c", "safe.directory=*", "-c", "gc.auto=0"]);
        output(git.args(arguments)).map(drop)
    };
    git(&["init", "--quiet", "--initial-branch=main"])?;
    git(&["add", "."])?;
    git(&["commit", "--quiet", "-m", "first"])?;
    for number in 2..6 {
        write(
            &top.join("counter.txt"),
            format!("commit {number}\n").as_bytes(),
        )?;
        git(&["add", "."])?;
        git(&["commit", "--quiet", "-m", &format!("number {number}")])?;
    }
    git(&["tag", "-a", "-m", "a tag", "v1"])?;
    git(&["repack", "-q", "-a", "-d"])?;
    write(&top.join("untracked.txt"), b"not added\n")?;
    write(&top.join("counter.txt"), b"changed\n")?;
    if project::is_root() {
        run(command("chown")
            .args(["-R", &format!("{}:{}", owner.0, owner.1)])
            .arg(top))?;
    }
    Ok(())
}
