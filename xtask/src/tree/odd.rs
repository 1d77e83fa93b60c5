//! Variety: one of each thing that a reader of the format may get wrong.

use std::ffi::OsStr;
use std::fs::Permissions;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, XattrFlags, makedev, mknodat};

use super::{directory, set_mtime, write};
use crate::command::{at, command, run};
use crate::prng::Prng;
use crate::{Result, project, setup};

pub fn build(top: &Path, prng: &mut Prng) -> Result<()> {
    build_small(top, prng)?;
    sizes(&top.join("sizes"), prng)?;
    holes(&top.join("holes"))?;
    nodes(&top.join("nodes"))
}

/// Those that need little room.
pub fn build_small(top: &Path, prng: &mut Prng) -> Result<()> {
    names(&top.join("names"))?;
    links(&top.join("links"))?;
    attributes(&top.join("xattrs"), prng)?;
    modes(&top.join("modes"))?;
    times(&top.join("times"))
}

fn names(top: &Path) -> Result<()> {
    directory(top)?;
    let long = [b'n'; 255];
    let every: Vec<u8> = (1..=255)
        .filter(|byte| *byte != b'/' && *byte >= 0x80)
        .collect();
    let names: [&[u8]; 22] = [
        b"new\nline",
        b"tab\there",
        b" leading",
        b"trailing ",
        b"-rf",
        b"--",
        b"*",
        b"?",
        b"[a-z]",
        b"back\\slash",
        b"quote'quote\"",
        b"$HOME `id`",
        b"...",
        b".hidden",
        b"caf\xc3\xa9",
        b"cafe\xcc\x81",
        b"\xff\xfe\x80",
        b"\x01\x7f\x1b[31m",
        b"a:b",
        b"comma,name",
        &long,
        &every,
    ];
    for (index, name) in names.iter().enumerate() {
        let path = top.join(OsStr::from_bytes(name));
        write(&path, format!("{index}\n").as_bytes())?;
        set_mtime(&path, 1_500_000_000 + index as i64)?;
    }
    let inner = top.join(OsStr::from_bytes(b"dir\n\xff"));
    directory(&inner)?;
    write(&inner.join(OsStr::from_bytes(&long)), b"inside\n")?;
    set_mtime(&inner, 1_500_000_100)?;
    set_mtime(top, 1_500_000_200)
}

fn links(top: &Path) -> Result<()> {
    directory(&top.join("a/b"))?;
    let first = top.join("first");
    write(&first, b"one inode, many names\n")?;
    for name in ["second", "a/third", "a/b/fourth"] {
        at(top, std::fs::hard_link(&first, top.join(name)))?;
    }
    let crowd = top.join("crowd");
    directory(&crowd)?;
    write(&crowd.join("0"), b"")?;
    for index in 1..300 {
        at(
            &crowd,
            std::fs::hard_link(crowd.join("0"), crowd.join(index.to_string())),
        )?;
    }
    // 59, 60 and 61 bytes lie on both sides of the longest target that an inode holds itself.
    let targets: Vec<(&str, PathBuf)> = vec![
        ("near", "first".into()),
        ("up", "../links/a/b/fourth".into()),
        ("directory", "a/b".into()),
        ("dangling", "no/such/name".into()),
        ("absolute", "/etc/passwd".into()),
        ("loop-a", "loop-b".into()),
        ("loop-b", "loop-a".into()),
        ("self", "self".into()),
        ("length-59", "t".repeat(59).into()),
        ("length-60", "t".repeat(60).into()),
        ("length-61", "t".repeat(61).into()),
        ("length-1000", "./".repeat(500).into()),
        ("bytes", OsStr::from_bytes(b"\xff\n\x01").into()),
    ];
    for (index, (name, target)) in targets.iter().enumerate() {
        let path = top.join(name);
        at(&path, symlink(target, &path))?;
        set_mtime(&path, 1_510_000_000 + index as i64)?;
    }
    set_mtime(top, 1_510_001_000)
}

