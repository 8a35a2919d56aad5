//! In-database tests of what only Rust can reach.
