//! Creating, removing, renaming, attributes, permissions: results and the order of errors.

use super::*;
use crate::attributes::Timestamp;
use crate::permission::{MAY_EXEC, MAY_READ, MAY_WRITE};

fn read_only() -> Mounted {
    let options = InstanceOptions {
        is_read_only: true,
        ..InstanceOptions::default()
    };
    mount_with(Behaviour::default(), options)
}

#[test]
fn creating_checks_in_the_kernels_order() {
    let mounted = read_only();
    mounted.file("file", b"");
    let (root, caller) = (&mounted.root, owner());
    // The name is looked at before the mount, the mount before permissions.
    let made = root.create_directory(b"file", 0o755, &caller);
    assert_eq!(made.unwrap_err(), Errno::EXIST);
    let made = root.create_node(b"new", 0o644, 0, true, &caller);
    assert_eq!(made.unwrap_err(), Errno::NOENT);
    let made = root.create_directory(b"new", 0o755, &user(5));
    assert_eq!(made.unwrap_err(), Errno::ROFS);
    mounted.instance.set_read_only(false);
    let made = root.create_directory(b"new", 0o755, &user(5));
    assert_eq!(made.unwrap_err(), Errno::ACCESS);
    // The format is looked at first of all.
    let made = root.create_node(b"file", libc::S_IFDIR, 0, false, &caller);
    assert_eq!(made.unwrap_err(), Errno::PERM);
    let made = root.create_node(b"file", libc::S_IFLNK, 0, false, &caller);
    assert_eq!(made.unwrap_err(), Errno::INVAL);
    let made = root.create_node(b"device", libc::S_IFCHR, 0x103, false, &caller);
    assert_eq!(made.unwrap_err(), Errno::PERM);
    assert!(
        root.create_node(b"device", libc::S_IFCHR, 0x103, false, &user(0))
            .is_ok()
    );
    let made = root.create_symlink(b"link", b"", false, &caller);
    assert_eq!(made.unwrap_err(), Errno::NOENT);
    let read_only_mount = Caller {
        mount_is_read_only: true,
        ..owner()
    };
    let made = root.create_symlink(b"link", b"x", false, &read_only_mount);
    assert_eq!(made.unwrap_err(), Errno::ROFS);
}

#[test]
fn the_umask_applies_to_what_is_created() {
    let mounted = mount();
    let caller = Caller {
        umask: 0o027,
        ..owner()
    };
    let directory = mounted
        .root
        .create_directory(b"d", 0o2777, &caller)
        .unwrap();
    assert_eq!(directory.attributes().unwrap().mode, libc::S_IFDIR | 0o750);
    let file = mounted
        .root
        .create_node(b"f", 0o666, 0, false, &caller)
        .unwrap();
    assert_eq!(file.attributes().unwrap().mode, libc::S_IFREG | 0o640);
}

#[test]
fn links_share_an_inode_and_count() {
    let mounted = mount();
    mounted.file("file", b"data");
    let (root, caller) = (&mounted.root, owner());
    let file = mounted.find("file").unwrap();
    let second = root.create_link(b"second", &file, false, &caller).unwrap();
    assert!(Arc::ptr_eq(file.inode(), second.inode()));
    assert_eq!(file.attributes().unwrap().links, 2);
    root.remove_file(b"file", false, &caller).unwrap();
    assert_eq!(second.attributes().unwrap().links, 1);
    assert!(file.is_deleted() && !second.is_deleted());
    // Errors: taken, other filesystem, foreign file, directory, no name left.
    let made = root.create_link(b"second", &file, false, &caller);
    assert_eq!(made.unwrap_err(), Errno::EXIST);
    let other = mount();
    let made = other.root.create_link(b"x", &second, false, &caller);
    assert_eq!(made.unwrap_err(), Errno::XDEV);
    let made = root.create_link(b"x", &second, false, &user(7));
    assert_eq!(made.unwrap_err(), Errno::PERM);
    let directory = root.create_directory(b"d", 0o755, &caller).unwrap();
    let made = root.create_link(b"x", &directory, false, &caller);
    assert_eq!(made.unwrap_err(), Errno::PERM);
    root.remove_file(b"second", false, &caller).unwrap();
    let made = root.create_link(b"x", &second, false, &caller);
    assert_eq!(made.unwrap_err(), Errno::NOENT);
}

