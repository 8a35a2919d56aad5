//! History: what was changed, row for row. Written by triggers in the transaction that changes it (`trigger`), straight into
//! the month's partition of `crm.audit_log`, and chained by hashes as it commits (`transaction`, `chain`). What is deleted stands
//! in `crm.deleted_records` too (`trash`). `history` reads all that, and brings it back.

mod append_only;
mod chain;
mod entry;
pub mod erase;
pub mod history;
pub mod image;
pub mod keep;
mod notes;
mod origin;
mod partition;
mod partitions;
pub mod person;
pub mod place;
mod prune;
mod related;
mod stored;
pub mod transaction;
mod trash;
mod trigger;
mod verify;
mod write;

pub use origin::begin_request;
pub use trigger::passing_over;
