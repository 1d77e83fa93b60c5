//! Replies: at once, later from another thread, dropped, through a function, with a descriptor.
#![forbid(unsafe_code)]

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use fuse_compat::*;

fn host() -> Request {
    Request::new(7, 1000, 1000, 42)
}

/// Answers `readlink` later from another thread, drops `getattr`, keeps `unlink` until told.
#[derive(Default)]
struct Slow {
    kept: Mutex<Option<ReplyEmpty>>,
}

impl Filesystem for Slow {
    fn readlink(&self, req: &Request, _: INodeNo, reply: ReplyData) {
        let who = req.uid();
        thread::spawn(move || {
            thread::sleep(Duration::from_millis(30));
            reply.data(who.to_string().as_bytes());
        });
    }

    fn getattr(&self, _: &Request, _: INodeNo, _: Option<FileHandle>, _: ReplyAttr) {}

    fn unlink(&self, _: &Request, _: INodeNo, _: &OsStr, reply: ReplyEmpty) {
        *self.kept.lock().unwrap() = Some(reply);
    }

    fn rmdir(&self, _: &Request, _: INodeNo, _: &OsStr, reply: ReplyEmpty) {
        thread::spawn(move || drop(reply));
    }

    fn open(&self, _: &Request, ino: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        let file = File::open("/proc/self/comm").unwrap();
        match ino.0 {
            1 => reply.opened_descriptor(FileHandle(3), file.into(), FopenFlags::empty()),
            2 => {
                let backing = reply.open_backing(&file).unwrap();
                reply.opened_passthrough(FileHandle(4), FopenFlags::empty(), &backing);
            }
            _ => reply.opened(FileHandle(5), FopenFlags::FOPEN_PASSTHROUGH),
        }
    }
}

#[test]
fn reply_from_another_thread_is_waited_for() {
    let fs: Arc<dyn Filesystem> = Arc::new(Slow::default());
    assert_eq!(
        sync::readlink(&*fs, &host(), INodeNo::ROOT),
        Ok(b"1000".to_vec())
    );
}

#[test]
fn many_callers_wait_each_for_their_own_reply() {
    let fs: Arc<dyn Filesystem> = Arc::new(Slow::default());
    let callers: Vec<_> = (0..8u32)
        .map(|uid| {
            let fs = Arc::clone(&fs);
            thread::spawn(move || {
                let request = Request::new(uid.into(), uid, 0, 0);
                (uid, sync::readlink(&*fs, &request, INodeNo::ROOT))
            })
        })
        .collect();
    for caller in callers {
        let (uid, answer) = caller.join().unwrap();
        assert_eq!(answer, Ok(uid.to_string().into_bytes()));
    }
}

#[test]
fn dropped_reply_is_eio() {
    let fs = Slow::default();
    assert_eq!(
        sync::getattr(&fs, &host(), INodeNo::ROOT, None),
        Err(Errno::EIO)
    );
    assert_eq!(
        sync::rmdir(&fs, &host(), INodeNo::ROOT, OsStr::new("x")),
        Err(Errno::EIO)
    );
}

#[test]
fn kept_reply_calls_the_function_of_its_sink_once() {
    let fs = Slow::default();
    let (sender, receiver) = mpsc::channel();
    let sink = Sink::from_fn(move |answer| sender.send(answer).unwrap());
    fs.unlink(
        &host(),
        INodeNo::ROOT,
        OsStr::new("x"),
        ReplyEmpty::new(sink),
    );
    assert!(receiver.try_recv().is_err(), "answered too early");
    let kept = fs.kept.lock().unwrap().take().unwrap();
    thread::spawn(move || kept.error(Errno::EBUSY))
        .join()
        .unwrap();
    assert_eq!(receiver.recv().unwrap(), Err(Errno::EBUSY));
    assert!(
        receiver.recv().is_err(),
        "answered twice, or the sink was kept"
    );
}

#[test]
fn listing_is_dropped_as_eio_too() {
    let (sender, receiver) = mpsc::channel();
    let mut reply = ReplyDirectory::new(Sink::from_fn(move |a| sender.send(a).unwrap()), 4096);
    assert!(!reply.add(INodeNo::ROOT, 1, FileType::Directory, "."));
    drop(reply);
    assert_eq!(receiver.recv().unwrap(), Err(Errno::EIO));
}

#[test]
fn listing_is_full_at_its_size_on_the_wire() {
    let (sender, receiver) = mpsc::channel();
    let sink = Sink::from_fn(move |answer| sender.send(answer).unwrap());
    let mut reply = ReplyDirectory::new(sink, 64);
    assert!(!reply.add(INodeNo(2), 1, FileType::RegularFile, "12345678")); // 32 bytes
    assert!(reply.add(INodeNo(3), 2, FileType::RegularFile, "123456789")); // 40 bytes
    assert!(!reply.add(INodeNo(4), 3, FileType::RegularFile, "1234567")); // 32 bytes
    reply.ok();
    let names: Vec<_> = receiver.recv().unwrap().unwrap();
    assert_eq!(names.len(), 2);
}

#[test]
fn descriptor_travels_with_open_and_sets_passthrough() {
    let fs = Slow::default();
    let read_comm = |fd: OwnedFd| -> io::Result<String> {
        let mut text = String::new();
        File::from(fd).read_to_string(&mut text)?;
        Ok(text)
    };
    for (ino, handle) in [(1, 3), (2, 4)] {
        let open = sync::open(&fs, &host(), INodeNo(ino), OpenFlags(0)).unwrap();
        assert_eq!(open.fh, FileHandle(handle));
        assert!(open.flags.contains(FopenFlags::FOPEN_PASSTHROUGH));
        assert!(!read_comm(open.descriptor.unwrap()).unwrap().is_empty());
    }
    let open = sync::open(&fs, &host(), INodeNo(9), OpenFlags(0)).unwrap();
    assert!(open.descriptor.is_none());
    assert!(!open.flags.contains(FopenFlags::FOPEN_PASSTHROUGH));
}

/// Counts wake-ups and knows no inode.
#[derive(Default)]
struct Target(Mutex<Vec<PollHandle>>);

impl NotifyTarget for Target {
    fn poll(&self, handle: PollHandle) -> io::Result<()> {
        self.0.lock().unwrap().push(handle);
        Ok(())
    }
    fn inval_entry(&self, _: INodeNo, _: &OsStr) -> io::Result<()> {
        Err(io::ErrorKind::NotFound.into())
    }
    fn inval_inode(&self, _: INodeNo, _: i64, _: i64) -> io::Result<()> {
        Err(io::ErrorKind::PermissionDenied.into())
    }
    fn store(&self, _: INodeNo, _: u64, _: &[u8]) -> io::Result<()> {
        Ok(())
    }
    fn delete(&self, _: INodeNo, _: INodeNo, _: &OsStr) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn notifier_reaches_its_target() {
    let target = Arc::new(Target::default());
    let mut config = KernelConfig::default();
    assert!(config.notifier().is_none());
    config.set_notifier(Notifier::new(target.clone()));
    let notifier = config.notifier().unwrap();
    PollNotifier::new(PollHandle(9), notifier.clone())
        .notify()
        .unwrap();
    assert_eq!(*target.0.lock().unwrap(), [PollHandle(9)]);
    assert!(notifier.inval_entry(INodeNo(5), OsStr::new("x")).is_ok());
    assert!(notifier.inval_inode(INodeNo(5), 0, 0).is_err());
}
