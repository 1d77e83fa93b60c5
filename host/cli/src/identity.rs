//! What `-u UID[:GID]` means: numbers, or names that the host's /etc/passwd and /etc/group know.
//!
//! Neighbours: `args` (parses with it). Reference: passwd(5), group(5).

use view_core::identity::IdentitySpec;

/// Reads `UID[:GID]`. Without a group it is the user's own, or the number of the user when nobody has it.
pub fn parse_user(text: &str) -> Result<IdentitySpec, String> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    parse_with(text, &read("/etc/passwd"), &read("/etc/group"))
}

fn parse_with(text: &str, users: &str, groups: &str) -> Result<IdentitySpec, String> {
    let (user, group) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (text, None),
    };
    let line = |file: &str, word: &str| -> Option<(u32, Option<u32>)> {
        let mut lines = file.lines().map(|line| line.split(':').collect::<Vec<_>>());
        let fields =
            lines.find(|fields| fields.first() == Some(&word) || fields.get(2) == Some(&word))?;
        let number = |at: usize| fields.get(at).and_then(|field| field.parse().ok());
        Some((number(2)?, number(3)))
    };
    let known = line(users, user);
    let uid = number_or(user, known.map(|(uid, _)| uid), "user")?;
    let gid = match group {
        Some(group) => number_or(group, line(groups, group).map(|(gid, _)| gid), "group")?,
        None => known.and_then(|(_, gid)| gid).unwrap_or(uid),
    };
    Ok(IdentitySpec { uid, gid })
}

/// 4294967295 is "leave it" in the calls that set ids, so it is no id.
fn number_or(word: &str, known: Option<u32>, what: &str) -> Result<u32, String> {
    match word.parse() {
        Ok(u32::MAX) => Err(format!("{word} is no {what} id")),
        Ok(number) => Ok(number),
        Err(_) => known.ok_or_else(|| format!("no {what} is called {word}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USERS: &str = "root:x:0:0:root:/root:/bin/sh\nann:x:1000:100:Ann:/home/ann:/bin/sh\n";
    const GROUPS: &str = "root:x:0:\nusers:x:100:ann\n";

    #[test]
    fn numbers_and_names() {
        let ids = |text| parse_with(text, USERS, GROUPS).map(|ids| (ids.uid, ids.gid));
        assert_eq!(ids("7"), Ok((7, 7)));
        assert_eq!(ids("7:8"), Ok((7, 8)));
        assert_eq!(ids("ann"), Ok((1000, 100)));
        assert_eq!(ids("1000"), Ok((1000, 100)));
        assert_eq!(ids("ann:root"), Ok((1000, 0)));
        assert!(ids("bob").is_err() && ids("").is_err() && ids("1:").is_err());
        assert!(ids("4294967295").is_err() && ids("-1").is_err());
    }
}
