//! Resolver, mount table, caches: the names of a view.
