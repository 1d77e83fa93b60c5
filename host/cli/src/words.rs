//! The mount words of the command line: `-m`, `-v`, `-b`, `--tmpfs`, `--hide`, `--ro`.
//!
//! Their order among each other is the order of mounting, so they are collected with their places.
//! A word becomes a `MountSpec` in `meaning`; all paths are made absolute there.
//!
//! | Word                               | Mount                                             |
//! |------------------------------------|---------------------------------------------------|
//! | `-m [TYPE:]SRC:DST[:OPTS]`         | an image, or whatever TYPE is made over           |
//! | `-m type=..,src=..,dst=..[,OPT..]` | the same, in docker's spelling                    |
//! | `-v SRC:DST[:ro]`                  | bind (docker)                                     |
//! | `-b SRC[:DST]`                     | bind (proot); DST is SRC when left out            |
//! | `--tmpfs DIR[:size=..]`            | an empty filesystem in memory                     |
//! | `--hide PATH`, `--ro PATH`         | PATH is gone; PATH is read-only                   |
//!
//! A colon or comma that belongs to a name is written `\:` or `\,`.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use clap::{ArgMatches, Args, Command, FromArgMatches, ValueHint};
use view_core::control::{ModuleInfo, MountKind, MountSpec, SourceKind};

/// The options, for clap only.
#[derive(Debug, Args)]
struct Declared {
    /// Mount SRC on DST: `[TYPE:]SRC:DST[:OPTS]` or `type=..,src=..,dst=..[,ro]`
    #[arg(short = 'm', long = "mount", value_name = "MOUNT")]
    mount: Vec<OsString>,
    /// Show the host's SRC as DST: `SRC:DST[:ro]`
    #[arg(short = 'v', long = "volume", value_name = "SRC:DST[:ro]", value_hint = ValueHint::AnyPath)]
    volume: Vec<OsString>,
    /// Show the host's SRC as DST, or in its own place
    #[arg(short = 'b', long = "bind", value_name = "SRC[:DST]", value_hint = ValueHint::AnyPath)]
    bind: Vec<OsString>,
    /// Hide PATH and all below it: an empty directory or file stands there
    #[arg(long, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    hide: Vec<OsString>,
    /// Make PATH and all below it read-only
    #[arg(long, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    ro: Vec<OsString>,
    /// An empty filesystem in memory on DIR: `DIR[:size=64M]`
    #[arg(long, value_name = "DIR[:OPTS]", value_hint = ValueHint::DirPath)]
    tmpfs: Vec<OsString>,
}

/// Which option a word came with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WordKind {
    /// `-m`
    Mount,
    /// `-v`
    Volume,
    /// `-b`
    Bind,
    /// `--hide`
    Hide,
    /// `--ro`
    ReadOnly,
    /// `--tmpfs`
    Tmpfs,
}

const OPTIONS: [(&str, WordKind); 6] = [
    ("mount", WordKind::Mount),
    ("volume", WordKind::Volume),
    ("bind", WordKind::Bind),
    ("hide", WordKind::Hide),
    ("ro", WordKind::ReadOnly),
    ("tmpfs", WordKind::Tmpfs),
];

/// All mount words, in the order of the command line.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct MountWords(pub Vec<(WordKind, OsString)>);

impl Args for MountWords {
    fn augment_args(command: Command) -> Command {
        Declared::augment_args(command)
    }
    fn augment_args_for_update(command: Command) -> Command {
        Declared::augment_args_for_update(command)
    }
}

impl FromArgMatches for MountWords {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut found = Vec::new();
        for (name, kind) in OPTIONS {
            let places = matches.indices_of(name).into_iter().flatten();
            let words = matches.get_many::<OsString>(name).into_iter().flatten();
            found.extend(
                places
                    .zip(words)
                    .map(|(place, word)| (place, kind, word.clone())),
            );
        }
        found.sort_by_key(|(place, _, _)| *place);
        Ok(Self(
            found
                .into_iter()
                .map(|(_, kind, word)| (kind, word))
                .collect(),
        ))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// What words are read against.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// The caller's working directory.
    pub cwd: &'a Path,
    /// Filesystem types this program has.
    pub types: &'a [ModuleInfo],
}

