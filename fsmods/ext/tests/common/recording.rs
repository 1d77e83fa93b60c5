//! A source that records every write and flush, so that the image can be built as any crash could have left it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, RwLock};

use fuse_compat::{BlockSource, MemorySource};

use super::Random;
use super::crashed::{Crashed, PAGE};

/// The unit that the medium writes whole.
pub const SECTOR: usize = 512;

/// What happened to the source, in order.
pub enum Event {
    Write(u64, Vec<u8>),
    Flush,
    /// A thread's own mark: that state of it is durable from here on.
    Mark(usize, usize),
}

/// An image in memory with a history.
pub struct Recording {
    start: Vec<u8>,
    current: MemorySource,
    events: Mutex<Vec<Event>>,
}

impl Recording {
    pub fn new(start: Vec<u8>) -> Self {
        Self {
            current: MemorySource::new(start.clone()),
            start,
            events: Mutex::default(),
        }
    }

    /// From here on the state `mark` of `thread` has to survive.
    pub fn mark(&self, thread: usize, mark: usize) {
        self.events.lock().unwrap().push(Event::Mark(thread, mark));
    }

    /// All that happened, once nobody writes any more.
    pub fn history(&self) -> History {
        History {
            events: std::mem::take(&mut self.events.lock().unwrap()),
            durable: Arc::new(RwLock::new(self.start.clone())),
            applied: 0,
            marks: BTreeMap::new(),
            changed: BTreeSet::new(),
        }
    }
}

impl BlockSource for Recording {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.current.read_at(offset, buf)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.current.write_at(offset, data)?;
        let event = Event::Write(offset, data.to_vec());
        self.events.lock().unwrap().push(event);
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        self.events.lock().unwrap().push(Event::Flush);
        Ok(())
    }

    fn size_bytes(&self) -> io::Result<u64> {
        self.current.size_bytes()
    }
}

/// What was recorded, with the image as it was at the last flush before a point that moves on.
pub struct History {
    events: Vec<Event>,
    durable: Arc<RwLock<Vec<u8>>>,
    /// Events whose writes `durable` has.
    applied: usize,
    /// The last mark of each thread among them.
    marks: BTreeMap<usize, usize>,
    /// Pages of `durable` that have changed since they were asked for.
    changed: BTreeSet<u64>,
}

/// What a crash loses.
#[derive(Clone, Copy)]
enum Loss {
    All,
    Nothing,
    /// So many of 16 units, in any order.
    Some(u64),
    /// Everything after some write, and that one is torn.
    Tail,
}

impl History {
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Bytes written to a range of the image, all in all.
    pub fn bytes_written(&self) -> u64 {
        let sizes = self.events.iter().map(|event| match event {
            Event::Write(_, data) => data.len() as u64,
            _ => 0,
        });
        sizes.sum()
    }

    pub fn flushes(&self) -> usize {
        let is_flush = |event: &&Event| matches!(event, Event::Flush);
        self.events.iter().filter(is_flush).count()
    }

    /// Pages of the durable image that have changed since this was asked last.
    pub fn take_changed(&mut self) -> BTreeSet<u64> {
        std::mem::take(&mut self.changed)
    }

    fn advance(&mut self, to: usize) {
        let mut durable = self.durable.write().unwrap();
        for event in &self.events[self.applied..to] {
            if let Event::Write(offset, data) = event {
                let start = *offset as usize;
                durable[start..start + data.len()].copy_from_slice(data);
                let last = (offset + data.len() as u64 - 1) / PAGE as u64;
                self.changed.extend(offset / PAGE as u64..=last);
            }
        }
        self.applied = self.applied.max(to);
    }

    /// The image after a crash at event `at`, which must not be less than last time, and each thread's last mark
    /// before. Of what was written since the last flush, units of `unit` bytes are lost or kept at random; of two
    /// writes to one unit the later one wins or is lost.
    pub fn crash(
        &mut self,
        at: usize,
        unit: usize,
        random: &mut Random,
    ) -> (Arc<Crashed>, BTreeMap<usize, usize>) {
        let at = at.min(self.events.len());
        let last_flush = self.events[..at]
            .iter()
            .rposition(|event| matches!(event, Event::Flush))
            .map_or(0, |place| place + 1);
        for event in &self.events[self.applied.min(at)..at] {
            if let Event::Mark(thread, mark) = event {
                self.marks.insert(*thread, *mark);
            }
        }
        if last_flush > self.applied {
            self.advance(last_flush);
        }
        let crashed = Crashed::over(Arc::clone(&self.durable));
        let loss = match random.below(8) {
            0 => Loss::All,
            1 => Loss::Nothing,
            2 | 3 => Loss::Tail,
            _ => Loss::Some(1 + random.below(15)),
        };
        // Some media tear writes, others lose whole ones.
        let is_torn = random.below(3) > 0;
        let writes: Vec<(u64, &Vec<u8>)> = self.events[last_flush..at]
            .iter()
            .filter_map(|event| match event {
                Event::Write(offset, data) => Some((*offset, data)),
                _ => None,
            })
            .collect();
        let last = random.below(writes.len() as u64) as usize;
        for (index, (offset, data)) in writes.into_iter().enumerate() {
            let is_whole_kept = random.below(2) == 0;
            let mut from = 0;
            while from < data.len() {
                // Units lie at multiples of their size in the image, wherever the write starts.
                let place = offset as usize + from;
                let end = (place / unit * unit + unit - offset as usize).min(data.len());
                let is_kept = match loss {
                    Loss::All => false,
                    Loss::Nothing => true,
                    Loss::Some(of_16) if is_torn => random.below(16) < of_16,
                    Loss::Some(_) => is_whole_kept,
                    Loss::Tail if index == last => random.below(2) == 0,
                    Loss::Tail => index < last,
                };
                if is_kept {
                    crashed.write_at(place as u64, &data[from..end]).unwrap();
                }
                from = end;
            }
        }
        (Arc::new(crashed), self.marks.clone())
    }
}
