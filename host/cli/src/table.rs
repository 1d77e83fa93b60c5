//! Tables for people: a header, columns padded to their widest cell, no borders.

use std::ffi::OsStr;
use std::fmt::Write as _;

/// Lays rows out in columns. The last column is not padded.
pub fn columns(header: &[&str], rows: &[Vec<String>]) -> String {
    let width_of = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        let widest = cells.map(|cell| cell.chars().count()).max().unwrap_or(0);
        widest.max(header.get(column).map_or(0, |title| title.len()))
    };
    let widths: Vec<usize> = (0..header.len()).map(width_of).collect();
    let mut text = String::new();
    let titles = header.iter().map(|title| (*title).to_owned()).collect();
    for row in std::iter::once(&titles).chain(rows) {
        let last = row.len().saturating_sub(1);
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            if column == last {
                let _ = writeln!(text, "{cell}");
            } else {
                let _ = write!(text, "{cell:width$}  ");
            }
        }
    }
    text
}

/// A name for one line of a terminal: control characters and backslashes as octal, as in /proc/mounts.
pub fn shown(name: &OsStr) -> String {
    let mut text = String::new();
    for letter in name.to_string_lossy().chars() {
        if letter.is_control() || letter == '\\' {
            let _ = write!(text, "\\{:03o}", u32::from(letter));
        } else {
            text.push(letter);
        }
    }
    text
}

/// A span of time for people, as in `3h 12m`.
pub fn age(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m {}s", seconds % 60),
        (0, _, _) => format!("{hours}h {}m", minutes % 60),
        _ => format!("{days}d {}h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = vec![
            vec!["a".into(), "1".into()],
            vec!["long".into(), "22".into()],
        ];
        assert_eq!(
            columns(&["N", "COUNT"], &rows),
            "N     COUNT\na     1\nlong  22\n"
        );
    }

    #[test]
    fn names_stay_on_one_line() {
        assert_eq!(shown(OsStr::new("a\nb\\")), r"a\012b\134");
    }

    #[test]
    fn ages() {
        assert_eq!(age(59), "59s");
        assert_eq!(age(61), "1m 1s");
        assert_eq!(age(90_000), "1d 1h");
    }
}
