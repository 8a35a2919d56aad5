//! The platform says what a provider calls a user.

use crm_http_tests::actor::{Actor, anonymous};
use crm_http_tests::http::text;
use crm_http_tests::issuer::{Issuer, as_role, signed_in};
use crm_http_tests::sql::sqlstate;
use crm_http_tests::token::with;
use crm_http_tests::{admin, all, sql, unique};
use serde_json::{Value, json};
use uuid::Uuid;

const LINK: &str = "select crm.link_identity($1, $2, $3)";

fn link(role: &str, user: Uuid, provider: &str, subject: &str) -> Result<bool, postgres::Error> {
    as_role(role, |sql| Ok(sql.query_one(LINK, &[&user, &provider, &subject])?.get(0)))
}

/// A key of the platform with these scopes.
fn platform_key(scopes: &[&str]) -> String {
    let scopes: Vec<_> = scopes.iter().map(|&scope| scope.to_owned()).collect();
    text(&admin::value::<Value>("select crm.create_platform_key('Backend', $1)", &[&scopes])["key"])
}

#[test]
fn a_user_whom_the_platform_linked_signs_in_whatever_the_token_says_of_the_email() {
    let issuer = Issuer::new("ES256");
    issuer.set("create_users = false");
    for role in ["crm_service", "crm_admin", "postgres"] {
        let user = Actor::register();
        let claims = with(&issuer.claims("unknown@example.com"), "email_verified", json!(false));
        let subject = text(&claims["sub"]);
        issuer.sign_in(&claims).expect(403);
        assert!(link(role, user.user, &issuer.name, &subject).unwrap(), "{role}");
        assert!(!link(role, user.user, &issuer.name, &subject).unwrap(), "{role}");
        assert_eq!(signed_in(&issuer.sign_in(&claims).expect(200).json()).user, user.user);
        // The password is theirs, too.
        user.logged_in(None).get("/contacts").expect(200);
    }
}

#[test]
fn a_backend_links_a_user_with_a_platform_key() {
    let issuer = Issuer::new("ES256");
    let user = Actor::register();
    let claims = issuer.claims("unknown@example.com");
    let arguments = json!({ "user_id": user.user, "provider": issuer.name, "subject": claims["sub"] });
    let ask = |key: &str| anonymous("POST", "/rpc/link_identity").header("x-api-key", key).json(&arguments).send();
    let refused = ask(&platform_key(&["users.read", "tokens.create"]));
    assert_eq!((refused.status, issuer.people()), (403, 0), "{refused}");
    assert_eq!(ask(&platform_key(&["users.update"])).expect(200).json(), json!(true));
    assert_eq!(signed_in(&issuer.sign_in(&claims).expect(200).json()).user, user.user);
}

#[test]
fn nobody_else_links_anybody() {
    let issuer = Issuer::new("ES256");
    let user = Actor::register();
    for role in ["crm_anon", "crm_app", "crm_multi", "crm_worker", "crm_owner", "crm_authenticator"] {
        assert_eq!(sqlstate(link(role, user.user, &issuer.name, "x")), "42501", "{role}");
    }
    let arguments = json!({ "user_id": user.user, "provider": issuer.name, "subject": "x" });
    anonymous("POST", "/rpc/link_identity").json(&arguments).send().expect(401);
    user.post("/rpc/link_identity", &arguments).expect(403);
    // PostgREST's own connection may become crm_service, and is not the platform by that.
    let state = sql::session(|client| {
        let mut transaction = sql::begin_as(client, "crm_service").unwrap();
        sqlstate(transaction.query_one(LINK, &[&user.user, &issuer.name, &"x"]))
    });
    assert_eq!((state.as_str(), issuer.people()), ("42501", 0));
}

#[test]
fn the_platform_cannot_give_one_identity_to_two_users() {
    let issuer = Issuer::new("ES256");
    let (user, other, subject) = (Actor::register(), Actor::register(), unique("auth"));
    assert!(link("crm_service", user.user, &issuer.name, &subject).unwrap());
    assert_eq!(sqlstate(link("crm_service", other.user, &issuer.name, &subject)), "23505");
    let second = Issuer::new("ES256");
    assert!(link("crm_service", other.user, &second.name, &subject).unwrap());
    assert!(link("crm_service", user.user, &issuer.name, &unique("auth")).unwrap());
}

#[test]
fn the_platform_is_told_which_argument_is_wrong() {
    let issuer = Issuer::new("ES256");
    let user = Actor::register().user;
    let long = "x".repeat(256);
    let name = issuer.name.as_str();
    let cases = [
        (Uuid::new_v4(), name, "x"),
        (user, "nobody", "x"),
        (user, "", "x"),
        (user, name, ""),
        (user, name, "  "),
        (user, name, "a\nb"),
        (user, name, &long),
    ];
    all(cases, |(user, provider, subject)| {
        let state = sqlstate(link("crm_service", user, provider, subject));
        if state == "22023" { Ok(()) } else { Err(format!("{provider:?} {subject:?}: {state:?}")) }
    });
    assert_eq!(issuer.people(), 0);
}

#[test]
fn a_person_who_was_deleted_signs_in_as_somebody_new() {
    let issuer = Issuer::new("ES256");
    let (user, claims) = issuer.newcomer();
    let other = Actor::register();
    other.join(&user.organization, "owner");
    admin::execute("select crm.delete_user($1)", &[&user.user]);
    assert_eq!(issuer.people(), 0);
    let again = signed_in(&issuer.sign_in(&claims).expect(200).json());
    assert_ne!((again.user, again.organization.id), (user.user, user.organization.id));
}
