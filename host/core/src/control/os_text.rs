//! Operating-system strings as JSON: text when it is UTF-8, else an array of bytes.
//!
//! serde's own form for `PathBuf` refuses names that are not UTF-8, and Linux does not. A NUL byte
//! is refused here, because no name, argument or environment string can hold one.
//!
//! Used by `protocol` through `#[serde(with = "...")]`.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// One string in its JSON form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
enum Text {
    Utf8(String),
    Bytes(Vec<u8>),
}

impl Text {
    fn of(value: &OsStr) -> Self {
        match value.to_str() {
            Some(text) => Self::Utf8(text.to_owned()),
            None => Self::Bytes(value.as_bytes().to_vec()),
        }
    }

    fn into_os_string(self) -> Result<OsString, &'static str> {
        let bytes = match self {
            Self::Utf8(text) => text.into_bytes(),
            Self::Bytes(bytes) => bytes,
        };
        if bytes.contains(&0) {
            return Err("a NUL byte in a name");
        }
        Ok(OsString::from_vec(bytes))
    }
}

/// Writes any `OsStr`-like value.
pub fn serialize<T: AsRef<OsStr>, S: Serializer>(
    value: &T,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    Text::of(value.as_ref()).serialize(serializer)
}

/// Reads any value that can be made from an `OsString` (`OsString`, `PathBuf`).
pub fn deserialize<'de, T: From<OsString>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Text::deserialize(deserializer)?
        .into_os_string()
        .map(T::from)
        .map_err(D::Error::custom)
}

/// The same for `Option<PathBuf>` and the like.
pub mod optional {
    use super::*;

    /// Writes the value, or null.
    pub fn serialize<T: AsRef<OsStr>, S: Serializer>(
        value: &Option<T>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        value
            .as_ref()
            .map(|text| Text::of(text.as_ref()))
            .serialize(serializer)
    }

    /// Reads the value, or null.
    pub fn deserialize<'de, T: From<OsString>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<T>, D::Error> {
        match Option::<Text>::deserialize(deserializer)? {
            None => Ok(None),
            Some(text) => text
                .into_os_string()
                .map(|text| Some(T::from(text)))
                .map_err(D::Error::custom),
        }
    }
}

/// The same for a list (a command line).
pub mod list {
    use super::*;

    /// Writes the list.
    pub fn serialize<S: Serializer>(value: &[OsString], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(value.iter().map(|text| Text::of(text)))
    }

    /// Reads the list.
    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<OsString>, D::Error> {
        Vec::<Text>::deserialize(deserializer)?
            .into_iter()
            .map(|text| text.into_os_string().map_err(D::Error::custom))
            .collect()
    }
}

/// The same for a list of pairs (an environment).
pub mod pairs {
    use super::*;

    /// Writes the pairs.
    pub fn serialize<S: Serializer>(
        value: &[(OsString, OsString)],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(
            value
                .iter()
                .map(|(key, text)| (Text::of(key), Text::of(text))),
        )
    }

    /// Reads the pairs.
    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<(OsString, OsString)>, D::Error> {
        Vec::<(Text, Text)>::deserialize(deserializer)?
            .into_iter()
            .map(|(key, text)| {
                let key = key.into_os_string().map_err(D::Error::custom)?;
                Ok((key, text.into_os_string().map_err(D::Error::custom)?))
            })
            .collect()
    }
}
