//! People: each with an organization of their own, unless they join another.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::http::{Request, Response, text};
use crate::{PASSWORD_PREFIX, admin, unique};

#[derive(Clone, Debug)]
pub struct Organization {
    pub id: Uuid,
    pub slug: String,
}

#[derive(Clone, Debug)]
pub struct Actor {
    pub user: Uuid,
    pub email: String,
    pub password: String,
    /// The one they registered.
    pub organization: Organization,
    /// None: requests without a token.
    pub token: Option<String>,
    /// Sent as X-Org-ID.
    pub works_in: Option<String>,
}

pub fn anonymous(method: &str, path: &str) -> Request {
    Request::new(method, path)
}

/// The answer of a login: `organization` is an id or a slug.
pub fn login(email: &str, password: &str, organization: Option<&str>) -> Response {
    let mut arguments = json!({ "email": email, "password": password });
    if let Some(organization) = organization {
        arguments["organization"] = organization.into();
    }
    anonymous("POST", "/rpc/login").json(&arguments).send()
}

impl Actor {
    /// Somebody new, owner of a new organization.
    pub fn register() -> Self {
        Self::register_as("Somebody")
    }

    pub fn register_as(full_name: &str) -> Self {
        let name = unique("somebody");
        let (email, password) = (format!("{name}@example.com"), unique(PASSWORD_PREFIX));
        let arguments =
            json!({ "email": email, "password": password, "organization_name": name, "full_name": full_name });
        let welcome = anonymous("POST", "/rpc/register").json(&arguments).send().expect(200).json();
        Self {
            user: id_of(&welcome["user"]),
            organization: Organization {
                id: id_of(&welcome["organization"]),
                slug: text(&welcome["organization"]["slug"]),
            },
            token: Some(text(&welcome["access_token"])),
            works_in: None,
            email,
            password,
        }
    }

    /// Somebody new who has this role in the organization too, and works there.
    pub fn member(organization: &Organization, role: &str) -> Self {
        let newcomer = Self::register();
        newcomer.join(organization, role);
        newcomer.logged_in(Some(&organization.slug))
    }

    /// Somebody new with so many contacts.
    pub fn with_contacts(number: usize) -> Self {
        let newcomer = Self::register();
        for contact in 1..=number {
            newcomer.insert("contacts", &json!({ "last_name": format!("Contact {contact}") }));
        }
        newcomer
    }

    pub fn join(&self, organization: &Organization, role: &str) {
        admin::execute(
            "insert into crm.memberships (org_id, user_id, role) values ($1, $2, $3)",
            &[&organization.id, &self.user, &role],
        );
    }

    /// Somebody else owns the organization as well: without an owner it is never left.
    pub fn share_ownership(&self) {
        Self::register().join(&self.organization, "owner");
    }

    /// The same person after logging in again.
    pub fn logged_in(&self, organization: Option<&str>) -> Self {
        let answer = login(&self.email, &self.password, organization).expect(200).json();
        Self { token: Some(text(&answer["access_token"])), ..self.clone() }
    }

    /// The same person with another token.
    pub fn with_token(&self, token: &str) -> Self {
        Self { token: Some(token.into()), ..self.clone() }
    }

    /// The same person with X-Org-ID.
    pub fn working_in(&self, organization: &str) -> Self {
        Self { works_in: Some(organization.into()), ..self.clone() }
    }

    pub fn token(&self) -> &str {
        self.token.as_deref().unwrap()
    }

    /// The session of the token.
    pub fn session(&self) -> Uuid {
        Uuid::parse_str(&text(&crate::token::payload(self.token())["sid"])).unwrap()
    }

    pub fn request(&self, method: &str, path: &str) -> Request {
        let mut request = Request::new(method, path);
        if let Some(token) = &self.token {
            request = request.token(token);
        }
        match &self.works_in {
            Some(organization) => request.header("X-Org-ID", organization),
            None => request,
        }
    }

    pub fn get(&self, path: &str) -> Response {
        self.request("GET", path).send()
    }

    pub fn post(&self, path: &str, body: &Value) -> Response {
        self.request("POST", path).json(body).send()
    }

    pub fn patch(&self, path: &str, body: &Value) -> Response {
        self.request("PATCH", path).prefer("return=representation").json(body).send()
    }

    pub fn delete(&self, path: &str) -> Response {
        self.request("DELETE", path).prefer("return=representation").send()
    }

    /// Inserts one row and gives it as it was stored.
    #[track_caller]
    pub fn insert(&self, table: &str, row: &Value) -> Value {
        let request = self.request("POST", &format!("/{table}")).prefer("return=representation").json(row);
        request.send().expect(201).rows().remove(0)
    }

    /// How many rows of the table this person sees.
    #[track_caller]
    pub fn count(&self, table: &str) -> usize {
        let answer = self.request("HEAD", &format!("/{table}")).prefer("count=exact").send().expect(200);
        answer.header("Content-Range").unwrap().rsplit('/').next().unwrap().parse().unwrap()
    }
}

/// The `id` of a JSON object.
#[track_caller]
pub fn id_of(row: &Value) -> Uuid {
    Uuid::parse_str(&text(&row["id"])).unwrap_or_else(|_| panic!("no id: {row}"))
}
