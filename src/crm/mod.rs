//! What is done with the records.

pub mod defaults;
pub mod demo;
