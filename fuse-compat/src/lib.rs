//! The module interface: FUSE low-level operations with fuser 0.18's names and types.
