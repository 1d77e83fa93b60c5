//! Tracees: their header lines, and compiling their variants.
//!
//! A header is `// KEY: WORDS` lines at the top of the C file: `worlds` (rw, ro, any, host or none), `variants`
//! (dynamic, static, static-pie, threads, nolibc) and `pitfalls` (numbers of the cases it covers).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

/// One C program.
#[derive(Debug, Clone)]
pub struct Tracee {
    /// File name without `.c`.
    pub name: String,
    /// The C file.
    pub source: PathBuf,
    /// Class of worlds it runs in.
    pub worlds: String,
    /// How it is compiled.
    pub variants: Vec<String>,
    /// Numbers of the pitfalls it covers.
    pub pitfalls: String,
}

/// All tracees of a directory, by name.
///
/// # Errors
/// The directory can't be read, or a program lacks a header line.
pub fn all(directory: &Path) -> io::Result<Vec<Tracee>> {
    let mut tracees = Vec::new();
    for entry in fs::read_dir(directory)? {
        let source = entry?.path();
        if source.extension().is_none_or(|e| e != "c") {
            continue;
        }
        let text = fs::read_to_string(&source)?;
        let field = |key: &str| {
            let prefix = format!("// {key}:");
            text.lines()
                .take(20)
                .find_map(|line| line.strip_prefix(prefix.as_str()))
                .map(|v| v.trim().to_string())
        };
        let name = source
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let missing =
            |key: &str| io::Error::other(format!("{}: no `// {key}:` line", source.display()));
        tracees.push(Tracee {
            worlds: field("worlds").ok_or_else(|| missing("worlds"))?,
            variants: field("variants")
                .ok_or_else(|| missing("variants"))?
                .split_whitespace()
                .map(str::to_string)
                .collect(),
            pitfalls: field("pitfalls").ok_or_else(|| missing("pitfalls"))?,
            name,
            source,
        });
    }
    tracees.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(tracees)
}

fn flags(variant: &str) -> &'static [&'static str] {
    match variant {
        "static" => &["-pthread", "-static"],
        "static-pie" => &["-pthread", "-static-pie"],
        "threads" => &["-pthread", "-DCHECK_THREADS"],
        "nolibc" => &[
            "-static",
            "-nostdlib",
            "-ffreestanding",
            "-fno-stack-protector",
        ],
        _ => &["-pthread"],
    }
}

/// Where the binaries are kept between runs: beside the test program.
#[must_use]
pub fn binary_directory() -> PathBuf {
    let exe = std::env::current_exe().unwrap_or_default();
    exe.ancestors()
        .nth(2)
        .unwrap_or_else(|| Path::new("/tmp"))
        .join("tracees")
}

/// Where a variant's binary is.
#[must_use]
pub fn binary(tracee: &Tracee, variant: &str) -> PathBuf {
    binary_directory().join(variant).join(&tracee.name)
}

/// Compiles one variant when its sources are newer than its binary.
///
/// # Errors
/// The compiler's messages; a warning is an error.
pub fn compile(tracee: &Tracee, variant: &str) -> Result<(), String> {
    let target = binary(tracee, variant);
    let header = tracee.source.with_file_name("check.h");
    let time = |p: &Path| fs::metadata(p).and_then(|m| m.modified()).ok();
    if time(&target).is_some_and(|t| Some(t) > time(&tracee.source) && Some(t) > time(&header)) {
        return Ok(());
    }
    if let Some(parent) = target.parent() {
        fs::create_dir_all(parent).map_err(|e| format!("{}: {e}", parent.display()))?;
    }
    let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
    let fresh = target.with_extension("new");
    let result = Command::new(&compiler)
        .args(["-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror"])
        // Bad pointers and sizes are what many tests are about.
        .args([
            "-Wno-nonnull",
            "-Wno-stringop-overflow",
            "-Wno-stringop-overread",
            "-Wno-array-bounds",
            "-Wno-format-truncation",
        ])
        .args(flags(variant))
        .arg("-o")
        .arg(&fresh)
        .arg(&tracee.source)
        .output()
        .map_err(|e| format!("{}: {e}", compiler.to_string_lossy()))?;
    if !result.status.success() {
        return Err(String::from_utf8_lossy(&result.stderr).into_owned());
    }
    fs::rename(&fresh, &target).map_err(|e| format!("{}: {e}", target.display()))
}

/// Compiles all the pairs, `jobs` at a time.
///
/// # Errors
/// The messages of every compilation that failed.
pub fn compile_all(pairs: &[(Tracee, String)], jobs: usize) -> Result<(), String> {
    let queue = Mutex::new(pairs.iter());
    let errors = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().map(|mut q| q.next()).ok().flatten();
                    let Some((tracee, variant)) = next else { break };
                    if let Err(text) = compile(tracee, variant)
                        && let Ok(mut errors) = errors.lock()
                    {
                        errors.push(format!("{} ({variant}):\n{text}", tracee.name));
                    }
                }
            });
        }
    });
    let errors = errors.into_inner().unwrap_or_default();
    if errors.is_empty() {
        Ok(())
    } else {
        Err(errors.join("\n"))
    }
}
