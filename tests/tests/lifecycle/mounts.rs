//! What is visible where, when mounts come and go.

use std::fs;

use crate::setup::{Setup, Test, ensure, ensure_eq};
use view_tests::fixture::tool;

pub const TESTS: &[Test] = &[
    Test {
        name: "mount_forms",
        has_oracle: false,
        run: forms,
    },
    Test {
        name: "space_comes_back",
        has_oracle: false,
        run: space_comes_back,
    },
    Test {
        name: "descriptors_run_out",
        has_oracle: false,
        run: descriptors,
    },
    Test {
        name: "image_is_mounted",
        has_oracle: false,
        run: image,
    },
    Test {
        name: "image_with_partitions_says_so",
        has_oracle: false,
        run: partitioned,
    },
    Test {
        name: "mount_point_that_is_not_there",
        has_oracle: false,
        run: new_names,
    },
    Test {
        name: "mount_from_inside_is_seen_at_once",
        has_oracle: false,
        run: from_inside,
    },
    Test {
        name: "mount_from_outside_is_seen_at_once",
        has_oracle: false,
        run: from_outside,
    },
    Test {
        name: "mount_2_from_a_program",
        has_oracle: false,
        run: system_call,
    },
    Test {
        name: "unmount_busy_and_lazy",
        has_oracle: false,
        run: busy,
    },
    Test {
        name: "mount_over_a_busy_directory",
        has_oracle: false,
        run: over_busy,
    },
    Test {
        name: "mounts_on_mounts",
        has_oracle: false,
        run: stacked,
    },
    Test {
        name: "hide",
        has_oracle: false,
        run: hide,
    },
    Test {
        name: "ro",
        has_oracle: false,
        run: read_only,
    },
    Test {
        name: "bind_a_file",
        has_oracle: false,
        run: bind_file,
    },
];

fn forms(s: &Setup) -> Result<(), String> {
    let (source, point) = (s.directory("src")?, s.directory("mnt")?);
    s.file("src/f", "x\n")?;
    let write = format!("cat {point}/f && echo y > {point}/g");
    for (option, word, is_writable) in [
        ("-v", format!("{source}:{point}"), true),
        ("-v", format!("{source}:{point}:ro"), false),
        ("-b", format!("{source}:{point}"), true),
        ("-m", format!("bind:{source}:{point}"), true),
        ("-m", format!("bind:{source}:{point}:ro"), false),
        ("-m", format!("type=bind,src={source},dst={point}"), true),
        (
            "-m",
            format!("type=bind,src={source},dst={point},ro"),
            false,
        ),
    ] {
        let done = s.script(&[option, &word], &write)?;
        ensure!(done.out == "x\n", "{done:?}");
        ensure_eq!(done.code == 0, is_writable, "{done:?}");
        ensure_eq!(
            fs::remove_file(format!("{source}/g")).is_ok(),
            is_writable,
            "{option} {word}"
        );
        ensure!(
            fs::read_dir(&point).is_ok_and(|mut d| d.next().is_none()),
            "nothing under the mount point"
        );
    }
    let done = s.script(&["--tmpfs", &format!("{point}:size=1M")], &format!("dd if=/dev/zero of={point}/big bs=64k count=64 2>&1; sleep 0.2; cp {point}/big {point}/small; ls {point}"))?;
    ensure!(
        done.err.contains("No space left"),
        "the size is a limit for the next file: {done:?}"
    );
    Ok(())
}

/// The space of a removed or replaced file is there for the next one, at once.
fn space_comes_back(s: &Setup) -> Result<(), String> {
    let point = s.directory("point")?;
    let script = format!(
        "cd {point}; set -e; fill() {{ dd if=/dev/zero of=$1 bs=64k count=$2 status=none; }}
         for i in 1 2 3; do fill a 10; rm a; done
         for i in 1 2 3; do fill a 10; mv a b; rm b; done
         for i in 1 2 3; do fill a 7; mv a b; done; rm b
         for i in 1 2 3; do fill a 10; exec 3<a; rm a; exec 3<&-; done
         echo all"
    );
    let done = s.script(&["--tmpfs", &format!("{point}:size=1M")], &script)?;
    ensure!(done.out == "all\n", "{done:?}");
    Ok(())
}

