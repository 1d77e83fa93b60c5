//! Quantity: many files, many names in one directory, deep paths, large and sparse files.

use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::{directory, write};
use crate::Result;
use crate::command::at;
use crate::prng::Prng;

const MIB: u64 = 1 << 20;

pub fn build(top: &Path, prng: &mut Prng) -> Result<()> {
    ordinary_files(&top.join("files"), prng, 5_200, 60 * MIB)?;
    many_names(&top.join("many"), 10_000)?;
    deep_path(&top.join("deep"))?;
    let big = top.join("big");
    directory(&big)?;
    large_file(&big.join("300m"), prng, 300 * MIB)?;
    sparse_file(&big.join("sparse-5g"))
}

/// `count` files, `total` bytes together, in directories of at most 40: half text, half noise, sizes skewed to the small.
pub fn ordinary_files(top: &Path, prng: &mut Prng, count: u64, total: u64) -> Result<()> {
    let mean = total / count;
    for index in 0..count {
        let place = top.join(format!("d{:02}/e{:02}", index / 400, index / 40 % 10));
        directory(&place)?;
        // Three of four files get a quarter of the mean at most, the fourth about three times the mean.
        let limit = if prng.below(4) == 0 {
            mean * 7
        } else {
            mean / 2
        };
        let length = prng.below(limit.max(1)) as usize;
        let bytes = if prng.below(2) == 0 {
            prng.text(length)
        } else {
            prng.bytes(length)
        };
        write(
            &place.join(format!(
                "file-{index:05}.{}",
                ["txt", "bin", "c", "h"][(index % 4) as usize]
            )),
            &bytes,
        )?;
    }
    Ok(())
}

/// One directory of `count` small files.
pub fn many_names(top: &Path, count: u32) -> Result<()> {
    directory(top)?;
    for index in 0..count {
        let name = format!("{:08x}-{index}", index.wrapping_mul(2_654_435_761));
        write(&top.join(&name), name.as_bytes())?;
    }
    Ok(())
}

/// 150 nested directories, and a path of about 3,000 bytes made of long names.
fn deep_path(top: &Path) -> Result<()> {
    let mut narrow = top.to_path_buf();
    for level in 0..150 {
        narrow.push(format!("l{level}"));
    }
    directory(&narrow)?;
    write(&narrow.join("bottom"), b"150 directories down\n")?;
    let mut wide = top.to_path_buf();
    for level in 0..15 {
        wide.push(format!("{}{level:02}", "w".repeat(198)));
    }
    directory(&wide)?;
    write(&wide.join("bottom"), b"a path of 3,000 bytes\n")
}

/// A file whose every 4 KiB differ: noise with a counter, so that a block in the wrong place shows.
fn large_file(path: &Path, prng: &mut Prng, length: u64) -> Result<()> {
    let mut chunk = prng.bytes(MIB as usize);
    let mut file = at(path, std::fs::File::create(path))?;
    for start in (0..length).step_by(MIB as usize) {
        for (page, bytes) in chunk.chunks_mut(4096).enumerate() {
            if let Some(counter) = bytes.first_chunk_mut::<8>() {
                *counter = (start + page as u64 * 4096).to_be_bytes();
            }
        }
        at(path, file.write_all(&chunk))?;
    }
    Ok(())
}

/// 5 GB of holes with data at the start, around 2 GiB and 4 GiB, in the middle of nowhere and at the end.
fn sparse_file(path: &Path) -> Result<()> {
    let file = at(path, std::fs::File::create(path))?;
    let end = 5_000_000_000;
    for offset in [0, (1 << 31) - 3, (1 << 32) - 3, 3_333_333_333, end - 7] {
        at(path, file.write_all_at(b"islands", offset))?;
    }
    at(path, file.set_len(end))
}
