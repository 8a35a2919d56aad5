//! Who is calling.

pub mod accounts;
pub mod answer;
pub mod api_keys;
pub mod external;
pub mod failures;
pub mod invitations;
pub mod issuer;
pub mod jwt;
pub mod key_store;
pub mod keys;
pub mod memory;
pub mod messages;
pub mod oauth;
pub mod password;
pub mod platform;
pub mod principal;
pub mod providers;
pub mod recovery;
pub mod refresh;
pub mod secret;
pub mod session;
pub mod settings;
pub mod support;
pub mod upkeep;
pub mod users;
pub mod verify;