/// An ext4 image that has `file`, `dir/a` and a program.
fn make_image(s: &Setup) -> Result<String, String> {
    let tree = s.directory("tree/dir")?;
    s.file("tree/file", "in the image\n")?;
    s.file("tree/dir/a", "a\n")?;
    let _ = tree;
    fs::copy("/bin/cat", s.path("tree/cat")).map_err(|e| e.to_string())?;
    let image = s.path("disk.img");
    let done = tool("mke2fs")
        .args([
            "-q",
            "-F",
            "-t",
            "ext4",
            "-d",
            &s.path("tree"),
            &image,
            "8M",
        ])
        .output()
        .map_err(|e| e.to_string())?;
    ensure!(done.status.success(), "mke2fs: {done:?}");
    Ok(image)
}

fn image(s: &Setup) -> Result<(), String> {
    let (image, point) = (make_image(s)?, s.directory("mnt")?);
    let before = fs::read(&image).map_err(|e| e.to_string())?;
    for words in [
        vec!["mount", "ext4", &image, &point, "--"],
        vec!["mount", "-t", "ext4", &image, &point, "--"],
        vec!["mount", &image, &point, "--"],
    ] {
        let cat = format!("{point}/cat");
        let file = format!("{point}/dir/../file");
        let mut args = words.clone();
        args.extend([cat.as_str(), file.as_str()]);
        let done = s.verb(&args)?;
        ensure_eq!(
            (done.code, done.out.as_str()),
            (0, "in the image\n"),
            "{done:?}"
        );
    }
    let done = s.script(&["-m", &format!("{image}:{point}")], &format!("cd {point}/dir && pwd && ls && cat ../file && ! echo x > new && ! rm a && df . | tail -n 1 | grep -c {point}"))?;
    ensure_eq!(
        done.out,
        format!("{point}/dir\na\nin the image\n1\n"),
        "{done:?}"
    );
    ensure!(
        fs::read(&image).is_ok_and(|after| after == before),
        "the image is untouched"
    );
    // Written in one view, read in the next; meanwhile nobody else gets it.
    let mount = format!("{image}:{point}:rw");
    let second = format!("{} run -m {mount} -- true", s.view());
    let written = format!(
        "cd {point}/dir && echo kept > draft && mv draft new && ! {second} 2>&1 | grep -c 'in use by another mount'"
    );
    let done = s.script(&["-m", &mount], &written)?;
    ensure_eq!((done.code, done.out.as_str()), (1, "1\n"), "{done:?}");
    let done = s.script(&["-m", &mount], &format!("cat {point}/dir/new"))?;
    ensure_eq!((done.code, done.out.as_str()), (0, "kept\n"), "{done:?}");
    Ok(())
}

fn partitioned(s: &Setup) -> Result<(), String> {
    let image = make_image(s)?;
    let inner = fs::read(&image).map_err(|e| e.to_string())?;
    let mut disk = vec![0_u8; 1 << 20];
    // One Linux partition that starts at sector 2048: MBR entry and signature.
    disk[446 + 4] = 0x83;
    disk[446 + 8..446 + 12].copy_from_slice(&2048_u32.to_le_bytes());
    disk[446 + 12..446 + 16]
        .copy_from_slice(&u32::try_from(inner.len() / 512).unwrap_or(0).to_le_bytes());
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    disk.extend_from_slice(&inner);
    let (whole, point) = (s.path("whole.img"), s.directory("mnt")?);
    fs::write(&whole, disk).map_err(|e| e.to_string())?;
    let done = s.verb(&["mount", &whole, &point, "--", "true"])?;
    ensure!(
        done.code == 125 && done.err.contains("partition"),
        "{done:?}"
    );
    let done = s.verb(&[
        "mount",
        "-o",
        "offset=1048576",
        &whole,
        &point,
        "--",
        "cat",
        &format!("{point}/file"),
    ])?;
    ensure_eq!(done.out, "in the image\n", "{done:?}");
    Ok(())
}

