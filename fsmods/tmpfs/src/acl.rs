//! POSIX access control lists as extended attributes (acl(5); layout: Linux `include/uapi/linux/posix_acl_xattr.h`).
//!
//! An access ACL and the permission bits are two views of one thing: setting one changes the other.

use fuse_compat::Errno;

/// Name of the attribute with the access ACL.
pub(crate) const ACCESS: &str = "system.posix_acl_access";
/// Name of the attribute with the default ACL of a directory.
pub(crate) const DEFAULT: &str = "system.posix_acl_default";

const VERSION: u32 = 2;
const UNDEFINED_ID: u32 = u32::MAX;

const USER_OBJ: u16 = 0x01;
const USER: u16 = 0x02;
const GROUP_OBJ: u16 = 0x04;
const GROUP: u16 = 0x08;
const MASK: u16 = 0x10;
const OTHER: u16 = 0x20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    tag: u16,
    perm: u16,
    id: u32,
}

/// A valid list: owner, users, owning group, groups, mask, others, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Acl(Vec<Entry>);

impl Acl {
    /// Reads an attribute value. Errors: `EINVAL` (malformed), `EOPNOTSUPP` (other version).
    pub(crate) fn parse(bytes: &[u8]) -> Result<Acl, Errno> {
        let (version, rest) = bytes.split_first_chunk::<4>().ok_or(Errno::EINVAL)?;
        if u32::from_le_bytes(*version) != VERSION {
            return Err(Errno::EOPNOTSUPP);
        }
        let (entries, remainder) = rest.as_chunks::<8>();
        if !remainder.is_empty() {
            return Err(Errno::EINVAL);
        }
        let entries = entries
            .iter()
            .map(|&[t0, t1, p0, p1, i0, i1, i2, i3]| Entry {
                tag: u16::from_le_bytes([t0, t1]),
                perm: u16::from_le_bytes([p0, p1]),
                id: u32::from_le_bytes([i0, i1, i2, i3]),
            })
            .collect();
        let acl = Acl(entries);
        if acl.is_valid() {
            Ok(acl)
        } else {
            Err(Errno::EINVAL)
        }
    }

    /// The order and number of entries acl(5) asks for.
    fn is_valid(&self) -> bool {
        let count = |tag| self.0.iter().filter(|entry| entry.tag == tag).count();
        let is_ordered = self.0.is_sorted_by_key(|entry| entry.tag);
        let are_known = self.0.iter().all(|entry| {
            let is_named = matches!(entry.tag, USER | GROUP);
            let is_tag = matches!(
                entry.tag,
                USER_OBJ | USER | GROUP_OBJ | GROUP | MASK | OTHER
            );
            is_tag && entry.perm <= 7 && (!is_named || entry.id != UNDEFINED_ID)
        });
        let needs_mask = count(USER) + count(GROUP) > 0;
        is_ordered
            && are_known
            && count(USER_OBJ) == 1
            && count(GROUP_OBJ) == 1
            && count(OTHER) == 1
            && (count(MASK) == 1 || (count(MASK) == 0 && !needs_mask))
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = VERSION.to_le_bytes().to_vec();
        for entry in &self.0 {
            bytes.extend(entry.tag.to_le_bytes());
            bytes.extend(entry.perm.to_le_bytes());
            bytes.extend(entry.id.to_le_bytes());
        }
        bytes
    }

    /// True when the permission bits say it all, so that no attribute is needed.
    pub(crate) fn is_minimal(&self) -> bool {
        self.0
            .iter()
            .all(|entry| matches!(entry.tag, USER_OBJ | GROUP_OBJ | OTHER))
    }

    /// The entries that the owner, group and other bits stand for: the group bits are the mask where there is one.
    fn bit_entries(&mut self) -> impl Iterator<Item = (u16, &mut Entry)> {
        let group_tag = match self.0.iter().any(|entry| entry.tag == MASK) {
            true => MASK,
            false => GROUP_OBJ,
        };
        self.0.iter_mut().filter_map(move |entry| match entry.tag {
            USER_OBJ => Some((6, entry)),
            OTHER => Some((0, entry)),
            tag if tag == group_tag => Some((3, entry)),
            _ => None,
        })
    }

    /// The nine permission bits.
    pub(crate) fn permission_bits(&mut self) -> u16 {
        self.bit_entries()
            .fold(0, |bits, (shift, entry)| bits | (entry.perm << shift))
    }

    /// chmod(2): the bits of `perm` go into the list.
    pub(crate) fn set_permission_bits(&mut self, perm: u16) {
        for (shift, entry) in self.bit_entries() {
            entry.perm = (perm >> shift) & 7;
        }
    }

    /// Makes a default ACL the access ACL of a new object created with `perm`: only what both grant stays.
    /// Answers the object's permission bits (set-id and sticky bits as in `perm`).
    pub(crate) fn inherit(&mut self, perm: u16) -> u16 {
        for (shift, entry) in self.bit_entries() {
            entry.perm &= (perm >> shift) & 7;
        }
        (perm & 0o7000) | self.permission_bits()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acl(entries: &[(u16, u16, u32)]) -> Vec<u8> {
        let entry = |&(tag, perm, id)| Entry { tag, perm, id };
        Acl(entries.iter().map(entry).collect()).to_bytes()
    }

    const FULL: [(u16, u16, u32); 5] = [
        (USER_OBJ, 7, UNDEFINED_ID),
        (USER, 6, 1000),
        (GROUP_OBJ, 5, UNDEFINED_ID),
        (MASK, 6, UNDEFINED_ID),
        (OTHER, 1, UNDEFINED_ID),
    ];

    #[test]
    fn group_bits_are_the_mask() {
        let mut list = Acl::parse(&acl(&FULL)).unwrap();
        assert_eq!(list.permission_bits(), 0o761);
        assert!(!list.is_minimal());
        list.set_permission_bits(0o640);
        assert_eq!(list.permission_bits(), 0o640);
        // The entry of the owning group is kept: only the mask limits it.
        assert!(list.0.contains(&Entry {
            tag: GROUP_OBJ,
            perm: 5,
            id: UNDEFINED_ID
        }));
        assert_eq!(list.inherit(0o2777), 0o2640);
    }

    #[test]
    fn malformed_lists_are_refused() {
        let good = acl(&FULL);
        for length in 0..good.len() {
            assert!(Acl::parse(&good[..length]).is_err(), "{length} bytes");
        }
        let mut version = good.clone();
        version[0] = 3;
        assert_eq!(Acl::parse(&version), Err(Errno::EOPNOTSUPP));
        let without_mask: Vec<_> = FULL.into_iter().filter(|e| e.0 != MASK).collect();
        assert_eq!(Acl::parse(&acl(&without_mask)), Err(Errno::EINVAL));
        let mut unordered = FULL;
        unordered.swap(0, 1);
        assert_eq!(Acl::parse(&acl(&unordered)), Err(Errno::EINVAL));
    }
}
