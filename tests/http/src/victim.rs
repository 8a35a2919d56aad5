//! Somebody whose organization is attacked, and the oracles that decide whether an attack failed.

use serde_json::json;
use uuid::Uuid;

use crate::actor::{Actor, id_of};
use crate::http::{Response, text};
use crate::{admin, team, unique};

/// What an attacker may have learned of somebody's rows: how they are called, not what is in them.
#[derive(Clone)]
pub struct Names(Vec<(&'static str, String)>);

impl Names {
    const EACH: [&str; 9] =
        ["{org}", "{slug}", "{user}", "{account}", "{contact}", "{key}", "{role}", "{group}", "{webhook}"];

    /// In the order of `EACH`.
    fn new(names: [String; 9]) -> Self {
        Self(Self::EACH.into_iter().zip(names).collect())
    }

    /// Names of the same shape that nobody has.
    pub fn nowhere() -> Self {
        let id = || Uuid::new_v4().to_string();
        Self::new([id(), unique("somebody"), id(), id(), id(), unique("known"), team::role_name(), id(), id()])
    }

    pub fn fill(&self, template: &str) -> String {
        self.0.iter().fold(template.to_owned(), |text, (name, value)| text.replace(name, value))
    }

    /// The reverse, so that answers about different rows can be compared.
    fn hide(&self, answer: &str) -> String {
        self.0.iter().fold(answer.to_owned(), |text, (name, value)| text.replace(value, name))
    }
}

pub struct Victim {
    pub owner: Actor,
    pub names: Names,
    /// In every text an attacker cannot know.
    pub secret: String,
}

impl Victim {
    pub fn register() -> Self {
        let (secret, key) = (unique("secret"), unique("known"));
        let owner = Actor::register_as(&secret);
        admin::execute("update crm.organizations set name = $1 where id = $2", &[&secret, &owner.organization.id]);
        let account = owner.insert("accounts", &json!({ "name": secret, "external_id": key, "description": secret }));
        let contact = json!({
            "last_name": secret, "email": format!("{key}@example.com"), "external_id": key, "title": secret,
            "description": secret, "account_id": account["id"],
        });
        let contact = owner.insert("contacts", &contact);
        let role = team::role(&owner, 10, &[("contacts.read", "all")]);
        owner.patch(&format!("/roles?name=eq.{role}"), &json!({ "title": secret })).expect(200);
        let group = id_of(&owner.insert("groups", &json!({ "name": secret })));
        team::put_into(&owner, group, &owner);
        owner.insert("group_roles", &json!({ "group_id": group, "role": role }));
        owner.insert("group_permissions", &json!({ "group_id": group, "permission": "*.read", "scope": "all" }));
        let webhook = json!({
            "name": secret, "url": format!("https://{secret}.example/hook"), "headers": { "X-Token": secret },
        });
        let webhook = owner.post("/rpc/create_webhook", &webhook).expect(200).json();
        let names = Names::new([
            owner.organization.id.to_string(),
            owner.organization.slug.clone(),
            owner.user.to_string(),
            text(&account["id"]),
            text(&contact["id"]),
            key,
            role,
            group.to_string(),
            text(&webhook["id"]),
        ]);
        Self { owner, names, secret }
    }

    fn fingerprint(&self) -> String {
        admin::fingerprint(self.owner.organization.id)
    }

    /// The first two oracles, over one attack.
    pub fn unharmed(&self, attack: impl FnOnce() -> Response) -> Result<Response, String> {
        let before = self.fingerprint();
        let answer = attack();
        if format!("{}{:?}", answer.text(), answer.headers).contains(&self.secret) {
            return Err(format!("shows the victim's data: {answer}"));
        }
        if self.fingerprint() != before {
            return Err(format!("changes the victim's data: {answer}"));
        }
        Ok(answer)
    }
}

/// All of an answer but its date, without the names it was asked about.
pub fn comparable(answer: &Response, names: &Names) -> String {
    let headers: Vec<_> = answer.headers.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("date")).collect();
    names.hide(&format!("{} {headers:?} {}", answer.status, answer.text()))
}