fn new_names(s: &Setup) -> Result<(), String> {
    let (parent, point) = (s.directory("p")?, s.path("p/new"));
    s.file("p/old", "")?;
    let script = format!(
        "ls {parent}; stat -c %F {point}; cd {point}/../new && pwd && echo x > f && cat {point}/f && cd .. && ls new && find . -name f && {} umount {point} 0; ls; test -e {point}; echo $?",
        s.probe()
    );
    let done = s.script(&["--tmpfs", &point], &script)?;
    ensure_eq!(
        done.out,
        format!("new\nold\ndirectory\n{point}\nx\nf\n./new/f\n0\nold\n1\n"),
        "{done:?}"
    );
    ensure!(!fs::exists(&point).unwrap_or(true), "the host never had it");
    // A program of the view sees it in one listing, once.
    let done = s.script(
        &["--tmpfs", &point],
        &format!("ls -a {parent} | grep -c new; cd {parent} && echo *"),
    )?;
    ensure_eq!(done.out, "1\nnew old\n", "{done:?}");
    Ok(())
}

fn from_inside(s: &Setup) -> Result<(), String> {
    let (source, point) = (s.directory("src")?, s.directory("mnt")?);
    s.file("src/f", "seen\n")?;
    // One process waits for the file, another mounts.
    let script = format!(
        "{} poll {point}/f & sleep 0.1; {} mount {source} {point} && wait $!; cat {point}/f; {} umount {point}; test -e {point}/f; echo $?",
        s.probe(),
        s.view(),
        s.view()
    );
    let done = s.script(&[], &script)?;
    ensure_eq!(done.out, "seen\nseen\n1\n", "{done:?}");
    ensure!(
        !fs::exists(format!("{point}/f")).unwrap_or(true),
        "not on the host"
    );
    Ok(())
}

fn from_outside(s: &Setup) -> Result<(), String> {
    let (source, point) = (s.directory("src")?, s.directory("mnt")?);
    s.file("src/f", "seen\n")?;
    let script = format!(
        "echo up; {} poll {point}/f; read x; test -e {point}/f; echo $?",
        s.probe()
    );
    let mut run = s.start_run(&["--name", "v"], &["sh", "-c", &script])?;
    run.line()?;
    let mut other = s.start_run(&["--name", "w"], &["sh", "-c", "echo up; read x"])?;
    other.line()?;
    let done = s.verb(&["mount", "--in", "v", &source, &point])?;
    ensure_eq!(done.code, 0, "{done:?}");
    ensure_eq!(run.line()?, "seen", "the running process sees it");
    ensure!(
        !fs::exists(format!("{point}/f")).unwrap_or(true),
        "not on the host"
    );
    let done = s.verb(&["enter", "w", "test", "-e", &format!("{point}/f")])?;
    ensure_eq!(done.code, 1, "not in the other view: {done:?}");
    let done = s.verb(&["umount", "--in", "v", &point])?;
    ensure_eq!(done.code, 0, "{done:?}");
    let done = run.end()?;
    ensure_eq!(done.out, "1\n", "{done:?}");
    let done = s.verb(&["mount", "--in", "nobody", &source, &point])?;
    ensure_eq!(done.code, 32, "{done:?}");
    Ok(())
}

fn system_call(s: &Setup) -> Result<(), String> {
    let (source, point, probe) = (s.directory("src")?, s.directory("mnt")?, s.probe());
    s.file("src/f", "bound\n")?;
    // MS_BIND is 4096, MS_RDONLY 1.
    let script = format!(
        "{probe} mount {source} {point} none 4096 && cat {point}/f; {probe} umount {point} 0; ls {point}; \
         {probe} mount none {point} tmpfs 0 size=1M && echo x > {point}/g && ls {point}; grep -c {point} /proc/self/mounts; {probe} umount {point} 0; \
         grep -c {point} /proc/self/mounts; {probe} umount {point} 0; {probe} umount {point}/nope 0"
    );
    let done = s.script(&[], &script)?;
    // Not a mount point: EINVAL for who may unmount, EPERM for others. Not there: ENOENT.
    let want = |errno: i32| format!("bound\n0\ng\n1\n0\n0\n{errno}\n2\n");
    ensure!(done.out == want(22) || done.out == want(1), "{done:?}");
    Ok(())
}

