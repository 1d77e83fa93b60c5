//! `view completions`, `view man`, `view compat`: what is generated from the code.

use std::fs;
use std::path::Path;

use clap::Command;

use crate::args::{Completions, Man, grammar};
use crate::message::{Failure, io_text, print};

/// `view completions SHELL`.
pub fn completions(arguments: &Completions) -> Result<u8, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut grammar(), "view", &mut script);
    print(&script)?;
    Ok(0)
}

/// `view man [DIR]`.
pub fn man(arguments: &Man) -> Result<u8, Failure> {
    match &arguments.directory {
        None => print(&page(grammar()))?,
        Some(directory) => write_pages(directory).map_err(|error| {
            let what = format!("cannot write manual pages to {}", directory.display());
            Failure::new(1, what, io_text(&error))
        })?,
    }
    Ok(0)
}

/// `view compat`.
pub fn compat() -> Result<u8, Failure> {
    print(view_core::syscall::table::compatibility_page().as_bytes())?;
    Ok(0)
}

fn page(command: Command) -> Vec<u8> {
    let mut text = Vec::new();
    // Writing to memory cannot fail.
    let version = concat!("view ", env!("CARGO_PKG_VERSION"));
    let page = clap_mangen::Man::new(command)
        .source(version)
        .manual("view manual");
    let _ = page.render(&mut text);
    text
}

/// view.1 and one page a verb: name of the file and text.
fn pages() -> Vec<(String, Vec<u8>)> {
    let mut grammar = grammar();
    grammar.build();
    let mut all = vec![("view.1".to_owned(), page(self::grammar()))];
    for verb in grammar
        .get_subcommands()
        .filter(|verb| verb.get_name() != "help")
    {
        all.push((format!("view-{}.1", verb.get_name()), page(verb.clone())));
    }
    all
}

fn write_pages(directory: &Path) -> std::io::Result<()> {
    fs::create_dir_all(directory)?;
    for (name, text) in pages() {
        fs::write(directory.join(name), text)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verb_has_a_page_and_the_checked_in_pages_are_current() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/man");
        for (name, text) in pages() {
            let there = fs::read(directory.join(&name)).unwrap_or_default();
            assert!(
                there == text,
                "docs/man/{name} is stale: run `view man docs/man`"
            );
        }
    }

    #[test]
    fn completions_know_the_verbs_and_options() {
        for shell in [
            clap_complete::Shell::Bash,
            clap_complete::Shell::Zsh,
            clap_complete::Shell::Fish,
        ] {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut grammar(), "view", &mut script);
            let script = String::from_utf8(script).unwrap();
            for word in ["umount", "doctor", "tmpfs", "log-level"] {
                assert!(script.contains(word), "{shell}: {word}");
            }
        }
    }
}
