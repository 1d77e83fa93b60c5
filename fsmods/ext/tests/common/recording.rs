//! A source that records every write and flush, so that the image can be built as any crash could have left it.

use std::io;
use std::sync::Mutex;

use fuse_compat::{BlockSource, MemorySource};

use super::Random;

/// What happened to the source, in order.
pub enum Event {
    Write(u64, Vec<u8>),
    Flush,
    /// The test's own marks: what was durable from here on.
    Mark(usize),
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

    /// From here on the state `mark` has to survive.
    pub fn mark(&self, mark: usize) {
        self.events.lock().unwrap().push(Event::Mark(mark));
    }

    pub fn len(&self) -> usize {
        self.events.lock().unwrap().len()
    }

    /// The image after a crash at event `at`, and the last mark before. Writes since the last flush are lost, torn into
    /// sectors or kept at random.
    pub fn crash(&self, at: usize, random: &mut Random) -> (Vec<u8>, Option<usize>) {
        let events = self.events.lock().unwrap();
        let past = &events[..at.min(events.len())];
        let last_flush = past
            .iter()
            .rposition(|event| matches!(event, Event::Flush))
            .map_or(0, |place| place + 1);
        let mut image = self.start.clone();
        let mut mark = None;
        let mut apply = |offset: u64, data: &[u8]| {
            let offset = offset as usize;
            image[offset..offset + data.len()].copy_from_slice(data);
        };
        for event in &past[..last_flush] {
            if let Event::Write(offset, data) = event {
                apply(*offset, data);
            }
        }
        let mut loose: Vec<(u64, &[u8])> = Vec::new();
        for event in &past[last_flush..] {
            if let Event::Write(offset, data) = event {
                // The medium keeps sectors whole, nothing else.
                for (index, sector) in data.chunks(4096).enumerate() {
                    loose.push((offset + index as u64 * 4096, sector));
                }
            }
        }
        let kept = random.below(4);
        let mut chosen: Vec<(usize, (u64, &[u8]))> = loose
            .into_iter()
            .enumerate()
            .filter(|_| match kept {
                0 => false,
                1 => true,
                _ => random.below(2) == 0,
            })
            .collect();
        // Reordered, except that of two writes to one place the later one wins or is lost.
        for index in (1..chosen.len()).rev() {
            let other = random.below(index as u64 + 1) as usize;
            chosen.swap(index, other);
        }
        let mut newest = std::collections::HashMap::new();
        for (order, (offset, sector)) in chosen {
            let place = newest.entry(offset).or_insert((order, sector));
            if order > place.0 {
                *place = (order, sector);
            }
        }
        for (offset, (_, sector)) in newest {
            apply(offset, sector);
        }
        for event in past {
            if let Event::Mark(number) = event {
                mark = Some(*number);
            }
        }
        (image, mark)
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