fn busy(s: &Setup) -> Result<(), String> {
    let (point, probe, view) = (s.directory("mnt")?, s.probe(), s.view());
    // A current directory, an open file, an open directory: each makes it busy.
    for hold in [
        format!("cd {point}"),
        format!("exec 9<{point}/f"),
        format!("exec 9<{point}"),
        format!("exec 9<{point}/d"),
    ] {
        let script = format!(
            "echo x > {point}/f; mkdir {point}/d; (cd /; {hold}; {probe} umount {point} 0; {view} umount {point} 2>/dev/null; echo $?; cat {point}/f); \
             cd /; {probe} umount {point} 0; ls {point} | wc -l"
        );
        let done = s.script(&["--tmpfs", &point], &script)?;
        ensure_eq!(done.out, "16\n32\nx\n0\n0\n", "{hold}: {done:?}"); // 16 is EBUSY
    }
    // Lazily: the names go at once, what is open stays.
    let mut run = s.start_run(
        &["--name", "v", "--tmpfs", &point],
        &[
            "sh",
            "-c",
            &format!("echo held > {point}/f; exec {probe} hold {point}/f"),
        ],
    )?;
    ensure_eq!(run.line()?, "holding", "");
    let done = s.verb(&["umount", "--in", "v", &point])?;
    ensure!(done.code == 32 && done.err.contains("busy"), "{done:?}");
    let done = s.verb(&["umount", "-l", "--in", "v", &point])?;
    ensure_eq!(done.code, 0, "{done:?}");
    let done = s.verb(&["enter", "v", "ls", &point])?;
    ensure_eq!((done.code, done.out.as_str()), (0, ""), "{done:?}");
    let done = run.end()?;
    ensure_eq!((done.code, done.out.as_str()), (0, "held\n"), "{done:?}");
    Ok(())
}

fn over_busy(s: &Setup) -> Result<(), String> {
    let (point, view, source) = (s.directory("mnt")?, s.view(), s.directory("src")?);
    s.file("mnt/under", "under\n")?;
    s.file("src/over", "over\n")?;
    // Who is inside the directory already stays in the one below; everybody else sees the mount.
    let script = format!(
        "cd {point}; exec 9<under; {view} mount {source} {point}; ls; cat <&9; ls {point}; cd {point}; ls; cd /; {view} umount {point}; ls {point}"
    );
    let done = s.script(&[], &script)?;
    ensure_eq!(done.out, "under\nunder\nover\nover\nunder\n", "{done:?}");
    Ok(())
}

fn stacked(s: &Setup) -> Result<(), String> {
    let (point, probe, view, source) = (
        s.directory("mnt")?,
        s.probe(),
        s.view(),
        s.directory("src")?,
    );
    s.file("src/f", "bound\n")?;
    let script = format!(
        "mkdir {point}/in; {view} mount {source} {point}/in; cat {point}/in/f; {probe} umount {point} 0; mv {point}/in {point}/x 2>/dev/null; rmdir {point}/in 2>/dev/null; cat {point}/in/../in/f; \
         cd {point}/in && cd .. && pwd; cd /; {view} mount {source} {point}; ls {point}; {view} umount {point}; ls {point}; {view} umount {point}/in; ls {point}/in; {view} umount {point}; ls {point}"
    );
    let done = s.script(&["--tmpfs", &point], &script)?;
    ensure_eq!(
        done.out,
        format!("bound\n16\nbound\n{point}\nf\nin\n"),
        "{done:?}"
    );
    Ok(())
}

fn hide(s: &Setup) -> Result<(), String> {
    let (secret, open) = (s.directory("secret/sub")?, s.directory("open")?);
    let secret = secret.trim_end_matches("/sub").to_string();
    s.file("secret/key", "KEY\n")?;
    s.file("secret/sub/key", "KEY\n")?;
    let file = s.file("open/token", "TOKEN\n")?;
    s.file("open/other", "fine\n")?;
    std::os::unix::fs::symlink(&secret, s.path("open/way")).map_err(|e| e.to_string())?;
    std::os::unix::fs::symlink("../secret/key", s.path("open/way2")).map_err(|e| e.to_string())?;
    let script = format!(
        "for p in {secret}/key {secret}/sub/key {open}/way/key {open}/way2 {file} {open}/../open/token {open}/../secret/key; do cat $p; done 2>/dev/null; \
         cd {open} && cat token ../secret/key way2 ./way/sub/key 2>/dev/null; cat /proc/self/cwd/token /proc/self/root{secret}/key 2>/dev/null; \
         ls {secret} 2>/dev/null; ls -R {secret} 2>/dev/null | grep key; cat other; echo x 2>/dev/null > {secret}/new; cp {file} copy 2>/dev/null; mv {secret} {open}/moved 2>/dev/null; ln {file} hard 2>/dev/null; ls"
    );
    let done = s.script(&["--hide", &secret, "--hide", &file], &script)?;
    ensure!(
        !done.out.contains("KEY") && !done.out.contains("TOKEN"),
        "{done:?}"
    );
    ensure!(done.out.starts_with("fine\n"), "{done:?}");
    for name in ["copy", "moved", "hard"] {
        ensure!(!done.out.lines().any(|l| l == name), "{done:?}");
    }
    ensure!(
        fs::exists(format!("{secret}/key")).unwrap_or(false)
            && !fs::exists(format!("{secret}/new")).unwrap_or(true),
        "the host is as it was"
    );
    Ok(())
}

