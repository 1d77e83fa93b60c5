//! Tests of the mount tree: stacking, sharing of mounts between namespaces, and what holds names.

use super::*;
use crate::test_support::*;

fn never_busy(_: &Arc<Mount>) -> bool {
    false
}

#[test]
fn a_mount_made_meanwhile_lies_below_the_next() {
    let host = HostDirectory::new();
    let point = host.directory("point");
    let namespace = Namespace::new();
    // Two callers resolve the same place before either mounts.
    let place = place(&namespace, &point);
    let first = mount_on(
        &namespace,
        Root::Node(tmpfs()),
        place.clone(),
        MountFlags::default(),
    )
    .unwrap();
    let second = mount_on(
        &namespace,
        Root::Node(tmpfs()),
        place,
        MountFlags::default(),
    )
    .unwrap();
    let top = || crate::test_support::place(&namespace, &point).mount().id();
    assert_eq!(top(), second.id());
    assert_eq!(second.parent().unwrap().id(), first.id());
    assert_eq!(
        namespace.remove(&first, false, never_busy).unwrap_err(),
        Errno::BUSY
    );
    namespace.remove(&second, false, never_busy).unwrap();
    assert_eq!(top(), first.id());
    namespace.remove(&first, false, never_busy).unwrap();
    assert_eq!(
        namespace.remove(&first, false, never_busy).unwrap_err(),
        Errno::INVAL
    );
    assert!(namespace.table().is_empty());
}

#[test]
fn nothing_is_mounted_on_a_mount_that_went() {
    let host = HostDirectory::new();
    let point = host.directory("point");
    let namespace = Namespace::new();
    let under = mount(&namespace, Root::Node(tmpfs()), &point);
    let inside = under.root_place();
    namespace.remove(&under, false, never_busy).unwrap();
    let late = mount_on(
        &namespace,
        Root::Node(tmpfs()),
        inside,
        MountFlags::default(),
    );
    assert_eq!(late.unwrap_err(), Errno::NOENT);
}

#[test]
fn a_child_namespace_goes_its_own_way() {
    let host = HostDirectory::new();
    let point = host.directory("point");
    let outer = Namespace::new();
    let root = tmpfs();
    let below = make_directory(&root, "below");
    mount(&outer, Root::Node(root.clone()), &point);
    let child = outer.child();
    let inner = mount(
        &child,
        Root::Node(tmpfs()),
        [point.as_slice(), b"/below"].concat(),
    );
    assert!(child.table().covering(inner.point().unwrap()).is_some());
    assert!(outer.table().covering(inner.point().unwrap()).is_none());
    // What the outer namespace mounts from now on stays its own.
    let other = host.directory("other");
    mount(&outer, Root::Node(tmpfs()), &other);
    assert!(place(&child, &other).is_plain_host());
    // The name is held by the child's mount, until the child ends.
    assert!(below.is_mount_point());
    drop(child);
    assert!(!below.is_mount_point());
    assert_eq!(root.remove_directory(b"below", &me()), Ok(()));
}

#[test]
fn a_name_is_held_once_for_each_namespace() {
    let host = HostDirectory::new();
    let point = host.directory("point");
    let outer = Namespace::new();
    let root = tmpfs();
    let below = make_directory(&root, "below");
    mount(&outer, Root::Node(root), &point);
    let inner = mount(
        &outer,
        Root::Node(tmpfs()),
        [point.as_slice(), b"/below"].concat(),
    );
    let child = outer.child();
    child.remove(&inner, false, never_busy).unwrap();
    assert!(below.is_mount_point() && inner.is_attached());
    outer.remove(&inner, false, never_busy).unwrap();
    assert!(!below.is_mount_point() && !inner.is_attached());
}

#[test]
fn a_lazy_unmount_takes_what_lies_on_it() {
    let host = HostDirectory::new();
    let point = host.directory("point");
    let namespace = Namespace::new();
    let root = tmpfs();
    make_directory(&root, "below");
    let under = mount(&namespace, Root::Node(root), &point);
    let upper = mount(
        &namespace,
        Root::Node(tmpfs()),
        [point.as_slice(), b"/below"].concat(),
    );
    assert_eq!(
        namespace.remove(&under, false, never_busy).unwrap_err(),
        Errno::BUSY
    );
    let removed: Vec<u64> = namespace
        .remove(&under, true, |_| true)
        .unwrap()
        .iter()
        .map(|one| one.id())
        .collect();
    assert_eq!(removed, [under.id(), upper.id()]);
    assert!(place(&namespace, &point).is_plain_host());
}

