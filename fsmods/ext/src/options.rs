//! Mount options: `-o offset=1M,noload`.

use crate::error::MountError;

/// What the options say that matters to a reader.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// Byte of the source where the file system starts.
    pub(crate) offset: u64,
    /// Block (of 1 KiB) of the superblock to use instead of the first.
    pub(crate) superblock: Option<u64>,
    /// Don't replay the journal.
    pub(crate) skips_journal: bool,
    /// `ro`: the image must not be written.
    pub(crate) is_read_only: bool,
    /// `rw`: someone asked for a writable mount.
    pub(crate) wants_write: bool,
}

/// Options of ext4(5) and of mount(8) that change nothing for a reader, or that the host deals with.
const IGNORED: [&str; 50] = [
    "defaults",
    "default_permissions",
    "allow_other",
    "allow_root",
    "relatime",
    "norelatime",
    "noatime",
    "atime",
    "nodiratime",
    "diratime",
    "strictatime",
    "nostrictatime",
    "lazytime",
    "nolazytime",
    "suid",
    "nosuid",
    "dev",
    "nodev",
    "exec",
    "noexec",
    "sync",
    "async",
    "dirsync",
    "auto",
    "noauto",
    "user",
    "nouser",
    "users",
    "_netdev",
    "nofail",
    "loop",
    "acl",
    "noacl",
    "user_xattr",
    "nouser_xattr",
    "barrier",
    "nobarrier",
    "delalloc",
    "nodelalloc",
    "discard",
    "nodiscard",
    "journal_checksum",
    "nojournal_checksum",
    "journal_async_commit",
    "block_validity",
    "noblock_validity",
    "grpid",
    "nogrpid",
    "bsdgroups",
    "sysvgroups",
];

/// The same for options with a value.
const IGNORED_KEYS: [&str; 13] = [
    "errors",
    "data",
    "commit",
    "barrier",
    "stripe",
    "resuid",
    "resgid",
    "inode_readahead_blks",
    "journal_ioprio",
    "max_batch_time",
    "min_batch_time",
    "init_itable",
    "uhelper",
];

impl Options {
    /// Reads a comma-separated list.
    ///
    /// # Errors
    /// Names the option that is unknown or has a bad value.
    pub(crate) fn parse(text: &str) -> Result<Self, MountError> {
        let mut options = Self::default();
        for option in text
            .split(',')
            .map(str::trim)
            .filter(|option| !option.is_empty())
        {
            let bad = || MountError::Option(option.to_owned());
            match option.split_once('=') {
                Some(("offset", value)) => options.offset = number(value).ok_or_else(bad)?,
                Some(("sb", value)) => options.superblock = Some(number(value).ok_or_else(bad)?),
                Some((key, _)) if IGNORED_KEYS.contains(&key) || key.starts_with("x-") => {}
                Some(_) => return Err(bad()),
                None => match option {
                    "noload" | "norecovery" => options.skips_journal = true,
                    "rw" => (options.wants_write, options.is_read_only) = (true, false),
                    "ro" => (options.wants_write, options.is_read_only) = (false, true),
                    _ if IGNORED.contains(&option) || option.starts_with("x-") => {}
                    _ => return Err(bad()),
                },
            }
        }
        Ok(options)
    }
}

/// A number, decimal or `0x` hexadecimal, with an optional suffix K, M, G or T (powers of 1024).
fn number(text: &str) -> Option<u64> {
    let (digits, shift) = match text.char_indices().last()? {
        (at, 'k' | 'K') => (text.get(..at)?, 10),
        (at, 'm' | 'M') => (text.get(..at)?, 20),
        (at, 'g' | 'G') => (text.get(..at)?, 30),
        (at, 't' | 'T') => (text.get(..at)?, 40),
        _ => (text, 0),
    };
    let value = match digits.strip_prefix("0x") {
        Some(hexadecimal) => u64::from_str_radix(hexadecimal, 16).ok()?,
        None => digits.parse::<u64>().ok()?,
    };
    value.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names() {
        let options =
            Options::parse("ro,offset=1M, noload,sb=0x8001,errors=remount-ro,x-view.name=a")
                .unwrap();
        assert_eq!(
            options,
            Options {
                offset: 1 << 20,
                superblock: Some(0x8001),
                skips_journal: true,
                is_read_only: true,
                wants_write: false
            }
        );
        for bad in [
            "offset",
            "offset=",
            "offset=-1",
            "offset=1X",
            "offset=99999999999T",
            "frobnicate",
            "a=b",
        ] {
            let error = Options::parse(bad).unwrap_err();
            assert_eq!(error.to_string(), format!("bad mount option `{bad}`"));
        }
    }
}
