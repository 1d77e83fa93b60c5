//! Changed blocks of metadata that have not reached their homes: those of the running transaction, and those
//! that are in the log but still have to be written home (checkpointed).
//!
//! A block can be both: then its committed content is kept beside the newer one. The changes of one operation
//! can be taken back until it ends, which is what makes every operation all or nothing.
//!
//! Lock: `state` is a leaf. Only the holder of the volume's write lock changes anything here.

use std::sync::Arc;

use foldhash::{HashMap, HashMapExt};
use parking_lot::RwLock;

use crate::blocks::Block;

/// One changed block.
#[derive(Clone)]
struct Change {
    newest: Arc<Block>,
    /// Content that the log holds and the home does not.
    committed: Option<Arc<Block>>,
    /// `newest` is not in the log yet.
    is_running: bool,
    /// Freed in the running transaction.
    is_released: bool,
}

#[derive(Default)]
struct State {
    changes: HashMap<u64, Change>,
    /// What the blocks touched by the current operation were before it.
    undo: Option<HashMap<u64, Option<Change>>>,
    running: usize,
    /// The running transaction has more than times of inodes.
    is_needed_by_content: bool,
}

impl State {
    fn remember(&mut self, number: u64) {
        if let Some(undo) = &mut self.undo {
            undo.entry(number)
                .or_insert_with(|| self.changes.get(&number).cloned());
        }
    }

    fn count(&mut self) {
        let running = |change: &&Change| change.is_running || change.is_released;
        self.running = self.changes.values().filter(running).count();
    }
}

/// The changed blocks of a volume.
#[derive(Default)]
pub(crate) struct Changes {
    state: RwLock<State>,
}

/// What a transaction consists of.
pub(crate) struct Transaction {
    /// Blocks and their new content, in ascending order.
    pub(crate) blocks: Vec<(u64, Arc<Block>)>,
    /// Freed blocks of which the log holds older content, in ascending order.
    pub(crate) revoked: Vec<u64>,
}

impl Changes {
    /// The newest content of a changed block.
    pub(crate) fn get(&self, number: u64) -> Option<Arc<Block>> {
        let state = self.state.read();
        let change = state.changes.get(&number)?;
        (!change.is_released).then(|| Arc::clone(&change.newest))
    }

    /// Blocks in the running transaction.
    pub(crate) fn running(&self) -> usize {
        self.state.read().running
    }

    /// Has the running transaction anything that content which was written needs to be found again? Without it, making
    /// the content durable is all that fdatasync(2) asks for.
    pub(crate) fn is_needed_by_content(&self) -> bool {
        self.state.read().is_needed_by_content
    }

    /// Puts new content into the running transaction.
    pub(crate) fn put(&self, number: u64, block: Arc<Block>) {
        self.put_as(number, block, true);
    }

    /// The same, when nothing but times of inodes is new.
    pub(crate) fn put_times(&self, number: u64, block: Arc<Block>) {
        self.put_as(number, block, false);
    }

    fn put_as(&self, number: u64, block: Arc<Block>, is_needed_by_content: bool) {
        let mut state = self.state.write();
        state.is_needed_by_content |= is_needed_by_content;
        state.remember(number);
        let before = state.changes.remove(&number);
        let was_running = before
            .as_ref()
            .is_some_and(|change| change.is_running || change.is_released);
        if !was_running {
            state.running = state.running.saturating_add(1);
        }
        let change = Change {
            newest: block,
            committed: before.and_then(|change| change.committed),
            is_running: true,
            is_released: false,
        };
        state.changes.insert(number, change);
    }

    /// Takes a freed block out of the running transaction.
    pub(crate) fn release(&self, number: u64) {
        let mut state = self.state.write();
        state.is_needed_by_content = true;
        state.remember(number);
        let Some(mut change) = state.changes.remove(&number) else {
            return;
        };
        let was_running = change.is_running || change.is_released;
        if change.committed.is_some() {
            change.is_running = false;
            change.is_released = true;
            state.changes.insert(number, change);
            if !was_running {
                state.running = state.running.saturating_add(1);
            }
        } else if was_running {
            state.running = state.running.saturating_sub(1);
        }
    }

    /// From now on changes can be taken back.
    pub(crate) fn begin(&self) {
        self.state.write().undo = Some(HashMap::new());
    }

