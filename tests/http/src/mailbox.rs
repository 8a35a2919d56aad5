//! The messages people get. One mailbox for all tests of a program: whoever claims messages is given everybody's.

use std::sync::{Mutex, PoisonError};

use serde_json::Value;
use uuid::Uuid;

use crate::{admin, sql};

#[derive(Clone, Debug)]
pub struct Message {
    pub id: Uuid,
    pub kind: String,
    pub recipient: String,
    pub content: Value,
    pub token: Option<String>,
}

/// What was claimed by any test of this program: a message is handed out once.
static CLAIMED: Mutex<Vec<Message>> = Mutex::new(vec![]);

/// What goes to this address, the oldest first, as crm_worker is given it.
pub fn messages_to(address: &str) -> Vec<Message> {
    let mut claimed = CLAIMED.lock().unwrap_or_else(PoisonError::into_inner);
    let mut client = admin::connect();
    loop {
        let more = claim(&mut client);
        if more.is_empty() {
            break;
        }
        claimed.extend(more);
    }
    let mut messages: Vec<_> = claimed.iter().filter(|message| message.recipient == address).cloned().collect();
    messages.sort_by_key(|message| message.id);
    messages
}

fn claim(client: &mut postgres::Client) -> Vec<Message> {
    let mut transaction = sql::begin_as(client, "crm_worker").unwrap();
    let rows = transaction
        .query("select id, kind, recipient, content, token from crm.claim_messages(100, interval '1 hour')", &[])
        .unwrap();
    transaction.commit().unwrap();
    let message = |row: &postgres::Row| Message {
        id: row.get(0),
        kind: row.get(1),
        recipient: row.get::<_, Option<String>>(2).unwrap_or_default(),
        content: row.get(3),
        token: row.get(4),
    };
    rows.iter().map(message).collect()
}

/// The tokens of the messages of this kind, the oldest first.
pub fn tokens_to(address: &str, kind: &str) -> Vec<String> {
    let of_kind = messages_to(address).into_iter().filter(|message| message.kind == kind);
    of_kind.filter_map(|message| message.token).collect()
}

/// The token of the newest message of this kind.
#[track_caller]
pub fn token_to(address: &str, kind: &str) -> String {
    tokens_to(address, kind).pop().unwrap_or_else(|| panic!("no {kind} for {address}"))
}
