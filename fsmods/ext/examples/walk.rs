//! Reads all of an ext image through the module interface, as a cold `tar` would, and prints what that took.
//!
//! `cargo run --release -p view-ext --example walk -- IMAGE [OPTIONS]`

use std::ffi::OsStr;
use std::sync::Arc;
use std::time::Instant;

use fuse_compat::{FileHandle, FileType, Filesystem, INodeNo, OpenFlags, Request, sync};
use view_ext::Ext;

/// Bytes in one reply, as a host would ask for.
const REPLY_BYTES: u32 = 128 << 10;

#[derive(Debug, Default)]
struct Totals {
    names: u64,
    files: u64,
    bytes: u64,
    links: u64,
}

fn walk(fs: &dyn Filesystem, request: &Request, directory: INodeNo, totals: &mut Totals) {
    let mut offset = 0;
    loop {
        let entries = sync::readdirplus(
            fs,
            request,
            directory,
            FileHandle(0),
            offset,
            REPLY_BYTES as usize,
        );
        let entries = entries.expect("a directory that can be read");
        let Some(last) = entries.last() else { return };
        offset = last.offset;
        for entry in &entries {
            if entry.name == OsStr::new(".") || entry.name == OsStr::new("..") {
                continue;
            }
            totals.names += 1;
            let attr = entry.entry.attr;
            match attr.kind {
                FileType::Directory => walk(fs, request, attr.ino, totals),
                FileType::RegularFile => {
                    totals.files += 1;
                    let mut at = 0;
                    while at < attr.size {
                        let data = sync::read(
                            fs,
                            request,
                            attr.ino,
                            FileHandle(0),
                            at,
                            REPLY_BYTES,
                            OpenFlags(0),
                            None,
                        )
                        .expect("a file that can be read");
                        at += data.len() as u64;
                        totals.bytes += data.len() as u64;
                    }
                }
                FileType::Symlink => {
                    sync::readlink(fs, request, attr.ino).expect("a link that can be read");
                    totals.links += 1;
                }
                _ => {}
            }
        }
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let image = arguments.next().expect("usage: walk IMAGE [OPTIONS]");
    let options = arguments.next().unwrap_or_default();
    let start = Instant::now();
    let source = Arc::new(std::fs::File::open(&image).expect("an image"));
    let fs = match Ext::open(source, &options, Box::new(|line| eprintln!("{line}"))) {
        Ok(fs) => fs,
        Err(error) => {
            eprintln!("cannot mount {image}: {error}");
            std::process::exit(1);
        }
    };
    let request = Request::new(1, 0, 0, 1);
    println!("{} {:?}", fs.volume().type_name(), fs.volume().statistics());
    println!("mount: {:?}", start.elapsed());
    for round in ["cold", "warm"] {
        let start = Instant::now();
        let mut totals = Totals::default();
        walk(&fs, &request, INodeNo(1), &mut totals);
        println!("{round}: {:?} {totals:?}", start.elapsed());
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    for line in status
        .lines()
        .filter(|line| line.starts_with("VmHWM") || line.starts_with("VmRSS"))
    {
        println!("{line}");
    }
}
