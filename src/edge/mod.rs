//! What PostgREST, or a SQL client in its place, calls first.

pub mod pre_request;
pub mod request;
