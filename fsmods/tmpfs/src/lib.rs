//! A read-write filesystem in memory.
