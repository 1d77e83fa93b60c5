//! A host directory, as a filesystem module.
