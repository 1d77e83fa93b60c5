//! Interception: from a notified system call to its answer.
