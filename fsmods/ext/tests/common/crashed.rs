//! An image after a crash: pages of its own over one that many crashes share, and e2fsck(8) on it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::{Arc, Mutex, RwLock};

use fuse_compat::BlockSource;

use super::run;

/// What is copied at once.
pub const PAGE: usize = 4096;

/// A source whose writes stay in memory of its own.
pub struct Crashed {
    base: Arc<RwLock<Vec<u8>>>,
    pages: Mutex<BTreeMap<u64, Box<[u8]>>>,
}

impl Crashed {
    pub fn over(base: Arc<RwLock<Vec<u8>>>) -> Self {
        assert!(base.read().unwrap().len().is_multiple_of(PAGE));
        Self {
            base,
            pages: Mutex::default(),
        }
    }

    /// A copy that changes on its own.
    pub fn copy(&self) -> Self {
        Self {
            base: Arc::clone(&self.base),
            pages: Mutex::new(self.pages.lock().unwrap().clone()),
        }
    }

    /// Each part of a range that lies in one page: page, place in it, place in the range, length.
    fn parts(offset: u64, length: usize) -> impl Iterator<Item = (u64, usize, usize, usize)> {
        let mut done = 0;
        std::iter::from_fn(move || {
            let place = offset + done as u64;
            let inside = (place % PAGE as u64) as usize;
            let now = (PAGE - inside).min(length - done);
            let part = (place / PAGE as u64, inside, done, now);
            done += now;
            (now > 0).then_some(part)
        })
    }
}

impl BlockSource for Crashed {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let base = self.base.read().unwrap();
        if offset + buf.len() as u64 > base.len() as u64 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let pages = self.pages.lock().unwrap();
        for (page, inside, done, now) in Self::parts(offset, buf.len()) {
            let start = page as usize * PAGE;
            let from = match pages.get(&page) {
                Some(own) => &own[..],
                None => &base[start..start + PAGE],
            };
            buf[done..done + now].copy_from_slice(&from[inside..inside + now]);
        }
        Ok(())
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let base = self.base.read().unwrap();
        if offset + data.len() as u64 > base.len() as u64 {
            return Err(io::Error::from_raw_os_error(libc::ENOSPC));
        }
        let mut pages = self.pages.lock().unwrap();
        for (page, inside, done, now) in Self::parts(offset, data.len()) {
            let start = page as usize * PAGE;
            let own = pages
                .entry(page)
                .or_insert_with(|| base[start..start + PAGE].into());
            own[inside..inside + now].copy_from_slice(&data[done..done + now]);
        }
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }

    fn size_bytes(&self) -> io::Result<u64> {
        Ok(self.base.read().unwrap().len() as u64)
    }
}

/// A file, in memory if there is /dev/shm, that e2fsck looks at: only what differs from last time is written.
pub struct Shown {
    path: PathBuf,
    file: File,
    /// Pages that differ from the shared image; `None`: any may.
    different: Option<BTreeSet<u64>>,
}

impl Shown {
    pub fn new(name: &str, otherwise: &Path) -> Self {
        let shm = Path::new("/dev/shm");
        let directory = if shm.is_dir() { shm } else { otherwise };
        let path = directory.join(format!("view-ext-{}-{name}", std::process::id()));
        let mut options = File::options();
        let file = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path)
            .unwrap();
        Self {
            path,
            file,
            different: None,
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn source(&self) -> Arc<dyn BlockSource> {
        Arc::new(self.file.try_clone().unwrap())
    }

    /// Makes the file what `crashed` is; `changed` are pages of the shared image that have changed since last time.
    pub fn show(&mut self, crashed: &Crashed, changed: &BTreeSet<u64>) {
        let base = crashed.base.read().unwrap();
        let pages = crashed.pages.lock().unwrap();
        let page_of = |page: u64| match pages.get(&page) {
            Some(own) => &own[..],
            None => &base[page as usize * PAGE..(page as usize + 1) * PAGE],
        };
        match self.different.take() {
            None => {
                self.file.write_all_at(&base, 0).unwrap();
                self.file.set_len(base.len() as u64).unwrap();
                for (page, own) in pages.iter() {
                    self.file.write_all_at(own, page * PAGE as u64).unwrap();
                }
            }
            Some(different) => {
                let mut all: BTreeSet<u64> = changed.union(&different).copied().collect();
                all.extend(pages.keys());
                for page in all {
                    let bytes = page_of(page);
                    self.file.write_all_at(bytes, page * PAGE as u64).unwrap();
                }
            }
        }
        self.different = Some(pages.keys().copied().collect());
    }

    /// e2fsck looks at the file without changing it, and must find nothing.
    pub fn must_be_clean(&self, context: &str) {
        let output = run(
            "e2fsck",
            &["-fn", self.path.to_str().unwrap()],
            &[0, 4, 8, 12],
        );
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{context}\n{text}");
    }

    /// Others may write the file.
    pub fn touched(&mut self) {
        self.different = None;
    }

    /// e2fsck repairs the file.
    pub fn repair(&mut self, option: &str) -> Output {
        self.touched();
        run(
            "e2fsck",
            &["-f", option, self.path.to_str().unwrap()],
            &[0, 1, 4, 8, 12],
        )
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}