fn read_only(s: &Setup) -> Result<(), String> {
    let (tree, free) = (s.directory("tree/d")?, s.directory("free")?);
    let tree = tree.trim_end_matches("/d").to_string();
    s.file("tree/f", "text\n")?;
    std::os::unix::fs::symlink("../tree", s.path("free/way")).map_err(|e| e.to_string())?;
    let script = format!(
        "cat {tree}/f; cd {tree}; for c in 'echo x >> f' 'echo x > new' 'rm f' 'mkdir m' 'rmdir d' 'mv f g' 'mv f {free}/f' 'ln f {free}/h' 'chmod 700 f' 'touch f' 'truncate -s 0 f' 'cp {tree}/f {free}/way/g' 'ln -s x l' \
         'mv {free}/way/f {free}/f' 'echo x > /proc/self/cwd/f'; do sh -c \"$c\" 2>/dev/null && echo \"done: $c\"; done; echo ok > {free}/new && cat {free}/new; \
         test -w f; echo $?; LC_ALL=C mkdir m 2>&1 | grep -c Read-only"
    );
    let done = s.script(&["--ro", &tree], &script)?;
    ensure_eq!(done.out, "text\nok\n1\n1\n", "{done:?}");
    ensure_eq!(
        fs::read_to_string(format!("{tree}/f")).unwrap_or_default(),
        "text\n",
        "the host's file"
    );
    Ok(())
}

fn bind_file(s: &Setup) -> Result<(), String> {
    let (source, target) = (s.file("src.txt", "mine\n")?, s.file("dst.txt", "theirs\n")?);
    let script = format!(
        "cat {target}; echo more >> {target}; cat {target}; rm {target} 2>/dev/null; cat {target}; mv {target} x 2>/dev/null; ls | grep -c txt"
    );
    let done = s.script(&["-v", &format!("{source}:{target}")], &script)?;
    ensure_eq!(done.out, "mine\nmine\nmore\nmine\nmore\n2\n", "{done:?}");
    ensure_eq!(
        fs::read_to_string(&target).unwrap_or_default(),
        "theirs\n",
        "the host's file under the mount"
    );
    ensure_eq!(
        fs::read_to_string(&source).unwrap_or_default(),
        "mine\nmore\n",
        "the source"
    );
    // A device that every program knows, replaced.
    let done = s.script(
        &["-v", &format!("{source}:/etc/passwd")],
        "cat /etc/passwd; head -n 1 < /etc/../etc/passwd",
    )?;
    ensure_eq!(done.out, "mine\nmore\nmine\n", "{done:?}");
    Ok(())
}

/// A file of a tmpfs costs the supervisor a descriptor. One that cannot be opened has not come into being either.
fn descriptors(s: &Setup) -> Result<(), String> {
    let point = s.directory("t")?;
    let fill = format!(
        "i=0; while command : >{point}/f$i; do i=$((i+1)); done; test $i -gt 50 && ! test -e {point}/f$i && rm {point}/f1 {point}/f2 {point}/f3 && : >{point}/f$i && echo again"
    );
    let script = format!(
        "ulimit -n 200; exec {} run --tmpfs {point} -- sh -c '{fill}'",
        s.view()
    );
    let mut command = std::process::Command::new("sh");
    command.args(["-c", &script]);
    let done = s.finish(s.prepare(command))?;
    ensure_eq!((done.code, done.out.trim()), (0, "again"), "{done:?}");
    Ok(())
}
