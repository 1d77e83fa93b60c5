//! What is done to an image before it crashes, and what has to be left of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fuse_compat::RenameFlags;

use super::Random;
use super::recording::Recording;
use super::writable::Mounted;

/// Files by path with their content, as they were synced.
pub type Synced = BTreeMap<String, Arc<Vec<u8>>>;

/// A thread's work: what it synced, by mark.
pub struct Work<'a> {
    pub fs: Mounted,
    source: &'a Recording,
    thread: usize,
    /// The directory that it works in, and its path with a slash.
    root: u64,
    prefix: String,
    now: Synced,
    between: Between,
    pub done: Promise,
}

/// What happened on the way to a mark.
#[derive(Default)]
struct Between {
    /// All that files were; `None` for files whose content changes in place.
    contents: BTreeMap<String, Option<Vec<Arc<Vec<u8>>>>>,
    /// Files that were given another name, by their old one.
    moves: BTreeMap<String, String>,
}

/// What a thread was promised.
#[derive(Default)]
pub struct Promise {
    marks: Vec<Synced>,
    /// By mark.
    between: Vec<Between>,
}

impl<'a> Work<'a> {
    /// In the root directory for thread 0, else in one of its own.
    pub fn new(fs: Mounted, source: &'a Recording, thread: usize) -> Self {
        let (root, prefix) = match thread {
            0 => (1, String::new()),
            _ => {
                let name = format!("thread-{thread}");
                (fs.mkdir(1, &name), name + "/")
            }
        };
        Self {
            fs,
            source,
            thread,
            root,
            prefix,
            now: Synced::new(),
            between: Between::default(),
            done: Promise::default(),
        }
    }

    fn sync(&mut self) {
        self.fs.sync();
        self.mark();
    }

    fn sync_content(&mut self) {
        self.fs.sync_content();
        self.mark();
    }

    fn mark(&mut self) {
        self.source.mark(self.thread, self.done.marks.len());
        self.done.marks.push(self.now.clone());
        self.done.between.push(std::mem::take(&mut self.between));
    }

    /// The file at `path` now has that content, all of it at once.
    fn is_now(&mut self, path: &str, content: Vec<u8>) {
        let content = Arc::new(content);
        let path = format!("{}{path}", self.prefix);
        if let Some(all) = self
            .between
            .contents
            .entry(path.clone())
            .or_insert(Some(Vec::new()))
        {
            all.push(Arc::clone(&content));
        }
        self.now.insert(path, content);
    }

    /// The same for a file that is changed in place.
    fn is_changed_to(&mut self, path: &str, content: Vec<u8>) {
        let path = format!("{}{path}", self.prefix);
        self.between.contents.insert(path.clone(), None);
        self.now.insert(path, Arc::new(content));
    }

    fn is_moved(&mut self, from: &str, to: &str) {
        let (from, to) = (self.prefix.clone() + from, self.prefix.clone() + to);
        let content = self.now.remove(&from).unwrap();
        let all = Some(vec![Arc::clone(&content)]);
        self.between.contents.insert(to.clone(), all);
        self.now.insert(to.clone(), content);
        self.between.moves.insert(from, to);
    }

    fn is_gone(&mut self, path: &str) {
        let path = format!("{}{path}", self.prefix);
        self.now.remove(&path);
    }

    /// A file that never changes again.
    fn file(&mut self, parent: u64, path: &str, content: Vec<u8>) -> u64 {
        let name = path.rsplit('/').next().unwrap();
        let node = self.fs.create(parent, name);
        self.fs.write(node, 0, &content);
        // Until the next sync it may be there in part.
        self.is_changed_to(path, content);
        node
    }
}

