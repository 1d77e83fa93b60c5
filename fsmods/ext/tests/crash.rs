//! Crashes: a workload is recorded down to its writes and flushes, and the image is built as a crash at any of
//! many moments could have left it. After the next mount e2fsck(8) finds nothing, and what was synced is there.

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use fuse_compat::RenameFlags;

use common::recording::Recording;
use common::writable::{KINDS, Kind, Mounted, check, fresh};
use common::{Random, scratch};

/// Files by path with their content, as they were synced.
type Synced = BTreeMap<String, Vec<u8>>;

/// A workload: what it synced, by mark. Files named `v-...` change after that and only have to be one of theirs.
struct Workload<'a> {
    fs: Mounted,
    source: &'a Recording,
    marks: Vec<Synced>,
    now: Synced,
    /// All that a file whose content is only ever replaced as a whole has been.
    versions: Vec<Vec<u8>>,
}

impl Workload<'_> {
    fn sync(&mut self) {
        self.fs.sync();
        self.source.mark(self.marks.len());
        self.marks.push(self.now.clone());
    }

    /// A file that never changes again.
    fn file(&mut self, parent: u64, path: &str, content: Vec<u8>) -> u64 {
        let name = path.rsplit('/').next().unwrap();
        let node = self.fs.create(parent, name);
        self.fs.write(node, 0, &content);
        self.now.insert(path.to_owned(), content);
        node
    }
}

fn untar(work: &mut Workload<'_>, random: &mut Random) {
    for number in 0..12 {
        let name = format!("directory-{number}");
        let directory = work.fs.mkdir(1, &name);
        for file in 0..12 {
            let size = random.below(30_000) as usize;
            let content = random.bytes(size);
            work.file(directory, &format!("{name}/file-{file}"), content);
        }
        if number % 3 == 2 {
            work.sync();
        }
    }
}

fn renames(work: &mut Workload<'_>, random: &mut Random) {
    // The way editors save: a new file takes the name of the old one.
    let content = random.bytes(5000);
    work.file(1, "saved", content);
    work.sync();
    for round in 0..60 {
        let size = 3000 + random.below(9000) as usize;
        let content = random.bytes(size);
        let node = work.fs.create(1, "saved.new");
        work.fs.write(node, 0, &content);
        work.fs
            .rename((1, "saved.new"), (1, "saved"), RenameFlags::empty())
            .unwrap();
        work.versions.push(content.clone());
        work.now.insert("saved".to_owned(), content);
        work.fs.forget_all();
        if round % 4 == 3 {
            work.sync();
        }
    }
}

fn appends(work: &mut Workload<'_>, random: &mut Random) {
    let node = work.fs.create(1, "log");
    let mut content = Vec::new();
    for _ in 0..60 {
        let size = random.below(7000) as usize + 1;
        let data = random.bytes(size);
        work.fs.write(node, content.len() as u64, &data);
        content.extend_from_slice(&data);
        work.now.insert("log".to_owned(), content.clone());
        work.sync();
    }
}

fn orphans(work: &mut Workload<'_>, random: &mut Random) {
    for round in 0..25 {
        let name = format!("gone-{round}");
        let node = work.fs.create(1, &name);
        work.fs.write(node, 0, &random.bytes(60_000));
        work.sync();
        work.fs.unlink(1, &name).unwrap();
        work.fs.write(node, 60_000, &random.bytes(9000));
        work.sync();
        if round % 3 == 0 {
            work.fs.forget_all();
        }
        let content = random.bytes(3000);
        work.file(1, &format!("kept-{round}"), content);
    }
    work.sync();
}

fn truncates(work: &mut Workload<'_>, random: &mut Random) {
    let node = work.fs.create(1, "size");
    for _ in 0..40 {
        let size = random.below(800_000);
        // Every second block, so that the map is large.
        for piece in 0..random.below(60) {
            work.fs.write(node, piece * 8192, &random.bytes(1000));
        }
        work.fs.truncate(node, size);
        let content = work.fs.read_all(node);
        work.now.insert("size".to_owned(), content);
        work.sync();
    }
}

