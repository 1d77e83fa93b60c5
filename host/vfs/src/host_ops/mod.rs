//! Operations on objects of the host, by canonical path: absolute, with no symbolic link, no `.` and no `..` in it.
//!
//! The resolver has already found the object, so a symbolic link as the last component is itself the object: nothing
//! here follows links. The kernel makes the checks; errors are the kernel's. The supervisor's own umask has to be 0:
//! the caller's is applied here.
//!
//! | Module       | Responsibility                                     |
//! |--------------|----------------------------------------------------|
//! | `target`     | paths longer than the kernel takes                 |
//! | `open`       | open, O_PATH                                       |
//! | `names`      | making, linking, renaming and removing names       |
//! | `attributes` | stat, statfs, access, chmod, chown, truncate, times |
//! | `xattr`      | extended attributes                                |
//! | `directory`  | listings                                           |
//!
//! Neighbours: [`crate::object`] does the same for modules. No locks.

mod attributes;
mod directory;
mod names;
mod open;
mod target;
#[cfg(test)]
mod tests;
mod xattr;

pub use attributes::{
    access, attributes, attributes_of, read_link, set_mode, set_owner, set_times, statistics,
    truncate,
};
pub use directory::read_directory;
pub use names::{
    create_directory, create_link, create_node, create_symlink, remove_directory, remove_file,
    rename,
};
pub use open::{open, open_path, probe};
pub use xattr::{get_xattr, list_xattr, remove_xattr, set_xattr};
