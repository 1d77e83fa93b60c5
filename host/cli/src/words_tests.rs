//! Tests of the mount words and of the grammar around them.

use super::*;
use crate::args::{Cli, Verb};
use clap::Parser;

fn context() -> Context<'static> {
    Context {
        cwd: Path::new("/home/u"),
        types: crate::modules::TYPES,
    }
}

/// Type, source, target, options of a mount.
fn short(spec: &MountSpec) -> (&str, &str, &str, &str) {
    (
        spec.filesystem.as_deref().unwrap_or("?"),
        spec.source.to_str().unwrap(),
        spec.target.to_str().unwrap(),
        &spec.options,
    )
}

fn meaning(kind: WordKind, word: &str) -> Result<MountSpec, BadWord> {
    context().meaning(kind, OsStr::new(word))
}

#[track_caller]
fn assert_mount(word: &str, kind: MountKind, expected: (&str, &str, &str, &str)) {
    let spec = meaning(WordKind::Mount, word).unwrap();
    assert_eq!((short(&spec), spec.kind), (expected, kind), "{word}");
}

#[test]
fn colon_form_of_m() {
    use MountKind::{Bind, Filesystem, Tmpfs};
    assert_mount(
        "disk.img:/mnt",
        Filesystem,
        ("?", "/home/u/disk.img", "/mnt", ""),
    );
    assert_mount(
        "disk.img:/mnt:ro",
        Filesystem,
        ("?", "/home/u/disk.img", "/mnt", "ro"),
    );
    assert_mount(
        "./disk.img:mnt:ro,offset=1M",
        Filesystem,
        ("?", "/home/u/disk.img", "/home/u/mnt", "ro,offset=1M"),
    );
    assert_mount(
        "ext4:disk.img:/mnt",
        Filesystem,
        ("ext4", "/home/u/disk.img", "/mnt", ""),
    );
    assert_mount(
        "ext4:disk.img:mnt",
        Filesystem,
        ("ext4", "/home/u/disk.img", "/home/u/mnt", ""),
    );
    assert_mount(
        "ext2:/a:/b:ro,nosuid",
        Filesystem,
        ("ext2", "/a", "/b", "ro,nosuid"),
    );
    assert_mount("auto:/a:/b", Filesystem, ("?", "/a", "/b", ""));
    assert_mount("bind:src:/b:ro", Bind, ("bind", "/home/u/src", "/b", "ro"));
    assert_mount("src:/b:bind,ro", Bind, ("bind", "/home/u/src", "/b", "ro"));
    assert_mount("tmpfs:/run", Tmpfs, ("tmpfs", "tmpfs", "/run", ""));
    assert_mount(
        "tmpfs:/run:size=1M",
        Tmpfs,
        ("tmpfs", "tmpfs", "/run", "size=1M"),
    );
    assert_mount(
        "tmpfs:scratch:/run",
        Tmpfs,
        ("tmpfs", "scratch", "/run", ""),
    );
    assert_mount(
        "tmpfs:scratch:/run:mode=700",
        Tmpfs,
        ("tmpfs", "scratch", "/run", "mode=700"),
    );
}

#[test]
fn directory_without_a_type_is_a_bind() {
    assert_mount(
        "/proc:/mnt:ro",
        MountKind::Bind,
        ("bind", "/proc", "/mnt", "ro"),
    );
    assert_mount(
        "ext4:/proc:/mnt",
        MountKind::Filesystem,
        ("ext4", "/proc", "/mnt", ""),
    );
}

#[test]
fn a_file_named_like_a_type_is_written_as_a_path() {
    assert_mount(
        "./ext4:/mnt:ro",
        MountKind::Filesystem,
        ("?", "/home/u/ext4", "/mnt", "ro"),
    );
    assert_mount(
        "ext4:/mnt",
        MountKind::Filesystem,
        ("?", "/home/u/ext4", "/mnt", ""),
    );
}

#[test]
fn escaped_separators_belong_to_names() {
    assert_mount(
        r"a\:b.img:/m\:nt",
        MountKind::Filesystem,
        ("?", "/home/u/a:b.img", "/m:nt", ""),
    );
    assert_mount(
        r"a\b:/m",
        MountKind::Filesystem,
        ("?", r"/home/u/a\b", "/m", ""),
    );
    assert_mount(
        r"src=a\,b.img,dst=/m",
        MountKind::Filesystem,
        ("?", "/home/u/a,b.img", "/m", ""),
    );
}