fn attributes(top: &Path, prng: &mut Prng) -> Result<()> {
    directory(top)?;
    type Case = (&'static str, Vec<(String, Vec<u8>)>);
    let cases: Vec<Case> = vec![
        ("small", vec![("user.a".into(), b"1".to_vec())]),
        ("empty", vec![("user.empty".into(), Vec::new())]),
        (
            "several",
            (0..12)
                .map(|index| (format!("user.key-{index}"), prng.text(index * 3)))
                .collect(),
        ),
        ("binary", vec![("user.binary".into(), (0..=255).collect())]),
        (
            "long-name",
            vec![(format!("user.{}", "k".repeat(200)), b"v".to_vec())],
        ),
        (
            "block",
            vec![
                ("user.block".into(), prng.bytes(600)),
                ("user.second".into(), prng.text(100)),
            ],
        ),
    ];
    for (name, pairs) in cases {
        let path = top.join(name);
        write(&path, name.as_bytes())?;
        for (key, value) in pairs {
            at(
                &path,
                rustix::fs::lsetxattr(&path, key.as_str(), &value, XattrFlags::CREATE)
                    .map_err(Into::into),
            )?;
        }
        set_mtime(&path, 1_520_000_000)?;
    }
    let (file, inner) = (top.join("acl"), top.join("acl-directory"));
    write(&file, b"acl\n")?;
    directory(&inner)?;
    let setfacl = || command(setup::found("setfacl"));
    run(setfacl()
        .args(["-m", "u:1001:rw-,g:1002:r--,m::rw-"])
        .arg(&file))?;
    run(setfacl()
        .args(["-m", "u:1001:rwx,d:u:1003:r-x,d:g::r-x"])
        .arg(&inner))?;
    if project::is_root() {
        let file = top.join("capability");
        write(&file, b"#!/bin/sh\n")?;
        run(command(setup::found("setcap"))
            .arg("cap_net_raw+ep")
            .arg(&file))?;
        set_mtime(&file, 1_520_000_001)?;
    }
    for path in [&file, &inner] {
        set_mtime(path, 1_520_000_002)?;
    }
    set_mtime(top, 1_520_000_003)
}

fn modes(top: &Path) -> Result<()> {
    directory(top)?;
    let root = project::is_root();
    for mode in [
        0o000, 0o111, 0o222, 0o444, 0o600, 0o640, 0o755, 0o777, 0o1777, 0o2755, 0o4755, 0o6711,
    ] {
        // An ordinary user must be able to read what mke2fs is to copy.
        if !root && mode & 0o400 == 0 {
            continue;
        }
        let path = top.join(format!("file-{mode:04o}"));
        write(&path, b"mode\n")?;
        if root {
            at(&path, chown(&path, Some(1000 + mode), Some(70_000 + mode)))?;
        }
        at(
            &path,
            std::fs::set_permissions(&path, Permissions::from_mode(mode)),
        )?;
        set_mtime(&path, 1_530_000_000 + i64::from(mode))?;
    }
    for mode in [0o700, 0o755, 0o1777, 0o2775] {
        let path = top.join(format!("directory-{mode:04o}"));
        directory(&path)?;
        write(&path.join("inside"), b"inside\n")?;
        at(
            &path,
            std::fs::set_permissions(&path, Permissions::from_mode(mode)),
        )?;
        set_mtime(&path, 1_530_010_000)?;
    }
    set_mtime(top, 1_530_020_000)
}

/// Times that 32 bits hold: mke2fs of the supported versions stores no others.
fn times(top: &Path) -> Result<()> {
    directory(top)?;
    for seconds in [
        0,
        1,
        86_399,
        1_000_000_000,
        i64::from(i32::MAX) - 1,
        i64::from(i32::MAX),
    ] {
        let path = top.join(seconds.to_string());
        write(&path, b"time\n")?;
        set_mtime(&path, seconds)?;
    }
    set_mtime(top, 1_540_000_000)
}

/// Lengths on both sides of the edges: inline data, one block, twelve blocks, the first indirect block.
fn sizes(top: &Path, prng: &mut Prng) -> Result<()> {
    directory(top)?;
    let edges = [
        1,
        60,
        100,
        156,
        256,
        1024,
        2048,
        4096,
        12 << 10,
        16 << 10,
        48 << 10,
        268 << 10,
        4144 << 10,
    ];
    for edge in edges {
        for length in [edge - 1, edge, edge + 1] {
            let path = top.join(format!("{length:08}"));
            write(&path, &prng.bytes(length))?;
            set_mtime(&path, 1_550_000_000 + length as i64)?;
        }
    }
    set_mtime(top, 1_550_000_000)
}

/// Files with holes: at the start, at the end, between every two blocks (more extents than an inode holds), nothing else.
fn holes(top: &Path) -> Result<()> {
    directory(top)?;
    let make = |name: &str, length: u64, islands: &mut dyn Iterator<Item = u64>| -> Result<()> {
        let path = top.join(name);
        let file = at(&path, std::fs::File::create(&path))?;
        for offset in islands {
            at(
                &path,
                file.write_all_at(format!("at {offset}").as_bytes(), offset),
            )?;
        }
        at(&path, file.set_len(length))?;
        set_mtime(&path, 1_560_000_000)
    };
    make("first", 1 << 20, &mut std::iter::once((1 << 20) - 10))?;
    make("last", 1 << 20, &mut std::iter::once(0))?;
    make("only", (1 << 20) + 1, &mut std::iter::empty())?;
    make("comb", 32 << 20, &mut (0..2048).map(|index| index << 14))?;
    make("rare", 2 << 30, &mut (0..16).map(|index| index << 27))?;
    set_mtime(top, 1_560_000_001)
}

/// A FIFO for everyone; device nodes when the builder may make them.
fn nodes(top: &Path) -> Result<()> {
    directory(top)?;
    let mut cases = vec![("fifo", FileType::Fifo, 0), ("socket", FileType::Socket, 0)];
    if project::is_root() {
        cases.push(("null", FileType::CharacterDevice, makedev(1, 3)));
        cases.push((
            "large-minor",
            FileType::CharacterDevice,
            makedev(200, 70_000),
        ));
        cases.push(("disk", FileType::BlockDevice, makedev(8, 17)));
    }
    for (name, kind, device) in cases {
        let path = top.join(name);
        at(
            &path,
            mknodat(CWD, &path, kind, Mode::from_bits_truncate(0o644), device).map_err(Into::into),
        )?;
        set_mtime(&path, 1_570_000_000)?;
    }
    set_mtime(top, 1_570_000_001)
}
