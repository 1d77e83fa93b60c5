//! Mutated and truncated images: whatever the bytes are, no panic, no hang, no unbounded memory, and
//! every fault comes with a line that names its place.
//!
//! `VIEW_MUTATIONS` sets the number of images (default 300), `VIEW_SEED` the first seed.

mod common;

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::{Lines, Random, debugfs, index_directories, make_image, scratch};
use fuse_compat::BlockSource;
use view_ext::{Error, Kind, Seek, Volume};

/// Longest walk of one image, in this build and on a loaded machine.
const MAX_SECONDS: u64 = 10;
/// Inodes looked at in one image: damage can make a directory contain itself under other numbers.
const MAX_INODES: usize = 4000;
/// Reads of the source for one image: far above what a walk of the intact one takes.
const MAX_READS: u64 = 400_000;

/// A small tree with one of everything.
fn images() -> Vec<(String, Vec<u8>)> {
    let place = scratch("mutated");
    let tree = place.join("tree");
    fs::create_dir(&tree).unwrap();
    let mut random = Random::new(3);
    for size in [0usize, 50, 100, 1000, 5000, 70_000] {
        fs::write(tree.join(format!("file-{size}")), random.bytes(size)).unwrap();
    }
    let holes = fs::File::create(tree.join("holes")).unwrap();
    for piece in 0..150u64 {
        std::os::unix::fs::FileExt::write_all_at(&holes, b"data", piece * 4096 + 2048).unwrap();
    }
    for length in [20, 60, 300] {
        std::os::unix::fs::symlink("l".repeat(length), tree.join(format!("link-{length}")))
            .unwrap();
    }
    let many = tree.join("many");
    fs::create_dir(&many).unwrap();
    for number in 0..150 {
        fs::hard_link(
            tree.join("file-50"),
            many.join(format!("a-name-of-some-length-{number}")),
        )
        .unwrap();
    }
    fs::create_dir_all(tree.join("a/b/c/d")).unwrap();
    fs::write(tree.join("a/b/c/d/file"), b"deep").unwrap();
    for number in 0..6usize {
        let name = format!("user.attribute{number}");
        let value = random.bytes(number * 20);
        rustix::fs::setxattr(
            tree.join("file-100"),
            name,
            &value,
            rustix::fs::XattrFlags::empty(),
        )
        .unwrap();
    }
    let kinds: [(&str, &[&str], bool); 5] = [
        ("ext2", &["-t", "ext2"], true),
        ("ext4", &["-t", "ext4"], true),
        ("ext4-nosum", &["-t", "ext4", "-O", "^metadata_csum"], true),
        (
            "ext4-inline",
            &["-t", "ext4", "-O", "inline_data,^metadata_csum,ea_inode"],
            false,
        ),
        ("ext3-unclean", &["-t", "ext3"], true),
    ];
    let mut images = Vec::new();
    for (name, options, is_indexed) in kinds {
        let image: PathBuf = place.join(format!("{name}.img"));
        let mut all = vec!["-b", "1024", "-N", "128"];
        all.extend_from_slice(options);
        make_image(&image, "3M", &all, &tree);
        if is_indexed {
            index_directories(&image);
        }
        if name == "ext3-unclean" {
            let data = place.join("data");
            fs::write(&data, random.bytes(5 * 1024)).unwrap();
            let commands = format!(
                "jo\njw -b 2000-2004 {0}\njw -r 2001\njw -b 2003-2007 {0}\njc\n",
                data.display()
            );
            debugfs(&image, &commands);
        }
        images.push((name.to_owned(), fs::read(&image).unwrap()));
    }
    images
}

/// A source in memory that counts.
struct Counted {
    bytes: Vec<u8>,
    reads: AtomicU64,
}