#[test]
fn removing_checks_in_the_kernels_order() {
    let mounted = read_only();
    mounted.file("dir/file", b"");
    let (root, caller) = (&mounted.root, owner());
    // The mount is looked at before the name.
    assert_eq!(root.remove_file(b"none", false, &caller), Err(Errno::ROFS));
    mounted.instance.set_read_only(false);
    assert_eq!(root.remove_file(b"none", true, &caller), Err(Errno::NOENT));
    assert_eq!(root.remove_file(b"dir", true, &caller), Err(Errno::ISDIR));
    assert_eq!(
        root.remove_file(b"dir", false, &user(5)),
        Err(Errno::ACCESS)
    );
    assert_eq!(root.remove_file(b"dir", false, &caller), Err(Errno::ISDIR));
    assert_eq!(root.remove_directory(b"dir", &caller), Err(Errno::NOTEMPTY));
    let dir = mounted.find("dir").unwrap();
    assert_eq!(dir.remove_file(b"file", true, &caller), Err(Errno::NOTDIR));
    assert_eq!(dir.remove_directory(b"file", &caller), Err(Errno::NOTDIR));
    let file = mounted.find("dir/file").unwrap();
    file.add_mount();
    assert_eq!(dir.remove_file(b"file", false, &caller), Err(Errno::BUSY));
    file.remove_mount();
    dir.remove_file(b"file", false, &caller).unwrap();
    assert!(file.is_deleted());
    assert_eq!(mounted.find("dir/file").unwrap_err(), Errno::NOENT);
    root.remove_directory(b"dir", &caller).unwrap();
    assert!(dir.is_deleted());
    // Nothing works in a removed directory.
    assert_eq!(dir.lookup(b"x").unwrap_err(), Errno::NOENT);
    let made = dir.create_directory(b"x", 0o755, &caller);
    assert_eq!(made.unwrap_err(), Errno::NOENT);
    assert_eq!(dir.read_directory(0).err(), Some(Errno::NOENT));
    assert!(Arc::ptr_eq(&dir.parent().unwrap(), root));
}

#[test]
fn sticky_directories_protect_files_of_others() {
    let mounted = mount();
    mounted.file("tmp/file", b"");
    let tmp = mounted.find("tmp").unwrap();
    tmp.set_attributes(&AttributeChange::Mode(0o1777), &owner())
        .unwrap();
    assert_eq!(tmp.remove_file(b"file", false, &user(5)), Err(Errno::PERM));
    assert_eq!(
        tmp.rename(b"file", false, &tmp, b"other", false, 0, &user(5)),
        Err(Errno::PERM)
    );
    tmp.remove_file(b"file", false, &owner()).unwrap();
}

#[test]
fn a_removed_file_is_forgotten_with_its_last_user() {
    let mounted = mount();
    let file = mounted
        .root
        .create_node(b"file", 0o644, 0, false, &owner())
        .unwrap();
    mounted.root.remove_file(b"file", false, &owner()).unwrap();
    assert_eq!(mounted.shared.references(), 1);
    drop(file);
    assert_eq!(mounted.shared.references(), 0, "the cache does not keep it");
}

#[test]
fn renaming_moves_the_tree_under_those_who_stand_in_it() {
    let mounted = mount();
    mounted.file("a/b/c/file", b"");
    mounted.file("x/old", b"");
    let file = mounted.find("a/b/c/file").unwrap();
    let (b, x, a) = (
        mounted.find("a/b").unwrap(),
        mounted.find("x").unwrap(),
        mounted.find("a").unwrap(),
    );
    let lookups = mounted.lookups();
    a.rename(b"b", false, &x, b"moved", false, 0, &owner())
        .unwrap();
    assert_eq!(file.path_in_mount(), b"/x/moved/c/file");
    assert!(Arc::ptr_eq(&b.parent().unwrap(), &x));
    assert!(Arc::ptr_eq(&mounted.find("x/moved/c/file").unwrap(), &file));
    assert_eq!(
        mounted.lookups(),
        lookups + 1,
        "only the free target was looked up"
    );
    assert_eq!(mounted.find("a/b").unwrap_err(), Errno::NOENT);
    // Over an existing file.
    let old = mounted.find("x/old").unwrap();
    let c = mounted.find("x/moved/c").unwrap();
    c.rename(b"file", false, &x, b"old", false, 0, &owner())
        .unwrap();
    assert!(old.is_deleted() && !file.is_deleted());
    assert!(Arc::ptr_eq(&mounted.find("x/old").unwrap(), &file));
    assert_eq!(file.path_in_mount(), b"/x/old");
    drop((file, old, c, b, x, a));
    mounted.instance.invalidate();
    assert_eq!(mounted.shared.references(), 0);
}

