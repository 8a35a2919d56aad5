//! What works without a person: API keys, the platform's keys, and invitations.

use std::thread;

use postgres::Transaction;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::actor::{Actor, id_of};
use crate::http::{Request, Response, text};
use crate::mailbox::token_to;
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

/// Invites this address into the organization in which the person works; gives the token of the message.
#[track_caller]
pub fn invite(owner: &Actor, email: &str, role: &str) -> String {
    owner.post("/rpc/invite_user", &json!({ "email": email, "role": role })).expect(200);
    token_to(&email.to_lowercase(), "invitation")
}