fn growth(work: &mut Workload<'_>, _: &mut Random) {
    let directory = work.fs.mkdir(1, "many");
    let node = work.file(directory, "many/first", b"content".to_vec());
    for number in 0..1500 {
        let name = format!("a-name-of-some-length-so-that-blocks-fill-{number}");
        work.fs.link(node, directory, &name);
        work.now.insert(format!("many/{name}"), b"content".to_vec());
        if number % 100 == 99 {
            work.sync();
        }
    }
    for number in 0..1400 {
        let name = format!("a-name-of-some-length-so-that-blocks-fill-{number}");
        work.fs.unlink(directory, &name).unwrap();
        work.now.remove(&format!("many/{name}"));
        if number % 100 == 99 {
            work.sync();
        }
    }
}

/// What a database does: pages are written over in place, or added, and fdatasync(2) is all that is asked for.
fn pages(work: &mut Workload<'_>, random: &mut Random) {
    const PAGE: usize = 1024;
    let mut nodes = Vec::new();
    for number in 0..8 {
        let content = random.bytes(PAGE * 12);
        nodes.push(work.file(1, &format!("pages-{number}"), content));
    }
    work.sync();
    for round in 0..80 {
        let number = random.below(8) as usize;
        let path = format!("pages-{number}");
        let mut content = work.now.get(&path).unwrap().clone();
        let page = match round % 5 {
            4 => content.len() / PAGE,
            _ => random.below((content.len() / PAGE) as u64) as usize,
        };
        let data = random.bytes(PAGE);
        work.fs.write(nodes[number], (page * PAGE) as u64, &data);
        content.truncate(content.len().max(page * PAGE));
        content.splice(page * PAGE..content.len().min((page + 1) * PAGE), data);
        work.now.insert(path, content);
        work.fs.sync_content();
        work.source.mark(work.marks.len());
        work.marks.push(work.now.clone());
    }
}

fn find(fs: &Mounted, path: &str) -> Result<u64, i32> {
    path.split('/')
        .try_fold(1, |parent, name| fs.lookup(parent, name))
}

/// Every file synced last is there with its content, unless the workload went on to change it.
fn compare(fs: &Mounted, synced: &Synced, later: &[Synced], versions: &[Vec<u8>], context: &str) {
    for (path, content) in synced {
        // What a later sync shows differently may already have happened.
        let states: Vec<Option<&Vec<u8>>> = later.iter().map(|state| state.get(path)).collect();
        let is_stable = states.iter().all(|state| *state == Some(content));
        match find(fs, path) {
            Ok(node) if is_stable => {
                let found = fs.read_all(node);
                assert!(
                    &found == content,
                    "{context}: {path} has other {} bytes",
                    found.len()
                );
            }
            Ok(node) => {
                let found = fs.read_all(node);
                let is_append = found.starts_with(content);
                let is_later = states
                    .iter()
                    .flatten()
                    .any(|state| **state == found || state.starts_with(&found));
                assert!(
                    &found == content
                        || (is_append && path == "log")
                        || is_later
                        || (path == "saved" && versions.contains(&found))
                        || path == "size",
                    "{context}: {path} has {} bytes",
                    found.len()
                );
            }
            Err(libc::ENOENT) if states.contains(&None) => {}
            Err(error) => panic!("{context}: {path}: {error}"),
        }
    }
}

