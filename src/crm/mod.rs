//! What is done with the records.

pub mod billing;
pub mod channels;
pub mod deals;
pub mod defaults;
pub mod demo;
pub mod notifications;
pub mod numbers;
pub mod pipelines;
pub mod stages;
pub mod tickets;
