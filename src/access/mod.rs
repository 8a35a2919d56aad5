//! What a caller may do.

pub mod roles;
pub mod scopes;