/// A word that makes no sense: what is wrong, and perhaps what to write instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadWord {
    /// The cause.
    pub why: String,
    /// The remedy.
    pub hint: Option<String>,
}

fn bad<T>(why: impl Into<String>, hint: &str) -> Result<T, BadWord> {
    Err(BadWord {
        why: why.into(),
        hint: (!hint.is_empty()).then(|| hint.to_owned()),
    })
}

impl Context<'_> {
    /// The mount that a word asks for.
    pub fn meaning(&self, kind: WordKind, word: &OsStr) -> Result<MountSpec, BadWord> {
        match kind {
            WordKind::Mount if is_keyed(word) => self.keyed_mount(word),
            WordKind::Mount => self.colon_mount(word),
            WordKind::Volume => self.volume(word),
            WordKind::Bind => self.bind(word),
            WordKind::Hide => self.in_place(MountKind::Hide, word),
            WordKind::ReadOnly => self.in_place(MountKind::ReadOnly, word),
            WordKind::Tmpfs => self.tmpfs(word),
        }
    }

    /// A mount from its parts, as `view mount` and `-m` have them. `auto` is the same as no type;
    /// `bind` among the options is the same as the type, and so is a directory as the source.
    pub fn mount(
        &self,
        filesystem: Option<&str>,
        source: &OsStr,
        target: &OsStr,
        options: &str,
    ) -> Result<MountSpec, BadWord> {
        if source.is_empty() || target.is_empty() {
            return bad("a source and a directory are needed", "");
        }
        let (binds, rest): (Vec<&str>, Vec<&str>) = options
            .split(',')
            .partition(|option| matches!(*option, "bind" | "rbind"));
        let filesystem = match filesystem {
            Some("auto") | None => None,
            Some(name) => Some(name),
        };
        let filesystem = if binds.is_empty() {
            filesystem
        } else {
            Some("bind")
        };
        // The probe's first step; the bytes of an image are looked at by the modules.
        let is_directory = filesystem.is_none() && self.absolute(source).is_dir();
        let filesystem = if is_directory {
            Some("bind")
        } else {
            filesystem
        };
        let known = match filesystem {
            None => None,
            Some(name) => match self.types.iter().find(|info| info.name == name) {
                Some(info) => Some(*info),
                None => return self.unknown_type(name),
            },
        };
        let kind = match known.map(|info| info.source) {
            None | Some(SourceKind::Image) => MountKind::Filesystem,
            Some(SourceKind::HostPath) => MountKind::Bind,
            Some(SourceKind::None) => MountKind::Tmpfs,
        };
        let source = match kind {
            MountKind::Tmpfs => source.to_owned(),
            _ => self.absolute(source).into_os_string(),
        };
        Ok(MountSpec {
            filesystem: filesystem.map(str::to_owned),
            source,
            target: self.absolute(target),
            options: rest.join(","),
            kind,
        })
    }

    fn unknown_type<T>(&self, name: &str) -> Result<T, BadWord> {
        let names: Vec<&str> = self.types.iter().map(|info| info.name).collect();
        bad(
            format!("unknown filesystem type `{name}`"),
            &format!(
                "view has {}; leave the type out to have it probed",
                names.join(", ")
            ),
        )
    }

    /// `[TYPE:]SRC:DST[:OPTS]`. With three parts, the first is a type if view has one of that name
    /// or if the third looks like a path.
    fn colon_mount(&self, word: &OsStr) -> Result<MountSpec, BadWord> {
        let parts = split(word, b':');
        let text = |part: &OsString| part.to_str().map(str::to_owned);
        let known = parts
            .first()
            .and_then(|first| first.to_str())
            .and_then(|first| self.types.iter().find(|info| info.name == first).copied());
        // `tmpfs:/run:size=1M`: nothing is mounted but the type itself.
        if let (Some(info), Some(target)) = (known, parts.get(1)) {
            let is_sourceless = info.source == SourceKind::None;
            if is_sourceless && parts.len() <= 3 && !parts.get(2).is_some_and(|at| is_path(at)) {
                let options = parts.get(2).map_or(Some(String::new()), text);
                let Some(options) = options else {
                    return bad("options are not text", "");
                };
                return self.mount(Some(info.name), OsStr::new(info.name), target, &options);
            }
        }
        let (filesystem, source, target, options) = match parts.as_slice() {
            [source, target] => (None, source, target, None),
            [first, source, target] if known.is_some() || first == "auto" || is_path(target) => {
                (Some(first), source, target, None)
            }
            [source, target, options] => (None, source, target, Some(options)),
            [first, source, target, options] => (Some(first), source, target, Some(options)),
            [only] => {
                return bad(
                    format!("`{}` has no target", only.display()),
                    "write SRC:DST, as in -m disk.img:/mnt",
                );
            }
            _ => {
                return bad(
                    format!("too many colons in `{}`", word.display()),
                    r"write a colon of a name as \:, or use type=..,src=..,dst=..",
                );
            }
        };
        let options = match options.map(text) {
            None => String::new(),
            Some(Some(options)) => options,
            Some(None) => return bad("options are not text", ""),
        };
        let filesystem = match filesystem.map(text) {
            None => None,
            Some(Some(name)) => Some(name),
            Some(None) => return bad("the type is not text", ""),
        };
        self.mount(filesystem.as_deref(), source, target, &options)
    }

    /// `type=ext4,src=disk.img,dst=/mnt,ro`.
    fn keyed_mount(&self, word: &OsStr) -> Result<MountSpec, BadWord> {
        let (mut filesystem, mut source, mut target) = (None, None, None);
        let mut options: Vec<String> = Vec::new();
        for part in split(word, b',') {
            let (key, value) = split_key(&part);
            match (key.to_str(), value) {
                (Some("type"), Some(value)) => filesystem = Some(value),
                (Some("src" | "source"), Some(value)) => source = Some(value),
                (Some("dst" | "dest" | "destination" | "target"), Some(value)) => {
                    target = Some(value);
                }
                (Some("readonly" | "ro"), None) => options.push("ro".into()),
                (Some("readonly" | "ro"), Some(value)) => match value.to_str() {
                    Some("true" | "1") => options.push("ro".into()),
                    Some("false" | "0") => options.push("rw".into()),
                    _ => return bad("readonly takes true or false", ""),
                },
                (Some("tmpfs-size"), Some(value)) => {
                    options.push(format!("size={}", value.display()));
                }
                (Some("tmpfs-mode"), Some(value)) => {
                    options.push(format!("mode={}", value.display()));
                }
                (Some(_), _) => match part.to_str() {
                    Some("") => {}
                    Some(option) => options.push(option.to_owned()),
                    None => return bad("options are not text", ""),
                },
                (None, _) => return bad("options are not text", ""),
            }
        }
        let Some(target) = target else {
            return bad("no dst= given", "write type=..,src=..,dst=..");
        };
        let filesystem = match filesystem.as_deref().map(OsStr::to_str) {
            None => None,
            Some(Some("volume")) => {
                return bad("a view has no volumes", "use type=bind,src=DIR,dst=DST");
            }
            Some(Some(name)) => Some(name),
            Some(None) => return bad("the type is not text", ""),
        };
        let source = match (source, filesystem) {
            (Some(source), _) => source,
            (None, Some(name)) => {
                let info = self.types.iter().find(|info| info.name == name);
                match info.map(|info| info.source) {
                    Some(SourceKind::None) => name.into(),
                    Some(_) => return bad("no src= given", "write type=..,src=..,dst=.."),
                    None => return self.unknown_type(name),
                }
            }
            (None, None) => return bad("no src= given", "write type=..,src=..,dst=.."),
        };
        self.mount(filesystem, &source, &target, &options.join(","))
    }

    /// docker's `-v SRC:DST[:ro]`; its labels and consistency words have no meaning here.
    fn volume(&self, word: &OsStr) -> Result<MountSpec, BadWord> {
        let parts = split(word, b':');
        let (source, target, options) = match parts.as_slice() {
            [source, target] => (source, target, None),
            [source, target, options] => (source, target, options.to_str()),
            _ => return bad(format!("`{}` is not SRC:DST[:ro]", word.display()), ""),
        };
        let mut kept = Vec::new();
        for option in options.unwrap_or_default().split(',') {
            match option {
                "" | "z" | "Z" | "cached" | "delegated" | "consistent" | "rprivate" => {}
                "ro" | "rw" | "nosuid" | "nodev" | "noexec" => kept.push(option),
                _ => {
                    return bad(
                        format!("unknown option `{option}` of -v"),
                        "-v takes ro or rw",
                    );
                }
            }
        }
        self.mount(Some("bind"), source, target, &kept.join(","))
    }

    /// proot's `-b SRC[:DST]`.
    fn bind(&self, word: &OsStr) -> Result<MountSpec, BadWord> {
        match split(word, b':').as_slice() {
            [both] => self.mount(Some("bind"), both, both, ""),
            [source, target] => self.mount(Some("bind"), source, target, ""),
            _ => bad(format!("`{}` is not SRC[:DST]", word.display()), ""),
        }
    }

    fn tmpfs(&self, word: &OsStr) -> Result<MountSpec, BadWord> {
        let parts = split(word, b':');
        let (target, options) = match parts.as_slice() {
            [target] => (target, Some("")),
            [target, options] => (target, options.to_str()),
            _ => return bad(format!("`{}` is not DIR[:size=..]", word.display()), ""),
        };
        let Some(options) = options else {
            return bad("options are not text", "");
        };
        self.mount(Some("tmpfs"), OsStr::new("tmpfs"), target, options)
    }

    fn in_place(&self, kind: MountKind, word: &OsStr) -> Result<MountSpec, BadWord> {
        if word.is_empty() {
            return bad("an empty path", "");
        }
        let target = self.absolute(word);
        let options = if kind == MountKind::ReadOnly {
            "ro"
        } else {
            ""
        };
        Ok(MountSpec {
            filesystem: None,
            source: target.clone().into_os_string(),
            target,
            options: options.to_owned(),
            kind,
        })
    }

    /// The path from the root, without `.`; `..` is kept, since what it means depends on links.
    pub fn absolute(&self, path: &OsStr) -> PathBuf {
        self.cwd.join(path).components().collect()
    }
}

