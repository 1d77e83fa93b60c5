//! File kinds, attributes and time arguments.

use std::os::unix::fs::FileTypeExt;
use std::time::SystemTime;

use crate::INodeNo;

/// What kind of object an inode is (the `S_IFMT` part of a mode, inode(7)).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum FileType {
    /// FIFO (`S_IFIFO`).
    NamedPipe,
    /// Character device (`S_IFCHR`).
    CharDevice,
    /// Block device (`S_IFBLK`).
    BlockDevice,
    /// Directory (`S_IFDIR`).
    Directory,
    /// Regular file (`S_IFREG`).
    RegularFile,
    /// Symbolic link (`S_IFLNK`).
    Symlink,
    /// AF_UNIX socket node (`S_IFSOCK`).
    Socket,
}

impl FileType {
    /// The kind of a `std::fs::FileType`.
    pub fn from_std(file_type: std::fs::FileType) -> Option<FileType> {
        let kinds = [
            (file_type.is_file(), FileType::RegularFile),
            (file_type.is_dir(), FileType::Directory),
            (file_type.is_symlink(), FileType::Symlink),
            (file_type.is_fifo(), FileType::NamedPipe),
            (file_type.is_socket(), FileType::Socket),
            (file_type.is_char_device(), FileType::CharDevice),
            (file_type.is_block_device(), FileType::BlockDevice),
        ];
        kinds
            .into_iter()
            .find(|(is_kind, _)| *is_kind)
            .map(|(_, kind)| kind)
    }

    /// The kind in a full mode (`st_mode`); `None` when its `S_IFMT` bits name no kind.
    pub fn from_mode(mode: u32) -> Option<FileType> {
        Some(match mode & libc::S_IFMT {
            libc::S_IFIFO => FileType::NamedPipe,
            libc::S_IFCHR => FileType::CharDevice,
            libc::S_IFBLK => FileType::BlockDevice,
            libc::S_IFDIR => FileType::Directory,
            libc::S_IFREG => FileType::RegularFile,
            libc::S_IFLNK => FileType::Symlink,
            libc::S_IFSOCK => FileType::Socket,
            _ => return None,
        })
    }

    /// The `S_IFMT` bits of this kind.
    pub fn mode_bits(self) -> u32 {
        match self {
            FileType::NamedPipe => libc::S_IFIFO,
            FileType::CharDevice => libc::S_IFCHR,
            FileType::BlockDevice => libc::S_IFBLK,
            FileType::Directory => libc::S_IFDIR,
            FileType::RegularFile => libc::S_IFREG,
            FileType::Symlink => libc::S_IFLNK,
            FileType::Socket => libc::S_IFSOCK,
        }
    }

    /// `d_type` of a directory entry of this kind (`DT_*`, readdir(3)).
    pub fn dirent_type(self) -> u8 {
        (self.mode_bits() >> 12) as u8
    }
}

/// Attributes of an inode (inode(7)).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct FileAttr {
    /// Inode number.
    pub ino: INodeNo,
    /// Size in bytes.
    pub size: u64,
    /// Space in use, in units of 512 bytes.
    pub blocks: u64,
    /// Last access.
    pub atime: SystemTime,
    /// Last change of the contents.
    pub mtime: SystemTime,
    /// Last change of the inode.
    pub ctime: SystemTime,
    /// Creation.
    pub crtime: SystemTime,
    /// Kind of object.
    pub kind: FileType,
    /// Permission bits, with set-user-id, set-group-id and sticky (mode & 07777).
    pub perm: u16,
    /// Number of hard links.
    pub nlink: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Device number of a device node, as the low 32 bits of `st_rdev`.
    pub rdev: u32,
    /// Preferred size of I/O in bytes (`st_blksize`).
    pub blksize: u32,
    /// BSD file flags; 0 on Linux.
    pub flags: u32,
}

impl FileAttr {
    /// Kind and permission bits as one `st_mode`.
    pub fn mode(&self) -> u32 {
        self.kind.mode_bits() | u32::from(self.perm)
    }
}

/// A time argument of setattr.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum TimeOrNow {
    /// This time.
    SpecificTime(SystemTime),
    /// The time of the call (`UTIME_NOW`).
    Now,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_and_modes_agree() {
        for kind in [
            FileType::NamedPipe,
            FileType::CharDevice,
            FileType::BlockDevice,
            FileType::Directory,
            FileType::RegularFile,
            FileType::Symlink,
            FileType::Socket,
        ] {
            assert_eq!(FileType::from_mode(kind.mode_bits() | 0o7777), Some(kind));
        }
        assert_eq!(FileType::from_mode(0), None);
        assert_eq!(FileType::Directory.dirent_type(), libc::DT_DIR);
        assert_eq!(FileType::Socket.dirent_type(), libc::DT_SOCK);
    }
}
