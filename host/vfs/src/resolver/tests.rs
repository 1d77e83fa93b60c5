//! Tests of the walk, on real directories and tmpfs instances.

use super::*;
use crate::mount_table::{MountFlags, Namespace, Root};
use crate::object::Dentry;
use crate::test_support::*;

/// A host directory with a tmpfs on `point`; in that `dir/file`.
struct World {
    host: HostDirectory,
    namespace: Arc<Namespace>,
    point: Vec<u8>,
    root: Arc<Dentry>,
    directory: Arc<Dentry>,
}

fn world() -> World {
    let host = HostDirectory::new();
    let point = host.directory("point");
    let namespace = Namespace::new();
    let root = tmpfs();
    let directory = make_directory(&root, "dir");
    make_file(&directory, "file");
    mount(&namespace, Root::Node(root.clone()), &point);
    World {
        host,
        namespace,
        point,
        root,
        directory,
    }
}

impl World {
    fn walk(&self, path: impl AsRef<[u8]>, flags: WalkFlags) -> Result<Found, Errno> {
        walk(&self.namespace, path, flags)
    }
    fn at(&self, name: &str) -> Vec<u8> {
        self.host.path(name)
    }
    fn symlink(&self, name: &str, target: &[u8]) {
        self.root
            .create_symlink(name.as_bytes(), target, false, &me())
            .unwrap();
    }
    /// The path in the view of what a path names.
    fn shown(&self, path: impl AsRef<[u8]>) -> Vec<u8> {
        place(&self.namespace, path).view_path()
    }
}

const IN_ROOT: WalkFlags = WalkFlags {
    in_root: true,
    ..WalkFlags::FOLLOW
};
const BENEATH: WalkFlags = WalkFlags {
    beneath: true,
    ..WalkFlags::FOLLOW
};
const NO_XDEV: WalkFlags = WalkFlags {
    no_mount_crossing: true,
    ..WalkFlags::FOLLOW
};

#[test]
fn paths_into_a_mount_are_not_linux_s() {
    let world = world();
    let found = world
        .walk(world.at("point/dir/file"), WalkFlags::FOLLOW)
        .unwrap();
    assert!(!found.kernel_agrees && found.place.is_some());
    assert!(
        world
            .walk(world.at(""), WalkFlags::FOLLOW)
            .unwrap()
            .kernel_agrees
    );
    assert_eq!(
        world.shown(world.at("point//dir/./../dir/file")),
        world.at("point/dir/file")
    );
    assert_eq!(world.shown(world.at("point/..")), world.at(""));
    assert_eq!(
        world
            .walk(world.at("point/dir/file/x"), WalkFlags::FOLLOW)
            .unwrap_err(),
        Errno::NOTDIR
    );
    assert_eq!(
        world
            .walk(world.at("point/dir/file/.."), WalkFlags::FOLLOW)
            .unwrap_err(),
        Errno::NOTDIR
    );
    assert_eq!(
        world
            .walk(world.at("point/dir/file/"), WalkFlags::FOLLOW)
            .unwrap_err(),
        Errno::NOTDIR
    );
    assert_eq!(
        world
            .walk(world.at("point/no/x"), WalkFlags::FOLLOW)
            .unwrap_err(),
        Errno::NOENT
    );
    assert_eq!(
        world.walk(b"", WalkFlags::FOLLOW).unwrap_err(),
        Errno::NOENT
    );
}

#[test]
fn links_of_the_host_lead_into_a_mount_and_back() {
    let world = world();
    world.host.link("in", b"point/dir");
    world.host.link("deep", &world.at("in/file"));
    world.symlink("out", b"../in/../../point");
    assert_eq!(world.shown(world.at("in/file")), world.at("point/dir/file"));
    assert_eq!(world.shown(world.at("deep")), world.at("point/dir/file"));
    // `in/..` is the mount's root, `..` of that the host's directory.
    assert_eq!(
        world.shown(world.at("point/out/dir")),
        world.at("point/dir")
    );
    let found = world.walk(world.at("in"), WalkFlags::NO_FOLLOW).unwrap();
    assert!(found.kernel_agrees && found.place.unwrap().kind() == Ok(Kind::Symlink));
    assert!(
        !world
            .walk(world.at("in/"), WalkFlags::NO_FOLLOW)
            .unwrap()
            .kernel_agrees
    );
}

