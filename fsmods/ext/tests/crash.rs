//! Crashes: a workload is recorded down to its writes and flushes, and the image is built as a crash at any of
//! many moments could have left it. After the next mount e2fsck(8) finds nothing, and what was synced is there.
//!
//! `VIEW_EXT_CRASH_POINTS`: crashes of each workload, shared by the kinds of images.

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use common::crashed::{Crashed, Shown};
use common::recording::{History, Recording, SECTOR};
use common::workloads::{
    Promise, Work, appends, growth, orphans, pages, renames, truncates, untar,
};
use common::writable::{Kind, Mounted, fresh};
use common::{Random, debugfs, scratch};

/// Journals of every form, at least one so small that the log goes around many times.
const JOURNALED: &[(Kind, Option<&str>)] = &[
    (
        Kind {
            name: "ext4",
            options: &["-t", "ext4"],
        },
        None,
    ),
    (
        Kind {
            name: "ext4-1k",
            options: &["-t", "ext4", "-b", "1024", "-J", "size=1"],
        },
        None,
    ),
    (
        Kind {
            name: "ext4-v1",
            options: &["-t", "ext4", "-O", "^metadata_csum,^64bit,uninit_bg"],
        },
        Some("jo -c -v 1"),
    ),
    (
        Kind {
            name: "ext4-v2",
            options: &["-t", "ext4", "-b", "1024", "-O", "^metadata_csum"],
        },
        Some("jo -c -v 2"),
    ),
    (
        Kind {
            name: "ext4-inline",
            options: &["-t", "ext4", "-O", "inline_data"],
        },
        None,
    ),
    (
        Kind {
            name: "ext3",
            options: &["-t", "ext3", "-b", "1024", "-J", "size=1"],
        },
        None,
    ),
];

/// What has no journal.
const PLAIN: &[Kind] = &[
    Kind {
        name: "ext4-no-journal",
        options: &["-t", "ext4", "-O", "^has_journal"],
    },
    Kind {
        name: "ext2",
        options: &["-t", "ext2", "-b", "1024"],
    },
    Kind {
        name: "ext2-linear",
        options: &["-t", "ext2", "-O", "^dir_index"],
    },
];

