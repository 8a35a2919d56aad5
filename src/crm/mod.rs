//! What is done with the records.

pub mod demo;