#[test]
fn forty_links_are_followed_and_no_more() {
    let world = world();
    world.symlink("0", b"dir");
    for number in 1..41 {
        world.symlink(&number.to_string(), (number - 1).to_string().as_bytes());
    }
    assert!(world.walk(world.at("point/39"), WalkFlags::FOLLOW).is_ok());
    assert_eq!(
        world
            .walk(world.at("point/40"), WalkFlags::FOLLOW)
            .unwrap_err(),
        Errno::LOOP
    );
    world.symlink("self", b"self");
    assert_eq!(
        world
            .walk(world.at("point/self"), WalkFlags::FOLLOW)
            .unwrap_err(),
        Errno::LOOP
    );
    // Also when the links are the host's and lead into the mount.
    world.host.link("h0", &world.at("point/dir"));
    for number in 1..41 {
        world
            .host
            .link(&format!("h{number}"), format!("h{}", number - 1).as_bytes());
    }
    assert!(world.walk(world.at("h39"), WalkFlags::FOLLOW).is_ok());
    assert_eq!(
        world.walk(world.at("h40"), WalkFlags::FOLLOW).unwrap_err(),
        Errno::LOOP
    );
}

#[test]
fn names_of_255_bytes_are_the_longest() {
    let world = world();
    let longest = "n".repeat(255);
    make_file(&world.root, &longest);
    assert!(
        world
            .walk(world.at(&format!("point/{longest}")), WalkFlags::FOLLOW)
            .is_ok()
    );
    let longer = format!("point/{longest}n");
    assert_eq!(
        world
            .walk(world.at(&longer), WalkFlags::FOLLOW)
            .unwrap_err(),
        Errno::NAMETOOLONG
    );
    assert_eq!(
        world
            .walk(world.at(&longer), WalkFlags::PARENT)
            .unwrap_err(),
        Errno::NAMETOOLONG
    );
    let on_host = world
        .walk(world.at(&format!("{longest}n")), WalkFlags::FOLLOW)
        .unwrap();
    assert_eq!(on_host.kernel_error, Some(Errno::NAMETOOLONG));
}

#[test]
fn a_missing_name_has_a_parent() {
    let world = world();
    let found = world
        .walk(world.at("point/new/"), WalkFlags::PARENT)
        .unwrap();
    assert!(found.place.is_none() && found.wants_directory);
    assert_eq!(
        (found.name.as_slice(), found.last),
        (b"new".as_slice(), Last::Name)
    );
    assert_eq!(found.parent.unwrap().view_path(), world.point);
    world.symlink("dangling", b"dir/made");
    let create = WalkFlags {
        parent: true,
        ..WalkFlags::FOLLOW
    };
    let found = world.walk(world.at("point/dangling"), create).unwrap();
    assert_eq!(found.name, b"made");
    assert_eq!(found.parent.unwrap().view_path(), world.at("point/dir"));
    for (path, last) in [("point/.", Last::Dot), ("point/dir/..", Last::DotDot)] {
        assert_eq!(
            world.walk(world.at(path), WalkFlags::PARENT).unwrap().last,
            last
        );
    }
    world.symlink("top", b"/");
    assert_eq!(
        world.walk(world.at("point/top"), create).unwrap().last,
        Last::Root
    );
    assert_eq!(
        world.walk(b"//", WalkFlags::PARENT).unwrap().last,
        Last::Root
    );
    // The host's parent of a mount point.
    let found = world.walk(&world.point, WalkFlags::PARENT).unwrap();
    assert_eq!(
        (found.name.as_slice(), found.parent.unwrap().view_path()),
        (b"point".as_slice(), world.at(""))
    );
}