fn points() -> u64 {
    std::env::var("VIEW_EXT_CRASH_POINTS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(210)
}

fn crash_at_many_points(name: &str, kind: &Kind, workload: fn(&mut Workload<'_>, &mut Random)) {
    let directory = scratch(&format!("crash-{name}-{}", kind.name));
    let image = fresh(&directory, kind, "12M");
    let source = Arc::new(Recording::new(std::fs::read(&image).unwrap()));
    let mut random = Random::new(5);
    let mut work = Workload {
        fs: Mounted::over(source.clone(), &image, ""),
        source: &source,
        marks: Vec::new(),
        now: Synced::new(),
        versions: Vec::new(),
    };
    workload(&mut work, &mut random);
    let Workload {
        fs,
        marks,
        versions,
        ..
    } = work;
    fs.unmount();
    let crashed = directory.join("crashed");
    // Seven workloads share the number of points.
    for point in 0..points().div_ceil(7) {
        let at = random.below(source.len() as u64 + 1) as usize;
        let (bytes, mark) = source.crash(at, &mut random);
        std::fs::write(&crashed, &bytes).unwrap();
        if point % 3 == 0 {
            // Others can read our log too: e2fsck replays it and finds nothing that needs a person.
            let other = directory.join("replayed-by-e2fsck");
            std::fs::write(&other, &bytes).unwrap();
            common::run("e2fsck", &["-fp", other.to_str().unwrap()], &[0, 1]);
            check(&other);
        }
        let context = format!("{name} on {}, point {point}, event {at}", kind.name);
        recover(&crashed, &context, mark, &marks, &versions);
    }
}

fn recover(
    crashed: &Path,
    context: &str,
    mark: Option<usize>,
    marks: &[Synced],
    versions: &[Vec<u8>],
) {
    let fs = Mounted::open(crashed, "");
    if let Some(mark) = mark {
        // The sync under way at the crash may have succeeded too, and more may have been committed by size.
        let later = &marks[mark + 1..(mark + 2).min(marks.len())];
        compare(&fs, &marks[mark], later, versions, context);
    }
    // It can be written to, and is then as clean as any.
    let node = fs.create(1, "after-the-crash");
    fs.write(node, 0, b"works");
    fs.unmount();
    let output = common::run(
        "e2fsck",
        &["-fn", crashed.to_str().unwrap()],
        &[0, 4, 8, 12],
    );
    assert!(
        output.status.success(),
        "{context}\n{}",
        String::from_utf8_lossy(&output.stdout)
    );
    check(crashed);
}

fn journaled() -> impl Iterator<Item = &'static Kind> {
    KINDS
        .iter()
        .filter(|kind| matches!(kind.name, "ext4" | "ext4-1k" | "ext3"))
}

#[test]
fn untar_survives() {
    journaled().for_each(|kind| crash_at_many_points("untar", kind, untar));
}

#[test]
fn renames_survive() {
    journaled().for_each(|kind| crash_at_many_points("renames", kind, renames));
}

#[test]
fn appends_survive() {
    journaled().for_each(|kind| crash_at_many_points("appends", kind, appends));
}

#[test]
fn orphans_survive() {
    journaled().for_each(|kind| crash_at_many_points("orphans", kind, orphans));
}

#[test]
fn truncates_survive() {
    journaled().for_each(|kind| crash_at_many_points("truncates", kind, truncates));
}

#[test]
fn directory_growth_survives() {
    journaled().for_each(|kind| crash_at_many_points("growth", kind, growth));
}

#[test]
fn pages_survive() {
    journaled().for_each(|kind| crash_at_many_points("pages", kind, pages));
}

/// What has its place already takes one flush, and no transaction.
#[test]
fn content_alone_is_not_committed() {
    let directory = scratch("content-alone");
    let image = fresh(&directory, &KINDS[0], "12M");
    let source = Arc::new(Recording::new(std::fs::read(&image).unwrap()));
    let fs = Mounted::over(source.clone(), &image, "");
    let node = fs.create(1, "file");
    fs.write(node, 0, &[1; 8192]);
    fs.sync_content();
    let before = source.len();
    fs.write(node, 4096, &[2; 4096]);
    fs.sync_content();
    assert_eq!(source.len() - before, 2, "a write and a flush");
    fs.sync_content();
    assert_eq!(source.len() - before, 2, "nothing to do");
    fs.sync();
    assert!(source.len() - before > 2, "the time is committed");
    fs.unmount();
    check(&image_of(&directory, &source));
}

fn image_of(directory: &Path, source: &Recording) -> std::path::PathBuf {
    let path = directory.join("ended");
    let (bytes, _) = source.crash(source.len(), &mut Random::new(1));
    std::fs::write(&path, bytes).unwrap();
    path
}