#[test]
fn renaming_checks_in_the_kernels_order() {
    let mounted = mount();
    mounted.file("d/e/file", b"");
    mounted.file("file", b"");
    let (root, caller) = (&mounted.root, owner());
    let (d, e) = (mounted.find("d").unwrap(), mounted.find("d/e").unwrap());
    let rename = |from: &Arc<Dentry>, name: &[u8], to: &Arc<Dentry>, new: &[u8], flags: u32| {
        from.rename(name, false, to, new, false, flags, &caller)
    };
    assert_eq!(rename(root, b"file", root, b"x", 8), Err(Errno::INVAL));
    assert_eq!(rename(root, b"file", root, b"x", 1 | 2), Err(Errno::INVAL));
    let other = mount();
    assert_eq!(
        rename(root, b"none", &other.root, b"x", 0),
        Err(Errno::XDEV)
    );
    assert_eq!(rename(root, b"none", root, b"file", 0), Err(Errno::NOENT));
    assert_eq!(rename(root, b"file", &e, b"file", 1), Err(Errno::EXIST));
    assert_eq!(rename(root, b"file", root, b"none", 2), Err(Errno::NOENT));
    assert_eq!(
        root.rename(b"file", true, root, b"x", false, 0, &caller),
        Err(Errno::NOTDIR)
    );
    assert_eq!(
        root.rename(b"file", false, root, b"x", true, 0, &caller),
        Err(Errno::NOTDIR)
    );
    // Into itself, below itself, over an ancestor.
    assert_eq!(rename(root, b"d", &d, b"x", 0), Err(Errno::INVAL));
    assert_eq!(rename(root, b"d", &e, b"x", 0), Err(Errno::INVAL));
    assert_eq!(rename(&e, b"file", root, b"d", 0), Err(Errno::NOTEMPTY));
    assert_eq!(rename(&e, b"file", root, b"d", 2), Err(Errno::INVAL));
    // Kinds.
    assert_eq!(rename(root, b"d", root, b"file", 0), Err(Errno::NOTDIR));
    assert_eq!(rename(root, b"file", root, b"d", 0), Err(Errno::ISDIR));
    // Two names of one file: success, and nothing happens.
    let file = mounted.find("file").unwrap();
    root.create_link(b"same", &file, false, &caller).unwrap();
    rename(root, b"file", root, b"same", 0).unwrap();
    assert!(mounted.find("file").is_ok() && mounted.find("same").is_ok());
    e.add_mount();
    assert_eq!(rename(&d, b"e", root, b"x", 0), Err(Errno::BUSY));
    e.remove_mount();
    assert_eq!(
        root.rename(b"file", false, root, b"x", false, 0, &user(5)),
        Err(Errno::ACCESS)
    );
}

#[test]
fn an_exchange_swaps_names_and_places() {
    let mounted = mount();
    mounted.file("d/inner", b"");
    mounted.file("x/file", b"");
    let (d, x, inner) = (
        mounted.find("d").unwrap(),
        mounted.find("x").unwrap(),
        mounted.find("d/inner").unwrap(),
    );
    let file = mounted.find("x/file").unwrap();
    mounted
        .root
        .rename(b"d", false, &x, b"file", false, 2, &owner())
        .unwrap();
    assert_eq!(inner.path_in_mount(), b"/x/file/inner");
    assert_eq!(file.path_in_mount(), b"/d");
    assert!(Arc::ptr_eq(&mounted.find("d").unwrap(), &file));
    assert!(Arc::ptr_eq(&mounted.find("x/file").unwrap(), &d));
    assert!(!file.is_deleted() && !d.is_deleted());
}

