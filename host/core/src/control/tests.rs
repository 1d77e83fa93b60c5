//! Round trips and hostile bytes over a real socket.

use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::client::{ClientError, Connection};
use super::protocol::*;
use super::server::{ControlHandler, Peer, serve};
use super::wire;

/// Remembers what it was asked.
#[derive(Default)]
struct Recorder {
    mounts: Mutex<Vec<MountSpec>>,
    entered: Mutex<Vec<(Vec<OsString>, u64)>>,
    peers: Mutex<Vec<Peer>>,
}

impl ControlHandler for Recorder {
    fn mount(&self, peer: Peer, mount: MountSpec, _cwd: PathBuf) -> Result<(), Refusal> {
        self.peers.lock().unwrap().push(peer);
        if mount.filesystem.as_deref() == Some("ntfs") {
            return Err(Refusal::new(libc::ENODEV, "unknown filesystem type").with_hint("try ext4"));
        }
        self.mounts.lock().unwrap().push(mount);
        Ok(())
    }
    fn unmount(&self, _: Peer, target: PathBuf, lazy: bool, _: PathBuf) -> Result<(), Refusal> {
        assert!(!target.starts_with("/panic"), "as asked");
        let mut mounts = self.mounts.lock().unwrap();
        let before = mounts.len();
        mounts.retain(|mount| mount.target != target);
        if mounts.len() == before && !lazy {
            return Err(Refusal::from_errno(rustix::io::Errno::INVAL));
        }
        Ok(())
    }
    fn mounts(&self, _: Peer) -> Result<Vec<MountInfo>, Refusal> {
        let mounts = self.mounts.lock().unwrap();
        let info = |(id, mount): (usize, &MountSpec)| MountInfo {
            id: id as u64,
            parent: 0,
            filesystem: mount.filesystem.clone().unwrap_or_default(),
            source: mount.source.clone(),
            target: mount.target.clone(),
            options: mount.options.clone(),
        };
        Ok(mounts.iter().enumerate().map(info).collect())
    }
    fn info(&self, _: Peer) -> Result<ViewInfo, Refusal> {
        Ok(ViewInfo {
            name: "test".into(),
            supervisor_pid: std::process::id(),
            command_pid: 1,
            command: vec!["sh".into(), OsString::from_vec(vec![0xff, b'x'])],
            started_unix_s: 1_800_000_000,
            processes: 3,
            mounts: 0,
        })
    }
    fn prepare_enter(&self, _: Peer) -> Result<EnterTicket, Refusal> {
        let environment = vec![("VIEW".into(), "test".into())];
        Ok(EnterTicket {
            name: "test".into(),
            cookie: u64::MAX,
            has_identity: false,
            environment,
        })
    }
    fn enter(&self, _: Peer, command: Vec<OsString>, socket: OwnedFd) {
        let handed = crate::launch::handover::receive(socket.as_fd()).unwrap();
        let inode = File::from(handed.listener).metadata().unwrap().ino();
        self.entered.lock().unwrap().push((command, inode));
        crate::launch::handover::release(socket.as_fd()).unwrap();
    }
    fn new_namespace(
        &self,
        _: Peer,
        pid: u32,
        _: String,
        mounts: Vec<MountSpec>,
        _: PathBuf,
    ) -> Result<NamespaceInfo, Refusal> {
        Ok(NamespaceInfo {
            id: u64::from(pid) + mounts.len() as u64,
            environment: vec![],
        })
    }
    fn stop(&self, _: Peer) -> Result<(), Refusal> {
        Ok(())
    }
}

/// A served socket in a directory of its own, removed at the end.
struct Served {
    directory: PathBuf,
    handler: Arc<Recorder>,
}