#[test]
fn docker_form_of_m() {
    use MountKind::{Bind, Filesystem, Tmpfs};
    assert_mount(
        "type=ext4,src=d.img,dst=/m,ro",
        Filesystem,
        ("ext4", "/home/u/d.img", "/m", "ro"),
    );
    assert_mount(
        "source=d.img,target=/m,offset=512",
        Filesystem,
        ("?", "/home/u/d.img", "/m", "offset=512"),
    );
    assert_mount(
        "type=bind,source=/a:b,destination=/m,readonly",
        Bind,
        ("bind", "/a:b", "/m", "ro"),
    );
    assert_mount(
        "type=tmpfs,dst=/t,tmpfs-size=64M,tmpfs-mode=1770",
        Tmpfs,
        ("tmpfs", "tmpfs", "/t", "size=64M,mode=1770"),
    );
    assert_mount(
        "dst=/m,src=/i,readonly=false",
        Filesystem,
        ("?", "/i", "/m", "rw"),
    );
}

#[test]
fn other_words() {
    let volume = meaning(WordKind::Volume, "src:/dst:ro,Z").unwrap();
    assert_eq!(short(&volume), ("bind", "/home/u/src", "/dst", "ro"));
    assert_eq!(volume.kind, MountKind::Bind);
    let bind = meaning(WordKind::Bind, "/etc").unwrap();
    assert_eq!(short(&bind), ("bind", "/etc", "/etc", ""));
    let bind = meaning(WordKind::Bind, "/etc:/x").unwrap();
    assert_eq!(short(&bind), ("bind", "/etc", "/x", ""));
    let tmpfs = meaning(WordKind::Tmpfs, "out:size=64M").unwrap();
    assert_eq!(short(&tmpfs), ("tmpfs", "tmpfs", "/home/u/out", "size=64M"));
    let hide = meaning(WordKind::Hide, "../.ssh/").unwrap();
    assert_eq!(
        (hide.kind, hide.target.to_str().unwrap()),
        (MountKind::Hide, "/home/u/../.ssh")
    );
    let read_only = meaning(WordKind::ReadOnly, ".").unwrap();
    assert_eq!(short(&read_only), ("?", "/home/u", "/home/u", "ro"));
    assert_eq!(read_only.kind, MountKind::ReadOnly);
}

#[test]
fn bad_words_say_what_to_write() {
    let hint = |kind, word| meaning(kind, word).unwrap_err();
    assert!(
        hint(WordKind::Mount, "disk.img")
            .hint
            .unwrap()
            .contains("SRC:DST")
    );
    assert!(
        hint(WordKind::Mount, "a:b:c:d:e")
            .why
            .contains("too many colons")
    );
    assert_eq!(
        hint(WordKind::Mount, "ntfs:disk.img:/mnt").why,
        "unknown filesystem type `ntfs`"
    );
    assert!(
        hint(WordKind::Mount, "ntfs:disk.img:/mnt")
            .hint
            .unwrap()
            .contains("ext4")
    );
    assert!(
        hint(WordKind::Mount, "type=ext4,dst=/m")
            .why
            .contains("src=")
    );
    assert!(
        hint(WordKind::Mount, "type=ext4,src=/m")
            .why
            .contains("dst=")
    );
    assert!(
        hint(WordKind::Mount, "type=volume,src=a,dst=/m")
            .why
            .contains("volumes")
    );
    assert!(hint(WordKind::Mount, ":/m").why.contains("source"));
    assert!(hint(WordKind::Volume, "/only").why.contains("SRC:DST"));
    assert!(hint(WordKind::Volume, "/a:/b:fast").why.contains("fast"));
    assert!(hint(WordKind::Bind, "a:b:c").why.contains("SRC[:DST]"));
    assert!(meaning(WordKind::Hide, "").is_err());
    assert!(meaning(WordKind::Tmpfs, "").is_err());
}

