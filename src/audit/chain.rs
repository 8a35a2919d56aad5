//! The hashes that chain an organization's transactions. Pure.

use aws_lc_rs::digest::{self, SHA256, SHA256_OUTPUT_LEN};
use uuid::Uuid;

use super::entry::{Entry, Fields};
use super::origin::Origin;

pub type Hash = [u8; SHA256_OUTPUT_LEN];

/// What the first link of a chain follows.
pub const BEGINNING: Hash = [0; SHA256_OUTPUT_LEN];

pub const SALT: usize = 16;

/// The hash of a transaction's entries, while they are added in the order of their ids.
#[derive(Clone)]
pub struct Content {
    context: digest::Context,
    pub entries: i32,
}

impl Content {
    pub fn new(salt: &[u8]) -> Self {
        let mut context = digest::Context::new(&SHA256);
        Fields::of(&mut context).bytes(salt);
        Self { context, entries: 0 }
    }

    pub fn add(&mut self, entry: &Entry, origin: &Origin) {
        entry.hash_into(origin, &mut self.context);
        self.entries += 1;
    }

    pub fn hash(&self) -> Hash {
        finish(self.context.clone())
    }
}

fn finish(context: digest::Context) -> Hash {
    let mut hash = BEGINNING;
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

/// A row of audit_transactions without its place in the chain.
#[derive(Clone, Debug, PartialEq)]
pub struct Link {
    pub org_id: Uuid,
    pub id: Uuid,
    pub created_at: i64,
    pub entries: i32,
    pub actor_id: Option<Uuid>,
    pub request_id: Option<String>,
    pub content_hash: Vec<u8>,
}

impl Link {
    /// What the row's hash is at this place.
    pub fn hash(&self, previous: &Hash, position: i64) -> Hash {
        let mut context = digest::Context::new(&SHA256);
        Fields::of(&mut context)
            .bytes(previous)
            .number(position)
            .id(Some(self.org_id))
            .id(Some(self.id))
            .number(self.created_at)
            .number(self.entries.into())
            .id(self.actor_id)
            .text(self.request_id.as_deref())
            .bytes(&self.content_hash);
        finish(context)
    }
}
