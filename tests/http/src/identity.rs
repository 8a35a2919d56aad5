//! Sessions with their refresh tokens, and settings that are put back.

use std::sync::MutexGuard;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::actor::{Actor, anonymous, login};
use crate::http::{Request, Response, text};
use crate::{admin, alone};

/// Somebody on one device.
#[derive(Clone, Debug)]
pub struct Session {
    pub user: Actor,
    pub refresh_token: String,
}

impl Session {
    /// Somebody new.
    pub fn open() -> Self {
        Self::of(&Actor::register())
    }

    /// The same person on another device.
    pub fn of(person: &Actor) -> Self {
        Self::in_organization(person, None)
    }

    pub fn in_organization(person: &Actor, organization: Option<&str>) -> Self {
        Self::told(person, &login(&person.email, &person.password, organization).expect(200))
    }

    /// What an answer with tokens makes of somebody.
    #[track_caller]
    pub fn told(person: &Actor, answer: &Response) -> Self {
        let answer = answer.json();
        Self { user: person.with_token(&text(&answer["access_token"])), refresh_token: text(&answer["refresh_token"]) }
    }

    #[track_caller]
    pub fn refreshed(&self) -> Self {
        Self::told(&self.user, &refresh(&self.refresh_token).expect(200))
    }

    pub fn id(&self) -> Uuid {
        self.user.session()
    }

    /// How many refresh tokens it has had.
    pub fn turns(&self) -> i64 {
        admin::value("select count(*) from crm_private.refresh_tokens where session_id = $1", &[&self.id()])
    }

    pub fn end_reason(&self) -> Option<String> {
        admin::value("select end_reason from crm_private.sessions where id = $1", &[&self.id()])
    }

    /// As if the last use of its refresh tokens had been so long ago.
    pub fn used_before(&self, interval: &str) {
        admin::execute(
            &format!(
                "update crm_private.refresh_tokens set used_at = used_at - interval '{interval}' where session_id = $1"
            ),
            &[&self.id()],
        );
    }

    /// So often that most of PostgREST's connections remember the access token.
    #[track_caller]
    pub fn used_everywhere(&self) {
        std::thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|| (0..5).for_each(|_| drop(self.user.get("/rpc/me").expect(200))));
            }
        });
    }

    /// Neither token is good for anything.
    #[track_caller]
    pub fn expect_ended(&self) {
        for _ in 0..10 {
            self.user.get("/rpc/me").expect(401);
        }
        let answer = refresh(&self.refresh_token).expect(401);
        assert_eq!(answer.code(), "28000", "{answer}");
    }

    /// Both tokens are good. The refresh token is used.
    #[track_caller]
    pub fn expect_alive(&self) -> Self {
        self.user.get("/rpc/me").expect(200);
        let next = self.refreshed();
        next.user.get("/rpc/me").expect(200);
        next
    }
}

pub fn refresh(token: &str) -> Response {
    anonymous("POST", "/rpc/refresh_token").json(&json!({ "refresh_token": token })).send()
}

/// The same to go on in this organization: an id or a slug.
pub fn refresh_in(token: &str, organization: &str) -> Response {
    let arguments = json!({ "refresh_token": token, "organization": organization });
    anonymous("POST", "/rpc/refresh_token").json(&arguments).send()
}

/// Logs in through proxies, which wrote this into X-Forwarded-For.
pub fn login_from(forwarded_for: &str, email: &str, password: &str) -> Response {
    login_request(email, password).header("X-Forwarded-For", forwarded_for).send()
}

pub fn login_request(email: &str, password: &str) -> Request {
    anonymous("POST", "/rpc/login").json(&json!({ "email": email, "password": password }))
}

/// An IPv4 address nobody has had before.
pub fn unique_address() -> String {
    let [a, b, c, ..] = Uuid::new_v4().into_bytes();
    format!("10.{a}.{b}.{c}")
}

/// All of an answer but when it was given.
pub fn told(answer: &Response) -> String {
    let timeless = |name: &String| !name.eq_ignore_ascii_case("date") && !name.eq_ignore_ascii_case("retry-after");
    let headers: Vec<_> = answer.headers.iter().filter(|(name, _)| timeless(name)).collect();
    format!("{} {headers:?} {}", answer.status, answer.text())
}

/// The answers of many at once.
pub fn at_once(many: usize, request: impl Fn(usize) -> Response + Sync) -> Vec<Response> {
    std::thread::scope(|scope| {
        let request = &request;
        let workers: Vec<_> = (0..many).map(|number| scope.spawn(move || request(number))).collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).collect()
    })
}

pub fn with_status(answers: &[Response], status: u16) -> usize {
    answers.iter().filter(|answer| answer.status == status).count()
}

/// The settings as they were; they come back when this goes.
pub struct Settings {
    before: Value,
    _alone: MutexGuard<'static, ()>,
}

impl Settings {
    pub fn keep() -> Self {
        let alone = alone();
        Self { before: admin::value("select to_jsonb(s) from crm_private.settings as s", &[]), _alone: alone }
    }

    /// With these assignments for as long as this lives.
    pub fn with(assignments: &str) -> Self {
        let settings = Self::keep();
        settings.set(assignments);
        settings
    }

    pub fn set(&self, assignments: &str) {
        admin::execute(&format!("update crm_private.settings set {assignments}"), &[]);
    }
}

impl Drop for Settings {
    fn drop(&mut self) {
        let names: Vec<_> = self.before.as_object().unwrap().keys().map(String::as_str).collect();
        let names = names.join(", ");
        let restore = format!(
            "update crm_private.settings
             set ({names}) = (select {names} from jsonb_populate_record(null::crm_private.settings, $1))"
        );
        admin::execute(&restore, &[&self.before]);
    }
}

/// Calls a function in SQL, in a transaction of this role that commits.
pub fn call(role: &str, query: &str, arguments: &[&str]) -> Result<Value, postgres::Error> {
    crate::sql::session(|client| {
        let mut transaction = crate::sql::begin_as(client, role)?;
        let arguments: Vec<_> =
            arguments.iter().map(|argument| argument as &(dyn postgres::types::ToSql + Sync)).collect();
        let answer = transaction.query_one(query, &arguments)?.get(0);
        transaction.commit()?;
        Ok(answer)
    })
}
