//! Somebody whose organization is attacked, and the oracles that decide whether an attack failed.

use serde_json::json;
use uuid::Uuid;

use crate::actor::Actor;
use crate::http::{Response, text};
use crate::{admin, unique};

/// What an attacker may have learned of somebody's rows: how they are called, not what is in them.
#[derive(Clone)]
pub struct Names(Vec<(&'static str, String)>);

impl Names {
    fn new(org: &str, slug: &str, user: &str, account: &str, contact: &str, key: &str) -> Self {
        let own = |name, value: &str| (name, value.to_owned());
        Self(vec![
            own("{org}", org),
            own("{slug}", slug),
            own("{user}", user),
            own("{account}", account),
            own("{contact}", contact),
            own("{key}", key),
        ])
    }

    /// Names of the same shape that nobody has.
    pub fn nowhere() -> Self {
        let id = || Uuid::new_v4().to_string();
        Self::new(&id(), &unique("somebody"), &id(), &id(), &id(), &unique("known"))
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
        let names = Names::new(
            &owner.organization.id.to_string(),
            &owner.organization.slug,
            &owner.user.to_string(),
            &text(&account["id"]),
            &text(&contact["id"]),
            &key,
        );
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
