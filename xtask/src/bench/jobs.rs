//! What is measured.

use super::place::Place;
use crate::Result;

/// How a figure should compare.
#[derive(Clone, Copy)]
pub enum Limit {
    /// At most so many times the base.
    Ratio(f64),
    /// At most so much more than the base, in the unit of the job.
    Over(f64),
    /// At most so much, in the unit of the job.
    Value(f64),
    /// Only told.
    None,
}

/// Where a candidate runs.
#[derive(Clone, Copy)]
pub enum Way {
    /// A shell line, as the test user. Its output is numbers; the median counts.
    Shell(&'static str),
    /// The same, on an image that fuse2fs has mounted at `mnt-fuse2fs`.
    Fuse2fs(&'static str),
    /// The same, on a copy of the empty image that fuse2fs has mounted for writing.
    Fuse2fsWriting(&'static str),
}

/// One row.
pub struct Job {
    /// Its name.
    pub name: &'static str,
    /// The unit, and how many of the printed units make one.
    pub unit: (&'static str, f64),
    /// What the base column is.
    pub base: (&'static str, Way),
    /// The view's shell line.
    pub view: Way,
    /// A rival, when there is one.
    pub peer: Option<(&'static str, Way)>,
    /// What the view should keep, against the base, or against the peer where `against_peer`.
    pub limit: Limit,
    /// Whether the limit compares with the peer.
    pub against_peer: bool,
    /// Another rival, which is only told.
    pub other: Option<(&'static str, Way)>,
    /// At most so many times the peer, besides the limit.
    pub peer_ratio: Option<f64>,
}

/// One measured row.
pub struct Row {
    /// The job's words.
    pub name: &'static str,
    /// The unit.
    pub unit: &'static str,
    /// What the base is.
    pub base_name: &'static str,
    /// Median of the base.
    pub base: Result<f64>,
    /// Median of the view.
    pub view: Result<f64>,
    /// Median of the ratios of view to base.
    pub ratio: Option<f64>,
    /// The peer's name and median, or why there is none.
    pub peer: Option<(&'static str, Result<f64>)>,
    /// The same of the other rival.
    pub other: Option<(&'static str, Result<f64>)>,
    /// The limits in words and whether they were kept.
    pub verdicts: Vec<(String, bool)>,
}

const NS: (&str, f64) = ("ns", 1.0);
const US: (&str, f64) = ("us", 1e3);
const MS: (&str, f64) = ("ms", 1e6);
const MIB: (&str, f64) = ("MiB", 1024.0);

/// The jobs, in the order of the document.
pub fn all(place: &Place) -> Vec<Job> {
    let micro = |name, base, view, limit| Job {
        name,
        unit: NS,
        base: ("native", Way::Shell(base)),
        view: Way::Shell(view),
        peer: None,
        limit,
        against_peer: false,
        other: None,
        peer_ratio: None,
    };
    let trip = |name, view| Job {
        name,
        unit: US,
        base: ("bare round trip", Way::Shell("./notify")),
        view: Way::Shell(view),
        peer: None,
        limit: Limit::Over(1.5),
        against_peer: false,
        other: None,
        peer_ratio: None,
    };
    let real = |name, base, view, limit| Job {
        unit: MS,
        ..micro(name, base, view, limit)
    };
    let untrapped = |name, base, view, filter| Job {
        peer: Some(("bare filter", Way::Shell(filter))),
        ..micro(name, base, view, Limit::Ratio(1.05))
    };
    let mut jobs = vec![
        untrapped(
            "getpid",
            "./micro getpid",
            "$V run -- ./micro getpid",
            "./filter ./micro getpid",
        ),
        untrapped(
            "read 4 KiB of /dev/zero",
            "./micro read",
            "$V run -- ./micro read",
            "./filter ./micro read",
        ),
        untrapped(
            "write 4 KiB to /dev/null",
            "./micro write",
            "$V run -- ./micro write",
            "./filter ./micro write",
        ),
        untrapped(
            "poll",
            "./micro poll",
            "$V run -- ./micro poll",
            "./filter ./micro poll",
        ),
        untrapped(
            "lseek",
            "./micro lseek",
            "$V run -- ./micro lseek",
            "./filter ./micro lseek",
        ),
    ];
    let on_tmpfs = |name, base, view| Job {
        base: ("file on tmpfs", Way::Shell(base)),
        ..micro(name, base, view, Limit::Ratio(1.0 / 0.95))
    };
    jobs.extend([
        on_tmpfs("pread 4 KiB, opened file of the image", "./micro pread4k $S/300m", "$V run -m ext4:$F/ext4.img:$W/mnt -- ./micro pread4k mnt/big/300m"),
        on_tmpfs("pread 64 KiB, opened file of the image", "./micro pread64k $S/300m", "$V run -m ext4:$F/ext4.img:$W/mnt -- ./micro pread64k mnt/big/300m"),
        on_tmpfs("mmap 16 MiB, read each page, munmap", "./micro mmap $S/300m", "$V run -m ext4:$F/ext4.img:$W/mnt -- ./micro mmap mnt/big/300m"),
        trip("stat of a real path, empty view", "$V run -- ./micro stat $F/bench/tree/counter.txt"),
        trip("stat of a real path, view with a mount", "$V run -m ext4:$F/bench.img:$W/mnt -- ./micro stat $F/bench/tree/counter.txt"),
        trip("stat of a missing real path, empty view", "$V run -- ./micro stat-missing $F/bench/tree/none"),
        trip("stat on the mount, cached", "$V run -m ext4:$F/bench.img:$W/mnt -- ./micro stat $W/mnt/d01/e01/file-00440.txt"),
        trip("fstat of a file of the mount", "$V run -m ext4:$F/bench.img:$W/mnt -- ./micro fstat $W/mnt/counter.txt"),
        micro("stat of a real path, against native", "./micro stat $F/bench/tree/counter.txt", "$V run -- ./micro stat $F/bench/tree/counter.txt", Limit::None),
        micro("open and close of a real path", "./micro open $F/bench/tree/counter.txt", "$V run -- ./micro open $F/bench/tree/counter.txt", Limit::None),
        micro("open and close on the mount", "./micro open $F/bench/tree/counter.txt", "$V run -m ext4:$F/bench.img:$W/mnt -- ./micro open $W/mnt/counter.txt", Limit::None),
        real(
            "compile job (make -j2 of zlib), empty view",
            "./micro run 1 sh -c 'rm -rf out/*; cd out && $F/tree/work/c-project/configure --static && make -j2 libz.a' | tail -n 1",
            "$V run -- ./micro run 1 sh -c 'rm -rf out/*; cd out && $F/tree/work/c-project/configure --static && make -j2 libz.a' | tail -n 1",
            Limit::Ratio(1.25),
        ),
        real("git status, 5,000 files, empty view", "./micro run 5 git -C repository status | grep -E '^[0-9]+$'", "$V run -- ./micro run 5 git -C repository status | grep -E '^[0-9]+$'", Limit::Ratio(4.0)),
        real("python3 -c pass, empty view", "./micro run 9 /usr/bin/python3 -c pass", "$V run -- ./micro run 9 /usr/bin/python3 -c pass", Limit::Ratio(1.3)),
        real("true, inside a view", "./micro run 25 true", "$V run -- ./micro run 25 true", Limit::None),
    ]);
    let tar = |name, base, view, peer| Job {
        peer: place
            .fuse2fs_is_absent()
            .is_none()
            .then_some(("fuse2fs", Way::Fuse2fs(peer))),
        limit: Limit::Ratio(1.0),
        against_peer: true,
        ..real(name, base, view, Limit::None)
    };
    jobs.extend([
        tar(
            "tar of the 5,000-file image, cold",
            "./micro run 1 sh -c 'tar -cf - $F/bench/tree 2>/dev/null | cat >/dev/null'",
            "$V run -m ext4:$F/bench.img:$W/mnt -- ./micro run 1 sh -c 'tar -cf - mnt | cat >/dev/null'",
            "./micro run 1 sh -c 'tar -cf - mnt-fuse2fs | cat >/dev/null'",
        ),
        tar(
            "tar of the 5,000-file image, warm",
            "./micro run 3 sh -c 'tar -cf - $F/bench/tree 2>/dev/null | cat >/dev/null' | tail -n 2",
            "$V run -m ext4:$F/bench.img:$W/mnt -- ./micro run 3 sh -c 'tar -cf - mnt | cat >/dev/null' | tail -n 2",
            "./micro run 3 sh -c 'tar -cf - mnt-fuse2fs | cat >/dev/null' | tail -n 2",
        ),
        tar(
            "find -printf over the 5,000-file image, warm",
            "./micro run 3 sh -c 'find $F/bench/tree -printf \"%p %s %m\\n\" >/dev/null' | tail -n 2",
            "$V run -m ext4:$F/bench.img:$W/mnt -- ./micro run 3 sh -c 'find mnt -printf \"%p %s %m\\n\" >/dev/null' | tail -n 2",
            "./micro run 3 sh -c 'find mnt-fuse2fs -printf \"%p %s %m\\n\" >/dev/null' | tail -n 2",
        ),
        Job { limit: Limit::Over(6.0), ..real("view run true, over true", "./micro run 25 true", "./micro run 25 $V run true", Limit::None) },
        Job { limit: Limit::None, ..real("view run true with an image", "./micro run 25 true", "./micro run 25 $V run -m ext4:$F/bench.img:$W/mnt -- true", Limit::None) },
        Job {
            unit: MIB,
            limit: Limit::Value(16.0),
            ..micro(
                "supervisor, resident, after walking the 5,000-file image",
                "echo 0",
                "$V run --name bench -m ext4:$F/bench.img:$W/mnt -- sh -c 'find mnt -printf \"%p %s %m %T@\\n\" >/dev/null; \
                 pid=$($V ls --json | tr -d \" \" | sed -n \"s/.*\\\"supervisor_pid\\\":\\([0-9]*\\).*/\\1/p\" | head -n 1); \
                 sed -n \"s/^VmRSS:[^0-9]*\\([0-9]*\\).*/\\1/p\" /proc/$pid/status'",
                Limit::None,
            )
        },
    ]);
    jobs
}

/// Runs all candidates of a job in each round.
pub fn measure(place: &Place, job: &Job, rounds: usize) -> Row {
    let (mut bases, mut views, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    let (mut peers, mut others, mut peer_ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        let base = once(place, job.base.1, job.unit.1);
        let view = once(place, job.view, job.unit.1);
        if let (Ok(base), Ok(view)) = (&base, &view)
            && *base > 0.0
        {
            ratios.push(view / base);
        }
        if let Some((_, way)) = job.peer {
            let peer = once(place, way, job.unit.1);
            if let (Ok(peer), Ok(view)) = (&peer, &view) {
                peer_ratios.push(view / peer);
            }
            peers.push(peer);
        }
        if let Some((_, way)) = job.other {
            others.push(once(place, way, job.unit.1));
        }
        let is_hopeless = view.is_err();
        bases.push(base);
        views.push(view);
        if is_hopeless {
            break;
        }
    }
    let (base, view) = (middle(bases), middle(views));
    let peer = job.peer.map(|(name, _)| (name, middle(peers)));
    let ratio = (!ratios.is_empty()).then(|| median(&mut ratios));
    let other = if job.against_peer {
        peer.as_ref().and_then(|(_, value)| value.as_ref().ok())
    } else {
        base.as_ref().ok()
    };
    let mut verdicts: Vec<(String, bool)> = match (&view, other) {
        (Ok(view), Some(&other)) => verdict(job, *view, other, ratio).into_iter().collect(),
        _ => Vec::new(),
    };
    if let (Some(most), false) = (job.peer_ratio, peer_ratios.is_empty()) {
        let ratio = median(&mut peer_ratios);
        let name = job.peer.map_or("the peer", |(name, _)| name);
        let words = format!("<= {most:.2}x {name} (x{ratio:.2})");
        verdicts.push((words, ratio <= most));
    }
    let other = job.other.map(|(name, _)| (name, middle(others)));
    Row {
        name: job.name,
        unit: job.unit.0,
        base_name: job.base.0,
        base,
        view,
        ratio,
        peer,
        other,
        verdicts,
    }
}

fn verdict(job: &Job, view: f64, other: f64, ratio: Option<f64>) -> Option<(String, bool)> {
    let whom = if job.against_peer {
        "the peer"
    } else {
        job.base.0
    };
    match job.limit {
        Limit::Ratio(most) => {
            let ratio = if job.against_peer {
                view / other
            } else {
                ratio?
            };
            Some((format!("<= {most:.2}x {whom}"), ratio <= most))
        }
        Limit::Over(most) => Some((
            format!("<= {most} {} over {whom}", job.unit.0),
            view - other <= most,
        )),
        Limit::Value(most) => Some((format!("<= {most} {}", job.unit.0), view <= most)),
        Limit::None => None,
    }
}

fn once(place: &Place, way: Way, unit: f64) -> Result<f64> {
    let text = match way {
        Way::Shell(line) => place.shell(line)?,
        Way::Fuse2fs(line) => {
            let image = place.fixtures.join("bench.img");
            place.on_fuse2fs(&image, "ro", line)?
        }
        Way::Fuse2fsWriting(line) => {
            let image = place.fresh_image("peer.img")?;
            place.on_fuse2fs(&image, "rw", line)?
        }
    };
    let mut numbers: Vec<f64> = text
        .lines()
        .filter_map(|line| line.trim().parse().ok())
        .collect();
    if numbers.is_empty() {
        return Err(format!("printed no number: {}", text.trim()));
    }
    Ok(median(&mut numbers) / unit)
}

fn middle(values: Vec<Result<f64>>) -> Result<f64> {
    let mut numbers = values.into_iter().collect::<Result<Vec<f64>>>()?;
    Ok(median(&mut numbers))
}

fn median(numbers: &mut [f64]) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or(f64::NAN)
}