#[test]
fn scoped_walks_stay_below_their_root() {
    let world = world();
    world.symlink("up", b"..");
    world.symlink("absolute", b"/dir/file");
    let start = place(&world.namespace, &world.point);
    let walk = |path: &str, flags| walk_from(&world.namespace, &start, path, flags);
    for path in ["..", "dir/../..", "up", "/dir", "absolute"] {
        assert_eq!(walk(path, BENEATH).unwrap_err(), Errno::XDEV, "{path}");
    }
    for (path, shown) in [
        ("..", "point"),
        ("up/dir/../..", "point"),
        ("/dir", "point/dir"),
        ("absolute", "point/dir/file"),
    ] {
        assert_eq!(
            walk(path, IN_ROOT).unwrap().place.unwrap().view_path(),
            world.at(shown),
            "{path}"
        );
    }
    assert!(walk("dir/file", BENEATH).unwrap().place.is_some());
    // Magic links leave any root.
    let top = world.namespace.table().root().root_place();
    let magic = |flags| walk_from(&world.namespace, &top, "proc/self/cwd/", flags).unwrap_err();
    assert_eq!(magic(BENEATH), Errno::XDEV);
    assert_eq!(magic(IN_ROOT), Errno::XDEV);
    assert_eq!(
        magic(WalkFlags {
            no_magic_links: true,
            ..WalkFlags::FOLLOW
        }),
        Errno::LOOP
    );
    assert_eq!(
        magic(WalkFlags {
            no_symlinks: true,
            ..WalkFlags::FOLLOW
        }),
        Errno::LOOP
    );
}

#[test]
fn no_xdev_refuses_to_cross_in_both_directions() {
    let world = world();
    world.symlink("host", b"/");
    let start = place(&world.namespace, &world.point);
    assert_eq!(world.walk(&world.point, NO_XDEV).unwrap_err(), Errno::XDEV);
    assert_eq!(
        walk_from(&world.namespace, &start, "..", NO_XDEV).unwrap_err(),
        Errno::XDEV
    );
    assert_eq!(
        walk_from(&world.namespace, &start, "host", NO_XDEV).unwrap_err(),
        Errno::XDEV
    );
    assert!(walk_from(&world.namespace, &start, "dir/../dir/file", NO_XDEV).is_ok());
}

#[test]
fn mounts_on_mounts_and_on_files() {
    let world = world();
    let (inner, file) = (tmpfs(), tmpfs());
    make_file(&inner, "inner");
    make_file(&file, "plain");
    mount(&world.namespace, Root::Node(inner), world.at("point/dir"));
    assert_eq!(
        world.shown(world.at("point/dir/inner")),
        world.at("point/dir/inner")
    );
    assert!(
        world
            .walk(world.at("point/dir/file"), WalkFlags::FOLLOW)
            .unwrap()
            .place
            .is_none()
    );
    // A file of one instance on a file of the host.
    let covered = world.host.file("covered");
    let plain = file.lookup(b"plain").unwrap();
    mount(&world.namespace, Root::Node(plain.clone()), &covered);
    let found = place(&world.namespace, &covered);
    assert!(matches!(&found, Place::Node { dentry, .. } if Arc::ptr_eq(dentry, &plain)));
    assert_eq!(found.view_path(), covered);
    assert_eq!(
        world
            .walk(world.at("covered/.."), WalkFlags::FOLLOW)
            .unwrap_err(),
        Errno::NOTDIR
    );
    // Over the first one.
    let top = tmpfs();
    make_file(&top, "top");
    mount(&world.namespace, Root::Node(top), &world.point);
    assert!(
        world
            .walk(world.at("point/top"), WalkFlags::FOLLOW)
            .unwrap()
            .place
            .is_some()
    );
    assert_eq!(world.shown(world.at("point/..")), world.at(""));
}

