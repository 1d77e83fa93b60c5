//! From a place in a file to a place in the image.
//!
//! | Module     | Responsibility                                  |
//! |------------|-------------------------------------------------|
//! | `extents`  | ext4's trees of extents, to depth 5             |
//! | `indirect` | ext2's direct and indirect blocks, three levels |
//!
//! Both answer with a [`Run`]: as many blocks from the asked one on as are of one kind.

pub(crate) mod extents;
pub(crate) mod indirect;

use crate::blocks::Blocks;
use crate::error::Result;
use crate::geometry::Geometry;
use crate::inode::Inode;

/// What a run of file blocks is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Content {
    /// Nothing is allocated: reads as zeros.
    #[default]
    Hole,
    /// Allocated from this block on, but never written: reads as zeros.
    Unwritten(u64),
    /// Data in consecutive blocks from this one on.
    Data(u64),
}

/// Consecutive blocks of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Run {
    /// First block, counted in the file.
    pub start: u64,
    /// Number of blocks; at least 1, except in the default value.
    pub count: u64,
    /// Where they are.
    pub content: Content,
}

impl Run {
    /// The part of the run from `block` on; `None` when it isn't inside.
    fn cut_before(self, block: u64) -> Option<Self> {
        let skipped = block.checked_sub(self.start)?;
        let count = self.count.checked_sub(skipped).filter(|count| *count > 0)?;
        let content = match self.content {
            Content::Hole => Content::Hole,
            Content::Unwritten(at) => Content::Unwritten(at.saturating_add(skipped)),
            Content::Data(at) => Content::Data(at.saturating_add(skipped)),
        };
        Some(Self {
            start: block,
            count,
            content,
        })
    }
}

/// The run that starts at block `block` of the file. Not for inodes with inline data.
///
/// # Errors
/// Corrupt or unreadable maps.
pub(crate) fn run_at(
    blocks: &Blocks,
    geometry: &Geometry,
    inode: &Inode,
    block: u64,
) -> Result<Run> {
    let last = *inode.last_run.lock();
    if let Some(run) = last.cut_before(block) {
        return Ok(run);
    }
    let run = match inode.has_extents() {
        true => extents::run_at(blocks, geometry, inode, block)?,
        false => indirect::run_at(blocks, geometry, inode, block)?,
    };
    *inode.last_run.lock() = run;
    Ok(run)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_cut_at_its_front() {
        let run = Run {
            start: 10,
            count: 5,
            content: Content::Data(100),
        };
        assert_eq!(run.cut_before(9), None);
        assert_eq!(run.cut_before(15), None);
        assert_eq!(
            run.cut_before(12),
            Some(Run {
                start: 12,
                count: 3,
                content: Content::Data(102)
            })
        );
        assert_eq!(Run::default().cut_before(0), None);
    }
}
