//! What the `jobs` step needs of Debian: a minimal system as two images, and a few packages to install into it.
//!
//! Below the fixtures directory: `debian-new.img` (packages unpacked, the second stage of debootstrap not yet run),
//! `debian.img` (a whole system) and `debian-repo/` (packages with their index, for use without a network). Made by root
//! when missing or of another version; Debian's own programs do all of it.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use crate::command::{at, command, output, run, succeeds};
use crate::setup::{found, patiently};
use crate::{Result, images, project, user};

/// What is installed later: set-id programs, scripts that make users and groups, alternatives, diversions.
const PACKAGES: [&str; 5] = ["hello", "sudo", "cron", "dbus", "openssh-client"];

const SIZE: &str = "640M";

/// Makes what is missing.
pub fn task() -> Result<()> {
    let fixtures = project::fixtures();
    let stamp = fixtures.join(".debian.stamp");
    let version = version()?;
    if std::fs::read_to_string(&stamp).is_ok_and(|text| text == version) {
        return Ok(());
    }
    if !project::is_root() {
        return Err("the Debian images are missing; run as root: cargo xtask setup".to_owned());
    }
    let start = std::time::Instant::now();
    let work = fixtures.join("debian-work");
    images::clear(&work)?;
    project::public_directory(&fixtures)?;
    project::public_directory(&work)?;
    let apt = Apt::new(&work)?;
    let new = work.join("new");
    bootstrap(&apt, &new)?;
    image(&new, &fixtures.join("debian-new.img"))?;
    second_stage(&new)?;
    image(&new, &fixtures.join("debian.img"))?;
    repository(&apt, &new, &fixtures.join("debian-repo"))?;
    images::clear(&work)?;
    at(&stamp, std::fs::write(&stamp, version))?;
    println!("setup: Debian in {:.0} s", start.elapsed().as_secs_f64());
    Ok(())
}

fn version() -> Result<String> {
    let mut hasher = DefaultHasher::new();
    (include_str!("debian.rs"), codename()?, user::ids()?).hash(&mut hasher);
    Ok(format!("{:016x}", hasher.finish()))
}

/// This machine's release of Debian: the programs of one release install the next one badly.
fn codename() -> Result<String> {
    let path = Path::new("/etc/os-release");
    at(path, std::fs::read_to_string(path))?
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="))
        .map(|name| name.trim_matches('"').to_owned())
        .ok_or_else(|| "/etc/os-release has no VERSION_CODENAME".to_owned())
}

/// apt-get with the machine's sources and lists of its own.
struct Apt {
    options: Vec<String>,
}

impl Apt {
    fn new(work: &Path) -> Result<Self> {
        let lists = work.join("lists");
        at(&lists, std::fs::create_dir_all(lists.join("partial")))?;
        let options = [
            format!("Dir::State::Lists={}", lists.display()),
            "Dir::Cache::pkgcache=".to_owned(),
            "Dir::Cache::srcpkgcache=".to_owned(),
            "APT::Sandbox::User=root".to_owned(),
            "APT::Install-Recommends=false".to_owned(),
            "Acquire::Languages=none".to_owned(),
            "Acquire::Retries=3".to_owned(),
        ]
        .into_iter()
        .flat_map(|option| ["-o".to_owned(), option])
        .collect();
        let apt = Self { options };
        patiently(|| apt.get(&["update", "-qq"]).map(drop))?;
        Ok(apt)
    }

    fn get(&self, arguments: &[&str]) -> Result<String> {
        output(
            command("apt-get")
                .args(&self.options)
                .args(arguments)
                .env("DEBIAN_FRONTEND", "noninteractive"),
        )
    }

    /// Where this machine gets `release` from.
    fn mirror(&self, release: &str) -> Result<Option<String>> {
        let format = "$(SITE) $(CODENAME) $(COMPONENT)";
        let targets = self.get(&["indextargets", "--format", format, "Created-By: Packages"])?;
        Ok(targets.lines().find_map(|line| {
            let mut words = line.split_whitespace();
            let site = words.next()?;
            (words.next()? == release && words.next()? == "main").then(|| site.to_owned())
        }))
    }
}

/// The first stage: downloads and unpacks.
fn bootstrap(apt: &Apt, tree: &Path) -> Result<()> {
    let release = codename()?;
    let mirror = apt.mirror(&release)?;
    patiently(|| {
        images::clear(tree)?;
        let mut debootstrap = command(found("debootstrap"));
        debootstrap
            .args(["--foreign", "--variant=minbase", &release])
            .arg(tree)
            .args(&mirror);
        output(&mut debootstrap).map(drop)
    })
}

/// The second stage, natively. It mounts: below a mount namespace of its own where root may make one.
fn second_stage(tree: &Path) -> Result<()> {
    let mut enter = if succeeds(command("unshare").args(["--mount", "true"])) {
        let mut unshare = command("unshare");
        unshare.args(["--mount", "chroot"]);
        unshare
    } else {
        command(found("chroot"))
    };
    output(
        enter
            .arg(tree)
            .args(["/debootstrap/debootstrap", "--second-stage"])
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
    )
    .map(drop)
}

/// One image, replaced whole.
fn image(tree: &Path, image: &Path) -> Result<()> {
    let stage = image.with_extension("img.new");
    let _ = std::fs::remove_file(&stage);
    images::make(&stage, "ext4", &[], SIZE, "24000", tree)?;
    at(image, std::fs::rename(&stage, image))
}

/// The packages that the system in `tree` would need, with their index.
fn repository(apt: &Apt, tree: &Path, repository: &Path) -> Result<()> {
    images::clear(repository)?;
    at(
        repository,
        std::fs::create_dir_all(repository.join("partial")),
    )?;
    let status = format!(
        "Dir::State::status={}",
        tree.join("var/lib/dpkg/status").display()
    );
    let archives = format!("Dir::Cache::archives={}", repository.display());
    let mut arguments = vec!["-o", &status, "-o", &archives];
    arguments.extend(["install", "-qq", "-y", "--download-only"]);
    arguments.extend(PACKAGES);
    patiently(|| apt.get(&arguments).map(drop))?;
    for left in ["partial", "lock"] {
        run(command("rm").arg("-rf").arg(repository.join(left)))?;
    }
    let mut packages: Vec<PathBuf> = at(repository, std::fs::read_dir(repository))?
        .flatten()
        .map(|entry| entry.path())
        .collect();
    packages.sort();
    let mut index = String::new();
    for package in &packages {
        let name = package
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let fields = output(command("dpkg-deb").arg("-f").arg(package))?;
        let sum = output(command("sha256sum").arg(package))?;
        let sum = sum.split_whitespace().next().unwrap_or_default();
        let size = at(package, package.metadata())?.len();
        index += &format!("{fields}Filename: ./{name}\nSize: {size}\nSHA256: {sum}\n\n");
    }
    let file = repository.join("Packages");
    at(&file, std::fs::write(&file, index))?;
    run(command("chmod").args(["-R", "a+rX"]).arg(repository))
}
