//! `cargo xtask setup`: what the tests need from Debian and from the crates registry, installed only when missing.

use std::path::Path;
use std::time::Duration;

use crate::Result;
use crate::command::{at, command, output, run, succeeds};
use crate::{debian, project, rust_project, tools};

const PACKAGES: &str = include_str!("../packages.txt");

/// The C project that the compile step builds, by its Debian source package.
pub const C_PROJECT: &str = "zlib";

/// Installs the missing packages, fetches what comes as source, builds the tools, prints what is there.
pub fn task() -> Result<()> {
    let missing = missing();
    if !missing.is_empty() {
        install(&missing)?;
    }
    fetch_c_project()?;
    tools::install()?;
    rust_project::task()?;
    debian::task()?;
    for (program, arguments) in [
        ("mke2fs", "-V"),
        ("python3", "--version"),
        ("git", "--version"),
        ("runc", "--version"),
        ("go", "version"),
    ] {
        let mut command = command(found(program));
        let shown = command
            .arg(arguments)
            .output()
            .map_err(|error| format!("{program}: {error}"))?;
        let text = [shown.stdout, shown.stderr].concat();
        println!(
            "{}",
            String::from_utf8_lossy(&text)
                .lines()
                .next()
                .unwrap_or(program)
        );
    }
    println!("setup: complete");
    Ok(())
}

/// A program of /usr/sbin or /usr/bin by its whole path, since a user's PATH may lack the first.
pub fn found(program: &str) -> String {
    ["/usr/bin", "/usr/sbin", "/sbin", "/bin"]
        .iter()
        .map(|directory| format!("{directory}/{program}"))
        .find(|path| Path::new(path).exists())
        .unwrap_or_else(|| program.to_owned())
}

/// The packages whose witness file is not there.
fn missing() -> Vec<&'static str> {
    PACKAGES
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            Some((words.next()?, words.next()?))
        })
        .filter(|(_, witness)| !Path::new(witness).exists())
        .map(|(package, _)| package)
        .collect()
}

fn install(packages: &[&str]) -> Result<()> {
    let line = format!(
        "apt-get install -y --no-install-recommends {}",
        packages.join(" ")
    );
    if !project::is_root() {
        return Err(format!(
            "missing packages; run as root:\n  apt-get update && {line}"
        ));
    }
    println!("setup: {line}");
    patiently(|| apt(&["update", "-qq"]))?;
    patiently(|| {
        let mut arguments = vec!["install", "-y", "-qq", "--no-install-recommends"];
        arguments.extend_from_slice(packages);
        apt(&arguments)
    })
}

/// One apt-get call, quiet unless it fails; waits for another one's lock.
fn apt(arguments: &[&str]) -> Result<()> {
    output(
        command("apt-get")
            .args([
                "-o",
                "DPkg::Lock::Timeout=300",
                "-o",
                "Acquire::Retries=3",
                "-o",
                "Dpkg::Use-Pty=0",
            ])
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive"),
    )
    .map(drop)
}

/// Three tries, a pause between them.
pub fn patiently(mut attempt: impl FnMut() -> Result<()>) -> Result<()> {
    let mut result = attempt();
    for pause in [5, 20] {
        if let Err(message) = &result {
            eprintln!("setup: {message}\nsetup: once more in {pause} s");
            std::thread::sleep(Duration::from_secs(pause));
            result = attempt();
        }
    }
    result
}

/// Fetches and unpacks the C project below the fixtures directory, by the machine's own apt sources.
fn fetch_c_project() -> Result<()> {
    let directory = project::fixtures().join("c-project");
    let done = directory.join("source/configure");
    if done.exists() {
        return Ok(());
    }
    project::public_directory(&project::fixtures())?;
    project::public_directory(&directory)?;
    let parts = directory.join("sources.d");
    let lists = directory.join("lists");
    at(&parts, std::fs::create_dir_all(&parts))?;
    at(&lists, std::fs::create_dir_all(lists.join("partial")))?;
    write_source_entries(&parts)?;
    let options = [
        "Dir::Etc::SourceList=/dev/null".to_owned(),
        format!("Dir::Etc::SourceParts={}", parts.display()),
        format!("Dir::State::Lists={}", lists.display()),
        "APT::Sandbox::User=root".to_owned(),
        "Acquire::Retries=3".to_owned(),
    ];
    let apt = |arguments: &[&str]| {
        let mut command = command("apt-get");
        for option in &options {
            command.args(["-o", option]);
        }
        output(command.args(arguments).current_dir(&directory)).map(drop)
    };
    patiently(|| apt(&["update", "-qq"]))?;
    patiently(|| apt(&["source", "-qq", "--download-only", C_PROJECT]))?;
    let archive = at(&directory, std::fs::read_dir(&directory))?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .find(|path| path.to_string_lossy().contains(".orig.tar"))
        .ok_or("the source package holds no archive")?;
    let unpacked = directory.join("source.new");
    at(&unpacked, std::fs::create_dir_all(&unpacked))?;
    run(command("tar")
        .args(["--strip-components=1", "--no-same-owner", "-xf"])
        .arg(&archive)
        .arg("-C")
        .arg(&unpacked))?;
    at(
        &unpacked,
        std::fs::rename(&unpacked, directory.join("source")),
    )?;
    at(&lists, std::fs::remove_dir_all(&lists))?;
    if succeeds(command("test").arg("-x").arg(&done)) {
        Ok(())
    } else {
        Err(format!("{}: not there", done.display()))
    }
}

/// Copies of the machine's apt sources with `deb` turned into `deb-src`.
fn write_source_entries(parts: &Path) -> Result<()> {
    let configured = Path::new("/etc/apt/sources.list.d");
    let mut files = vec![Path::new("/etc/apt/sources.list").to_path_buf()];
    if let Ok(entries) = std::fs::read_dir(configured) {
        files.extend(entries.filter_map(|entry| entry.ok().map(|entry| entry.path())));
    }
    for (index, file) in files.iter().enumerate() {
        let Some(extension) = file
            .extension()
            .filter(|extension| *extension == "list" || *extension == "sources")
        else {
            continue;
        };
        let Ok(text) = std::fs::read_to_string(file) else {
            continue;
        };
        let turned: String = text
            .lines()
            .map(|line| {
                let line = line.replacen("Types: deb", "Types: deb-src", 1).replacen(
                    "deb-src-src",
                    "deb-src",
                    1,
                );
                let line = line
                    .strip_prefix("deb ")
                    .map(|rest| format!("deb-src {rest}"))
                    .unwrap_or(line);
                line + "\n"
            })
            .collect();
        let copy = parts.join(format!("{index}.{}", extension.to_string_lossy()));
        at(&copy, std::fs::write(&copy, turned))?;
    }
    Ok(())
}
