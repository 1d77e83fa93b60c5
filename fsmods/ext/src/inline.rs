//! Inline data: the first 60 bytes in `i_block`, the rest as the value of the attribute `system.data`
//! inside the same inode.

use std::borrow::Cow;

use crate::error::{Result, bad_inode};
use crate::geometry::Geometry;
use crate::inode::Inode;
use crate::xattr;

/// The two parts of an inode's inline data. The second may be empty.
pub(crate) fn parts<'a>(geometry: &Geometry, inode: &'a Inode) -> Result<(&'a [u8; 60], &'a [u8])> {
    let rest = xattr::inline_value(geometry, inode)?;
    Ok((&inode.block, rest))
}

/// The content of a file with inline data: exactly `inode.size` bytes.
pub(crate) fn content<'a>(geometry: &Geometry, inode: &'a Inode) -> Result<Cow<'a, [u8]>> {
    let size = usize::try_from(inode.size).unwrap_or(usize::MAX);
    if let Some(head) = inode.block.get(..size) {
        return Ok(Cow::Borrowed(head));
    }
    let (head, rest) = parts(geometry, inode)?;
    let missing = size.saturating_sub(head.len());
    match rest.get(..missing) {
        Some(rest) => Ok(Cow::Owned([&head[..], rest].concat())),
        None => {
            let detail = format!("has {} bytes of inline data and the size {size}", head.len() + rest.len());
            bad_inode(inode.number, detail)
        }
    }
}
