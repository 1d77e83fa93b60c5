//! Linux as data, and the only crate with unsafe code.
