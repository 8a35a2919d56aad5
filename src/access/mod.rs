//! What a caller may do.

pub mod delegation;
pub mod enrollment;
pub mod explain;
pub mod grants;
pub mod members;
pub mod paths;
pub mod permissions;
pub mod policy;
pub mod questions;
pub mod race;
pub mod readable;
pub mod roles;
pub mod scopes;
pub mod template;
pub mod unknown_sizes;
