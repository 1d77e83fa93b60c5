//! Where the benchmarks run, and how the command lines of their candidates begin.

use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};

use crate::command::{at, command, output, run, succeeds};
use crate::{Result, project, setup, user};

/// Programs and directories of one run; removed at its end.
pub struct Place {
    /// A directory of the test user.
    pub work: PathBuf,
    /// A directory of the test user on the host's tmpfs.
    pub shm: PathBuf,
    /// The fixtures of `cargo xtask images`.
    pub fixtures: PathBuf,
    /// A private copy of the 5,000-file repository, which git may refresh.
    pub repository: PathBuf,
}

impl Place {
    /// Builds the programs and copies what the jobs change.
    pub fn new() -> Result<Self> {
        let id = std::process::id();
        let work = std::env::temp_dir().join(format!("view-bench-{id}"));
        let shm = PathBuf::from(format!("/dev/shm/view-bench-{id}"));
        project::public_directory(&work)?;
        project::public_directory(&shm)?;
        let fixtures = project::fixtures();
        let repository = work.join("repository");
        let place = Self {
            work,
            shm,
            fixtures,
            repository,
        };
        let view = project::build_view()?;
        at(&view, std::fs::copy(&view, place.work.join("view")))?;
        for name in ["micro", "notify", "filter"] {
            let source = project::root().join(format!("benches/{name}.c"));
            run(command("gcc")
                .args(["-O2", "-o"])
                .arg(place.work.join(name))
                .arg(source))?;
        }
        run(command("cp")
            .arg("-a")
            .arg(place.fixtures.join("bench/tree"))
            .arg(&place.repository))?;
        let large = place.fixtures.join("tree/big/300m");
        run(command("cp").arg(&large).arg(place.shm.join("300m")))?;
        run(command("mkdir")
            .arg(place.work.join("run"))
            .arg(place.work.join("out")))?;
        run(command("chmod").arg("700").arg(place.work.join("run")))?;
        if project::is_root() {
            let (uid, gid) = user::ids()?;
            for directory in [&place.work, &place.shm] {
                at(directory, chown(directory, Some(uid), Some(gid)))?;
                run(command("chown")
                    .args(["-R", &format!("{uid}:{gid}")])
                    .arg(directory))?;
            }
        }
        Ok(place)
    }

    /// Runs a shell line as the test user, in the work directory; `$V`, `$F`, `$S`, `$W` name the binary, the fixtures, the
    /// tmpfs directory and the work directory.
    pub fn shell(&self, line: &str) -> Result<String> {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let environment = [
            ("V", text(&self.work.join("view"))),
            ("F", text(&self.fixtures)),
            ("S", text(&self.shm)),
            ("W", text(&self.work)),
            ("HOME", text(&self.work)),
            ("XDG_RUNTIME_DIR", text(&self.work.join("run"))),
        ];
        output(
            user::as_test_user(None, &environment)?
                .args(["sh", "-c", line])
                .current_dir(&self.work),
        )
    }

    /// Mounts an image with fuse2fs through the kernel's FUSE, runs the line as [`Place::shell`] does, unmounts. `$M` is not
    /// set; the mount point is `mnt-fuse2fs` in the work directory.
    pub fn on_fuse2fs(&self, image: &Path, mode: &str, line: &str) -> Result<String> {
        let point = self.work.join("mnt-fuse2fs");
        project::public_directory(&point)?;
        run(command(setup::found("fuse2fs"))
            .arg(image)
            .arg(&point)
            .args(["-o", &format!("{mode},allow_other")]))?;
        let result = self.shell(line);
        let mut gone = false;
        for _ in 0..50 {
            gone = succeeds(command("umount").arg(&point));
            if gone {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        if gone {
            result
        } else {
            Err(format!("{}: cannot be unmounted", point.display()))
        }
    }

    /// What the writing jobs need: an archive of 2,000 files, and an empty image of 6 GiB that belongs to the test user.
    pub fn prepare_writing(&self) -> Result<()> {
        self.shell(
            "cd \"$F/bench/tree\" && find . -name .git -prune -o -type f -print | LC_ALL=C sort | head -n 2000 >\"$W/files\" && \
             tar -cf \"$W/files.tar\" -T \"$W/files\"",
        )?;
        // Blocks of zeros would not be written to an image.
        self.shell("head -c 512M /dev/zero | tr '\\0' x >content")?;
        self.shell(
            "PATH=$PATH:/usr/sbin:/sbin mke2fs -q -t ext4 -E root_owner=$(id -u):$(id -g) empty.img 6G",
        )
        .map(drop)
    }

    /// A copy of the empty image, in the work directory.
    pub fn fresh_image(&self, name: &str) -> Result<PathBuf> {
        self.shell(&format!("cp --sparse=always empty.img {name}"))?;
        Ok(self.work.join(name))
    }

    /// Why the peer fuse2fs cannot be measured here, if so.
    pub fn fuse2fs_is_absent(&self) -> Option<&'static str> {
        if !project::is_root() {
            Some("needs root")
        } else if std::fs::File::open("/dev/fuse").is_err() {
            Some("no /dev/fuse")
        } else {
            None
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.work);
        let _ = std::fs::remove_dir_all(&self.shm);
    }
}
