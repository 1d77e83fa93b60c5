//! Tests of views from outside: what a user or an unmodified program can see.
//!
//! Linux is the oracle: a tracee is a small self-checking C program that must pass natively first and then, with the same
//! assertions, in every world its header names.
//!
//! | Module    | Responsibility                                                        |
//! |-----------|-----------------------------------------------------------------------|
//! | `options` | command line of the two test programs                                 |
//! | `process` | runs one command with a time limit, its output in a file              |
//! | `scratch` | private temporary directories; giving up root; where `view` is        |
//! | `fixture` | the read-only tree that the `ro` tracees know, and its ext image      |
//! | `tracee`  | header lines of a tracee, compiling its variants                      |
//! | `world`   | the ways to run a tracee: native, empty, tmpfs, bind, bindro, ext     |
//! | `report`  | counting results, the closing line                                    |
#![forbid(unsafe_code)]

pub mod fixture;
pub mod options;
pub mod process;
pub mod report;
pub mod scratch;
pub mod tracee;
pub mod world;