impl BlockSource for Counted {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        let from = usize::try_from(offset).map_err(|_| io::ErrorKind::UnexpectedEof)?;
        let held = from
            .checked_add(buf.len())
            .and_then(|to| self.bytes.get(from..to));
        buf.copy_from_slice(held.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_at(&self, _offset: u64, _data: &[u8]) -> io::Result<()> {
        panic!("a read-only driver writes nothing");
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }

    fn size_bytes(&self) -> io::Result<u64> {
        Ok(self.bytes.len() as u64)
    }
}

/// Blocks of 1 KiB that hold something: damage elsewhere is never seen.
fn used_blocks(bytes: &[u8]) -> Vec<usize> {
    let is_used = |block: &usize| {
        bytes[block * 1024..(block + 1) * 1024]
            .iter()
            .any(|byte| *byte != 0)
    };
    (0..bytes.len() / 1024).filter(is_used).collect()
}

/// Damages an image; answers what was done, for messages.
fn mutate(bytes: &mut Vec<u8>, used: &[usize], random: &mut Random) -> String {
    let kind = random.below(8);
    if kind == 0 {
        let length = usize::try_from(random.below(bytes.len() as u64)).unwrap();
        bytes.truncate(length);
        return format!("cut to {length} bytes");
    }
    let odd = [0u8, 1, 2, 0x7f, 0x80, 0xfe, 0xff];
    let count = 1 + random.below(if kind == 1 { 200 } else { 12 });
    for _ in 0..count {
        // Most metadata lies in the first used blocks.
        let few = random.below(3) > 0;
        let choices = if few { used.len().min(120) } else { used.len() } as u64;
        let block = used[usize::try_from(random.below(choices)).unwrap()];
        let at = block * 1024 + usize::try_from(random.below(1024)).unwrap();
        match kind {
            2 => bytes[at] ^= 1 << random.below(8),
            3 => bytes[at] = odd[usize::try_from(random.below(7)).unwrap()],
            4 => {
                // An aligned word gets the value of another place, or an extreme one.
                let word = [
                    0u32,
                    1,
                    u32::MAX,
                    0x8000_0000,
                    block as u32,
                    random.next() as u32,
                ];
                let value = word[usize::try_from(random.below(6)).unwrap()];
                bytes[at & !3..(at & !3) + 4].copy_from_slice(&value.to_le_bytes());
            }
            5 => {
                let from = used[usize::try_from(random.below(choices)).unwrap()] * 1024;
                bytes.copy_within(from..from + 1024, block * 1024);
            }
            6 => bytes[block * 1024..(block + 1) * 1024].fill(0),
            _ => bytes[at] = random.next() as u8,
        }
    }
    format!("{count} changes of kind {kind}")
}

/// What a walk met.
#[derive(Default)]
struct Walk {
    errnos: BTreeMap<i32, u64>,
    inodes: usize,
    faults: u64,
}

impl Walk {
    fn note<T>(&mut self, result: Result<T, Error>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                *self.errnos.entry(error.errno()).or_default() += 1;
                if matches!(error.errno(), libc_errno::EUCLEAN | libc_errno::EIO) {
                    self.faults += 1;
                    let line = error.problem().expect("a fault has a place").to_string();
                    let named = ["inode ", "block ", "group ", "superblock", "journal"];
                    assert!(
                        named.iter().any(|place| line.starts_with(place)) && !line.contains('\n'),
                        "{line}"
                    );
                }
                None
            }
        }
    }
}

/// Linux's numbers.
mod libc_errno {
    pub const EUCLEAN: i32 = 117;
    pub const EIO: i32 = 5;
    pub const ALLOWED: [i32; 8] = [117, 5, 6, 7, 20, 22, 61, 95];
}

/// Looks at everything that can be reached from the root.
fn walk(volume: &Volume) -> Walk {
    let mut seen = HashSet::new();
    let mut walk = Walk::default();
    let mut waiting = vec![volume.root().expect("a mounted root")];
    while let Some(inode) = waiting.pop() {
        if !seen.insert(inode.number) || seen.len() > MAX_INODES {
            continue;
        }
        walk.inodes += 1;
        if let Some(names) = walk.note(volume.list_xattrs(&inode)) {
            for name in names
                .split(|byte| *byte == 0)
                .filter(|name| !name.is_empty())
            {
                walk.note(volume.xattr(&inode, name));
            }
        }
        match inode.kind {
            Kind::Directory => {
                let mut entries = Vec::new();
                walk.note(volume.list(&inode, 0, &mut |entry| {
                    entries.push((entry.name.to_vec(), entry.next));
                    ControlFlow::Continue(())
                }));
                walk.note(volume.fail_if_damaged(&inode));
                for (name, next) in &entries {
                    if let Some(Some(child)) = walk.note(volume.lookup(&inode, name)) {
                        waiting.push(child);
                    }
                    walk.note(volume.list(&inode, next ^ 1, &mut |_| ControlFlow::Break(())));
                }
                walk.note(volume.lookup(&inode, b"absent"));
            }
            Kind::Symlink => drop(walk.note(volume.read_link(&inode))),
            Kind::Regular => {
                let mut buf = vec![0; 65536];
                walk.note(volume.read(&inode, 0, &mut buf));
                walk.note(volume.read(&inode, inode.size.saturating_sub(1024), &mut buf));
                walk.note(volume.read(&inode, inode.size / 2, &mut buf));
                let mut at = 0;
                for _ in 0..20 {
                    let Some(data) = walk.note(volume.seek(&inode, at, Seek::Data)) else {
                        break;
                    };
                    let Some(hole) = walk.note(volume.seek(&inode, data, Seek::Hole)) else {
                        break;
                    };
                    assert!(data >= at && hole > data);
                    at = hole;
                }
            }
            _ => {}
        }
    }
    let _ = volume.statistics();
    walk
}

