//! A source that knows which bytes of an image a writer must leave alone.

use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Mutex;

use fuse_compat::{BlockSource, MemorySource};

use super::{debugfs, run};

/// What file content is made of in this test; metadata never has so much of it.
pub const CONTENT: [u8; 64] = [0xa7; 64];

/// The parts of an image that are the file system's own, as byte ranges.
#[derive(Clone, Default)]
pub struct Layout {
    /// Superblock, descriptors, bitmaps, inode tables, journal: never file content.
    pub own: Vec<Range<usize>>,
    /// What only mke2fs, resize2fs and e2fsck write.
    pub backups: Vec<Range<usize>>,
    /// The superblock and the descriptors in use.
    pub head: Range<usize>,
}

impl Layout {
    /// As dumpe2fs and debugfs see the image.
    pub fn of(image: &Path, has_journal: bool) -> Self {
        let output = run("dumpe2fs", &[image.to_str().unwrap()], &[0]);
        let text = String::from_utf8_lossy(&output.stdout);
        let field = |name: &str| -> usize {
            let line = text.lines().find(|line| line.starts_with(name)).unwrap();
            line.rsplit(' ').next().unwrap().parse().unwrap()
        };
        let size = field("Block size:");
        let range = |first: usize, last: usize| first * size..(last + 1) * size;
        let mut layout = Self::default();
        // "Block bitmap at 65 (+65)", "Inode table at 97-288": a place and what it is.
        let mut words = text.split([' ', '\n', ',']).peekable();
        let mut before = ["", ""];
        while let Some(word) = words.next() {
            if word == "at"
                && let Some(place) = words.peek()
            {
                let (first, last) = place.split_once('-').unwrap_or((place, place));
                let (Ok(first), Ok(last)) = (first.parse(), last.parse()) else {
                    continue;
                };
                match (before, first) {
                    (["Primary", "superblock"], _) | (["Group", "descriptors"], 1..3) => {
                        layout.own.push(range(first, last));
                        layout.head.end = (last + 1) * size;
                    }
                    (
                        ["Backup", "superblock"] | ["Group", "descriptors"] | ["GDT", "blocks"],
                        _,
                    ) => {
                        layout.backups.push(range(first, last));
                    }
                    _ => layout.own.push(range(first, last)),
                }
            }
            before = [before[1], word];
        }
        if has_journal {
            for number in debugfs(image, "blocks <8>\n").split_whitespace() {
                if let Ok(number) = number.parse() {
                    layout.own.push(range(number, number));
                }
            }
        }
        assert!(layout.own.len() >= 4, "{text}");
        layout
    }
}

/// An image in memory that is watched.
pub struct Guarded {
    image: MemorySource,
    start: Vec<u8>,
    /// Bytes that must stay as they are.
    kept: Vec<Range<usize>>,
    /// Where no file content may go.
    own: Vec<Range<usize>>,
    faults: Mutex<Vec<String>>,
}

fn overlap(a: &Range<usize>, b: &Range<usize>) -> Range<usize> {
    a.start.max(b.start)..a.end.min(b.end)
}

impl Guarded {
    pub fn new(start: Vec<u8>, kept: Vec<Range<usize>>, own: Vec<Range<usize>>) -> Self {
        Self {
            image: MemorySource::new(start.clone()),
            start,
            kept,
            own,
            faults: Mutex::default(),
        }
    }

    /// What was written where it must not be.
    pub fn faults(&self) -> Vec<String> {
        self.faults.lock().unwrap().clone()
    }
}

impl BlockSource for Guarded {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.image.read_at(offset, buf)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let start = offset as usize;
        let all = start..start + data.len();
        let part = |range: &Range<usize>| &data[range.start - start..range.end - start];
        for kept in &self.kept {
            let both = overlap(&all, kept);
            if !both.is_empty() && part(&both) != &self.start[both.clone()] {
                let fault = format!("{both:?} of {kept:?} is changed");
                self.faults.lock().unwrap().push(fault);
            }
        }
        for own in &self.own {
            let both = overlap(&all, own);
            if !both.is_empty() && part(&both).windows(64).any(|bytes| bytes == CONTENT) {
                let fault = format!("file content at {both:?} of {own:?}");
                self.faults.lock().unwrap().push(fault);
            }
        }
        self.image.write_at(offset, data)
    }

    fn flush(&self) -> io::Result<()> {
        self.image.flush()
    }

    fn size_bytes(&self) -> io::Result<u64> {
        self.image.size_bytes()
    }
}
