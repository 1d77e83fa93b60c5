//! What is measured of writing: jobs on an image that is mounted for writing, each on a copy of an empty one.
//!
//! The base is a directory of the kernel's own filesystem, the one that the work directory and the images lie on; the peer is
//! fuse2fs through the kernel's FUSE; tmpfs is told for comparison. Every job makes what it needs first, and times the rest.

use super::jobs::{Job, Limit, Way};
use super::place::Place;

const NS: (&str, f64) = ("ns", 1.0);
const US: (&str, f64) = ("us", 1e3);
const MS: (&str, f64) = ("ms", 1e6);
const MIB: (&str, f64) = ("MiB", 1024.0);

/// The largest ratio to fuse2fs for jobs with many small files, and for those with one large one.
const SMALL_FILES: f64 = 0.5;
const LARGE_FILE: f64 = 1.0;

/// The start of a view's line.
macro_rules! in_view {
    ($line:literal) => {
        concat!(
            "rm -f w.img && cp --sparse=always empty.img w.img && $V run -m ext4:w.img:$W/mnt:rw -w $W/mnt -- sh -c '",
            $line,
            "'"
        )
    };
}

macro_rules! in_directory {
    ($directory:literal, $line:literal) => {
        concat!(
            "rm -rf ",
            $directory,
            "/d && mkdir -p ",
            $directory,
            "/d && cd ",
            $directory,
            "/d && sh -c '",
            $line,
            "' && cd $W && rm -rf ",
            $directory,
            "/d"
        )
    };
}

macro_rules! on_fuse2fs {
    ($line:literal) => {
        concat!("cd mnt-fuse2fs && sh -c '", $line, "'")
    };
}

/// A job that is the same line everywhere.
macro_rules! job {
    ($name:literal, $ratio:expr, $line:literal, $place:expr) => {
        Job {
            name: $name,
            unit: MS,
            base: ("native ext4", Way::Shell(in_directory!("$W/native", $line))),
            view: Way::Shell(in_view!($line)),
            peer: $place
                .fuse2fs_is_absent()
                .is_none()
                .then_some(("fuse2fs", Way::Fuse2fsWriting(on_fuse2fs!($line)))),
            limit: Limit::Ratio(2.0),
            against_peer: false,
            other: Some(("tmpfs", Way::Shell(in_directory!("$S", $line)))),
            peer_ratio: Some($ratio),
        }
    };
}

/// The jobs, in the order of the document.
pub fn all(place: &Place) -> Vec<Job> {
    let on_tmpfs = |name, base, view| Job {
        name,
        unit: NS,
        base: ("tmpfs", Way::Shell(base)),
        view: Way::Shell(view),
        peer: None,
        limit: Limit::Ratio(1.1),
        against_peer: false,
        other: None,
        peer_ratio: None,
    };
    vec![
        on_tmpfs(
            "write(2) of 4 KiB to a file that grows",
            in_directory!("$S", "$W/micro append4k f"),
            in_view!("$W/micro append4k f"),
        ),
        on_tmpfs(
            "write(2) of 1 MiB to a file that grows",
            in_directory!("$S", "$W/micro append1m f"),
            in_view!("$W/micro append1m f"),
        ),
        on_tmpfs(
            "write(2) of 4 KiB over what a file has",
            in_directory!("$S", "$W/micro rewrite4k f"),
            in_view!("$W/micro rewrite4k f"),
        ),
        Job {
            name: "4 GiB through a cache of 256 MiB: most memory of the supervisor",
            unit: MIB,
            base: ("nothing", Way::Shell("echo 0")),
            view: Way::Shell(
                "rm -f w.img && cp --sparse=always empty.img w.img && ./micro peak $V run --cache-size 256M -m ext4:w.img:$W/mnt:rw -w $W/mnt -- \
                 dd if=/dev/zero of=f bs=1M count=4096 status=none",
            ),
            peer: None,
            limit: Limit::Value(256.0),
            against_peer: false,
            other: None,
            peer_ratio: None,
        },
        job!(
            "untar of 2,000 files",
            SMALL_FILES,
            "$W/micro run 1 tar -xf $W/files.tar",
            place
        ),
        job!(
            "rm -rf of 2,000 files",
            SMALL_FILES,
            "mkdir t && tar -xf $W/files.tar -C t && $W/micro run 1 rm -rf t",
            place
        ),
        job!(
            "sqlite3, 100 inserts, each a transaction",
            SMALL_FILES,
            "(echo \"create table t(a, b);\"; for i in $(seq 100); do echo \"insert into t values($i, $i * $i);\"; done) >sql && \
             $W/micro run 1 sqlite3 -init sql d.db .quit 2>/dev/null",
            place
        ),
        Job {
            unit: US,
            ..job!(
                "fdatasync of 8 KiB in a file of 16 MiB",
                LARGE_FILE,
                "$W/micro sync8k f",
                place
            )
        },
        job!(
            "git clone of 5,000 files",
            SMALL_FILES,
            "$W/micro run 1 git clone -q $W/repository r",
            place
        ),
        job!(
            "sequential write of 512 MiB, 1 MiB each",
            LARGE_FILE,
            "$W/micro run 1 dd if=/dev/zero of=f bs=1M count=512 status=none",
            place
        ),
        job!(
            "sequential write of 64 MiB, 4 KiB each",
            LARGE_FILE,
            "$W/micro run 1 dd if=/dev/zero of=f bs=4k count=16384 status=none",
            place
        ),
        job!(
            "sequential write of 512 MiB with fsync",
            LARGE_FILE,
            "$W/micro run 1 dd if=$W/content of=f bs=1M count=512 conv=fsync status=none",
            place
        ),
        job!(
            "sequential read of 512 MiB, just written",
            LARGE_FILE,
            "dd if=/dev/zero of=f bs=1M count=512 status=none && $W/micro run 1 dd if=f of=/dev/null bs=1M status=none",
            place
        ),
    ]
}
