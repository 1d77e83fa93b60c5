//! Mount options, as in tmpfs(5).

use std::error::Error;
use std::fmt;

/// Bytes of a block.
pub(crate) const BLOCK_BYTES: u64 = 4096;

/// A mount option that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OptionError {
    /// No such option.
    Unknown(String),
    /// The option needs a value.
    MissingValue(&'static str),
    /// The value cannot be understood.
    BadValue {
        /// Name of the option.
        option: &'static str,
        /// What was given.
        value: String,
        /// What is expected.
        expected: &'static str,
    },
}

impl fmt::Display for OptionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OptionError::Unknown(option) => write!(
                f,
                "tmpfs: unknown option '{option}' (known: size, nr_blocks, nr_inodes, mode, uid, gid)"
            ),
            OptionError::MissingValue(option) => {
                write!(f, "tmpfs: option '{option}' needs a value")
            }
            OptionError::BadValue {
                option,
                value,
                expected,
            } => {
                write!(
                    f,
                    "tmpfs: bad value '{value}' for option '{option}' (expected {expected})"
                )
            }
        }
    }
}

impl Error for OptionError {}

/// The options in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Options {
    /// Most bytes of all files; `u64::MAX` without a limit.
    pub(crate) size_bytes: u64,
    /// Most inodes; `u64::MAX` without a limit.
    pub(crate) nr_inodes: u64,
    /// Permission bits of the root directory.
    pub(crate) mode: u16,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl Options {
    pub(crate) fn parse(text: &str) -> Result<Options, OptionError> {
        let info = rustix::system::sysinfo();
        let memory_bytes = (info.totalram as u64).saturating_mul(u64::from(info.mem_unit.max(1)));
        let mut options = Options {
            size_bytes: memory_bytes / 2,
            nr_inodes: memory_bytes / 2 / BLOCK_BYTES,
            mode: 0o1777,
            uid: rustix::process::getuid().as_raw(),
            gid: rustix::process::getgid().as_raw(),
        };
        for option in text.split(',').map(str::trim).filter(|o| !o.is_empty()) {
            let (name, value) = match option.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (option, None),
            };
            match name {
                "size" => options.size_bytes = limit(size("size", value, memory_bytes)?),
                "nr_blocks" => {
                    let blocks = scaled("nr_blocks", value)?;
                    options.size_bytes = limit(blocks.saturating_mul(BLOCK_BYTES));
                }
                "nr_inodes" => options.nr_inodes = limit(scaled("nr_inodes", value)?),
                "mode" => options.mode = mode(value)?,
                "uid" => options.uid = id("uid", value)?,
                "gid" => options.gid = id("gid", value)?,
                _ => return Err(OptionError::Unknown(name.to_owned())),
            }
        }
        Ok(options)
    }
}

/// 0 means no limit.
fn limit(value: u64) -> u64 {
    if value == 0 { u64::MAX } else { value }
}

fn bad(option: &'static str, value: &str, expected: &'static str) -> OptionError {
    OptionError::BadValue {
        option,
        value: value.to_owned(),
        expected,
    }
}

/// Bytes, with a suffix or as a percentage of memory; rounded up to whole blocks.
fn size(option: &'static str, value: Option<&str>, memory_bytes: u64) -> Result<u64, OptionError> {
    let bytes = match value.and_then(|value| value.strip_suffix('%')) {
        Some(percent) => match percent.parse::<u64>() {
            Ok(percent) if percent <= 100_000 => {
                (u128::from(memory_bytes) * u128::from(percent) / 100) as u64
            }
            _ => return Err(bad(option, value.unwrap_or(""), "a number before '%'")),
        },
        None => scaled(option, value)?,
    };
    Ok(bytes
        .checked_next_multiple_of(BLOCK_BYTES)
        .unwrap_or(u64::MAX))
}

/// A number with an optional suffix k, m, g, t, p or e (powers of 1024).
fn scaled(option: &'static str, value: Option<&str>) -> Result<u64, OptionError> {
    const EXPECTED: &str = "a number, optionally followed by k, m, g, t, p or e";
    let value = value.ok_or(OptionError::MissingValue(option))?;
    let (digits, shift) = match value.bytes().last().map(|byte| byte.to_ascii_lowercase()) {
        Some(b'k') => (value.get(..value.len() - 1), 10),
        Some(b'm') => (value.get(..value.len() - 1), 20),
        Some(b'g') => (value.get(..value.len() - 1), 30),
        Some(b't') => (value.get(..value.len() - 1), 40),
        Some(b'p') => (value.get(..value.len() - 1), 50),
        Some(b'e') => (value.get(..value.len() - 1), 60),
        _ => (Some(value), 0),
    };
    digits
        .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|digits| digits.parse::<u64>().ok())
        .and_then(|number| number.checked_mul(1 << shift))
        .ok_or_else(|| bad(option, value, EXPECTED))
}

fn mode(value: Option<&str>) -> Result<u16, OptionError> {
    let value = value.ok_or(OptionError::MissingValue("mode"))?;
    match u16::from_str_radix(value, 8) {
        Ok(mode) if mode <= 0o7777 => Ok(mode),
        _ => Err(bad("mode", value, "an octal number up to 7777")),
    }
}

fn id(option: &'static str, value: Option<&str>) -> Result<u32, OptionError> {
    let value = value.ok_or(OptionError::MissingValue(option))?;
    match value.parse::<u32>() {
        // (uid_t)-1 means "do not change" to chown(2) and can own nothing.
        Ok(id) if id != u32::MAX => Ok(id),
        _ => Err(bad(option, value, "a numeric id")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_options_are_understood() {
        let options = Options::parse("size=10m,nr_inodes=1k,mode=0750,uid=5, gid=6,").unwrap();
        let expected = Options {
            size_bytes: 10 << 20,
            nr_inodes: 1024,
            mode: 0o750,
            uid: 5,
            gid: 6,
        };
        assert_eq!(options, expected);
        assert_eq!(Options::parse("size=1").unwrap().size_bytes, 4096);
        assert_eq!(Options::parse("size=0").unwrap().size_bytes, u64::MAX);
        assert_eq!(Options::parse("nr_blocks=2").unwrap().size_bytes, 8192);
        let half = Options::parse("").unwrap();
        let percent = Options::parse("size=50%").unwrap();
        assert_eq!(half.size_bytes.next_multiple_of(4096), percent.size_bytes);
        assert_eq!(half.mode, 0o1777);
    }

    #[test]
    fn bad_options_are_named() {
        for (text, message) in [
            ("size=ten", "bad value 'ten' for option 'size'"),
            ("size=", "bad value '' for option 'size'"),
            ("size=+5", "bad value '+5'"),
            ("size=99999999999g", "bad value"),
            ("size=x%", "'%'"),
            ("size", "option 'size' needs a value"),
            ("mode=9", "octal"),
            ("mode=17777", "octal"),
            ("uid=-1", "numeric"),
            ("uid=4294967295", "numeric"),
            ("colour=red", "unknown option 'colour'"),
            ("nr_inodes=\u{e9}", "bad value"),
        ] {
            let error = Options::parse(text).unwrap_err().to_string();
            assert!(error.contains(message), "{text}: {error}");
        }
    }
}
