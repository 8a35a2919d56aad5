//! What a caller may do.

pub mod paths;
pub mod roles;
pub mod scopes;