type Workload = fn(&mut Work<'_>, &mut Random);

fn points(kinds: usize) -> u64 {
    let points = std::env::var("VIEW_EXT_CRASH_POINTS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(36u64);
    points.div_ceil(kinds as u64)
}

/// Runs the workloads at the same time, each on a thread, and answers what happened and what they were promised.
fn record(image: &Path, workloads: &[Workload]) -> (History, Vec<(usize, Promise)>) {
    let source = Arc::new(Recording::new(std::fs::read(image).unwrap()));
    let fs = Mounted::over(source.clone(), image, "");
    let promises = match workloads {
        [only] => {
            let mut work = Work::new(fs.shared(), &source, 0);
            only(&mut work, &mut Random::new(5));
            vec![(0, work.done)]
        }
        several => std::thread::scope(|scope| {
            let threads: Vec<_> = (1..)
                .zip(several)
                .map(|(thread, workload)| {
                    let mut work = Work::new(fs.shared(), &source, thread);
                    scope.spawn(move || {
                        workload(&mut work, &mut Random::new(thread as u64));
                        (thread, work.done)
                    })
                })
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        }),
    };
    fs.unmount();
    (source.history(), promises)
}

/// Calls `visit` with crashes at moments of all the time.
fn crashes(
    history: &mut History,
    count: u64,
    unit: usize,
    mut visit: impl FnMut(&mut History, u64, usize, Arc<Crashed>, BTreeMap<usize, usize>),
) {
    let mut random = Random::new(11);
    let mut moments: Vec<usize> = (0..count)
        .map(|_| random.below(history.len() as u64 + 1) as usize)
        .collect();
    moments.sort_unstable();
    for (point, at) in (0..).zip(moments) {
        let (crashed, marks) = history.crash(at, unit, &mut random);
        visit(history, point, at, crashed, marks);
    }
}

fn kept(
    fs: &Mounted,
    promises: &[(usize, Promise)],
    marks: &BTreeMap<usize, usize>,
    is_repaired: bool,
    context: &str,
) {
    for (thread, promise) in promises {
        if let Some(mark) = marks.get(thread) {
            promise.check(fs, *mark, is_repaired, context);
        }
    }
}

fn say(name: &str, kind: &str, count: u64, history: &History) {
    println!(
        "{name} on {kind}: {count} crashes among {} events, {} flushes, {} KiB written",
        history.len(),
        history.flushes(),
        history.bytes_written() >> 10
    );
}

/// Crashes of images with a journal: all is as it was at some moment after the last sync.
fn survives(name: &str, workloads: &[Workload]) {
    let count = points(JOURNALED.len());
    for (kind, journal) in JOURNALED {
        let directory = scratch(&format!("crash-{name}-{}", kind.name));
        let image = fresh(&directory, kind, "12M");
        if let Some(journal) = journal {
            debugfs(&image, &format!("{journal}\njc\n"));
        }
        let (mut history, promises) = record(&image, workloads);
        let mut shown = Shown::new(&format!("{name}-{}", kind.name), &directory);
        crashes(
            &mut history,
            count,
            SECTOR,
            |history, point, at, crashed, marks| {
                let context = format!("{name} on {}, point {point}, event {at}", kind.name);
                shown.show(&crashed, &history.take_changed());
                if point % 3 == 0 {
                    // Others can read our log too: e2fsck replays it and finds nothing that needs a person.
                    let output = shown.repair("-p");
                    let text = String::from_utf8_lossy(&output.stdout);
                    assert!(output.status.code() < Some(4), "{context}\n{text}");
                    shown.must_be_clean(&context);
                    let fs = Mounted::over(shown.source(), &image, "");
                    kept(&fs, &promises, &marks, false, &context);
                }
                let fs = Mounted::over(crashed.clone(), &image, "");
                kept(&fs, &promises, &marks, false, &context);
                // It can be written to, and is then as clean as any.
                let node = fs.create(1, "after-the-crash");
                fs.write(node, 0, b"works");
                fs.unmount();
                shown.show(&crashed, &history.take_changed());
                shown.must_be_clean(&context);
            },
        );
        say(name, kind.name, count, &history);
    }
}

/// Crashes of images without a journal: e2fsck repairs them, and keeps what had been synced. Such a medium has to
/// write blocks as a whole.
fn is_repaired(name: &str, workloads: &[Workload]) {
    let count = points(PLAIN.len());
    for kind in PLAIN {
        let directory = scratch(&format!("repaired-{name}-{}", kind.name));
        let image = fresh(&directory, kind, "12M");
        let (mut history, promises) = record(&image, workloads);
        let mut shown = Shown::new(&format!("repaired-{name}-{}", kind.name), &directory);
        let mut by_hand = 0;
        crashes(
            &mut history,
            count,
            common::crashed::PAGE,
            |history, point, at, crashed, marks| {
                let context = format!("{name} on {}, point {point}, event {at}", kind.name);
                shown.show(&crashed, &history.take_changed());
                let mut output = shown.repair("-p");
                if output.status.code() >= Some(4) {
                    by_hand += 1;
                    output = shown.repair("-y");
                }
                let text = String::from_utf8_lossy(&output.stdout);
                shown.must_be_clean(&format!("{context}\n{text}"));
                let fs = Mounted::over(shown.source(), &image, "");
                kept(&fs, &promises, &marks, true, &format!("{context}\n{text}"));
                fs.unmount();
            },
        );
        say(name, kind.name, count, &history);
        println!("  {by_hand} of them needed e2fsck -y");
    }
}

#[test]
fn untar_survives() {
    survives("untar", &[untar]);
}

#[test]
fn renames_survive() {
    survives("renames", &[renames]);
}

#[test]
fn appends_survive() {
    survives("appends", &[appends]);
}

#[test]
fn orphans_survive() {
    survives("orphans", &[orphans]);
}

#[test]
fn truncates_survive() {
    survives("truncates", &[truncates]);
}

#[test]
fn directory_growth_survives() {
    survives("growth", &[growth]);
}

#[test]
fn pages_survive() {
    survives("pages", &[pages]);
}

/// What has its place already takes one flush, and no transaction.
#[test]
fn content_alone_is_not_committed() {
    let directory = scratch("content-alone");
    let image = fresh(&directory, &JOURNALED[0].0, "12M");
    let source = Arc::new(Recording::new(std::fs::read(&image).unwrap()));
    let fs = Mounted::over(source.clone(), &image, "");
    let events = || source.history().len(); // since the last time
    let node = fs.create(1, "file");
    fs.write(node, 0, &[1; 8192]);
    fs.sync_content();
    assert!(events() > 2, "its place is committed");
    fs.write(node, 4096, &[2; 4096]);
    fs.sync_content();
    assert_eq!(events(), 2, "a write and a flush");
    fs.sync_content();
    assert_eq!(events(), 0, "nothing to do");
    fs.sync();
    assert!(events() > 2, "the time is committed");
    fs.unmount();
}

#[test]
fn threads_survive() {
    survives("threads", &[untar, renames, appends, orphans]);
}

#[test]
fn untar_is_repaired_without_a_journal() {
    is_repaired("untar", &[untar]);
}

#[test]
fn renames_are_repaired_without_a_journal() {
    is_repaired("renames", &[renames]);
}

#[test]
fn appends_are_repaired_without_a_journal() {
    is_repaired("appends", &[appends]);
}

#[test]
fn orphans_are_repaired_without_a_journal() {
    is_repaired("orphans", &[orphans]);
}

#[test]
fn truncates_are_repaired_without_a_journal() {
    is_repaired("truncates", &[truncates]);
}

#[test]
fn pages_are_repaired_without_a_journal() {
    is_repaired("pages", &[pages]);
}

#[test]
fn directory_growth_is_repaired_without_a_journal() {
    is_repaired("growth", &[growth]);
}
