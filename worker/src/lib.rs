//! The worker of crm_ext: what the CRM has to do outside of its database. docs/worker.md tells what that is.

pub mod config;
pub mod db;
pub mod deliver;
pub mod guard;
pub mod health;
pub mod http;
pub mod jwks;
pub mod letter;
pub mod log;
pub mod mail;
pub mod maintenance;
pub mod metrics;
pub mod oauth;
pub mod queue;
pub mod repeat;
pub mod tls;
pub mod work;
