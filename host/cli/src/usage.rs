//! Wrong command lines: clap's errors in our words, and translations for fingers trained elsewhere.

use std::ffi::OsString;
use std::path::Path;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::message::{Failure, USAGE};

/// Options of other tools, and what to do instead.
const TRANSLATIONS: [(&[&str], &str); 9] = [
    (
        &["--ro-bind", "--ro-bind-try"],
        "use -v SRC:DST:ro, or --ro PATH for a place as it is",
    ),
    (
        &["--dev", "--proc", "--dev-bind"],
        "a view has the host's /dev, and a /proc that tells its own truth",
    ),
    (
        &[
            "--unshare-all",
            "--unshare-user",
            "--unshare-net",
            "--unshare-pid",
            "--userns",
        ],
        "a view uses no namespaces of the kernel",
    ),
    (
        &["--net", "--network", "--share-net", "-p", "--publish"],
        "a view has the host's network",
    ),
    (
        &["-u", "--user", "-0", "--fake-root", "--uid", "--gid"],
        "a view keeps your own ids",
    ),
    (
        &["--privileged", "--cap-add", "--device"],
        "a view needs no privileges",
    ),
    (&["--chdir", "--pwd"], "use -w DIR"),
    (&["--setenv"], "use -e K=V"),
    (
        &["-R", "-n", "+"],
        "this is not vim's view; for vim, use `vim -R FILE`",
    ),
];

/// The failure to show for a parse error that is not `--help` or `--version`.
pub fn explain(error: &clap::Error, arguments: &[OsString]) -> Failure {
    let text = |kind: ContextKind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        Some(ContextValue::Strings(texts)) => texts.first().cloned(),
        _ => None,
    };
    let help = help_hint(arguments);
    match error.kind() {
        ErrorKind::InvalidSubcommand => {
            let word = text(ContextKind::InvalidSubcommand).unwrap_or_default();
            let failure = Failure::new(USAGE, word.clone(), "not a verb of view");
            if is_like_file(&word) {
                failure.hint(format!("did you mean vim's view? try `vim -R {word}`"))
            } else if let Some(near) = text(ContextKind::SuggestedSubcommand) {
                failure.hint(format!("did you mean `view {near}`?"))
            } else {
                failure.hint("`view --help` lists the verbs; `view run CMD` runs a command")
            }
        }
        ErrorKind::UnknownArgument => {
            let word = text(ContextKind::InvalidArg).unwrap_or_default();
            let failure = Failure::new(USAGE, word.clone(), "unknown option or too many words");
            let name = word.split('=').next().unwrap_or_default();
            let translated = TRANSLATIONS.iter().find(|(names, _)| names.contains(&name));
            if let Some((_, hint)) = translated {
                failure.hint(*hint)
            } else if let Some(near) = text(ContextKind::SuggestedArg) {
                failure.hint(format!("did you mean `{near}`?"))
            } else {
                failure.hint(help)
            }
        }
        _ => Failure::new(USAGE, first_paragraph(&error.to_string()), "").hint(help),
    }
}

/// clap's message: its first paragraph on one line, without the word `error`.
fn first_paragraph(text: &str) -> String {
    let paragraph = text.split("\n\n").next().unwrap_or_default();
    let line: Vec<&str> = paragraph.split_whitespace().collect();
    let line = line.join(" ");
    line.strip_prefix("error: ").unwrap_or(&line).to_owned()
}

/// Where help is for the verb that was typed, if one was.
fn help_hint(arguments: &[OsString]) -> String {
    let verb = arguments
        .get(1)
        .and_then(|word| word.to_str())
        .unwrap_or_default();
    let grammar = crate::args::grammar();
    match grammar.find_subcommand(verb) {
        Some(verb) => format!("see `view {} --help`", verb.get_name()),
        None => "see `view --help`".to_owned(),
    }
}

/// Whether a word that is no verb is meant as a file, as vim's `view` takes it.
fn is_like_file(word: &str) -> bool {
    word.contains(['/', '.']) || Path::new(word).exists()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    fn failure(line: &[&str]) -> Failure {
        let arguments: Vec<OsString> = line.iter().map(OsString::from).collect();
        explain(
            &crate::args::Cli::try_parse_from(&arguments).unwrap_err(),
            &arguments,
        )
    }

    #[test]
    fn vim_users_are_told() {
        let failure = failure(&["view", "notes.txt"]);
        assert_eq!(failure.status, 2);
        assert_eq!(
            failure.to_string(),
            "view: notes.txt: not a verb of view\n  hint: did you mean vim's view? try `vim -R notes.txt`\n"
        );
        assert!(
            super::tests::failure(&["view", "-R", "x"])
                .hint
                .unwrap()
                .contains("vim -R")
        );
    }

    #[test]
    fn near_misses_are_named() {
        assert_eq!(
            failure(&["view", "rum"]).hint.unwrap(),
            "did you mean `view run`?"
        );
        assert_eq!(
            failure(&["view", "run", "--hid", "/x", "ls"]).hint.unwrap(),
            "did you mean `--hide`?"
        );
    }

    #[test]
    fn options_of_other_tools_are_translated() {
        let hint = failure(&["view", "run", "--ro-bind", "/a", "/b", "ls"])
            .hint
            .unwrap();
        assert!(hint.contains("-v SRC:DST:ro"), "{hint}");
        let hint = failure(&["view", "run", "-p", "80:80", "ls"]).hint.unwrap();
        assert!(hint.contains("network"), "{hint}");
    }

    #[test]
    fn other_errors_are_one_line() {
        let failure = failure(&["view", "run", "-m", "a:b"]);
        assert_eq!(failure.to_string().lines().count(), 2, "{failure}");
        assert!(failure.what.contains("<CMD>"), "{failure}");
        assert_eq!(failure.hint.as_deref(), Some("see `view run --help`"));
        let failure = super::tests::failure(&["view", "run", "--cache-size", "lots", "ls"]);
        assert_eq!(failure.to_string().lines().count(), 2, "{failure}");
    }
}
