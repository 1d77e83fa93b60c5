//! How much each nearly full filesystem has left, kept up to date between two looks at it.
//!
//! Neighbours: `traced` (takes from it at the entry of a call), `view-vfs`'s `object::room`. No locks.

use super::call::{Descriptor, WritingCall};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Weak};
use view_vfs::object::{Dentry, Instance};
use view_vfs::page_cache::Blocks;

/// What a call may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Whatever it likes.
    Goes,
    /// It takes these bytes of this filesystem; they are taken off already.
    Takes(Taken),
    /// It may write so many bytes, which take these.
    Short(u64, Taken),
    /// Nothing: there is no room.
    Refused,
    /// Others are writing, or room is about to come back: what there is then is not known yet.
    Waits,
}

/// Room that a call that runs uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Taken {
    device: u64,
    bytes: u64,
}

struct Account {
    instance: Weak<Instance>,
    left: i64,
    blocks: Blocks,
    /// Bytes that running calls may be writing.
    running: u64,
}

/// The filesystems that are nearly full.
#[derive(Default)]
pub(super) struct Ledger(HashMap<u64, Account>);

impl Ledger {
    /// Only these are there now; their figures are what was found.
    pub(super) fn keep(&mut self, devices: &HashSet<u64>) {
        self.0.retain(|device, _| devices.contains(device));
    }

    /// Looks at one that is nearly full.
    pub(super) fn look(&mut self, instance: &Arc<Instance>) {
        let account = self.0.entry(instance.device()).or_insert_with(|| Account {
            instance: Arc::downgrade(instance),
            left: 0,
            blocks: Blocks {
                bytes: 1,
                has_maps: false,
            },
            running: 0,
        });
        account.look();
    }

    pub(super) fn has(&self, device: u64) -> bool {
        self.0.contains_key(&device)
    }

    /// A call that took room has ended: how much it has used the next look tells.
    pub(super) fn ended(&mut self, taken: Taken) {
        if let Some(account) = self.0.get_mut(&taken.device) {
            account.running = account.running.saturating_sub(taken.bytes);
        }
    }

    /// May this call write to this file? `is_patient`: it may wait for room that is about to come back.
    pub(super) fn ask(
        &mut self,
        call: &WritingCall,
        descriptor: &Descriptor,
        dentry: &Dentry,
        is_patient: bool,
    ) -> Verdict {
        let device = dentry.instance().device();
        let Some(account) = self.0.get_mut(&device).filter(|_| descriptor.is_writable()) else {
            return Verdict::Goes;
        };
        let size = descriptor.size();
        let range = call.range(size, descriptor.appends(), descriptor.position);
        let holes = descriptor.hole_bytes(range.start.min(size)..range.end.min(size));
        let growth = |account: &Account| Growth {
            size,
            stored: dentry.inode().stored_bytes().unwrap_or(0),
            blocks: account.blocks,
            holes,
        };
        let (start, end) = (range.start, range.end);
        let take = |account: &mut Account, end: u64| {
            let bytes = growth(account).bytes(start, end);
            account.take(bytes).then_some(Taken { device, bytes })
        };
        let mut taken = take(account, end);
        if taken.is_none() {
            if account.running > 0 {
                return Verdict::Waits;
            }
            account.look();
            taken = take(account, end);
        }
        if taken.is_none() {
            dentry.instance().give_back();
            account.look();
            taken = take(account, end);
        }
        if let Some(taken) = taken {
            return match taken.bytes {
                0 => Verdict::Goes,
                _ => Verdict::Takes(taken),
            };
        }
        if is_patient && dentry.instance().frees_soon() {
            return Verdict::Waits;
        }
        let last = growth(account).last_end(start, end, account.left);
        if holes > 0 || last <= start {
            return Verdict::Refused;
        }
        match take(account, last) {
            Some(taken) => Verdict::Short(last - start, taken),
            None => Verdict::Refused,
        }
    }
}