#[test]
fn names_that_are_not_utf8_survive() {
    let word = OsString::from_vec(b"/a\xff:/b\xfe:ro".to_vec());
    let spec = context().meaning(WordKind::Mount, &word).unwrap();
    assert_eq!(spec.source.as_bytes(), b"/a\xff");
    assert_eq!(spec.target.as_os_str().as_bytes(), b"/b\xfe");
    let word = OsString::from_vec(b"/a:/b:\xff".to_vec());
    assert!(context().meaning(WordKind::Mount, &word).is_err());
}

fn parse(line: &[&str]) -> Verb {
    Cli::try_parse_from(line)
        .unwrap_or_else(|error| panic!("{error}"))
        .verb
}

#[test]
fn order_on_the_command_line_is_order_of_mounting() {
    let line = [
        "view", "run", "--tmpfs", "/t", "-m", "a:/t/a", "--hide", "/t/a/x", "-v", "b:/t/b", "-m",
        "c:/t/c", "--ro", "/t", "-b/etc", "--name", "n", "ls", "-m", "z:/z",
    ];
    let Verb::Run(run) = parse(&line) else {
        panic!("not run")
    };
    let words: Vec<(WordKind, &str)> = run
        .view
        .mounts
        .0
        .iter()
        .map(|(kind, word)| (*kind, word.to_str().unwrap()))
        .collect();
    use WordKind::*;
    assert_eq!(
        words,
        [
            (Tmpfs, "/t"),
            (Mount, "a:/t/a"),
            (Hide, "/t/a/x"),
            (Volume, "b:/t/b"),
            (Mount, "c:/t/c"),
            (ReadOnly, "/t"),
            (Bind, "/etc")
        ]
    );
    assert_eq!(run.command, ["ls", "-m", "z:/z"]);
    assert_eq!(run.view.name.as_deref(), Some("n"));
}

#[test]
fn command_takes_everything_after_it() {
    let Verb::Run(run) = parse(&[
        "view", "run", "-it", "--rm", "--", "sh", "-c", "exit 3", "--help",
    ]) else {
        panic!("not run")
    };
    assert_eq!(run.command, ["sh", "-c", "exit 3", "--help"]);
    assert!(run.habits.any());
    let Verb::Enter(enter) = parse(&["view", "exec", "-w", "/", "v1", "ls", "-l"]) else {
        panic!("not enter")
    };
    assert_eq!((enter.name.as_str(), enter.command.len()), ("v1", 2));
    let Verb::Enter(enter) = parse(&["view", "enter", "v1", "--", "ls", "-l"]) else {
        panic!("not enter")
    };
    assert_eq!(enter.command, ["ls", "-l"]);
    assert!(Cli::try_parse_from(["view", "run", "--no-such", "ls"]).is_err());
    assert!(Cli::try_parse_from(["view", "run"]).is_err());
    assert!(Cli::try_parse_from(["view", "run", "--name", "a/b", "ls"]).is_err());
}

#[test]
fn both_forms_of_mount() {
    let words = |line: &[&str]| match parse(line) {
        Verb::Mount(mount) => (
            mount.filesystem,
            mount.words.len(),
            mount.options,
            mount.command.len(),
        ),
        _ => panic!("not mount"),
    };
    assert_eq!(
        words(&["view", "mount", "ext2", "disk.img", "/mnt"]),
        (None, 3, vec![], 0)
    );
    assert_eq!(
        words(&[
            "view",
            "mount",
            "-t",
            "ext4",
            "-o",
            "ro",
            "-o",
            "offset=1M",
            "d",
            "/m",
            "--",
            "ls",
            "-l"
        ]),
        (
            Some("ext4".into()),
            2,
            vec!["ro".into(), "offset=1M".into()],
            2
        )
    );
    assert_eq!(
        words(&["view", "mount", "d", "/m", "-o", "ro", "--", "ls"]),
        (None, 2, vec!["ro".into()], 1)
    );
    assert_eq!(words(&["view", "mount"]).1, 0);
    assert!(Cli::try_parse_from(["view", "mount", "a", "b", "c", "d"]).is_err());
    assert!(Cli::try_parse_from(["view", "mount", "--in", "v", "a", "b", "--", "ls"]).is_err());
}

#[test]
fn grammar_is_sound() {
    crate::args::grammar().debug_assert();
}
