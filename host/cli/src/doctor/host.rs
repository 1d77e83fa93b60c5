//! What can be read about the host: kernel, container, security modules, directories.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::fs::StatVfsMountFlags;
use view_sys::probe;

/// Facts about the host that checks and their wording depend on.
#[derive(Debug, Clone)]
pub struct Facts {
    /// Kernel release, as in uname -r.
    pub kernel: String,
    /// Machine, as in uname -m.
    pub machine: String,
    /// What kind of container this looks like, or `none`.
    pub container: String,
    /// `allowed`, or why not.
    pub user_namespaces: String,
    /// kernel.yama.ptrace_scope; `None` without yama.
    pub yama: Option<u8>,
    /// vm.memfd_noexec; `None` where there is none.
    pub memfd_noexec: Option<u8>,
    /// Process that traces this one, and its name.
    pub tracer: Option<(u32, String)>,
    /// Whether a seccomp filter is on this process already.
    pub has_filter: bool,
    /// Name of the view this process is in.
    pub view: Option<String>,
}

impl Facts {
    /// Reads all of it.
    pub fn gather() -> Self {
        let uname = rustix::system::uname();
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|value| value.trim_start_matches(':').trim().parse::<u32>().ok())
        };
        let tracer = field("TracerPid").filter(|pid| *pid != 0).map(|pid| {
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            (pid, name.trim().to_owned())
        });
        Self {
            kernel: uname.release().to_string_lossy().into_owned(),
            machine: uname.machine().to_string_lossy().into_owned(),
            container: container(),
            user_namespaces: user_namespaces(),
            yama: sysctl("kernel/yama/ptrace_scope"),
            memfd_noexec: sysctl("vm/memfd_noexec"),
            tracer,
            has_filter: field("Seccomp").is_some_and(|mode| mode != 0),
            view: std::env::var_os("VIEW_SOCKET")
                .and_then(|_| std::env::var_os("VIEW"))
                .map(|name| name.to_string_lossy().into_owned()),
        }
    }

    /// The first line of the report.
    pub fn headline(&self) -> String {
        let filter = if self.has_filter {
            " (seccomp filter active)"
        } else {
            ""
        };
        format!(
            "kernel {} {}, container: {}{filter}, user namespaces: {} (not needed)",
            self.kernel, self.machine, self.container, self.user_namespaces
        )
    }
}

fn sysctl(name: &str) -> Option<u8> {
    fs::read_to_string(Path::new("/proc/sys").join(name))
        .ok()?
        .trim()
        .parse()
        .ok()
}

fn container() -> String {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let version = fs::read_to_string("/proc/version").unwrap_or_default();
    // gVisor's kernel has always said this date; WSL puts its maker's name into the release.
    if version.contains("Sun Jan 10 15:06:54 PST 2016") {
        return "gvisor".into();
    }
    if let Some(kind) = std::env::var_os("container") {
        return kind.to_string_lossy().into_owned();
    }
    let first_cgroup = fs::read_to_string("/proc/1/cgroup").unwrap_or_default();
    let kind = if std::env::var_os("KUBERNETES_SERVICE_HOST").is_some() {
        "kubernetes"
    } else if Path::new("/.dockerenv").exists() {
        "docker"
    } else if Path::new("/run/.containerenv").exists() {
        "podman"
    } else if first_cgroup.contains("docker") || first_cgroup.contains("containerd") {
        "docker"
    } else if first_cgroup.contains("lxc") {
        "lxc"
    } else if release.to_ascii_lowercase().contains("microsoft") {
        "wsl"
    } else {
        "none"
    };
    kind.to_owned()
}

fn user_namespaces() -> String {
    match probe::user_namespaces() {
        Ok(()) => "allowed".into(),
        Err(errno) => {
            let why = if sysctl("kernel/unprivileged_userns_clone") == Some(0) {
                "refused by kernel.unprivileged_userns_clone"
            } else if sysctl("kernel/apparmor_restrict_unprivileged_userns") == Some(1) {
                "refused by AppArmor"
            } else if fs::read_to_string("/proc/sys/user/max_user_namespaces")
                .is_ok_and(|limit| limit.trim() == "0")
            {
                "refused by user.max_user_namespaces"
            } else {
                return format!("refused ({})", super::checks::symbol(errno));
            };
            why.into()
        }
    }
}

/// A directory in which a view can keep its marker directories and sockets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scratch {
    /// Where.
    pub path: PathBuf,
    /// Programs cannot be executed from it.
    pub is_noexec: bool,
    /// It is in memory.
    pub is_tmpfs: bool,
}

/// The first of /dev/shm, $TMPDIR, /tmp in which a directory and a file can be made.
pub fn scratch() -> Option<Scratch> {
    let candidates = [
        Some(PathBuf::from("/dev/shm")),
        std::env::var_os("TMPDIR").map(Into::into),
    ];
    let candidates = candidates
        .into_iter()
        .flatten()
        .chain(["/tmp".into(), "/var/tmp".into()]);
    candidates.into_iter().find_map(|path| try_scratch(&path))
}

fn try_scratch(path: &Path) -> Option<Scratch> {
    const TMPFS_MAGIC: u64 = 0x0102_1994; // linux/magic.h
    let directory = path.join(format!(".view-doctor-{}", std::process::id()));
    fs::create_dir(&directory).ok()?;
    let is_usable = fs::write(directory.join("file"), "x").is_ok();
    let _ = fs::remove_dir_all(&directory);
    if !is_usable {
        return None;
    }
    let flags = rustix::fs::statvfs(path).ok()?.f_flag;
    let kind = rustix::fs::statfs(path).ok()?.f_type;
    Some(Scratch {
        path: path.to_owned(),
        is_noexec: flags.contains(StatVfsMountFlags::NOEXEC),
        is_tmpfs: u64::try_from(kind).is_ok_and(|kind| kind == TMPFS_MAGIC),
    })
}
