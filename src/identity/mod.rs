//! Who is calling.

pub mod accounts;
pub mod jwt;
pub mod key_store;
pub mod keys;
pub mod password;
pub mod principal;
pub mod session;
pub mod verify;
