//! Custom fields: what an organization defines for its records, kept in the column `custom_fields` of each.
//!
//! `field`, `merge`, `moment`, `object` and `definition` say what is right; `known` remembers an organization's fields; `values`
//! and `change` are the triggers of records and of definitions; `index` is for the DBA. Equality and ranges are read by index
//! under row level security: see `access::paths::custom`.

mod change;
mod definition;
mod field;
mod index;
mod known;
mod merge;
mod moment;
pub mod object;
pub mod raw;
mod tables;
mod values;

use crate::error::CrmError;

/// The column.
pub const COLUMN: &str = "custom_fields";

/// What is wrong with the value of a key.
fn invalid(key: &str, problem: impl Into<String>) -> CrmError {
    CrmError::invalid(&format!("{COLUMN}.{key}"), problem)
}
