//! Names as /proc writes them.

use view_vfs::place::Place;

/// The path of an object as the links below /proc show it.
pub fn shown_path(place: &Place) -> Vec<u8> {
    let mut path = place.view_path();
    if place.is_deleted() && !path.ends_with(b" (deleted)") {
        path.extend_from_slice(b" (deleted)");
    }
    path
}

/// Blanks, tabs, newlines and backslashes as octal escapes, as in /proc/mounts (getmntent(3)).
pub fn escape_octal(name: &[u8]) -> Vec<u8> {
    escape(name, b" \t\n\\#")
}

/// Newlines as octal escapes, as in /proc/PID/maps.
pub fn escape_newlines(name: &[u8]) -> Vec<u8> {
    escape(name, b"\n")
}

fn escape(name: &[u8], special: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(name.len());
    for &byte in name {
        if special.contains(&byte) {
            out.extend_from_slice(format!("\\{byte:03o}").as_bytes());
        } else {
            out.push(byte);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_become_octal() {
        assert_eq!(escape_octal(b"/a b\n"), b"/a\\040b\\012");
        assert_eq!(escape_newlines(b"/a b\n"), b"/a b\\012");
    }
}
