//! The auxiliary vector on the stack of a program that has just been executed: words that the kernel filled in by its own
//! ids, in a view that has others.
//!
//! Neighbours: `exec` (calls this at the exec event). Reference: getauxval(3), linux/auxvec.h; fs/binfmt_elf.c for the
//! order on the stack: argc, argv, envp, then pairs of words up to AT_NULL.

use super::session::Session;
use view_sys::memory;

/// The words of the vector that tell ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdWords {
    /// AT_UID
    pub uid: u32,
    /// AT_EUID
    pub effective_uid: u32,
    /// AT_GID
    pub gid: u32,
    /// AT_EGID
    pub effective_gid: u32,
    /// AT_SECURE: the C library does not trust the environment.
    pub secure: bool,
}

/// More words than arguments and environment can have (the kernel caps them at 6 MiB of strings).
const MOST_WORDS: usize = 1 << 20;
const BLOCK: usize = 4096;

/// Overwrites the words. Best effort: a program that may not be inspected keeps the kernel's.
pub(super) fn patch(session: &Session, words: IdWords) {
    let Some(start) = stack_start(session.tid()) else {
        return;
    };
    let mut reader = Words {
        tid: session.tid(),
        start,
        at: 0,
        bytes: Vec::new(),
    };
    let Some(arguments) = reader.next() else {
        return;
    };
    // The arguments and their null, then the environment and its own.
    for _ in 0..=arguments.min(MOST_WORDS as u64) {
        reader.next();
    }
    while reader.next().is_some_and(|pointer| pointer != 0) {}
    while let (Some(key), address, Some(_)) = (reader.next(), reader.address(), reader.next()) {
        let value = match key {
            libc::AT_NULL => return,
            libc::AT_UID => words.uid,
            libc::AT_EUID => words.effective_uid,
            libc::AT_GID => words.gid,
            libc::AT_EGID => words.effective_gid,
            libc::AT_SECURE => u32::from(words.secure),
            _ => continue,
        };
        let _ = session.write(address, &u64::from(value).to_le_bytes());
    }
}

/// Where the stack began: field 28 of /proc/TID/stat.
fn stack_start(tid: u32) -> Option<u64> {
    let text = std::fs::read(format!("/proc/{tid}/stat")).ok()?;
    let end = text.iter().rposition(|&byte| byte == b')')?;
    let rest = std::str::from_utf8(text.get(end + 1..)?).ok()?;
    let start = rest.split_ascii_whitespace().nth(25)?.parse().ok()?;
    (start != 0).then_some(start)
}

/// Reads words upwards from an address, in blocks.
struct Words {
    tid: u32,
    start: u64,
    at: usize,
    bytes: Vec<u8>,
}

impl Words {
    /// Where the next word is.
    fn address(&self) -> u64 {
        self.start.wrapping_add(self.at as u64)
    }

    fn next(&mut self) -> Option<u64> {
        if self.at + 8 > self.bytes.len() {
            if self.bytes.len() >= MOST_WORDS * 8 {
                return None;
            }
            let mut block = [0; BLOCK];
            let address = self.start.wrapping_add(self.bytes.len() as u64);
            // Up to the page's end: behind the stack nothing is mapped.
            let length = BLOCK - address as usize % BLOCK;
            let count = memory::read(self.tid, address, block.get_mut(..length)?).ok()?;
            self.bytes.extend_from_slice(block.get(..count)?);
        }
        let word = self.bytes.get(self.at..self.at + 8)?.first_chunk::<8>()?;
        self.at += 8;
        Some(u64::from_le_bytes(*word))
    }
}
