//! Somebody who sends what is wrong.

use serde_json::json;
use uuid::Uuid;

use crate::actor::{Actor, id_of};
use crate::admin;
use crate::http::{Request, Response};

/// A user with one row in each table.
pub struct Fixture {
    pub user: Actor,
    account: Uuid,
    contact: Uuid,
}

impl Fixture {
    pub fn register() -> Self {
        let user = Actor::register();
        let account = id_of(&user.insert("accounts", &json!({ "name": "Kept" })));
        let contact = id_of(&user.insert("contacts", &json!({ "last_name": "Kept", "email": "kept@example.com" })));
        Self { user, account, contact }
    }

    pub fn id(&self, table: &str) -> Uuid {
        if table == "accounts" { self.account } else { self.contact }
    }

    /// Refused with this status and a message, details or hint that contain the word; nothing has changed.
    pub fn refuses(&self, request: Request, status: u16, word: &str) -> Result<Response, String> {
        let organization = self.user.organization.id;
        let before = admin::fingerprint(organization);
        let answer = request.send();
        if answer.status != status {
            return Err(format!("{status} expected: {answer}"));
        }
        if !answer.text().contains(word) {
            return Err(format!("does not say {word:?}: {answer}"));
        }
        if admin::fingerprint(organization) != before {
            return Err(format!("changes something: {answer}"));
        }
        Ok(answer)
    }
}