impl Served {
    fn new(name: &str) -> Self {
        let pid = std::process::id();
        let directory = std::env::temp_dir().join(format!("view-control-{name}-{pid}"));
        let _ = std::fs::remove_dir_all(&directory);
        std::fs::create_dir(&directory).unwrap();
        let handler = Arc::new(Recorder::default());
        let served = Self { directory, handler };
        serve(
            UnixListener::bind(served.path()).unwrap(),
            served.handler.clone(),
        )
        .unwrap();
        served
    }
    fn path(&self) -> PathBuf {
        self.directory.join("s")
    }
    fn connect(&self) -> Connection {
        Connection::open(&self.path()).unwrap()
    }
    fn raw(&self) -> UnixStream {
        let stream = UnixStream::connect(self.path()).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        stream
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn mount(source: &[u8], target: &str, filesystem: Option<&str>) -> MountSpec {
    MountSpec {
        filesystem: filesystem.map(str::to_owned),
        source: OsString::from_vec(source.to_vec()),
        target: target.into(),
        options: "ro,offset=1M".into(),
        kind: MountKind::Filesystem,
    }
}

#[test]
fn mounts_travel_unchanged_even_with_names_that_are_not_utf8() {
    let served = Served::new("mounts");
    let mut connection = served.connect();
    let odd = mount(b"/tmp/\xff\xfe\n\"", "/mnt", Some("ext4"));
    connection.mount(odd.clone(), "/".into()).unwrap();
    connection
        .mount(mount(b"/b", "/b", None), "/".into())
        .unwrap();
    assert_eq!(served.handler.mounts.lock().unwrap()[0], odd);
    let listed = connection.mounts().unwrap();
    assert_eq!(listed.len(), 2);
    assert_eq!(listed[0].source, odd.source);
    connection
        .unmount("/mnt".into(), false, "/".into())
        .unwrap();
    assert_eq!(connection.mounts().unwrap().len(), 1);
    let peer = served.handler.peers.lock().unwrap()[0];
    assert_eq!(peer.pid, std::process::id());
    assert_eq!(peer.uid, rustix::process::getuid().as_raw());
}

#[test]
fn refusals_arrive_with_errno_and_hint() {
    let served = Served::new("refusals");
    let mut connection = served.connect();
    match connection.mount(mount(b"/x", "/x", Some("ntfs")), "/".into()) {
        Err(ClientError::Refused(refusal)) => {
            assert_eq!(refusal.errno, libc::ENODEV);
            assert_eq!(refusal.why, "unknown filesystem type");
            assert_eq!(refusal.hint.as_deref(), Some("try ext4"));
        }
        other => panic!("{other:?}"),
    }
    // The connection is still good.
    match connection.unmount("/nowhere".into(), false, "/".into()) {
        Err(ClientError::Refused(refusal)) => assert_eq!(refusal.why, "Invalid argument"),
        other => panic!("{other:?}"),
    }
    assert_eq!(
        connection.info().unwrap().command[1],
        OsString::from_vec(vec![0xff, b'x'])
    );
}

#[test]
fn entering_turns_the_connection_over() {
    let served = Served::new("enter");
    let mut connection = served.connect();
    assert_eq!(connection.prepare_enter().unwrap().cookie, u64::MAX);
    let socket = connection.enter(vec!["sh".into()]).unwrap();
    // What the entering process does.
    let file = File::open("/proc/self/status").unwrap();
    view_sys::process::send_descriptor(socket.as_fd(), b"L\x01\0\0\0", file.as_fd(), 0).unwrap();
    let mut byte = [0; 2];
    assert_eq!(rustix::io::read(&socket, &mut byte).unwrap(), 1);
    let entered = served.handler.entered.lock().unwrap().clone();
    assert_eq!(
        entered,
        [(vec!["sh".into()], file.metadata().unwrap().ino())]
    );
    // The handler has dropped its end.
    assert_eq!(rustix::io::read(&socket, &mut byte).unwrap(), 0);
}

#[test]
fn namespace_and_stop() {
    let served = Served::new("namespace");
    let mut connection = served.connect();
    let mounts = vec![mount(b"/a", "/a", None), mount(b"/b", "/b", None)];
    let namespace = connection
        .new_namespace(40, "n".into(), mounts, "/".into())
        .unwrap();
    assert_eq!(namespace.id, 42);
    connection.stop().unwrap();
}

#[test]
fn handler_that_panics_costs_one_answer() {
    let served = Served::new("panic");
    let mut connection = served.connect();
    match connection.unmount("/panic".into(), false, "/".into()) {
        Err(ClientError::Refused(refusal)) => assert_eq!(refusal.errno, libc::EIO),
        other => panic!("{other:?}"),
    }
    assert_eq!(connection.info().unwrap().name, "test");
}

/// Sends bytes as they are, closes the sending side, returns what comes back.
fn throw(served: &Served, bytes: &[u8]) -> Vec<u8> {
    let mut stream = served.raw();
    // The server may hang up in the middle.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    answer
}

#[test]
fn hostile_bytes_end_the_connection_and_nothing_else() {
    let served = Served::new("hostile");
    let frame = |body: &[u8]| {
        let mut bytes = (body.len() as u32).to_le_bytes().to_vec();
        bytes.extend_from_slice(body);
        bytes
    };
    let deep = [b"{\"request\":".as_slice(), &b"[".repeat(100_000)].concat();
    let cases: Vec<Vec<u8>> = vec![
        vec![],
        vec![1],
        vec![0xff; 4],
        vec![0xff; 4096],
        vec![0, 0, 0x40, 0],
        frame(b""),
        frame(b"null"),
        frame(b"{}"),
        frame(b"{\"request\":\"fly\"}"),
        frame(b"{\"request\":\"mount\"}"),
        frame(b"\xff\xfe"),
        frame(&deep),
        frame(b"{\"request\":\"unmount\",\"target\":\"/a\\u0000b\",\"lazy\":false,\"cwd\":\"/\"}"),
        frame(b"{\"request\":\"unmount\",\"target\":[300],\"lazy\":false,\"cwd\":\"/\"}"),
        frame(b"{\"request\":\"enter\",\"command\":[1]}"),
    ];
    for case in &cases {
        let answer = throw(&served, case);
        let text = String::from_utf8_lossy(&answer);
        assert!(
            answer.is_empty() || text.contains("bad request"),
            "{case:?}: {text}"
        );
    }
    // Every prefix of a good request, and every single byte of it changed.
    let good = frame(&serde_json::to_vec(&Request::Mounts).unwrap());
    for end in 0..good.len() {
        throw(&served, &good[..end]);
        for flip in [0x01, 0x80] {
            let mut bad = good.clone();
            bad[end] ^= flip;
            throw(&served, &bad);
        }
    }
    assert_eq!(served.connect().info().unwrap().name, "test");
}

#[test]
fn silent_peers_do_not_keep_others_out() {
    let served = Served::new("silent");
    let _silent: Vec<UnixStream> = (0..8).map(|_| served.raw()).collect();
    assert_eq!(served.connect().info().unwrap().name, "test");
}

#[test]
fn crowd_is_turned_away_and_places_are_given_back() {
    let served = Served::new("crowd");
    let crowd: Vec<UnixStream> = (0..super::server::MAX_CONNECTIONS * 2)
        .map(|_| served.raw())
        .collect();
    drop(crowd);
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        if let Ok(info) = served.connect().info() {
            assert_eq!(info.name, "test");
            return;
        }
        assert!(Instant::now() < deadline, "no place was given back");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn message_past_its_deadline_is_an_error() {
    let (left, right) = UnixStream::pair().unwrap();
    (&left).write_all(&[10, 0, 0]).unwrap();
    let deadline = Instant::now() + Duration::from_millis(50);
    let error = wire::receive::<Request>(&right, deadline).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    // Nobody reads: the sender gives up too.
    let big = Request::Unmount {
        target: "x".repeat(3 << 20).into(),
        lazy: false,
        cwd: "/".into(),
    };
    let deadline = Instant::now() + Duration::from_millis(50);
    let error = wire::send(&left, &big, &[], deadline).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
}

#[test]
fn long_messages_and_their_limit() {
    let (left, right) = UnixStream::pair().unwrap();
    let request = |length: usize| Request::Unmount {
        target: "x".repeat(length).into(),
        lazy: true,
        cwd: "/".into(),
    };
    let soon = Instant::now() + Duration::from_secs(20);
    let sender = std::thread::spawn(move || {
        wire::send(&left, &request(1 << 20), &[], soon).unwrap();
        wire::send(&left, &request(wire::MAX_MESSAGE_BYTES), &[], soon)
            .unwrap_err()
            .kind()
    });
    let (received, _) = wire::receive::<Request>(&right, soon).unwrap().unwrap();
    assert_eq!(received, request(1 << 20));
    assert_eq!(sender.join().unwrap(), std::io::ErrorKind::InvalidData);
}

#[test]
fn view_spec_round_trip() {
    let spec = ViewSpec {
        name: None,
        mounts: vec![mount(b"/i", "/t", None)],
        command: vec!["ls".into(), OsString::from_vec(vec![0x80])],
        environment: vec![("A".into(), "b=c".into())],
        directory: Some("/t".into()),
        cache_size_bytes: Some(1 << 30),
        log_level: LogLevel::Debug,
        identity: None,
    };
    let text = serde_json::to_string(&spec).unwrap();
    assert_eq!(serde_json::from_str::<ViewSpec>(&text).unwrap(), spec);
}
