//! What the image tests share: e2fsprogs, the source tree, and the comparison of an image with it.

#![allow(dead_code, reason = "each test binary uses its part")]

pub mod compare;
pub mod crashed;
pub mod failing;
pub mod guarded;
pub mod model;
pub mod recording;
pub mod tree;
pub mod workloads;
pub mod writable;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use fuse_compat::BlockSource;
use view_ext::Volume;

/// Runs a program of e2fsprogs and returns its output; `allowed` are the exit statuses that are fine.
///
/// # Panics
/// When the program is missing or fails: these tests are about nothing without their images.
pub fn run(program: &str, arguments: &[&str], allowed: &[i32]) -> Output {
    let path = format!(
        "{}:/usr/sbin:/sbin",
        std::env::var("PATH").unwrap_or_default()
    );
    let output = Command::new(program)
        .args(arguments)
        .env("PATH", path)
        .env("LC_ALL", "C")
        .output()
        .unwrap_or_else(|error| panic!("cannot run {program} (install e2fsprogs): {error}"));
    let status = output.status.code();
    assert!(
        status.is_some_and(|status| allowed.contains(&status)),
        "{program} {arguments:?} gave {status:?}\n{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// A directory for this test binary's files; the same at each run, made anew.
pub fn scratch(name: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("view-ext")
        .join(name);
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir_all(&directory).unwrap();
    directory
}

/// Makes an image of a tree.
pub fn make_image(image: &Path, size: &str, options: &[&str], tree: &Path) {
    let _ = std::fs::remove_file(image);
    let mut arguments = vec!["-q", "-F", "-d", tree.to_str().unwrap()];
    arguments.extend_from_slice(options);
    arguments.push(image.to_str().unwrap());
    arguments.push(size);
    run("mke2fs", &arguments, &[0]);
}

/// Builds the hash trees of an image's directories (mke2fs leaves them linear).
pub fn index_directories(image: &Path) {
    run(
        "e2fsck",
        &["-f", "-y", "-D", image.to_str().unwrap()],
        &[0, 1],
    );
}

/// Runs debugfs commands that change an image.
pub fn debugfs(image: &Path, commands: &str) -> String {
    let script = image.with_extension("debugfs");
    std::fs::write(&script, commands).unwrap();
    let output = run(
        "debugfs",
        &[
            "-w",
            "-f",
            script.to_str().unwrap(),
            image.to_str().unwrap(),
        ],
        &[0],
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The lines a mount has logged.
#[derive(Clone, Default)]
pub struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    pub fn sink(&self) -> view_ext::Sink {
        let lines = Arc::clone(&self.0);
        Box::new(move |line| lines.lock().unwrap().push(line.to_owned()))
    }

    pub fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

pub fn file_source(image: &Path) -> Arc<dyn BlockSource> {
    Arc::new(std::fs::File::open(image).unwrap())
}

/// Mounts an image that has to be flawless.
pub fn mount(image: &Path, options: &str) -> (Volume, Lines) {
    let lines = Lines::default();
    match Volume::open(file_source(image), options, lines.sink()) {
        Ok(volume) => (volume, lines),
        Err(error) => panic!("{}: {error}", image.display()),
    }
}

/// A small generator of pseudo-random numbers (xorshift64*), the same for a seed on every machine.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }

    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(count + 8);
        while bytes.len() < count {
            bytes.extend_from_slice(&self.next().to_le_bytes());
        }
        bytes.truncate(count);
        bytes
    }
}