#[test]
fn attributes_change_by_the_rules_of_ownership() {
    let mounted = mount();
    mounted.file("file", b"0123456789");
    let file = mounted.find("file").unwrap();
    let change = |change: AttributeChange, caller: &Caller| file.set_attributes(&change, caller);
    let now = AttributeChange::Times {
        accessed: TimeChange::Now,
        modified: TimeChange::Now,
    };
    let half_now = AttributeChange::Times {
        accessed: TimeChange::Now,
        modified: TimeChange::Omit,
    };
    let nothing = AttributeChange::Times {
        accessed: TimeChange::Omit,
        modified: TimeChange::Omit,
    };
    let owner_of = |uid, gid| AttributeChange::Owner { uid, gid };
    assert_eq!(
        change(AttributeChange::Mode(0o600), &user(5)),
        Err(Errno::PERM)
    );
    assert_eq!(change(owner_of(Some(5), None), &owner()), Err(Errno::PERM));
    assert_eq!(change(now, &user(5)), Err(Errno::ACCESS));
    assert_eq!(change(half_now, &user(5)), Err(Errno::PERM));
    assert_eq!(change(nothing, &user(5)), Ok(()));
    assert_eq!(
        change(AttributeChange::Size(3), &user(5)),
        Err(Errno::ACCESS)
    );
    change(AttributeChange::Mode(0o4666), &owner()).unwrap();
    change(now, &user(5)).unwrap();
    assert!(file.attributes().unwrap().modified.seconds > 1000);
    change(AttributeChange::Size(3), &user(5)).unwrap();
    let attributes = file.attributes().unwrap();
    assert_eq!(
        (attributes.size, attributes.mode & 0o7777),
        (3, 0o666),
        "set-user-id goes"
    );
    let at = Timestamp {
        seconds: -7,
        nanoseconds: 5,
    };
    let times = AttributeChange::Times {
        accessed: TimeChange::Omit,
        modified: TimeChange::At(at),
    };
    change(times, &owner()).unwrap();
    assert_eq!(file.attributes().unwrap().modified, at);
    change(AttributeChange::Mode(0o6755), &owner()).unwrap();
    change(owner_of(Some(5), Some(6)), &user(0)).unwrap();
    let attributes = file.attributes().unwrap();
    assert_eq!((attributes.uid, attributes.gid), (5, 6));
    assert_eq!(attributes.mode & 0o7777, 0o755);
    assert_eq!(
        mounted
            .root
            .set_attributes(&AttributeChange::Size(0), &owner()),
        Err(Errno::ISDIR)
    );
    mounted.instance.set_read_only(true);
    assert_eq!(change(AttributeChange::Mode(0), &user(9)), Err(Errno::ROFS));
    assert_eq!(change(nothing, &user(9)), Ok(()));
}

#[test]
fn access_is_by_mode_or_by_the_module() {
    let mounted = mount();
    mounted.file("file", b"");
    let file = mounted.find("file").unwrap();
    assert_eq!(file.access(&owner(), MAY_READ | MAY_WRITE), Ok(()));
    assert_eq!(file.access(&owner(), MAY_EXEC), Err(Errno::ACCESS));
    assert_eq!(file.access(&user(5), MAY_WRITE), Err(Errno::ACCESS));
    let trusting = Caller {
        enforces_modes: false,
        ..user(5)
    };
    assert_eq!(file.access(&trusting, MAY_READ | MAY_WRITE), Ok(()));
    assert_eq!(file.access(&trusting, MAY_EXEC), Err(Errno::ACCESS));
    assert_eq!(file.access(&trusting, 0), Ok(()));
    mounted.instance.set_read_only(true);
    assert_eq!(file.access(&trusting, MAY_WRITE), Err(Errno::ROFS));
}

#[test]
fn access_lists_count_when_modes_do() {
    let mounted = mount();
    let number = mounted.file("file", b"");
    mounted.shared.change(number, |attr| attr.perm = 0o660);
    let mut list = 2u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in [
        (1u16, 6u16, u32::MAX),
        (2, 4, 77),
        (4, 0, u32::MAX),
        (16, 6, u32::MAX),
        (32, 0, u32::MAX),
    ] {
        list.extend(tag.to_le_bytes());
        list.extend(permissions.to_le_bytes());
        list.extend(id.to_le_bytes());
    }
    mounted
        .shared
        .set_xattr(number, "system.posix_acl_access", &list);
    let file = mounted.find("file").unwrap();
    assert_eq!(file.check_access(&user(77), MAY_READ), Ok(()));
    assert_eq!(file.check_access(&user(77), MAY_WRITE), Err(Errno::ACCESS));
    assert_eq!(file.check_access(&user(78), MAY_READ), Err(Errno::ACCESS));
}