#[test]
fn an_open_directory_below_a_mount_sees_what_is_covered() {
    let host = HostDirectory::new();
    host.directory("point/under");
    let namespace = Namespace::new();
    let before = place(&namespace, host.path("point/under"));
    mount(&namespace, Root::Node(tmpfs()), host.path("point"));
    assert!(
        walk_from(&namespace, &before, ".", WalkFlags::FOLLOW)
            .unwrap()
            .kernel_agrees
    );
    // `..` arrives at the covered directory, and so on the mount.
    let found = walk_from(&namespace, &before, "..", WalkFlags::FOLLOW).unwrap();
    assert!(!found.kernel_agrees && found.place.unwrap().is_mount_root());
}

#[test]
fn a_bind_of_a_part_is_not_left_by_dot_dot() {
    let world = world();
    let bound = world.host.directory("bound");
    let deep = make_directory(&world.directory, "deep");
    mount(
        &world.namespace,
        Root::Node(world.directory.clone()),
        &bound,
    );
    assert_eq!(world.shown(world.at("bound/deep/../..")), world.at(""));
    // What is moved out of it is no longer reached from above, and does not lead out.
    let start = place(&world.namespace, world.at("bound/deep"));
    world
        .directory
        .rename(b"deep", false, &world.root, b"moved", false, 0, &me())
        .unwrap();
    assert_eq!(
        walk_from(&world.namespace, &start, "..", WalkFlags::FOLLOW).unwrap_err(),
        Errno::NOENT
    );
    assert_eq!(start.view_path(), b"(unreachable)/moved");
    drop(deep);
    // The same on the host.
    let source = world.host.directory("source");
    let target = world.host.directory("target");
    mount(&world.namespace, Root::Host(source), &target);
    let bind = place(&world.namespace, &target).mount().clone();
    let start = Place::Host {
        mount: bind,
        path: world.host.directory("elsewhere/x"),
    };
    assert_eq!(
        walk_from(&world.namespace, &start, "..", WalkFlags::FOLLOW).unwrap_err(),
        Errno::NOENT
    );
    assert!(start.view_path().starts_with(b"(unreachable)/"));
}

#[test]
fn a_bind_of_the_host_has_host_paths_and_no_covers() {
    let world = world();
    world.host.directory("host");
    world.host.file("point-sibling");
    mount(
        &world.namespace,
        Root::Host(b"/".to_vec()),
        world.at("host"),
    );
    let through = [world.at("host"), world.at("point-sibling")].concat();
    let found = place(&world.namespace, &through);
    assert_eq!(
        (found.host_path().unwrap(), found.view_path()),
        (world.at("point-sibling").as_slice(), through.clone())
    );
    // Like mount --bind, not --rbind: what is mounted on the source is not seen.
    let covered = [world.at("host"), world.point.clone()].concat();
    assert!(place(&world.namespace, covered).host_path().is_some());
    // `..` at its top leads to where it is mounted.
    assert_eq!(
        world.shown([world.at("host"), b"/..".to_vec()].concat()),
        world.at("")
    );
    // /proc/self is the caller, also there, and where /proc itself is bound.
    let expected = format!("/proc/{}/comm", std::process::id()).into_bytes();
    let own = [world.at("host"), b"/proc/self/comm".to_vec()].concat();
    assert_eq!(place(&world.namespace, own).host_path().unwrap(), expected);
    world.host.directory("proc");
    mount(
        &world.namespace,
        Root::Host(b"/proc".to_vec()),
        world.at("proc"),
    );
    assert_eq!(
        place(&world.namespace, world.at("proc/self/comm"))
            .host_path()
            .unwrap(),
        expected
    );
}

