//! Inline data: the first 60 bytes in `i_block`, the rest as the value of the attribute `system.data`
//! inside the same inode.

use std::borrow::Cow;

use crate::bytes::span;
use crate::error::Result;
use crate::geometry::Geometry;
use crate::inode::Inode;
use crate::xattr;

/// The two parts of an inode's inline data. The second may be empty.
pub(crate) fn parts<'a>(geometry: &Geometry, inode: &'a Inode) -> Result<(&'a [u8; 60], &'a [u8])> {
    let rest = xattr::inline_value(geometry, inode)?;
    Ok((&inode.block, rest))
}

/// The inline content of a file: at most `inode.size` bytes. A file may be longer than its inline data
/// (mke2fs leaves sparse files so); the rest is a hole.
pub(crate) fn content<'a>(geometry: &Geometry, inode: &'a Inode) -> Result<Cow<'a, [u8]>> {
    let size = usize::try_from(inode.size).unwrap_or(usize::MAX);
    if let Some(head) = inode.block.get(..size) {
        return Ok(Cow::Borrowed(head));
    }
    let (head, rest) = parts(geometry, inode)?;
    let rest = span(rest, 0, size.saturating_sub(head.len()));
    Ok(Cow::Owned([&head[..], rest].concat()))
}
