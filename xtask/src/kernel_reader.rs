//! The kernel's own ext4 as a witness: root starts `tests/acceptance/kernel-reader.sh`, which mounts, read-only, the images that
//! the steps hand it. Where root or loop devices are missing there is none, and the steps go without.

use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::Result;
use crate::command::{at, command};

/// How long the trial mount may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The running script; ended when dropped.
pub struct KernelReader {
    directory: PathBuf,
    child: Child,
}

impl KernelReader {
    /// Starts the script, which works in `directory`; the reason when this machine can't.
    pub fn start(script: &Path, directory: &Path) -> Result<Self> {
        let child = command("unshare")
            .args(["--mount", "--propagation", "private", "sh"])
            .arg(script)
            .arg(directory)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .map_err(|error| format!("unshare: {error}"))?;
        let mut reader = Self {
            directory: directory.to_path_buf(),
            child,
        };
        let start = Instant::now();
        loop {
            if reader.directory.join("ready").exists() {
                return Ok(reader);
            }
            if reader.child.try_wait().is_ok_and(|end| end.is_some()) || start.elapsed() > PATIENCE
            {
                let refused = directory.join("refused");
                return Err(at(&refused, std::fs::read_to_string(&refused))?
                    .trim()
                    .to_owned());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Where requests go.
    pub fn directory(&self) -> &Path {
        &self.directory
    }
}

impl Drop for KernelReader {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
