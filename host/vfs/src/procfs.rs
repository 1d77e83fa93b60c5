//! Which paths below /proc are special: magic links and files whose text tells names.
//!
//! Pure functions on canonical host paths; `resolver` and the host's proc handlers use them. Reference: proc(5).

/// `/proc` itself or anything below it.
pub fn is_below(path: &[u8]) -> bool {
    path == b"/proc" || path.starts_with(b"/proc/")
}

/// Splits `/proc/PID/...` or `/proc/PID/task/TID/...` into the id that the rest belongs to and the rest.
pub fn split_task(path: &[u8]) -> Option<(u32, &[u8])> {
    let rest = path.strip_prefix(b"/proc/")?;
    let (id, rest) = number_and_rest(rest)?;
    if let Some(inner) = rest.strip_prefix(b"task/")
        && let Some((thread, inner)) = number_and_rest(inner)
    {
        return Some((thread, inner));
    }
    Some((id, rest))
}

fn number_and_rest(text: &[u8]) -> Option<(u32, &[u8])> {
    let end = text
        .iter()
        .position(|&byte| byte == b'/')
        .unwrap_or(text.len());
    let number = std::str::from_utf8(&text[..end]).ok()?.parse().ok()?;
    Some((number, text.get(end + 1..).unwrap_or_default()))
}

/// Links that jump to an object in place of being read as text.
pub fn is_magic_link(path: &[u8]) -> bool {
    match split_task(path) {
        Some((_, b"exe" | b"cwd" | b"root")) => true,
        Some((_, rest)) => rest
            .strip_prefix(b"fd/")
            .or_else(|| rest.strip_prefix(b"map_files/"))
            .is_some_and(|name| !name.is_empty() && !name.contains(&b'/')),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn magic_links_are_recognised() {
        assert!(is_magic_link(b"/proc/12/exe"));
        assert!(is_magic_link(b"/proc/12/fd/3"));
        assert!(is_magic_link(b"/proc/12/task/13/cwd"));
        assert!(!is_magic_link(b"/proc/12/fd"));
        assert!(!is_magic_link(b"/proc/self"));
        assert!(!is_magic_link(b"/proc/12/fdinfo/3"));
        assert_eq!(
            split_task(b"/proc/12/task/13/maps"),
            Some((13, &b"maps"[..]))
        );
    }
}