#[test]
fn a_scaffold_goes_with_the_last_mount_that_it_holds() {
    let host = HostDirectory::new();
    let namespace = Namespace::new();
    let root = tmpfs();
    let held = [make_directory(&root, "one"), make_directory(&root, "two")];
    let scaffold = namespace
        .add(NewMount {
            point: walk(
                &namespace,
                host.path(""),
                crate::resolver::WalkFlags::FOLLOW,
            )
            .unwrap()
            .place
            .unwrap()
            .host_child(b"missing"),
            root: Root::Node(root),
            flags: MountFlags::default(),
            source: b"none".to_vec(),
            filesystem: "tmpfs".to_owned(),
            options: String::new(),
            is_scaffold: true,
            adds_name: true,
            with_mounts_of: None,
        })
        .unwrap();
    let names = || {
        namespace
            .table()
            .names_added_to(namespace.table().root().id(), &host.path(""))
            .len()
    };
    assert_eq!(names(), 1);
    let [one, two] = held.map(|dentry| {
        let point = Place::Node {
            mount: scaffold.clone(),
            dentry,
        };
        mount_on(
            &namespace,
            Root::Node(tmpfs()),
            point,
            MountFlags::default(),
        )
        .unwrap()
    });
    // A scaffold is not listed, so what lies on it lies on the host.
    assert_eq!(one.parent().unwrap().id(), namespace.table().root().id());
    assert_eq!(namespace.remove(&one, false, never_busy).unwrap().len(), 1);
    assert_eq!(namespace.remove(&two, false, never_busy).unwrap().len(), 2);
    assert_eq!((names(), namespace.table().mounts().len()), (0, 0));
}

#[test]
fn a_directory_bound_on_itself_is_linux_s_until_it_has_options() {
    let host = HostDirectory::new();
    let path = host.directory("here");
    let namespace = Namespace::new();
    let bound = mount(&namespace, Root::Host(path.clone()), &path);
    assert!(bound.is_transparent());
    bound.set_flags(MountFlags {
        read_only: true,
        ..MountFlags::default()
    });
    assert!(!bound.is_transparent());
    assert!(
        !walk(&namespace, &path, crate::resolver::WalkFlags::FOLLOW)
            .unwrap()
            .kernel_agrees
    );
}

#[test]
fn options_survive_as_bits() {
    for bits in 0..32 {
        let flags = MountFlags::from_bits(bits);
        assert_eq!(flags.to_bits(), bits);
        assert_eq!(flags.and(MountFlags::default()), flags);
    }
    let flags = MountFlags {
        read_only: true,
        no_exec: true,
        ..MountFlags::default()
    };
    assert_eq!(flags.words(), "ro,noexec");
}

#[test]
fn mounts_below_a_directory_are_known() {
    let host = HostDirectory::new();
    let point = host.directory("a/point");
    let namespace = Namespace::new();
    mount(&namespace, Root::Node(tmpfs()), &point);
    let table = namespace.table();
    let has = |name: &str| table.has_points_below(table.root().id(), &host.path(name));
    assert!(has("a") && has(""));
    assert!(!has("a/point") && !has("a/poi") && !has("b"));
}

#[test]
fn a_recursive_bind_takes_the_mounts_below_along() {
    let host = HostDirectory::new();
    let point = host.directory("a/point");
    let namespace = Namespace::new();
    let root = tmpfs();
    let below = make_directory(&root, "below");
    mount(&namespace, Root::Node(root), &point);
    mount(&namespace, Root::Node(tmpfs()), host.path("a/point/below"));
    // A directory over itself, read-only: what was hidden stays hidden.
    let source = place(&namespace, host.path("a"));
    let bound = namespace
        .add(NewMount {
            point: Some(source.clone()),
            root: Root::Host(host.path("a")),
            flags: MountFlags {
                read_only: true,
                ..MountFlags::default()
            },
            source: Vec::new(),
            filesystem: "bind".to_owned(),
            options: String::new(),
            is_scaffold: false,
            adds_name: false,
            with_mounts_of: Some(source),
        })
        .unwrap();
    assert!(
        matches!(place(&namespace, host.path("a")), Place::Host { mount, .. } if mount.id() == bound.id())
    );
    assert!(!place(&namespace, &point).mount().flags().read_only);
    let deep = place(&namespace, host.path("a/point/below"));
    assert_eq!(
        (deep.is_mount_root(), deep.view_path()),
        (true, host.path("a/point/below"))
    );
    assert_eq!(namespace.table().mounts().len(), 5);
    let removed = namespace.remove(&bound, true, never_busy).unwrap();
    assert_eq!(removed.len(), 3);
    assert!(below.is_mount_point());
    assert!(place(&namespace, &point).is_mount_root());
}
