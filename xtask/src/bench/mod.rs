//! `cargo xtask bench`: paired measurements of views, native runs and peers; writes `docs/benchmarks.md`.
//!
//! In each round every candidate of a job runs once, one after the other, so that whatever else the machine does falls on
//! all of them. A cell is the median over the rounds; a ratio is the median of the ratios of one round.
//!
//! | module | responsibility |
//! | --- | --- |
//! | `place` | programs, files and the command lines of a candidate |
//! | `jobs` | what is measured, and the limit that each figure should keep |
//! | `writing` | the same, of images that are written |
//! | `table` | the document |

mod jobs;
mod place;
mod table;
mod writing;

use crate::{Result, images, project};

/// Measures the jobs whose names contain one of the words given, or all; `--rounds N` (default 7).
pub fn task(arguments: &[String]) -> Result<()> {
    let mut rounds = 7;
    let mut words = Vec::new();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        if argument == "--rounds" {
            rounds = rest
                .next()
                .and_then(|text| text.parse().ok())
                .filter(|&rounds| rounds > 0)
                .ok_or("--rounds N")?;
        } else {
            words.push(argument.as_str());
        }
    }
    images::task()?;
    let place = place::Place::new()?;
    let measure = |jobs: Vec<jobs::Job>| -> Vec<jobs::Row> {
        let is_wanted =
            |name: &str| words.is_empty() || words.iter().any(|word| name.contains(word));
        jobs.into_iter()
            .filter(|job| is_wanted(job.name))
            .map(|job| {
                let row = jobs::measure(&place, &job, rounds);
                println!("{}", table::line(&row));
                row
            })
            .collect()
    };
    let rows = measure(jobs::all(&place));
    place.prepare_writing()?;
    let written = measure(writing::all(&place));
    let text = table::document(&rows, &written, rounds);
    let file = if words.is_empty() {
        project::root().join("docs/benchmarks.md")
    } else {
        project::target().join("benchmarks-part.md")
    };
    std::fs::write(&file, text).map_err(|error| format!("{}: {error}", file.display()))?;
    println!("written: {}", file.display());
    Ok(())
}
