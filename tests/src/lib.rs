//! Tests of views from outside: tracees, lifecycle.
