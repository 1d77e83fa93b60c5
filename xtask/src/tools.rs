//! Test programs from the crates registry, built once into the build directory.

use std::path::PathBuf;

use crate::Result;
use crate::command::{at, output};
use crate::project;

/// A crate whose program the tests run.
struct Tool {
    /// The crate, and its program.
    name: &'static str,
    version: &'static str,
}

const TOOLS: [Tool; 2] = [
    // The hammer step.
    Tool {
        name: "fsx",
        version: "0.3.2",
    },
    // The posix step.
    Tool {
        name: "pjdfstest",
        version: "0.2.2",
    },
];

/// Builds what is missing.
pub fn install() -> Result<()> {
    for tool in &TOOLS {
        tool.install()?;
    }
    Ok(())
}

/// Where a tool's program is.
pub fn program(name: &str) -> Result<PathBuf> {
    let tool = TOOLS
        .iter()
        .find(|tool| tool.name == name)
        .ok_or_else(|| format!("no tool {name}"))?;
    let program = tool.program();
    if program.exists() {
        Ok(program)
    } else {
        Err(format!(
            "{}: not there; `cargo xtask setup` builds it",
            program.display()
        ))
    }
}

impl Tool {
    /// One directory a version: another version is another program.
    fn root(&self) -> PathBuf {
        project::target()
            .join("tools")
            .join(format!("{}-{}", self.name, self.version))
    }

    fn program(&self) -> PathBuf {
        self.root().join("bin").join(self.name)
    }

    fn install(&self) -> Result<()> {
        if self.program().exists() {
            return Ok(());
        }
        println!("setup: cargo install {} {}", self.name, self.version);
        let build = self.root().join("build");
        output(
            project::cargo()
                .args(["install", "--quiet", "--locked", "--debug", "--no-track"])
                .args(["--version", self.version, "--root"])
                .arg(self.root())
                .arg("--target-dir")
                .arg(&build)
                .arg(self.name),
        )?;
        at(&build, std::fs::remove_dir_all(&build))
    }
}
