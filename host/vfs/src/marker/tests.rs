//! Tests of markers against the kernel: what a marker hides, and when its end is noticed.

use super::*;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

fn markers() -> (Arc<Markers>, Receiver<Identity>) {
    let (sender, receiver) = channel();
    let sender = Mutex::new(sender);
    let markers = Markers::new(Box::new(move |identity| {
        // The test may be over already.
        let _ = sender.lock().send(identity);
    }));
    (markers.unwrap(), receiver)
}

const SOON: Duration = Duration::from_secs(10);

#[test]
fn nothing_is_found_below_a_marker() {
    let (markers, _closed) = markers();
    let (descriptor, identity) = markers.open_marker().unwrap();
    assert_eq!(Identity::of(&descriptor).unwrap(), identity);
    let find = |path: &str| openat(&descriptor, path, OFlags::RDONLY, Mode::empty());
    assert_eq!(find("etc").unwrap_err(), Errno::NOENT);
    let parent = find("..").unwrap();
    let outside = |path: &str| openat(&parent, path, OFlags::RDONLY, Mode::empty());
    assert_eq!(outside("etc").unwrap_err(), Errno::NOENT);
    let make = openat(
        &descriptor,
        "new",
        OFlags::CREATE | OFlags::WRONLY,
        Mode::RWXU,
    );
    assert_eq!(make.unwrap_err(), Errno::NOENT);
    assert_eq!(fs::read_dir(markers.directory()).unwrap().count(), 0);
}

#[test]
fn each_marker_is_another_directory() {
    let (markers, _closed) = markers();
    let all: Vec<_> = (0..50).map(|_| markers.open_marker().unwrap()).collect();
    let mut identities: Vec<_> = all.iter().map(|(_, identity)| *identity).collect();
    identities.sort();
    identities.dedup();
    assert_eq!((identities.len(), markers.len()), (50, 50));
}

#[test]
fn the_last_close_is_noticed() {
    let (markers, closed) = markers();
    let (descriptor, identity) = markers.open_marker().unwrap();
    let second = descriptor.try_clone().unwrap();
    drop(descriptor);
    let (other, other_identity) = markers.open_marker().unwrap();
    drop(other);
    assert_eq!(closed.recv_timeout(SOON).unwrap(), other_identity);
    assert!(markers.contains(identity), "a duplicate is still open");
    drop(second);
    assert_eq!(closed.recv_timeout(SOON).unwrap(), identity);
    assert!(markers.is_empty());
}

#[test]
fn a_path_descriptor_counts_as_a_user() {
    let (markers, closed) = markers();
    let named = markers.named_marker().unwrap();
    let identity = named.identity();
    let path = rustix::fs::open(named.path(), DIRECTORY | OFlags::PATH, Mode::empty()).unwrap();
    drop(named);
    assert!(closed.recv_timeout(Duration::from_millis(100)).is_err());
    assert!(markers.contains(identity));
    drop(path);
    assert_eq!(closed.recv_timeout(SOON).unwrap(), identity);
}

#[test]
fn a_working_directory_counts_as_a_user() {
    let (markers, closed) = markers();
    let named = markers.named_marker().unwrap();
    let identity = named.identity();
    // The child stands in the marker without any descriptor of it.
    let mut child = std::process::Command::new("sleep")
        .arg("1000")
        .current_dir(named.path())
        .spawn()
        .unwrap();
    drop(named);
    let stands_in = fs::metadata(format!("/proc/{}/cwd", child.id())).unwrap();
    use std::os::unix::fs::MetadataExt;
    assert_eq!(stands_in.ino(), identity.inode);
    assert!(closed.recv_timeout(Duration::from_millis(100)).is_err());
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(closed.recv_timeout(SOON).unwrap(), identity);
}

#[test]
fn a_named_marker_that_nobody_enters_ends_with_its_name() {
    let (markers, closed) = markers();
    let named = markers.named_marker().unwrap();
    let identity = named.identity();
    assert!(named.path().is_dir());
    let path = named.path().to_owned();
    drop(named);
    assert!(!path.exists());
    assert_eq!(closed.recv_timeout(SOON).unwrap(), identity);
    assert_eq!(fs::read_dir(markers.directory()).unwrap().count(), 0);
}

#[test]
fn released_markers_do_not_call_back() {
    let (markers, closed) = markers();
    let (descriptor, identity) = markers.open_marker().unwrap();
    markers.release(identity);
    assert!(!markers.contains(identity));
    drop(descriptor);
    assert!(closed.recv_timeout(Duration::from_millis(100)).is_err());
}

#[test]
fn the_private_directory_goes_with_the_markers() {
    let (markers, _closed) = markers();
    let path = markers.directory().to_owned();
    use std::os::unix::fs::PermissionsExt;
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    let (descriptor, _) = markers.open_marker().unwrap();
    drop(markers);
    assert!(!path.exists());
    drop(descriptor);
}

#[test]
fn what_killed_supervisors_left_is_removed_and_nothing_else() {
    let base = std::env::temp_dir().join(format!("view-left-behind-{}", std::process::id()));
    let make = |name: &str, age: u64| {
        let path = base.join(name);
        fs::create_dir_all(path.join("0/markers")).unwrap();
        let opened = fs::File::open(&path).unwrap();
        let time = std::time::SystemTime::now() - Duration::from_secs(age);
        opened.set_modified(time).unwrap();
        (path, opened)
    };
    let (dead, _) = make(".view-markers-1-dead", 3600);
    let (new, _) = make(".view-markers-1-new", 1);
    let (other, _) = make("other", 3600);
    let (used, lock) = make(".view-markers-1-used", 3600);
    flock(&lock, FlockOperation::NonBlockingLockExclusive).unwrap();
    remove_left_behind(&base);
    assert!(!dead.exists());
    assert!(new.exists() && other.exists() && used.exists());
    fs::remove_dir_all(&base).unwrap();
}
