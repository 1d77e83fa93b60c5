//! Tests of the access decisions: tables of cases.

use super::*;
use crate::attributes::Timestamp;
use std::sync::Arc;

fn inode(mode: u32, uid: u32, gid: u32) -> Attributes {
    Attributes {
        device: 1,
        inode: 2,
        mode,
        links: 1,
        uid,
        gid,
        rdev: 0,
        size: 0,
        blocks: 0,
        block_size: 4096,
        accessed: Timestamp::default(),
        modified: Timestamp::default(),
        changed: Timestamp::default(),
        created: None,
        flags: 0,
        flags_mask: 0,
    }
}

fn user(uid: u32, gid: u32, groups: &[u32]) -> Credentials {
    Credentials {
        uid,
        gid,
        groups: Arc::from(groups),
        is_privileged: uid == 0,
    }
}

#[test]
fn owner_group_and_others_are_exclusive_classes() {
    // The owner is refused although group and others may.
    let file = inode(0o100077, 10, 20);
    assert_eq!(
        may_access(&file, None, &user(10, 20, &[]), MAY_READ),
        Err(Errno::ACCESS)
    );
    // A member of the group is refused although others may.
    let file = inode(0o100707, 10, 20);
    assert!(may_access(&file, None, &user(11, 1, &[20]), MAY_READ).is_err());
    assert!(
        may_access(
            &file,
            None,
            &user(11, 1, &[]),
            MAY_READ | MAY_WRITE | MAY_EXEC
        )
        .is_ok()
    );
}

#[test]
fn the_override_does_not_make_files_executable() {
    let root = user(0, 0, &[]);
    assert!(may_access(&inode(0o100000, 5, 5), None, &root, MAY_READ | MAY_WRITE).is_ok());
    assert!(may_access(&inode(0o100644, 5, 5), None, &root, MAY_EXEC).is_err());
    assert!(may_access(&inode(0o100645, 5, 5), None, &root, MAY_EXEC).is_ok());
    assert!(may_access(&inode(0o040000, 5, 5), None, &root, MAY_EXEC).is_ok());
}

#[test]
fn sticky_directories_protect_other_peoples_files() {
    let directory = inode(0o041777, 1, 1);
    let file = inode(0o100644, 2, 2);
    assert!(!may_delete_in_sticky(&directory, &file, &user(3, 3, &[])));
    for uid in [0, 1, 2] {
        assert!(may_delete_in_sticky(&directory, &file, &user(uid, 9, &[])));
    }
    assert!(may_delete_in_sticky(
        &inode(0o040777, 1, 1),
        &file,
        &user(3, 3, &[])
    ));
}

#[test]
fn owners_may_give_files_only_to_their_groups() {
    let file = inode(0o100644, 10, 20);
    let owner = user(10, 20, &[30]);
    assert!(may_change_owner(&file, &owner, Some(10), Some(30)).is_ok());
    assert!(may_change_owner(&file, &owner, None, None).is_ok());
    assert_eq!(
        may_change_owner(&file, &owner, None, Some(31)),
        Err(Errno::PERM)
    );
    assert_eq!(
        may_change_owner(&file, &owner, Some(11), None),
        Err(Errno::PERM)
    );
    assert_eq!(
        may_change_owner(&file, &user(11, 20, &[]), None, Some(20)),
        Err(Errno::PERM)
    );
    assert!(may_change_owner(&file, &user(0, 0, &[]), Some(5), Some(6)).is_ok());
}

#[test]
fn set_id_bits_go_as_in_linux() {
    let owner = user(10, 20, &[]);
    let foreign = user(10, 99, &[]);
    assert_eq!(
        mode_without_set_ids(&inode(0o106755, 10, 20), &owner),
        Some(0o755)
    );
    assert_eq!(
        mode_without_set_ids(&inode(0o102745, 10, 20), &owner),
        None,
        "not group executable: kept for members"
    );
    assert_eq!(
        mode_without_set_ids(&inode(0o102745, 10, 20), &foreign),
        Some(0o745)
    );
    assert_eq!(
        mode_after_chmod(&inode(0o100644, 10, 20), &foreign, 0o2755),
        0o755
    );
    assert_eq!(
        mode_after_chmod(&inode(0o100644, 10, 20), &owner, 0o2755),
        0o2755
    );
}

#[test]
fn links_to_files_of_others_need_read_and_write_permission() {
    assert!(may_link_to(&inode(0o100666, 1, 1), None, &user(2, 2, &[])));
    assert!(!may_link_to(&inode(0o100644, 1, 1), None, &user(2, 2, &[])));
    assert!(!may_link_to(&inode(0o104666, 1, 1), None, &user(2, 2, &[])));
    assert!(!may_link_to(&inode(0o010666, 1, 1), None, &user(2, 2, &[])));
    assert!(may_link_to(&inode(0o104600, 2, 1), None, &user(2, 2, &[])));
}

fn list(entries: &[(u16, u16, u32)]) -> AccessList {
    let mut bytes = 2u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(permissions.to_le_bytes());
        bytes.extend(id.to_le_bytes());
    }
    AccessList::parse(&bytes).unwrap()
}

#[test]
fn access_lists_name_users_and_groups_under_a_mask() {
    let acl = list(&[
        (ACL_USER_OBJ, 6, u32::MAX),
        (ACL_USER, 7, 50),
        (ACL_GROUP_OBJ, 4, u32::MAX),
        (ACL_GROUP, 2, 60),
        (ACL_MASK, 6, u32::MAX),
        (ACL_OTHER, 1, u32::MAX),
    ]);
    let file = inode(0o100661, 10, 20);
    let may = |uid, gid, groups: &[u32], mask| {
        may_access(&file, Some(&acl), &user(uid, gid, groups), mask).is_ok()
    };
    assert!(may(50, 1, &[], MAY_READ | MAY_WRITE));
    assert!(
        !may(50, 1, &[], MAY_EXEC),
        "the mask limits the named user, and others do not count"
    );
    assert!(may(11, 20, &[], MAY_READ) && !may(11, 20, &[], MAY_WRITE));
    assert!(may(11, 1, &[20, 60], MAY_READ) && may(11, 1, &[20, 60], MAY_WRITE));
    assert!(
        !may(11, 1, &[20, 60], MAY_READ | MAY_WRITE),
        "no single group grants both"
    );
    assert!(may(12, 1, &[], MAY_EXEC) && !may(12, 1, &[], MAY_READ));
    // With an empty mask (group bits) the list does not count: Linux then takes the plain bits.
    let masked = inode(0o100604, 10, 20);
    assert!(may_access(&masked, Some(&acl), &user(50, 1, &[]), MAY_READ).is_ok());
    assert!(may_access(&masked, Some(&acl), &user(50, 1, &[]), MAY_WRITE).is_err());
}

#[test]
fn damaged_access_lists_are_refused() {
    assert_eq!(AccessList::parse(b""), None);
    assert_eq!(AccessList::parse(&[3, 0, 0, 0]), None);
    assert_eq!(AccessList::parse(&[2, 0, 0, 0, 1]), None);
    assert!(AccessList::parse(&[2, 0, 0, 0]).is_some());
}
