//! Extended attributes change: those inside the inode as long as there is room, the others in a block, which
//! several inodes may share until one changes it.

use super::blocks::Purpose;
use super::edit::{Edit, FLAG_APPEND, FLAG_IMMUTABLE};
use super::{Op, refuse};
use crate::acl;
use crate::bytes::{le16, le32, put, put16, put32, span};
use crate::crc::crc32c;
use crate::error::{Error, Result, bad_inode};
use crate::inode::{Inode, Kind};
use crate::xattr::{
    ENTRY_BYTES, Entry, HEADER_BYTES, INDEX_SYSTEM, MAGIC, attribute_block, named, split_name, walk,
};

const OLD_INODE_BYTES: usize = 128;
/// `XATTR_SIZE_MAX`.
const MAX_VALUE_BYTES: usize = 65536;

/// One attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Attribute {
    index: u8,
    name: Vec<u8>,
    value: Vec<u8>,
}

impl Attribute {
    fn bytes(&self) -> usize {
        let entry = ENTRY_BYTES
            .saturating_add(self.name.len())
            .next_multiple_of(4);
        entry.saturating_add(self.value.len().next_multiple_of(4))
    }

    fn is(&self, index: u8, name: &[u8]) -> bool {
        self.index == index && self.name == name
    }

    /// `e_hash`, of the name and the value in words.
    fn hash(&self) -> u32 {
        let mut hash = 0u32;
        for byte in &self.name {
            hash = hash.rotate_left(5) ^ u32::from(*byte);
        }
        for word in self.value.chunks(4) {
            hash = hash.rotate_left(16) ^ le32(&crate::bytes::array::<4>(&padded(word), 0), 0);
        }
        hash
    }
}

fn padded(word: &[u8]) -> [u8; 4] {
    let mut bytes = [0u8; 4];
    put(&mut bytes, 0, word);
    bytes
}

/// Writes attributes into `bytes`, entries from `first` on and values from the end down. They fit.
fn pack(bytes: &mut [u8], first: usize, list: &[Attribute]) {
    let mut at = first;
    let mut end = bytes.len() & !3;
    for attribute in list {
        let size = attribute.value.len().next_multiple_of(4);
        let mut offset = 0;
        if !attribute.value.is_empty() {
            end = end.saturating_sub(size);
            offset = end;
            put(bytes, end, &attribute.value);
        }
        put(bytes, at, &[attribute.name.len() as u8, attribute.index]);
        put16(bytes, at.saturating_add(2), offset as u16);
        put32(bytes, at.saturating_add(8), attribute.value.len() as u32);
        put32(bytes, at.saturating_add(12), attribute.hash());
        put(bytes, at.saturating_add(ENTRY_BYTES), &attribute.name);
        at = at.saturating_add(
            ENTRY_BYTES
                .saturating_add(attribute.name.len())
                .next_multiple_of(4),
        );
    }
}

/// Whether attributes fit into `room` bytes, with the four zero bytes that end the list.
fn fits(list: &[Attribute], room: usize) -> bool {
    let needed: usize = list.iter().map(Attribute::bytes).sum();
    needed.saturating_add(4) <= room
}

fn collect(
    bytes: &[u8],
    first: usize,
) -> std::result::Result<(Vec<Attribute>, bool), &'static str> {
    let mut list = Vec::new();
    let mut has_foreign = false;
    walk(bytes, first, |entry: Entry<'_>| {
        has_foreign |= entry.value_inode != 0;
        list.push(Attribute {
            index: entry.index,
            name: entry.name.to_vec(),
            value: entry.value.to_vec(),
        });
        None::<()>
    })?;
    Ok((list, has_foreign))
}