    /// Keeps the changes since [`Changes::begin`].
    pub(crate) fn keep(&self) {
        self.state.write().undo = None;
    }

    /// Takes back the changes since [`Changes::begin`].
    pub(crate) fn take_back(&self) {
        let mut state = self.state.write();
        for (number, before) in state.undo.take().unwrap_or_default() {
            match before {
                Some(change) => drop(state.changes.insert(number, change)),
                None => drop(state.changes.remove(&number)),
            }
        }
        state.count();
    }

    /// The running transaction.
    pub(crate) fn transaction(&self) -> Transaction {
        let state = self.state.read();
        let mut blocks = Vec::new();
        let mut revoked = Vec::new();
        for (number, change) in &state.changes {
            if change.is_released {
                revoked.push(*number);
            } else if change.is_running {
                blocks.push((*number, Arc::clone(&change.newest)));
            }
        }
        blocks.sort_unstable_by_key(|(number, _)| *number);
        revoked.sort_unstable();
        Transaction { blocks, revoked }
    }

    /// The running transaction is in the log.
    pub(crate) fn committed(&self) {
        let mut state = self.state.write();
        state.changes.retain(|_, change| !change.is_released);
        for change in state
            .changes
            .values_mut()
            .filter(|change| change.is_running)
        {
            change.committed = Some(Arc::clone(&change.newest));
            change.is_running = false;
        }
        state.running = 0;
        state.is_needed_by_content = false;
    }

    /// Blocks whose committed content has to go home, in ascending order; also those whose release is not
    /// committed yet.
    pub(crate) fn homeless(&self) -> Vec<(u64, Arc<Block>)> {
        let state = self.state.read();
        let mut blocks: Vec<_> = state
            .changes
            .iter()
            .filter_map(|(number, change)| Some((*number, Arc::clone(change.committed.as_ref()?))))
            .collect();
        blocks.sort_unstable_by_key(|(number, _)| *number);
        blocks
    }

    /// All of [`Changes::homeless`] is home. Answers the blocks that are not changed any more.
    pub(crate) fn came_home(&self) -> Vec<(u64, Arc<Block>)> {
        let mut state = self.state.write();
        let mut clean = Vec::new();
        state.changes.retain(|number, change| {
            change.committed = None;
            let stays = change.is_running;
            if !stays && !change.is_released {
                clean.push((*number, Arc::clone(&change.newest)));
            }
            stays
        });
        state.count();
        clean
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(byte: u8) -> Arc<Block> {
        Arc::new(Block::new(vec![byte; 4].into()))
    }

    fn byte(changes: &Changes, number: u64) -> Option<u8> {
        changes.get(number).map(|block| block.data()[0])
    }

    #[test]
    fn an_operation_can_be_taken_back() {
        let changes = Changes::default();
        changes.put(1, block(1));
        changes.begin();
        changes.put(1, block(2));
        changes.put(2, block(2));
        changes.release(1);
        assert_eq!(byte(&changes, 1), None);
        changes.take_back();
        assert_eq!((byte(&changes, 1), byte(&changes, 2)), (Some(1), None));
        assert_eq!(changes.running(), 1);
    }

    #[test]
    fn times_alone_are_not_needed_by_content() {
        let changes = Changes::default();
        changes.put_times(1, block(1));
        assert!(!changes.is_needed_by_content() && changes.running() == 1);
        changes.put(2, block(1));
        assert!(changes.is_needed_by_content());
        changes.committed();
        assert!(!changes.is_needed_by_content());
        changes.release(2);
        assert!(changes.is_needed_by_content());
    }

    #[test]
    fn committed_content_goes_home_while_newer_content_runs() {
        let changes = Changes::default();
        changes.put(1, block(1));
        changes.put(2, block(1));
        changes.committed();
        assert_eq!(changes.running(), 0);
        changes.put(1, block(2));
        changes.release(2);
        let transaction = changes.transaction();
        assert_eq!(transaction.blocks.len(), 1);
        assert_eq!(transaction.revoked, [2]);
        let homeless = changes.homeless();
        assert_eq!(homeless.len(), 2);
        assert_eq!(homeless[0].1.data()[0], 1);
        assert!(changes.came_home().is_empty());
        assert_eq!(byte(&changes, 1), Some(2));
        changes.committed();
        assert_eq!(changes.homeless()[0].1.data()[0], 2);
    }
}
