//! Command line of the test programs, the same for both.

/// What to run and how.
#[derive(Debug, Default)]
pub struct Options {
    /// Only names that contain one of these; all when empty.
    pub filters: Vec<String>,
    /// Only the native runs (the oracle); `view` is not needed.
    pub is_native_only: bool,
    /// Only these worlds; all when empty.
    pub worlds: Vec<String>,
    /// Only these variants; all when empty.
    pub variants: Vec<String>,
    /// Runs at the same time.
    pub jobs: usize,
    /// Times each run is repeated.
    pub repeat: usize,
    /// Instead: how often each program runs in views at least, over all its worlds and variants together.
    pub runs: Option<usize>,
    /// Time limit of one run, in seconds.
    pub timeout_s: u64,
    /// Prints a line for each passed run too.
    pub is_verbose: bool,
    /// Prints the names and ends.
    pub is_list: bool,
    /// Leaves the scratch directory in place.
    pub keeps_scratch: bool,
}

const USAGE: &str = "usage: [FILTER...] [--native] [--worlds A,B] [--variants A,B] [--jobs N] [--repeat N | --runs N] [--timeout S] [--verbose] [--list] [--keep]";

impl Options {
    /// Reads the program's arguments; ends the program with status 2 on a wrong one.
    /// Flags that `cargo test` users pass to libtest out of habit are accepted without effect.
    #[must_use]
    pub fn from_args() -> Self {
        let mut options = Self {
            jobs: 2,
            repeat: 1,
            timeout_s: 60,
            ..Self::default()
        };
        let mut args = std::env::args().skip(1);
        while let Some(arg) = args.next() {
            let (flag, inline) = match arg.split_once('=') {
                Some((flag, value)) if flag.starts_with("--") => {
                    (flag.to_string(), Some(value.to_string()))
                }
                _ => (arg, None),
            };
            let mut value = || {
                inline
                    .clone()
                    .or_else(|| args.next())
                    .unwrap_or_else(|| usage())
            };
            match flag.as_str() {
                "--native" => options.is_native_only = true,
                "--worlds" => options.worlds = list(&value()),
                "--variants" => options.variants = list(&value()),
                "--jobs" | "--test-threads" => options.jobs = number(&value()) as usize,
                "--repeat" => options.repeat = number(&value()) as usize,
                "--runs" => options.runs = Some(number(&value()) as usize),
                "--timeout" => options.timeout_s = number(&value()),
                "--verbose" | "-v" => options.is_verbose = true,
                "--list" => options.is_list = true,
                "--keep" => options.keeps_scratch = true,
                "--nocapture" | "--no-capture" | "--show-output" | "--quiet" | "-q" => {}
                name if !name.starts_with('-') => options.filters.push(name.to_string()),
                _ => usage(),
            }
        }
        options.jobs = options.jobs.max(1);
        options
    }

    /// Whether a test of this name was asked for.
    #[must_use]
    pub fn wants(&self, name: &str) -> bool {
        self.filters.is_empty() || self.filters.iter().any(|f| name.contains(f.as_str()))
    }

    /// Whether a world was asked for.
    #[must_use]
    pub fn wants_world(&self, name: &str) -> bool {
        self.worlds.is_empty() || self.worlds.iter().any(|w| w == name)
    }

    /// Whether a variant was asked for.
    #[must_use]
    pub fn wants_variant(&self, name: &str) -> bool {
        self.variants.is_empty() || self.variants.iter().any(|v| v == name)
    }
}

fn list(text: &str) -> Vec<String> {
    text.split(',').map(str::to_string).collect()
}

fn number(text: &str) -> u64 {
    text.parse().unwrap_or_else(|_| usage())
}

fn usage() -> ! {
    eprintln!("{USAGE}");
    std::process::exit(2);
}