#[test]
fn extended_attributes_follow_the_kernels_rules() {
    let mounted = mount();
    let number = mounted.file("file", b"");
    mounted
        .shared
        .make("link", FileType::Symlink, 0o777, b"file");
    mounted.shared.set_xattr(number, "trusted.secret", b"1");
    let (file, caller) = (mounted.find("file").unwrap(), owner());
    file.set_xattr(b"user.key", b"value", 0, &caller).unwrap();
    let get = |name: &[u8], capacity| file.get_xattr(name, capacity, &caller);
    assert_eq!(get(b"user.key", 0), Ok(XattrAnswer::Length(5)));
    assert_eq!(
        get(b"user.key", 5),
        Ok(XattrAnswer::Value(b"value".to_vec()))
    );
    assert_eq!(get(b"user.key", 4), Err(Errno::RANGE));
    assert_eq!(get(b"user.none", 4), Err(Errno::NODATA));
    assert_eq!(get(b"user.", 4), Err(Errno::INVAL));
    assert_eq!(get(b"odd.key", 4), Err(Errno::OPNOTSUPP));
    assert_eq!(get(b"", 4), Err(Errno::RANGE));
    assert_eq!(get(&[b'u'; 256], 4), Err(Errno::RANGE));
    assert_eq!(get(b"trusted.secret", 4), Err(Errno::NODATA));
    let set = |name: &[u8], length, flags, caller: &Caller| {
        file.set_xattr(name, &vec![0; length], flags, caller)
    };
    assert_eq!(set(b"user.key", 65537, 0, &caller), Err(Errno::TOOBIG));
    assert_eq!(set(b"user.key", 1, 8, &caller), Err(Errno::INVAL));
    assert_eq!(set(b"trusted.x", 1, 0, &caller), Err(Errno::PERM));
    assert_eq!(set(b"user.key", 1, 0, &user(5)), Err(Errno::ACCESS));
    let link = mounted.find("link").unwrap();
    assert_eq!(
        link.set_xattr(b"user.key", b"", 0, &caller),
        Err(Errno::PERM)
    );
    assert_eq!(link.get_xattr(b"user.key", 10, &caller), Err(Errno::NODATA));
    let list = |capacity, caller: &Caller| file.list_xattr(capacity, caller);
    assert_eq!(list(0, &caller), Ok(XattrAnswer::Length(9)));
    assert_eq!(list(8, &caller), Err(Errno::RANGE));
    assert_eq!(
        list(100, &caller),
        Ok(XattrAnswer::Value(b"user.key\0".to_vec()))
    );
    assert_eq!(list(0, &user(0)), Ok(XattrAnswer::Length(24)));
    // The module has no removexattr.
    assert_eq!(
        file.remove_xattr(b"user.key", &caller),
        Err(Errno::OPNOTSUPP)
    );
}

#[test]
fn modules_may_tell_that_something_changed() {
    let mounted = mount();
    let number = mounted.file("dir/file", b"1");
    let file = mounted.find("dir/file").unwrap();
    mounted.shared.change(number, |attr| attr.size = 50);
    assert_eq!(file.attributes().unwrap().size, 1, "believed for ever");
    let notifier = mounted.shared.notifier();
    notifier.inval_inode(file.inode().number(), 0, 0).unwrap();
    assert_eq!(file.attributes().unwrap().size, 50);
    let dir = mounted.find("dir").unwrap().inode().number();
    let before = mounted.lookups();
    notifier.inval_entry(dir, "file".as_ref()).unwrap();
    assert!(Arc::ptr_eq(&mounted.find("dir/file").unwrap(), &file));
    assert_eq!(mounted.lookups(), before + 1);
    mounted.shared.remove_name_in("dir", "file");
    notifier
        .delete(dir, file.inode().number(), "file".as_ref())
        .unwrap();
    assert!(file.is_deleted());
    assert_eq!(mounted.find("dir/file").unwrap_err(), Errno::NOENT);
    // Something unknown is no error.
    notifier
        .inval_inode(fuse_compat::INodeNo(9999), 0, 0)
        .unwrap();
}
