//! Accepting an invitation by somebody who has an account: in a session of their own, and nobody in their place.

use std::thread;

use crm_http_tests::actor::{Actor, anonymous};
use crm_http_tests::http::{Response, text};
use crm_http_tests::machine::{Key, forbidden, invite};
use crm_http_tests::{PASSWORD_PREFIX, admin, all, token, unique};
use serde_json::{Value, json};

fn address() -> String {
    format!("{}@example.com", unique("invited"))
}

fn password() -> String {
    unique(PASSWORD_PREFIX)
}

fn accept(arguments: &Value) -> Response {
    anonymous("POST", "/rpc/accept_invitation").json(arguments).send()
}

/// Somebody new, with a password.
fn accept_new(token: &str) -> Response {
    accept(&json!({ "token": token, "password": password() }))
}

fn accept_as(person: &Actor, token: &str) -> Response {
    person.post("/rpc/accept_invitation", &json!({ "token": token }))
}

fn has_account(email: &str) -> bool {
    admin::value("select exists (select from crm.users where email = $1)", &[&email])
}

fn role_in(organization: &Actor, person: &Actor) -> Option<String> {
    admin::value(
        "select max(role) from crm.memberships where org_id = $1 and user_id = $2 and status = 'active'",
        &[&organization.organization.id, &person.user],
    )
}

#[test]
fn a_user_joins_in_their_own_session_and_keeps_password_and_name() {
    let (owner, person) = (Actor::with_contacts(1), Actor::register_as("Paul Person"));
    let token = invite(&owner, &person.email, "support");
    let arguments = json!({ "token": token, "password": password(), "full_name": "Somebody Else" });
    let welcome = person.post("/rpc/accept_invitation", &arguments).expect(200).json();
    assert_eq!((&welcome["user"]["id"], &welcome["user"]["full_name"]), (&json!(person.user), &json!("Paul Person")));
    assert_eq!(welcome["user"]["email_verified"], true);
    assert_eq!(welcome["organization"]["slug"], json!(owner.organization.slug));
    assert_eq!(welcome["organizations"].as_array().unwrap().len(), 2);
    let joined = person.with_token(&text(&welcome["access_token"]));
    assert_eq!(joined.get("/rpc/whoami").expect(200).json()["role"], "support");
    assert_eq!(joined.count("contacts"), 1);
    // The session they came with goes on where it was.
    assert_eq!(person.count("contacts"), 0);
    assert_eq!(person.get("/rpc/my_sessions").expect(200).rows().len(), 2);
    person.logged_in(Some(&owner.organization.slug));
}

#[test]
fn a_user_joins_also_from_a_session_across_organizations() {
    let (owner, person) = (Actor::register(), Actor::register());
    person.join(&Actor::register().organization, "sales");
    let everywhere = person.logged_in(None);
    assert_eq!(token::payload(everywhere.token())["role"], "crm_multi");
    let welcome = accept_as(&everywhere, &invite(&owner, &person.email, "support")).expect(200).json();
    assert_eq!(welcome["organizations"].as_array().unwrap().len(), 3);
    assert_eq!(role_in(&owner, &person).as_deref(), Some("support"));
}

#[test]
fn a_user_who_administers_nothing_anywhere_joins_as_well() {
    for role in ["sales", "read_only"] {
        let (owner, employer, person) = (Actor::register(), Actor::register(), Actor::register());
        admin::execute("update crm.organizations set status = 'cancelled' where id = $1", &[&person.organization.id]);
        person.join(&employer.organization, role);
        let at_work = person.logged_in(Some(&employer.organization.slug));
        accept_as(&at_work, &invite(&owner, &person.email, "support")).expect(200);
        assert_eq!(role_in(&owner, &person).as_deref(), Some("support"));
    }
}

#[test]
fn a_user_without_any_organization_joins_as_well() {
    let (owner, person) = (Actor::register(), Actor::register());
    admin::execute("update crm.organizations set status = 'cancelled' where id = $1", &[&person.organization.id]);
    accept_as(&person.logged_in(None), &invite(&owner, &person.email, "support")).expect(200);
    assert_eq!(role_in(&owner, &person).as_deref(), Some("support"));
}

