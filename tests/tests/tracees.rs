//! Runs every tracee natively, as the oracle, and then in the worlds that its header names.
//!
//! `cargo test -p view-tests --test tracees -- [FILTER...] [--native] [--worlds A,B] [--variants A,B] [--jobs N] [--repeat N]`

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, setrlimit};
use view_tests::options::Options;
use view_tests::report::{Report, Verdict};
use view_tests::scratch::{self, Scratch};
use view_tests::tracee::{self, Tracee};
use view_tests::world::{self, Shared};

fn main() {
    let options = Options::from_args();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tracees = or_die(tracee::all(&root.join("tracees")), "tracees");
    let wanted: Vec<Tracee> = tracees
        .iter()
        .filter(|t| t.worlds != "none" && options.wants(&t.name))
        .cloned()
        .collect();
    if options.is_list {
        for t in &wanted {
            println!(
                "{:<24} {:<5} {:<32} {}",
                t.name,
                t.worlds,
                t.variants.join(" "),
                t.pitfalls
            );
        }
        println!("{} tracees", wanted.len());
        return;
    }
    let mut pairs = Vec::new();
    for t in tracees
        .iter()
        .filter(|t| t.worlds == "none" || options.wants(&t.name))
    {
        pairs.extend(
            t.variants
                .iter()
                .filter(|v| t.worlds == "none" || options.wants_variant(v))
                .map(|v| (t.clone(), v.clone())),
        );
    }
    or_die(tracee::compile_all(&pairs, options.jobs), "compiling");
    scratch::give_up_root();
    let code = run_all(&options, root, &tracees, &pairs);
    std::process::exit(code);
}

fn run_all(options: &Options, root: &Path, tracees: &[Tracee], pairs: &[(Tracee, String)]) -> i32 {
    // Tracees die by SIGBUS and the like on purpose.
    let _ = setrlimit(
        Resource::Core,
        Rlimit {
            current: Some(0),
            maximum: Some(0),
        },
    );
    let disk = or_die(
        Scratch::new(&scratch::base(), options.keeps_scratch),
        "scratch directory",
    );
    let shm = Scratch::new(Path::new("/dev/shm"), options.keeps_scratch).ok();
    let view = if options.is_native_only {
        None
    } else {
        Some(or_die(scratch::view_binary(), "view"))
    };
    let shared = Shared {
        view,
        scratch: disk.path().to_path_buf(),
        shm: shm.as_ref().map(|s| s.path().to_path_buf()),
        fixture: disk.path().join("fx"),
        image: disk.path().join("fx.img"),
        limit: Duration::from_secs(options.timeout_s),
    };
    if pairs
        .iter()
        .any(|(t, _)| matches!(t.worlds.as_str(), "ro" | "any"))
    {
        let show = |variant: &str| {
            tracees
                .iter()
                .find(|t| t.name == "show")
                .map(|t| tracee::binary(t, variant))
                .unwrap_or_default()
        };
        or_die(
            view_tests::fixture::build(&shared.fixture, &show("dynamic"), &show("static")),
            "fixture",
        );
        if shared.view.is_some() {
            or_die(
                view_tests::fixture::build_image(&shared.fixture, &shared.image),
                "fixture image",
            );
        }
    }
    let exceptions = or_die(exceptions(&root.join("worlds.txt")), "worlds.txt");
    let report = Report::new(options.is_verbose);
    let queue = Mutex::new(pairs.iter().filter(|(t, _)| t.worlds != "none"));
    let next_id = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..options.jobs {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().map(|mut q| q.next()).ok().flatten();
                    let Some((tracee, variant)) = next else { break };
                    run_pair(
                        options,
                        &shared,
                        &exceptions,
                        &report,
                        &next_id,
                        tracee,
                        variant,
                    );
                }
            });
        }
    });
    report.close()
}

/// One variant of one tracee in all its worlds. When the oracle itself fails or skips, the other worlds are not run.
fn run_pair(
    options: &Options,
    shared: &Shared,
    exceptions: &BTreeMap<(String, String), String>,
    report: &Report,
    next_id: &AtomicUsize,
    tracee: &Tracee,
    variant: &str,
) {
    let name = format!("{} [{variant}]", tracee.name);
    let program: PathBuf = tracee::binary(tracee, variant);
    let class = tracee.worlds.as_str();
    let repeat = repeats(options, exceptions, tracee);
    for world in world::of_class(class) {
        let is_native = world::is_native(world);
        if !options.wants_world(world)
            || (options.is_native_only && !is_native)
            || (*world == "shm" && shared.shm.is_none())
        {
            continue;
        }
        if let Some(reason) = exceptions.get(&(tracee.name.clone(), (*world).to_string())) {
            report.add(world, &name, &Verdict::Skipped(reason.clone()));
            continue;
        }
        for _ in 0..if is_native { options.repeat } else { repeat } {
            let id = next_id.fetch_add(1, Ordering::Relaxed);
            let mut verdict = world::run(shared, &program, class, world, id)
                .unwrap_or_else(|e| Verdict::Failed(e.to_string()));
            if let (Verdict::Skipped(why), false) = (&verdict, is_native) {
                verdict = Verdict::Failed(format!("skipped inside the view only: {why}"));
            }
            report.add(world, &name, &verdict);
            if is_native && verdict != Verdict::Passed {
                return;
            }
        }
        if options.runs.is_some() && !is_native {
            println!("{name} ({world}): {repeat} runs");
        }
    }
}

/// How often each combination of variant and world runs in a view: with `--runs`, the asked number spread over them.
fn repeats(
    options: &Options,
    exceptions: &BTreeMap<(String, String), String>,
    tracee: &Tracee,
) -> usize {
    let Some(runs) = options.runs else {
        return options.repeat;
    };
    let worlds = world::of_class(&tracee.worlds)
        .iter()
        .filter(|world| {
            !world::is_native(world)
                && options.wants_world(world)
                && !exceptions.contains_key(&(tracee.name.clone(), (**world).to_string()))
        })
        .count();
    let variants = tracee.variants.iter().filter(|v| options.wants_variant(v));
    runs.div_ceil((worlds * variants.count()).max(1))
}

/// Combinations that do not apply: lines `program world reason`.
fn exceptions(path: &Path) -> Result<BTreeMap<(String, String), String>, String> {
    let text = fs::read_to_string(path).map_err(|e| e.to_string())?;
    let mut table = BTreeMap::new();
    for line in text
        .lines()
        .map(str::trim)
        .filter(|l| !l.is_empty() && !l.starts_with('#'))
    {
        let mut words = line.splitn(3, char::is_whitespace);
        match (words.next(), words.next(), words.next()) {
            (Some(program), Some(world), Some(reason)) => table.insert(
                (program.to_string(), world.to_string()),
                reason.trim().to_string(),
            ),
            _ => return Err(format!("not `program world reason`: {line}")),
        };
    }
    Ok(table)
}

fn or_die<T, E: std::fmt::Display>(result: Result<T, E>, what: &str) -> T {
    result.unwrap_or_else(|error| {
        eprintln!("{what}: {error}");
        std::process::exit(2)
    })
}