pub fn untar(work: &mut Work<'_>, random: &mut Random) {
    for number in 0..12 {
        let name = format!("directory-{number}");
        let directory = work.fs.mkdir(work.root, &name);
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

/// The way editors save: a new file takes the name of the old one.
pub fn renames(work: &mut Work<'_>, random: &mut Random) {
    let content = random.bytes(5000);
    work.file(work.root, "saved", content);
    let content = random.bytes(300);
    work.file(work.root, "moved", content);
    let other = work.fs.mkdir(work.root, "other");
    work.sync();
    let places = [
        (work.root, "moved", "moved"),
        (other, "moved-there", "other/moved-there"),
    ];
    let mut place = 0;
    for round in 0..80 {
        let size = 3000 + random.below(9000) as usize;
        let content = random.bytes(size);
        let node = work.fs.create(work.root, "saved.new");
        work.fs.write(node, 0, &content);
        // Replacing a file by another that isn't synced: as with Linux, what is synced by then is one of them.
        let is_synced_first = round % 2 == 0;
        if is_synced_first {
            work.sync();
        }
        work.fs
            .rename(
                (work.root, "saved.new"),
                (work.root, "saved"),
                RenameFlags::empty(),
            )
            .unwrap();
        work.is_now("saved", content);
        work.fs.forget_all();
        if round % 5 == 4 {
            // From one directory to the other and back.
            let (from, to) = (places[place], places[1 - place]);
            let flags = RenameFlags::empty();
            work.fs
                .rename((from.0, from.1), (to.0, to.1), flags)
                .unwrap();
            work.is_moved(from.2, to.2);
            place = 1 - place;
        }
        if round % 4 == 3 {
            work.sync();
        }
    }
}

pub fn appends(work: &mut Work<'_>, random: &mut Random) {
    let node = work.fs.create(work.root, "log");
    let mut content = Vec::new();
    for _ in 0..120 {
        let size = random.below(7000) as usize + 1;
        let data = random.bytes(size);
        work.fs.write(node, content.len() as u64, &data);
        content.extend_from_slice(&data);
        work.is_changed_to("log", content.clone());
        work.sync();
    }
}

/// Files that are removed while they are open.
pub fn orphans(work: &mut Work<'_>, random: &mut Random) {
    for round in 0..30 {
        let name = format!("gone-{round}");
        let content = random.bytes(60_000);
        let node = work.file(work.root, &name, content);
        work.sync();
        work.fs.unlink(work.root, &name).unwrap();
        work.is_gone(&name);
        work.fs.write(node, 60_000, &random.bytes(9000));
        work.sync();
        if round % 3 == 0 {
            work.fs.forget_all();
        }
        let content = random.bytes(3000);
        work.file(work.root, &format!("kept-{round}"), content);
    }
    work.sync();
}

pub fn truncates(work: &mut Work<'_>, random: &mut Random) {
    let node = work.fs.create(work.root, "size");
    for _ in 0..40 {
        let size = random.below(800_000);
        // Every second block, so that the map is large.
        for piece in 0..random.below(60) {
            work.fs.write(node, piece * 8192, &random.bytes(1000));
        }
        work.fs.truncate(node, size);
        let content = work.fs.read_all(node);
        work.is_changed_to("size", content);
        work.sync();
    }
}

/// A directory that grows and shrinks again.
pub fn growth(work: &mut Work<'_>, _: &mut Random) {
    let directory = work.fs.mkdir(work.root, "many");
    let node = work.file(directory, "many/first", b"content".to_vec());
    let name = |number: u32| format!("a-name-of-some-length-so-that-blocks-fill-{number}");
    for number in 0..1500 {
        work.fs.link(node, directory, &name(number));
        work.is_now(&format!("many/{}", name(number)), b"content".to_vec());
        if number % 100 == 99 {
            work.sync();
        }
    }
    for number in 0..1400 {
        work.fs.unlink(directory, &name(number)).unwrap();
        work.is_gone(&format!("many/{}", name(number)));
        if number % 100 == 99 {
            work.sync();
        }
    }
}

/// What a database does: pages are written over in place, or added, and fdatasync(2) is all that is asked for.
pub fn pages(work: &mut Work<'_>, random: &mut Random) {
    const PAGE: usize = 1024;
    let mut files = Vec::new();
    for number in 0..8 {
        let path = format!("pages-{number}");
        let content = random.bytes(PAGE * 12);
        let node = work.file(work.root, &path, content.clone());
        files.push((path, node, content));
    }
    work.sync();
    for round in 0..80 {
        let (path, node, content) = &mut files[random.below(8) as usize];
        let pages = content.len() / PAGE;
        let page = match round % 5 {
            4 => pages,
            _ => random.below(pages as u64) as usize,
        };
        let data = random.bytes(PAGE);
        work.fs.write(*node, (page * PAGE) as u64, &data);
        content.truncate(content.len().max(page * PAGE));
        content.splice(page * PAGE..content.len().min((page + 1) * PAGE), data);
        work.is_changed_to(path, content.clone());
        work.sync_content();
    }
}

fn find(fs: &Mounted, path: &str) -> Result<u64, i32> {
    path.split('/')
        .try_fold(1, |parent, name| fs.lookup(parent, name))
}

impl Promise {
    /// What had been synced at `mark` is there, unless the thread has gone on to change it; and what had been removed by
    /// then is not. `is_repaired`: by e2fsck, after a crash without a journal.
    pub fn check(&self, fs: &Mounted, mark: usize, is_repaired: bool, context: &str) {
        let held = &self.marks[mark];
        let next = self.marks.get(mark + 1);
        let none = Between::default();
        let between = self.between.get(mark + 1).unwrap_or(&none);
        for (path, content) in held {
            let is_removed = next.is_some_and(|next| !next.contains_key(path));
            match (find(fs, path), between.contents.get(path)) {
                // Changed in place: any mixture.
                (Ok(_), Some(None)) if !path.ends_with("log") => {}
                (Ok(node), Some(None)) => {
                    let mut found = fs.read_all(node);
                    let most = next.map_or(content, |next| &next[path]).len();
                    if is_repaired && found.iter().skip(most).all(|byte| *byte == 0) {
                        // Blocks whose inode did not get to say how long the file is now.
                        found.truncate(most);
                    }
                    let is_kept = found.starts_with(content);
                    let is_right = next.is_none_or(|next| next[path].starts_with(&found));
                    let later = next.map_or(content, |next| &next[path]);
                    let bad = found.iter().zip(&**later).position(|(a, b)| a != b);
                    assert!(
                        is_kept && is_right,
                        "{context}: {path}: {} synced, {} at the next sync, {} found, wrong at {bad:?}",
                        content.len(),
                        later.len(),
                        found.len()
                    );
                }
                (Ok(node), Some(Some(others))) => {
                    let found = fs.read_all(node);
                    let is_one = found == **content || others.iter().any(|one| **one == found);
                    assert!(is_one, "{context}: {path} has {} bytes", found.len());
                }
                (Ok(node), None) => {
                    let found = fs.read_all(node);
                    let (has, had) = (found.len(), content.len());
                    assert!(found == **content, "{context}: {path}: {has} bytes, {had}");
                }
                (Err(libc::ENOENT), _) if is_removed => {
                    if let Some(to) = between.moves.get(path) {
                        let node = find(fs, to).unwrap_or_else(|_| panic!("{context}: {path}"));
                        assert!(fs.read_all(node) == **content, "{context}: {to}");
                    }
                }
                (Err(error), _) => panic!("{context}: {path}: {error}"),
            }
        }
        let was: BTreeSet<&String> = self.marks[..mark].iter().flat_map(Synced::keys).collect();
        for path in was {
            let is_back = between.contents.contains_key(path);
            if !held.contains_key(path) && !is_back {
                let found = find(fs, path);
                assert_eq!(found, Err(libc::ENOENT), "{context}: {path} came back");
            }
        }
    }
}