#[test]
fn a_user_is_joined_by_nobody_else() {
    let (owner, person, other) = (Actor::register(), Actor::register(), Actor::register());
    let token = invite(&owner, &person.email, "admin");
    let key = Key::of(&owner, &["*.*"]);
    let (anonymous, with_password) = (accept(&json!({ "token": token })), accept_new(&token));
    let everybodys = [
        ("another user", accept_as(&other, &token)),
        ("the owner", accept_as(&owner, &token)),
        ("a key", key.call("accept_invitation", &json!({ "token": token }))),
    ];
    assert_eq!(role_in(&owner, &person), None);
    assert_eq!(admin::count("memberships", owner.organization.id), 1);
    // Nobody has used it up, or set a password.
    accept_as(&person.logged_in(None), &token).expect(200);
    assert_eq!(role_in(&owner, &person).as_deref(), Some("admin"));
    all(everybodys, |(who, answer)| forbidden(who, &answer));
    assert_eq!([anonymous.status, with_password.status], [401, 401]);
}

#[test]
fn a_user_cannot_take_an_invitation_to_an_email_nobody_has() {
    let (owner, other, email) = (Actor::register(), Actor::register(), address());
    let token = invite(&owner, &email, "sales");
    for person in [&other, &owner] {
        accept_as(person, &token).expect(403);
        person.post("/rpc/accept_invitation", &json!({ "token": token, "password": password() })).expect(403);
    }
    assert!(!has_account(&email));
    assert_eq!(accept_new(&token).expect(200).json()["user"]["email"], json!(email));
}

#[test]
fn a_user_who_registered_after_the_invitation_logs_in_and_joins() {
    let owner = Actor::register();
    let person = Actor::register();
    let email = address();
    let token = invite(&owner, &email, "sales");
    admin::execute("update crm.users set email = $1 where id = $2", &[&email, &person.user]);
    let answer = accept_new(&token);
    assert_ne!(answer.status, 200, "{answer}");
    accept_as(&person, &token).expect(200);
    assert_eq!(role_in(&owner, &person).as_deref(), Some("sales"));
}

#[test]
fn a_user_who_accepts_twice_at_once_joins_once() {
    let (owner, person) = (Actor::register(), Actor::register());
    let token = invite(&owner, &person.email, "sales");
    let mut statuses: Vec<_> = thread::scope(|scope| {
        let both = [(); 2].map(|()| scope.spawn(|| accept_as(&person, &token).status));
        both.into_iter().map(|one| one.join().unwrap()).collect()
    });
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 400]);
}

#[test]
fn a_former_member_rejoins_with_the_new_role() {
    let owner = Actor::register();
    let member = Actor::member(&owner.organization, "admin");
    admin::execute(
        "update crm.memberships set status = 'ended', ended_at = now() where user_id = $1 and org_id = $2",
        &[&member.user, &owner.organization.id],
    );
    member.get("/contacts").expect(403);
    let at_home = member.logged_in(None);
    let welcome = accept_as(&at_home, &invite(&owner, &member.email, "read_only")).expect(200).json();
    assert_eq!(welcome["organization"]["role"], "read_only");
    let back = member.with_token(&text(&welcome["access_token"]));
    back.get("/contacts").expect(200);
    back.post("/contacts", &json!({ "last_name": "x" })).expect(403);
    let ended: bool = admin::value(
        "select ended_at is not null from crm.memberships where user_id = $1 and org_id = $2",
        &[&member.user, &owner.organization.id],
    );
    assert!(!ended);
    assert_eq!(admin::count("memberships", owner.organization.id), 2);
}

#[test]
fn a_member_who_accepts_an_older_invitation_keeps_their_role() {
    let (owner, person) = (Actor::register(), Actor::register());
    let token = invite(&owner, &person.email, "read_only");
    person.join(&owner.organization, "admin");
    let answer = accept_as(&person, &token);
    assert_eq!((answer.status, answer.code()), (409, "23505".into()), "{answer}");
    assert_eq!(role_in(&owner, &person).as_deref(), Some("admin"));
}
