//! An office: people whose rows are somebody's own, their team's, another's and nobody's, so that scopes can be told apart.

use std::collections::BTreeSet;
use std::thread;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::actor::{Actor, id_of};
use crate::http::Response;
use crate::{admin, sql, team, unique};

/// An organization with somebody of this role, a colleague in a group of theirs, and somebody else; each with a contact
/// called like them.
pub struct Office {
    pub owner: Actor,
    pub actor: Actor,
    /// In a group with the actor.
    pub colleague: Actor,
    pub other: Actor,
    pub group: Uuid,
}

pub const OWN: &str = "Own";
pub const TEAM: &str = "Team";
pub const OTHER: &str = "Other";
pub const NOBODY: &str = "Nobody";

impl Office {
    #[track_caller]
    pub fn of(role: &str) -> Self {
        let owner = Actor::register();
        let [actor, colleague, other] = [role, "sales", "sales"].map(|role| Actor::member(&owner.organization, role));
        let group = team::group(&owner, &[&actor, &colleague]);
        for (name, person) in [(OWN, Some(&actor)), (TEAM, Some(&colleague)), (OTHER, Some(&other)), (NOBODY, None)] {
            admin::execute(
                "with account as (
                     insert into crm.accounts (org_id, name, owner_id) values ($1, $2, $3) returning id
                 )
                 insert into crm.contacts (org_id, last_name, account_id, owner_id, external_id)
                 select $1, $2, id, $3, lower($2) from account",
                &[&owner.organization.id, &name, &person.map(|person| person.user)],
            );
        }
        Self { owner, actor, colleague, other, group }
    }

    /// With somebody of a role that has just these permissions.
    #[track_caller]
    pub fn with_only(permissions: &[(&str, &str)]) -> Self {
        let office = Self::of("read_only");
        let role = team::role(&office.owner, 10, permissions);
        let given = json!({ "user_id": office.actor.user, "role": role });
        office.owner.post("/rpc/set_member_role", &given).expect(200);
        office
    }

    #[track_caller]
    pub fn contact(&self, name: &str) -> Value {
        admin::value(
            "select to_jsonb(c) from crm.contacts as c where org_id = $1 and external_id = lower($2)",
            &[&self.owner.organization.id, &name],
        )
    }

    #[track_caller]
    pub fn path(&self, name: &str) -> String {
        format!("/contacts?id=eq.{}", id_of(&self.contact(name)))
    }

    /// Whether PATCH changes the contact, and whether that is told.
    #[track_caller]
    pub fn changes(&self, name: &str) -> u16 {
        let (before, answer) =
            (self.contact(name), self.actor.patch(&self.path(name), &json!({ "title": unique("x") })));
        let changed = self.contact(name) != before;
        let told = answer.status == 200 && answer.rows().len() == 1;
        assert_eq!(changed, told, "{answer}");
        answer.status
    }
}

#[track_caller]
pub fn names(answer: &Response) -> Vec<String> {
    let mut names = answer.column("last_name");
    names.sort();
    names
}

/// The names of the contacts that somebody sees, in every one of many requests at once over PostgREST's connections, and
/// in SQL over one that knew them before.
#[track_caller]
pub fn seen(actor: &Actor) -> Vec<String> {
    let answers: BTreeSet<Vec<String>> = thread::scope(|scope| {
        let workers: Vec<_> = (0..6)
            .map(|_| scope.spawn(|| (0..3).map(|_| names(&actor.get("/contacts").expect(200))).collect::<Vec<_>>()))
            .collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    let in_sql: Vec<String> = sql::session(|client| {
        let mut transaction = sql::begin_request(client, actor.token()).unwrap();
        let names = "select coalesce(array_agg(last_name order by last_name), '{}') from crm.contacts";
        transaction.query_one(names, &[]).unwrap().get(0)
    });
    assert_eq!(answers, BTreeSet::from([in_sql.clone()]), "HTTP, SQL");
    in_sql
}
