//! The comma-separated options of a mount, as in mount(8).
//!
//! Options that mean the same for every filesystem type are taken out here; what is left belongs to
//! the module, which refuses what it does not know. A later option wins over an earlier one.

use std::fmt;

use super::protocol::Refusal;

/// Options of mount(8) that change nothing a view could show: accepted and dropped.
const WITHOUT_EFFECT: [&str; 11] = [
    "defaults",
    "loop",
    "async",
    "sync",
    "dirsync",
    "noatime",
    "relatime",
    "strictatime",
    "nodiratime",
    "lazytime",
    "silent",
];

/// The options of one mount.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MountOptions {
    /// `ro` (true) or `rw` (false), if either was said.
    pub read_only: Option<bool>,
    /// Set-user-ID bits on this mount have no effect. They have none in a view anyway.
    pub nosuid: bool,
    /// Device nodes on this mount cannot be opened.
    pub nodev: bool,
    /// Programs on this mount cannot be executed.
    pub noexec: bool,
    /// Modes and ACLs in the filesystem are enforced against the caller.
    pub default_permissions: bool,
    /// Where the filesystem starts in its source, in bytes.
    pub offset_bytes: u64,
    /// Options for the module: name and value, in order.
    pub rest: Vec<(String, Option<String>)>,
}

impl MountOptions {
    /// Reads an option string.
    ///
    /// Errors: `EINVAL` for an `offset=` that is not a number.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let mut options = Self::default();
        for word in text.split(',').filter(|word| !word.is_empty()) {
            let (name, value) = match word.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (word, None),
            };
            match (name, value) {
                ("ro", None) => options.read_only = Some(true),
                ("rw", None) => options.read_only = Some(false),
                ("nosuid", None) => options.nosuid = true,
                ("suid", None) => options.nosuid = false,
                ("nodev", None) => options.nodev = true,
                ("dev", None) => options.nodev = false,
                ("noexec", None) => options.noexec = true,
                ("exec", None) => options.noexec = false,
                ("default_permissions", None) => options.default_permissions = true,
                ("offset", Some(value)) => {
                    options.offset_bytes = parse_size(value).ok_or_else(|| {
                        Refusal::new(libc::EINVAL, format!("bad offset `{value}`"))
                            .with_hint("offset= takes bytes, with K, M, G or T if you like")
                    })?;
                }
                (name, None) if WITHOUT_EFFECT.contains(&name) => {}
                (name, value) => options
                    .rest
                    .push((name.to_owned(), value.map(str::to_owned))),
            }
        }
        Ok(options)
    }

    /// The module's own options as one comma-separated string.
    pub fn rest_text(&self) -> String {
        let word = |(name, value): &(String, Option<String>)| match value {
            Some(value) => format!("{name}={value}"),
            None => name.clone(),
        };
        self.rest.iter().map(word).collect::<Vec<_>>().join(",")
    }

    /// Value of the last option of that name in `rest`; `Some(None)` when it has no value.
    pub fn get(&self, name: &str) -> Option<Option<&str>> {
        self.rest
            .iter()
            .rev()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_deref())
    }
}

/// The form of /proc/mounts: `ro` or `rw` first. Unset `read_only` counts as `rw`.
impl fmt::Display for MountOptions {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(if self.read_only == Some(true) {
            "ro"
        } else {
            "rw"
        })?;
        for (is_set, name) in [
            (self.nosuid, ",nosuid"),
            (self.nodev, ",nodev"),
            (self.noexec, ",noexec"),
            (self.default_permissions, ",default_permissions"),
        ] {
            if is_set {
                out.write_str(name)?;
            }
        }
        if self.offset_bytes != 0 {
            write!(out, ",offset={}", self.offset_bytes)?;
        }
        match self.rest.is_empty() {
            true => Ok(()),
            false => write!(out, ",{}", self.rest_text()),
        }
    }
}

/// Reads a number of bytes: decimal or `0x` hexadecimal, then K, M, G or T (powers of 1024), then
/// `iB` if one likes. `None` for anything else and for what does not fit 64 bits.
pub fn parse_size(text: &str) -> Option<u64> {
    if let Some(digits) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        return u64::from_str_radix(digits, 16).ok();
    }
    let end = text
        .find(|letter: char| !letter.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at_checked(end)?;
    let number: u64 = digits.parse().ok()?;
    let unit = unit.strip_suffix("iB").unwrap_or(unit);
    let shift = match unit {
        "" => 0,
        "k" | "K" => 10,
        "m" | "M" => 20,
        "g" | "G" => 30,
        "t" | "T" => 40,
        _ => return None,
    };
    number.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_options_win_and_unknown_ones_are_kept_in_order() {
        let options =
            MountOptions::parse("rw,noexec,ro,,exec,size=3M,journal,offset=1M,loop").unwrap();
        assert_eq!(options.read_only, Some(true));
        assert!(!options.noexec);
        assert_eq!(options.offset_bytes, 1 << 20);
        assert_eq!(options.get("size"), Some(Some("3M")));
        assert_eq!(options.get("journal"), Some(None));
        assert_eq!(options.get("loop"), None);
        assert_eq!(options.to_string(), "ro,offset=1048576,size=3M,journal");
    }

    #[test]
    fn bad_offset_is_einval() {
        let refusal = MountOptions::parse("offset=x").unwrap_err();
        assert_eq!(refusal.errno, libc::EINVAL);
        assert!(refusal.hint.is_some());
        // Without a value it is not the common option; the module will refuse it.
        assert_eq!(
            MountOptions::parse("offset").unwrap().get("offset"),
            Some(None)
        );
    }

    #[test]
    fn sizes() {
        assert_eq!(parse_size("0"), Some(0));
        assert_eq!(parse_size("1048576"), Some(1_048_576));
        assert_eq!(parse_size("0x100"), Some(256));
        assert_eq!(parse_size("2k"), Some(2048));
        assert_eq!(parse_size("3GiB"), Some(3 << 30));
        for bad in [
            "",
            "k",
            "-1",
            "+1",
            "1.5M",
            "0x",
            "0x+1",
            "99999999999T",
            "1 M",
            "1MB",
            "1\u{e9}",
        ] {
            assert_eq!(parse_size(bad), None, "{bad}");
        }
    }
}
