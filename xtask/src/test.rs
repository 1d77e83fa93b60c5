//! `cargo xtask test`: runs the steps in order and counts.
//!
//! Root builds and prepares; everything that runs the `view` binary runs as the test user of [`crate::user`], from a scratch
//! directory that any user may reach. A step's output goes to a file, which is printed as it grows: a process that
//! outlives its step can then not hold the run up. Such a process is a failure of its step.

use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::command::{at, command, run, shown};
use crate::kernel_reader::KernelReader;
use crate::steps::{self, Step};
use crate::{Result, images, leftovers, project, user};

/// How many tests passed and failed.
#[derive(Clone, Copy, Default)]
pub struct Counts {
    pub passed: u64,
    pub failed: u64,
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

/// What the steps share.
pub struct Context {
    /// Whether the full sizes were asked for.
    pub full: bool,
    /// A directory of this run, removed at its end.
    pub scratch: PathBuf,
    /// The `view` binary where the test user can run it; an error when it could not be built.
    pub view: Result<PathBuf>,
    /// What marks this run's processes.
    pub mark: String,
    /// How user namespaces are refused.
    pub guard: user::Guard,
    /// The kernel's own ext4, where root can lend it.
    kernel_reader: Option<KernelReader>,
    owner: (u32, u32),
}

/// Runs the steps named by `arguments`, or all; says whether no test failed.
pub fn task(arguments: &[String]) -> Result<bool> {
    let full = arguments.iter().any(|argument| argument == "--full");
    let names: Vec<&String> = arguments
        .iter()
        .filter(|argument| *argument != "--full")
        .collect();
    let chosen: Vec<&Step> = if names.is_empty() {
        steps::STEPS.iter().collect()
    } else {
        names
            .iter()
            .map(|name| steps::find(name))
            .collect::<Result<_>>()?
    };
    images::task()?;
    if full {
        images::full_expected()?;
    }
    let context = Context::new(full)?;
    let mut rows = Vec::new();
    let mut total = Counts::default();
    for step in chosen {
        println!("== {}: {}", step.name, step.about);
        let start = Instant::now();
        let mut counts = (step.run)(&context, step).unwrap_or_else(|message| {
            println!("FAIL {}: {message}", step.name);
            Counts {
                passed: 0,
                failed: 1,
            }
        });
        for process in leftovers::end(&context.mark, Duration::from_secs(5)) {
            println!("FAIL {}: left running: {process}", step.name);
            counts.failed += 1;
        }
        println!(
            "{}: {} passed, {} failed",
            step.name, counts.passed, counts.failed
        );
        rows.push((step.name, counts, start.elapsed()));
        total += counts;
    }
    println!(
        "\n{:<12} {:>7} {:>7} {:>8}",
        "step", "passed", "failed", "seconds"
    );
    for (name, counts, time) in rows {
        println!(
            "{name:<12} {:>7} {:>7} {:>8.1}",
            counts.passed,
            counts.failed,
            time.as_secs_f64()
        );
    }
    println!("\n{} passed, {} failed", total.passed, total.failed);
    let _ = std::io::stdout().flush();
    Ok(total.failed == 0)
}

impl Context {
    fn new(full: bool) -> Result<Self> {
        let owner = user::ids()?;
        let parent = std::env::temp_dir();
        let scratch = parent.join(format!("view-test-{}", std::process::id()));
        project::public_directory(&scratch)?;
        let guard = user::Guard::new(&scratch)?;
        let checkout = scratch.join("checkout");
        project::public_directory(&checkout)?;
        for part in ["tests", "images", "benches", "docs", "README.md"] {
            if project::root().join(part).exists() {
                run(command("cp")
                    .arg("-R")
                    .arg(project::root().join(part))
                    .arg(&checkout))?;
            }
        }
        let view = project::build_view().and_then(|binary| {
            let place = checkout.join("target/release");
            project::public_directory(&place)?;
            let copy = place.join("view");
            at(&binary, std::fs::copy(&binary, &copy))?;
            Ok(copy)
        });
        run(command("chmod").args(["-R", "a+rX"]).arg(&checkout))?;
        if project::is_root() {
            run(command("chown")
                .args(["-R", &format!("{}:{}", owner.0, owner.1)])
                .arg(&checkout))?;
        }
        if let Err(message) = &view {
            println!("FAIL build: {message}");
        }
        let kernel_reader = if project::is_root() {
            let script = checkout.join("tests/acceptance/kernel-reader.sh");
            let directory = scratch.join("kernel-reader");
            project::public_directory(&directory)?;
            at(&directory, chown(&directory, Some(owner.0), Some(owner.1)))?;
            KernelReader::start(&script, &directory)
                .inspect_err(|reason| {
                    println!("no image is compared with the kernel's ext4: {reason}")
                })
                .ok()
        } else {
            None
        };
        let mark = format!(
            "{}-{:x}",
            std::process::id(),
            std::time::UNIX_EPOCH
                .elapsed()
                .map_or(0, |time| time.as_nanos())
        );
        Ok(Self {
            full,
            scratch,
            view,
            mark,
            guard,
            kernel_reader,
            owner,
        })
    }