/// Peak of this process's memory.
fn peak_kilobytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn variable(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().unwrap())
}

#[test]
fn damaged_images_never_break_the_driver() {
    let images = images();
    let used: Vec<Vec<usize>> = images.iter().map(|(_, bytes)| used_blocks(bytes)).collect();
    // The intact images first: the walk has to see all of them, so that damage can show.
    for (name, bytes) in &images {
        let lines = Lines::default();
        let source = Arc::new(Counted {
            bytes: bytes.clone(),
            reads: AtomicU64::new(0),
        });
        let volume = Volume::open(source, "", lines.sink())
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let found = walk(&volume);
        assert_eq!(found.faults, 0, "{name}: {:?}", lines.all());
        assert!(found.inodes >= 18, "{name}: {}", found.inodes);
    }
    let before = peak_kilobytes();
    let count = variable("VIEW_MUTATIONS", 300);
    let first = variable("VIEW_SEED", 0);
    let (mut mounted, mut refused, mut faults, mut lines_total) = (0u64, 0u64, 0u64, 0usize);
    let mut errnos: BTreeMap<i32, u64> = BTreeMap::new();
    let mut slowest = Duration::ZERO;
    let doing = Arc::new(Mutex::new((String::new(), Instant::now())));
    watch(Arc::clone(&doing));
    for seed in first..first + count {
        let mut random = Random::new(seed + 1);
        let number = usize::try_from(random.below(images.len() as u64)).unwrap();
        let (name, original) = &images[number];
        let mut bytes = original.clone();
        let what = mutate(&mut bytes, &used[number], &mut random);
        *doing.lock().unwrap() = (format!("seed {seed}, {name}, {what}"), Instant::now());
        let start = Instant::now();
        let lines = Lines::default();
        let source = Arc::new(Counted {
            bytes,
            reads: AtomicU64::new(0),
        });
        let options = if random.below(4) == 0 { "noload" } else { "" };
        match Volume::open(Arc::<Counted>::clone(&source), options, lines.sink()) {
            Ok(volume) => {
                mounted += 1;
                let found = walk(&volume);
                faults += found.faults;
                for (errno, count) in found.errnos {
                    assert!(
                        libc_errno::ALLOWED.contains(&errno),
                        "seed {seed}: errno {errno}"
                    );
                    *errnos.entry(errno).or_default() += count;
                }
            }
            Err(error) => {
                refused += 1;
                assert!(!error.to_string().is_empty() && error.errno() > 0);
            }
        }
        let reads = source.reads.load(Ordering::Relaxed);
        assert!(
            reads < MAX_READS,
            "seed {seed}, {name}, {what}: {reads} reads"
        );
        slowest = slowest.max(start.elapsed());
        lines_total += lines.all().len();
    }
    doing.lock().unwrap().0.clear();
    let grown = peak_kilobytes().saturating_sub(before);
    println!(
        "{count} damaged images: {mounted} mounted, {refused} refused, {faults} faults answered, {lines_total} lines \
         logged, errnos {errnos:?}, slowest {slowest:?}, memory grew by {grown} KiB"
    );
    assert!(
        mounted * 4 > count,
        "most damage leaves an image that can be walked"
    );
    assert!(faults > 0 || count < 50, "the damage is seen");
    assert!(grown < 64 << 10, "memory grew by {grown} KiB");
}

/// Ends the process with a message when one image takes too long (a hang can't be caught otherwise).
fn watch(doing: Arc<Mutex<(String, Instant)>>) {
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(Duration::from_millis(200));
            let (what, since) = doing.lock().unwrap().clone();
            if !what.is_empty() && since.elapsed() > Duration::from_secs(MAX_SECONDS) {
                eprintln!("{what}: not done after {MAX_SECONDS} seconds");
                std::process::exit(1);
            }
        }
    });
}