impl Op<'_> {
    /// An attribute as it is on disk.
    ///
    /// # Errors
    /// Faults of the attributes.
    pub(crate) fn raw_xattr(
        &self,
        inode: &Inode,
        index: u8,
        name: &[u8],
    ) -> Result<Option<Vec<u8>>> {
        let (body, block) = self.attributes_of(inode)?;
        let found = body
            .into_iter()
            .chain(block)
            .find(|attribute| attribute.is(index, name));
        Ok(found.map(|attribute| attribute.value))
    }

    /// The attributes inside an inode and in its block.
    fn attributes_of(&self, inode: &Inode) -> Result<(Vec<Attribute>, Vec<Attribute>)> {
        let (body, foreign) = named(inode, "inode", collect(&inode.xattr_body, 0))?;
        let mut list = (Vec::new(), false);
        if let Some(block) = attribute_block(&self.volume.blocks, &self.volume.geometry, inode)? {
            list = named(inode, "block", collect(block.data(), HEADER_BYTES))?;
        }
        if foreign || list.1 {
            return bad_inode(
                inode.number,
                "has attributes in inodes of their own, which can't be changed",
            );
        }
        Ok((body, list.0))
    }

    /// Where attributes inside the inode start (behind their magic), if it has room for any.
    fn body_start(&self, edit: &Edit) -> Option<usize> {
        let extra = usize::from(le16(&edit.bytes, 0x80));
        let start = OLD_INODE_BYTES.saturating_add(extra).saturating_add(4);
        (edit.bytes.len() > OLD_INODE_BYTES
            && extra > 0
            && start.saturating_add(4) <= edit.bytes.len())
        .then_some(start)
    }

    /// Sets (or with `None` removes) an attribute; the caller stores the inode.
    ///
    /// # Errors
    /// ENOSPC when there is no room, faults of the attributes.
    pub(crate) fn put_raw_xattr(
        &mut self,
        edit: &mut Edit,
        index: u8,
        name: &[u8],
        value: Option<&[u8]>,
    ) -> Result<()> {
        let inode = edit.inode(self.volume)?;
        let (mut body, mut block) = self.attributes_of(&inode)?;
        let before = (body.clone(), block.clone());
        body.retain(|attribute| !attribute.is(index, name));
        block.retain(|attribute| !attribute.is(index, name));
        if let Some(value) = value {
            let new = Attribute {
                index,
                name: name.to_vec(),
                value: value.to_vec(),
            };
            let room = self
                .body_start(edit)
                .map_or(0, |start| edit.bytes.len().saturating_sub(start));
            body.push(new.clone());
            if !fits(&body, room) {
                body.pop();
                block.push(new);
                block.sort_by(|a, b| {
                    (a.index, a.name.len(), &a.name).cmp(&(b.index, b.name.len(), &b.name))
                });
                let room = self.volume.geometry.block_size.saturating_sub(HEADER_BYTES);
                if !fits(&block, room) {
                    return refuse(libc::ENOSPC);
                }
            }
        }
        if body != before.0 {
            self.write_body(edit, &body);
        }
        if block != before.1 {
            self.write_block(edit, &block)?;
        }
        Ok(())
    }

    fn write_body(&self, edit: &mut Edit, list: &[Attribute]) {
        let Some(start) = self.body_start(edit) else {
            return;
        };
        let magic_at = start.saturating_sub(4);
        if let Some(region) = edit.bytes.get_mut(magic_at..) {
            region.fill(0);
        }
        if list.is_empty() {
            return;
        }
        put32(&mut edit.bytes, magic_at, MAGIC);
        if let Some(region) = edit.bytes.get_mut(start..) {
            pack(region, 0, list);
        }
    }

    fn write_block(&mut self, edit: &mut Edit, list: &[Attribute]) -> Result<()> {
        if list.is_empty() {
            return self.release_xattr_block(edit);
        }
        let mut number = edit.xattr_block();
        let is_shared = number != 0 && le32(self.volume.blocks.get(number)?.data(), 4) > 1;
        if is_shared {
            self.release_xattr_block(edit)?;
            number = 0;
        }
        if number == 0 {
            let goal = self.goal_of(edit.number);
            (number, _) = self.allocate(goal, 1, Purpose::Map)?;
            edit.add_blocks(self.volume, 1)?;
            edit.set_xattr_block(number);
        }
        let mut bytes = vec![0u8; self.volume.geometry.block_size];
        put32(&mut bytes, 0, MAGIC);
        put32(&mut bytes, 4, 1);
        put32(&mut bytes, 8, 1);
        let mut hash = 0u32;
        for attribute in list {
            hash = hash.rotate_left(16) ^ attribute.hash();
        }
        put32(&mut bytes, 12, hash);
        pack(&mut bytes, HEADER_BYTES, list);
        self.seal_xattr_block(number, &mut bytes);
        self.volume.blocks.replace(number, bytes.into())
    }

    fn seal_xattr_block(&self, number: u64, bytes: &mut [u8]) {
        let geometry = &self.volume.geometry;
        if !geometry.has_checksums() {
            return;
        }
        let mut crc = crc32c(geometry.checksum_seed, &number.to_le_bytes());
        crc = crc32c(crc, span(bytes, 0, 16));
        crc = crc32c(crc, &[0; 4]);
        crc = crc32c(crc, span(bytes, 20, bytes.len()));
        put32(bytes, 16, crc);
    }

    /// The inode no longer uses its block of attributes, which is freed with its last user.
    ///
    /// # Errors
    /// Faults of the block.
    pub(crate) fn release_xattr_block(&mut self, edit: &mut Edit) -> Result<()> {
        let number = edit.xattr_block();
        if number == 0 {
            return Ok(());
        }
        let inode = edit.inode(self.volume)?;
        let Some(block) = attribute_block(&self.volume.blocks, &self.volume.geometry, &inode)?
        else {
            return Ok(());
        };
        let users = le32(block.data(), 4);
        if users > 1 {
            let mut bytes = block.data().to_vec();
            put32(&mut bytes, 4, users.saturating_sub(1));
            self.seal_xattr_block(number, &mut bytes);
            self.volume.blocks.replace(number, bytes.into())?;
        } else {
            drop(block);
            self.free(number, 1, true)?;
        }
        edit.set_xattr_block(0);
        edit.add_blocks(self.volume, -1)
    }

    /// Takes the part of inline data away that lies among the attributes.
    ///
    /// # Errors
    /// Faults of the attributes.
    pub(crate) fn drop_inline_value(&mut self, edit: &mut Edit) -> Result<()> {
        self.put_raw_xattr(edit, INDEX_SYSTEM, b"data", None)
    }

    /// setxattr(2).
    ///
    /// # Errors
    /// EEXIST, ENODATA, EOPNOTSUPP, EINVAL, E2BIG, ENOSPC, EPERM.
    pub(crate) fn set_xattr(
        &mut self,
        number: u32,
        name: &[u8],
        value: &[u8],
        flags: i32,
    ) -> Result<()> {
        if value.len() > MAX_VALUE_BYTES {
            return refuse(libc::E2BIG);
        }
        let (index, rest) = split_name(name)?;
        if rest.len() > usize::from(u8::MAX) {
            return refuse(libc::ERANGE);
        }
        self.run(|op| {
            let mut edit = op.edit_changeable(number)?;
            let inode = edit.inode(op.volume)?;
            let exists = op.raw_xattr(&inode, index, rest)?.is_some();
            if exists && flags & libc::XATTR_CREATE != 0 {
                return refuse(libc::EEXIST);
            }
            if !exists && flags & libc::XATTR_REPLACE != 0 {
                return refuse(libc::ENODATA);
            }
            if index == acl::INDEX_ACCESS || index == acl::INDEX_DEFAULT {
                op.set_acl(&mut edit, &inode, index, value)?;
            } else {
                op.put_raw_xattr(&mut edit, index, rest, Some(value))?;
            }
            edit.changed();
            op.store(&mut edit)
        })
    }

    fn edit_changeable(&self, number: u32) -> Result<Edit> {
        let edit = self.edit(number)?;
        match edit.flags() & (FLAG_APPEND | FLAG_IMMUTABLE) {
            0 => Ok(edit),
            _ => refuse(libc::EPERM),
        }
    }

    /// Sets an ACL; an empty one removes it. An access ACL also sets the permission bits.
    fn set_acl(&mut self, edit: &mut Edit, inode: &Inode, index: u8, value: &[u8]) -> Result<()> {
        if inode.kind == Kind::Symlink {
            return refuse(libc::EOPNOTSUPP);
        }
        if index == acl::INDEX_DEFAULT && inode.kind != Kind::Directory {
            return refuse(libc::EACCES);
        }
        if value.len() <= 4 {
            return self.put_raw_xattr(edit, index, b"", None);
        }
        let (disk, bits, is_plain) = acl::from_linux(value).ok_or(Error::Refused(libc::EINVAL))?;
        if index == acl::INDEX_ACCESS {
            edit.set_mode(edit.mode() & !0o777 | bits);
            if is_plain {
                return self.put_raw_xattr(edit, index, b"", None);
            }
        }
        self.put_raw_xattr(edit, index, b"", Some(&disk))
    }

    /// removexattr(2).
    ///
    /// # Errors
    /// ENODATA, EOPNOTSUPP, EINVAL, EPERM.
    pub(crate) fn remove_xattr(&mut self, number: u32, name: &[u8]) -> Result<()> {
        let (index, rest) = split_name(name)?;
        self.run(|op| {
            let mut edit = op.edit_changeable(number)?;
            let inode = edit.inode(op.volume)?;
            if op.raw_xattr(&inode, index, rest)?.is_none() {
                // Removing an ACL that is not there leaves what was to be reached.
                return match index {
                    acl::INDEX_ACCESS | acl::INDEX_DEFAULT => Ok(()),
                    _ => refuse(libc::ENODATA),
                };
            }
            op.put_raw_xattr(&mut edit, index, rest, None)?;
            edit.changed();
            op.store(&mut edit)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_attributes_are_found_again() {
        let attribute = |index, name: &[u8], value: &[u8]| Attribute {
            index,
            name: name.to_vec(),
            value: value.to_vec(),
        };
        let list = vec![
            attribute(1, b"one", b"value"),
            attribute(1, b"none", b""),
            attribute(6, b"selinux", &[7; 30]),
        ];
        assert!(fits(&list, 108));
        assert!(!fits(&list, 107));
        let mut bytes = vec![0u8; 108];
        pack(&mut bytes, 0, &list);
        assert_eq!(collect(&bytes, 0), Ok((list, false)));
        assert_eq!(bytes[0], 3);
    }
}