#[test]
fn the_root_link_of_a_process_is_the_view_s_root() {
    let world = world();
    let flags = MountFlags {
        read_only: true,
        ..MountFlags::default()
    };
    mount_with(&world.namespace, Root::Host(b"/".to_vec()), "/", flags);
    for path in [
        "/proc/self/root",
        "/proc/self/root/",
        "/proc/self/root/..",
        "/..",
    ] {
        let found = world.walk(path, WalkFlags::FOLLOW).unwrap();
        assert!(!found.kernel_agrees, "{path}");
        assert!(found.place.unwrap().mount().flags().read_only, "{path}");
    }
    let found = walk_from(
        &world.namespace,
        &world.namespace.table().root().root_place(),
        "proc/self/root",
        WalkFlags::FOLLOW,
    );
    assert!(found.unwrap().place.unwrap().mount().flags().read_only);
}

#[test]
fn a_removed_working_directory_still_has_a_parent() {
    let world = world();
    world.host.directory("gone");
    let mut start = place(&world.namespace, world.at("gone"));
    std::fs::remove_dir(world.host.0.join("gone")).unwrap();
    if let Place::Host { path, .. } = &mut start {
        path.extend_from_slice(b" (deleted)");
    }
    let walk = |path: &str| walk_from(&world.namespace, &start, path, WalkFlags::FOLLOW);
    assert!(walk(".").unwrap().kernel_agrees);
    assert_eq!(walk("..").unwrap().place.unwrap().view_path(), world.at(""));
    assert!(!walk("../point/dir").unwrap().kernel_agrees);
    assert_eq!(walk("x").unwrap().kernel_error, Some(Errno::NOENT));
}

#[test]
fn a_detached_mount_is_not_left() {
    let world = world();
    let inside = place(&world.namespace, world.at("point/dir"));
    world
        .namespace
        .remove(inside.mount(), true, |_| true)
        .unwrap();
    let up = |path: &str| {
        walk_from(&world.namespace, &inside, path, WalkFlags::FOLLOW)
            .unwrap()
            .place
            .unwrap()
    };
    assert!(up("../..").is_mount_root());
    assert!(up("../dir/file").kind() == Ok(Kind::RegularFile));
}

#[test]
fn paths_longer_than_the_kernel_takes() {
    let world = world();
    let deep = ["d".repeat(200).as_str(); 18].join("/");
    world
        .host
        .directory(&format!("source-{}/{deep}", "s".repeat(240)));
    std::fs::create_dir_all(world.host.0.join("short")).unwrap();
    let source = world.at(&format!("source-{}", "s".repeat(240)));
    // Short enough in the view, too long on the host.
    let nested = [source, deep.clone().into_bytes()].join(&b'/');
    let end = nested.iter().rposition(|&byte| byte == b'/').unwrap();
    mount(
        &world.namespace,
        Root::Host(nested[..end].to_vec()),
        world.at("short"),
    );
    let name = "d".repeat(200);
    let inner = format!("{name}/{}", vec!["e".repeat(200); 5].join("/"));
    let mut at = rustix::fs::open(
        &nested[..end],
        OFlags::PATH | OFlags::CLOEXEC,
        rustix::fs::Mode::empty(),
    )
    .unwrap();
    for part in inner.split('/') {
        let _ = rustix::fs::mkdirat(&at, part, rustix::fs::Mode::RWXU);
        at = rustix::fs::openat(
            &at,
            part,
            OFlags::PATH | OFlags::CLOEXEC,
            rustix::fs::Mode::empty(),
        )
        .unwrap();
    }
    let found = place(&world.namespace, world.at(&format!("short/{inner}")));
    assert!(found.host_path().unwrap().len() > 4096);
    assert_eq!(found.kind(), Ok(Kind::Directory));
    assert_eq!(
        world.shown(world.at(&format!("short/{inner}/./.."))).len() + 201,
        found.view_path().len()
    );
}