    /// An empty directory that belongs to the test user, with a home and a run directory in it.
    pub fn work(&self, name: &str) -> Result<PathBuf> {
        let work = self.owned(&self.scratch.join(name))?;
        self.owned(&work.join("home"))?;
        run(command("chmod")
            .arg("700")
            .arg(self.owned(&work.join("run"))?))?;
        Ok(work)
    }

    /// Makes a directory that belongs to the test user.
    pub fn owned(&self, directory: &Path) -> Result<PathBuf> {
        project::public_directory(directory)?;
        if project::is_root() {
            at(
                directory,
                chown(directory, Some(self.owner.0), Some(self.owner.1)),
            )?;
        }
        Ok(directory.to_path_buf())
    }

    /// Completes the copy of the checkout, so that it can be built, and returns where it is.
    pub fn all_sources(&self) -> Result<PathBuf> {
        let checkout = self.scratch.join("checkout");
        for part in [
            "Cargo.toml",
            "Cargo.lock",
            "fuse-compat",
            "fsmods",
            "host",
            "xtask",
        ] {
            run(command("cp")
                .arg("-R")
                .arg(project::root().join(part))
                .arg(&checkout))?;
        }
        Ok(checkout)
    }

    /// The environment of a test that runs the binary.
    pub fn environment(&self, work: &Path) -> Result<Vec<(&'static str, String)>> {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let checkout = self.scratch.join("checkout");
        let kernel_reader = self.kernel_reader.as_ref().map(KernelReader::directory);
        Ok(vec![
            ("VIEW_BIN", text(self.view.as_ref().map_err(Clone::clone)?)),
            ("VIEW_FULL", u8::from(self.full).to_string()),
            ("FIXTURES", text(&project::fixtures())),
            ("CHECKOUT", text(&checkout)),
            ("ACCEPTANCE", text(&checkout.join("tests/acceptance"))),
            ("KERNEL_READER", kernel_reader.map(text).unwrap_or_default()),
            ("WORK", text(work)),
            ("TMPDIR", text(work)),
            ("HOME", text(&work.join("home"))),
            ("XDG_RUNTIME_DIR", text(&work.join("run"))),
            (leftovers::MARK, self.mark.clone()),
            ("CI", std::env::var("CI").unwrap_or_default()),
        ])
    }

    /// Runs a command whose output says how many tests passed; prints that output as it comes.
    pub fn count(&self, name: &str, command: &mut Command, limit: Duration) -> Result<Counts> {
        let log = self.scratch.join(format!("{name}.log"));
        let out = at(&log, std::fs::File::create(&log))?;
        let error = at(&log, out.try_clone())?;
        let mut child = command
            .stdout(out)
            .stderr(error)
            .env(leftovers::MARK, &self.mark)
            .spawn()
            .map_err(|error| format!("{}: {error}", shown(command)))?;
        let start = Instant::now();
        let mut reader = Echo {
            file: at(&log, std::fs::File::open(&log))?,
            offset: 0,
            text: Vec::new(),
        };
        let status = loop {
            let status = child.try_wait().map_err(|error| format!("wait: {error}"))?;
            reader.catch_up();
            if let Some(status) = status {
                break status;
            }
            if start.elapsed() > limit {
                leftovers::end(&self.mark, Duration::ZERO);
                let _ = child.wait();
                reader.catch_up();
                return Err(format!("not done after {} s", limit.as_secs()));
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        let mut counts = counted(&String::from_utf8_lossy(&reader.text));
        if !status.success() && counts.failed == 0 {
            println!("FAIL {name}: {}: {status}", shown(command));
            counts.failed = 1;
        }
        if counts.passed + counts.failed == 0 {
            return Err("ran no test".to_owned());
        }
        Ok(counts)
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.scratch);
    }
}

/// Prints a growing file.
struct Echo {
    file: std::fs::File,
    offset: u64,
    text: Vec<u8>,
}

impl Echo {
    fn catch_up(&mut self) {
        let mut fresh = Vec::new();
        if self.file.seek(SeekFrom::Start(self.offset)).is_ok()
            && self.file.read_to_end(&mut fresh).is_ok()
        {
            self.offset += fresh.len() as u64;
            let _ = std::io::stdout().write_all(&fresh);
            self.text.extend_from_slice(&fresh);
        }
    }
}

/// Sums what the scripts (`N passed, N failed`) and Rust's test programs (`test result: ...`) say.
pub fn counted(text: &str) -> Counts {
    let mut counts = Counts::default();
    for line in text.lines() {
        let line = line.split_once("test result: ").map_or(line, |(_, rest)| {
            rest.split_once(". ").map_or(rest, |(_, rest)| rest)
        });
        let mut numbers = line.split([',', ';']).map(str::trim);
        let (Some(first), Some(second)) = (numbers.next(), numbers.next()) else {
            continue;
        };
        let number = |text: &str, word: &str| text.strip_suffix(word)?.trim().parse::<u64>().ok();
        if let (Some(passed), Some(failed)) = (number(first, "passed"), number(second, "failed")) {
            counts += Counts { passed, failed };
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::counted;

    #[test]
    fn sums_both_forms() {
        let text = "ok a\n3 passed, 1 failed\ntest result: ok. 12 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out\n1, 2\n";
        let counts = counted(text);
        assert_eq!((counts.passed, counts.failed), (15, 3));
    }
}
