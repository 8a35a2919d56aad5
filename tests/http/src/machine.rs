//! What works without a person: API keys, the platform's keys, and whoever delivers the messages.

use std::sync::{Mutex, PoisonError};
use std::thread;

use postgres::Transaction;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::actor::{Actor, id_of};
use crate::http::{Request, Response, text};
use crate::{admin, sql};

/// A key as it was told, once.
#[derive(Clone, Debug)]
pub struct Key {
    pub id: Uuid,
    pub prefix: String,
    pub text: String,
}

impl Key {
    /// One of the organization in which this person works.
    #[track_caller]
    pub fn of(owner: &Actor, scopes: &[&str]) -> Self {
        let arguments = json!({ "name": "Backend", "scopes": scopes });
        Self::told(&owner.post("/rpc/create_api_key", &arguments).expect(200).json())
    }

    /// One of the platform's, made by its DBA.
    #[track_caller]
    pub fn of_platform(scopes: &[&str]) -> Self {
        Self::told(&admin::value("select crm.create_platform_key('Platform', $1)", &[&scopes]))
    }

    pub fn told(answer: &Value) -> Self {
        Self { id: id_of(answer), prefix: text(&answer["prefix"]), text: text(&answer["key"]) }
    }

    pub fn with_text(&self, text: &str) -> Self {
        Self { text: text.into(), ..self.clone() }
    }

    pub fn request(&self, method: &str, path: &str) -> Request {
        Request::new(method, path).header("x-api-key", &self.text)
    }

    pub fn get(&self, path: &str) -> Response {
        self.request("GET", path).send()
    }

    pub fn post(&self, path: &str, body: &Value) -> Response {
        self.request("POST", path).prefer("return=representation").json(body).send()
    }

    pub fn patch(&self, path: &str, body: &Value) -> Response {
        self.request("PATCH", path).prefer("return=representation").json(body).send()
    }

    pub fn delete(&self, path: &str) -> Response {
        self.request("DELETE", path).prefer("return=representation").send()
    }

    pub fn call(&self, function: &str, arguments: &Value) -> Response {
        self.post(&format!("/rpc/{function}"), arguments)
    }

    /// Starts a transaction in a role, and authenticates with the key.
    pub fn begin<'a>(&self, client: &'a mut postgres::Client, role: &str) -> Result<Transaction<'a>, postgres::Error> {
        let mut transaction = sql::begin_as(client, role)?;
        self.authenticate(&mut transaction)?;
        Ok(transaction)
    }

    pub fn authenticate(&self, transaction: &mut Transaction) -> Result<Value, postgres::Error> {
        Ok(transaction.query_one("select crm.authenticate_api_key($1)", &[&self.text])?.get(0))
    }

    /// The SQLSTATE of authenticating in this role; empty for success.
    pub fn state_in(&self, role: &str) -> String {
        sql::session(|client| sql::sqlstate(self.begin(client, role)))
    }
}

/// What the caller may not do, said to somebody who is known: 403, and not the 401 of somebody who is not.
pub fn forbidden(what: &str, answer: &Response) -> Result<(), String> {
    let refused = answer.status == 403 && ["42501", "PT403"].contains(&answer.code().as_str());
    if refused { Ok(()) } else { Err(format!("{what}, 403 expected: {answer}")) }
}

/// The different statuses of many requests at once, so that most of PostgREST's connections take part.
pub fn many(send: impl Fn() -> Response + Sync) -> Vec<u16> {
    let mut statuses: Vec<_> = thread::scope(|scope| {
        let workers: Vec<_> =
            (0..6).map(|_| scope.spawn(|| (0..5).map(|_| send().status).collect::<Vec<_>>())).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    statuses.sort_unstable();
    statuses.dedup();
    statuses
}

// ---------------------------------------------------------------------------------------------- messages

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

/// The token of the last message of this kind to this address.
#[track_caller]
pub fn token_for(address: &str, kind: &str) -> String {
    let last = messages_to(address).into_iter().rfind(|message| message.kind == kind);
    last.unwrap_or_else(|| panic!("no {kind} for {address}")).token.unwrap()
}

/// Invites this address into the organization in which the person works; gives the token of the message.
#[track_caller]
pub fn invite(owner: &Actor, email: &str, role: &str) -> String {
    owner.post("/rpc/invite_user", &json!({ "email": email, "role": role })).expect(200);
    token_for(&email.to_lowercase(), "invitation")
}