impl Account {
    fn look(&mut self) {
        let room = self.instance.upgrade().and_then(|one| one.room());
        let running = i64::try_from(self.running).unwrap_or(i64::MAX);
        match room {
            Some(room) => {
                self.left = room.left.saturating_sub(running);
                self.blocks = room.blocks;
            }
            // Gone, or without a limit now.
            None => self.left = i64::MAX,
        }
    }

    fn take(&mut self, bytes: u64) -> bool {
        let Ok(wanted) = i64::try_from(bytes) else {
            return false;
        };
        // What takes nothing is no concern, however little there is.
        let fits = wanted <= self.left.max(0);
        if fits {
            self.left -= wanted;
            self.running = self.running.saturating_add(bytes);
        }
        fits
    }
}

/// What writing takes of a filesystem.
#[derive(Clone, Copy, Debug)]
struct Growth {
    /// Size of the file.
    size: u64,
    /// Bytes that the filesystem has given it.
    stored: u64,
    blocks: Blocks,
    /// Bytes of holes that would be written to.
    holes: u64,
}

impl Growth {
    /// New bytes when everything from `start` to `end` is written.
    fn bytes(&self, start: u64, end: u64) -> u64 {
        if end <= start {
            return 0;
        }
        let whole = self.blocks.whole(self.size);
        let mut bytes = 0;
        if self.holes > 0 && self.stored < whole {
            bytes = self.blocks.whole(self.holes);
        }
        let first = start / self.blocks.bytes * self.blocks.bytes;
        if first > whole {
            let behind = self.blocks.whole(end).saturating_sub(first);
            return bytes + self.blocks.with_map(behind);
        }
        // Space behind the end may be there already.
        let held = self.blocks.with_map(whole).max(self.stored);
        let wanted = self.blocks.with_map(self.blocks.whole(end).max(whole));
        bytes + wanted.saturating_sub(held)
    }

    /// How far a write from `start` on, to `end` at most, gets with `left` bytes.
    fn last_end(&self, start: u64, end: u64, left: i64) -> u64 {
        let left = u64::try_from(left).unwrap_or(0);
        let (mut fits, mut fails) = (start, end);
        while fits < fails {
            let middle = fits + (fails - fits).div_ceil(2);
            match self.bytes(start, middle) <= left {
                true => fits = middle,
                false => fails = middle - 1,
            }
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: u64 = 1024;

    fn growth(size: u64, stored: u64, holes: u64) -> Growth {
        Growth {
            size,
            stored,
            blocks: Blocks {
                bytes: BLOCK,
                has_maps: true,
            },
            holes,
        }
    }

    #[test]
    fn only_new_blocks_count() {
        assert_eq!(growth(100, 1024, 0).bytes(100, 200), 0);
        assert_eq!(growth(100, 0, 0).bytes(100, 1025), 1024);
        assert_eq!(growth(4096, 4096, 0).bytes(0, 4096), 0);
        assert_eq!(growth(4096, 8192, 0).bytes(4096, 8192), 0, "reserved");
        assert_eq!(growth(0, 0, 0).bytes(1 << 20, (1 << 20) + 1), BLOCK);
        assert_eq!(growth(1 << 20, 0, 4096).bytes(0, 4096), 4096, "a hole");
        assert_eq!(growth(10, 0, 0).bytes(5, 5), 0);
        let large = 100 * BLOCK;
        assert_eq!(growth(0, 0, 0).bytes(0, large), large + 2 * BLOCK);
    }

    #[test]
    fn a_short_write_fits() {
        let file = growth(5000, 0, 0);
        for left in (0..1_000_000).step_by(777) {
            let end = file.last_end(5000, 2_000_000, left);
            assert!(file.bytes(5000, end) <= left as u64, "{left}");
            assert!(file.bytes(5000, end + 1) > left as u64, "{left}");
        }
        assert_eq!(
            file.last_end(5000, 9000, 0),
            5120,
            "to the end of the block"
        );
        assert_eq!(file.last_end(5000, 5001, 0), 5001);
        assert_eq!(growth(0, 0, 0).last_end(0, 100, -5), 0);
    }
}