/// Whether a `-m` word is in docker's spelling.
fn is_keyed(word: &OsStr) -> bool {
    let keys = [
        "type=",
        "src=",
        "source=",
        "dst=",
        "dest=",
        "destination=",
        "target=",
    ];
    keys.iter()
        .any(|key| word.as_bytes().starts_with(key.as_bytes()))
}

fn is_path(word: &OsStr) -> bool {
    word.as_bytes().starts_with(b"/") || word.as_bytes().starts_with(b"./")
}

/// Splits at a separator; a backslash before a separator keeps it.
fn split(word: &OsStr, separator: u8) -> Vec<OsString> {
    let mut parts = vec![Vec::new()];
    let mut bytes = word.as_bytes().iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        let kept = match byte {
            b'\\' if bytes.peek() == Some(&separator) => bytes.next(),
            byte if byte == separator => None,
            byte => Some(byte),
        };
        match (kept, parts.last_mut()) {
            (Some(byte), Some(part)) => part.push(byte),
            _ => parts.push(Vec::new()),
        }
    }
    parts.into_iter().map(OsString::from_vec).collect()
}

/// Splits at the first equals sign.
fn split_key(part: &OsStr) -> (OsString, Option<OsString>) {
    let mut halves = part.as_bytes().splitn(2, |byte| *byte == b'=');
    let key = halves.next().unwrap_or_default();
    let value = halves
        .next()
        .map(|value| OsString::from_vec(value.to_vec()));
    (OsString::from_vec(key.to_vec()), value)
}

#[cfg(test)]
#[path = "words_tests.rs"]
mod tests;
