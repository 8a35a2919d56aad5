//! What PostgREST, or a SQL client in its place, calls first.

pub mod config;
pub mod errors;
pub mod pre_request;
pub mod request;
pub mod statements;
