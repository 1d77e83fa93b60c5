//! Level one of parsing: the on-disk structures as fields, with nothing believed yet.
//!
//! Each type is built from a byte slice and fails only when the slice is too short. Whether the values
//! make sense is decided one level up (`geometry`, `group`, `inode`, `map`, `dir`, `xattr`).
//!
//! References: the kernel's Documentation/filesystems/ext4, ext4(5).

pub(crate) mod group;
pub(crate) mod inode;
pub(crate) mod superblock;
