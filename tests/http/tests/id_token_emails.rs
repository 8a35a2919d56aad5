//! Signing in with another provider, where somebody has the e-mail already: who is let in, and who is out after that.

use crm_http_tests::actor::{Actor, anonymous, login};
use crm_http_tests::http::text;
use crm_http_tests::issuer::{Issuer, new_email, signed_in, user_of};
use crm_http_tests::token::with;
use crm_http_tests::{admin, all};
use serde_json::{Value, json};

fn verified(user: &Actor) {
    admin::execute("update crm.users set email_verified_at = now() where id = $1", &[&user.user]);
}

fn refresh(token: &Value) -> u16 {
    anonymous("POST", "/rpc/refresh_token").json(&json!({ "refresh_token": token })).send().status
}

#[test]
fn a_stranger_is_not_let_in_where_only_users_may_sign_in() {
    let issuer = Issuer::new("ES256");
    issuer.set("create_users = false");
    let email = new_email();
    let answer = issuer.sign_in(&issuer.claims(&email)).expect(403);
    assert_eq!(answer.code(), "42501");
    assert_eq!((user_of(&email), issuer.people()), (None, 0));
    let user = Actor::register();
    verified(&user);
    let answer = issuer.sign_in(&issuer.claims(&user.email)).expect(200).json();
    assert_eq!(signed_in(&answer).user, user.user);
}

#[test]
fn a_user_with_a_verified_email_is_attached_and_keeps_everything() {
    let issuer = Issuer::new("ES256");
    let user = Actor::with_contacts(1);
    verified(&user);
    let claims = issuer.claims(&user.email.to_uppercase());
    let again = signed_in(&issuer.sign_in(&claims).expect(200).json());
    assert_eq!((again.user, again.organization.id), (user.user, user.organization.id));
    assert_eq!((again.count("contacts"), user.count("contacts")), (1, 1));
    login(&user.email, &user.password, None).expect(200);
    assert_eq!(issuer.people(), 1);
}

#[test]
fn an_attacker_who_registered_somebody_elses_email_is_out_once_its_owner_signs_in() {
    let issuer = Issuer::new("ES256");
    let attacker = Actor::register();
    let session = login(&attacker.email, &attacker.password, None).expect(200).json();
    let key = json!({ "name": "Back door", "scopes": ["contacts.*"] });
    let key = text(&attacker.post("/rpc/create_api_key", &key).expect(200).json()["key"]);
    let with_key = || anonymous("GET", "/contacts").header("x-api-key", &key).send().status;
    anonymous("POST", "/rpc/request_password_reset").json(&json!({ "email": attacker.email })).send().expect(200);
    attacker.get("/contacts").expect(200);
    assert_eq!(with_key(), 200);

    let owner = signed_in(&issuer.sign_in(&issuer.claims(&attacker.email)).expect(200).json());
    assert_eq!(owner.user, attacker.user);
    login(&attacker.email, &attacker.password, None).expect(401);
    attacker.get("/contacts").expect(401);
    attacker.with_token(&text(&session["access_token"])).get("/rpc/me").expect(401);
    assert_eq!(refresh(&session["refresh_token"]), 401);
    assert_eq!(with_key(), 401);
    let tokens: i64 = admin::value(
        "select count(*) from crm_private.one_time_tokens where user_id = $1 and used_at is null",
        &[&attacker.user],
    );
    assert_eq!(tokens, 0);
    assert_eq!(owner.get("/rpc/me").expect(200).json()["user"]["email_verified"], true);
    owner.get("/contacts").expect(200);
}

#[test]
fn an_attacker_who_linked_a_provider_to_an_unproven_email_is_out_once_its_owner_signs_in() {
    let (theirs, issuer) = (Issuer::new("ES256"), Issuer::new("ES256"));
    let attacker = Actor::register();
    let claims = theirs.claims(&new_email());
    let linked: bool =
        admin::value("select crm.link_identity($1, $2, $3)", &[&attacker.user, &theirs.name, &text(&claims["sub"])]);
    assert!(linked);
    theirs.sign_in(&claims).expect(200);
    issuer.sign_in(&issuer.claims(&attacker.email)).expect(200);
    let answer = theirs.sign_in(&claims).expect(200).json();
    assert_ne!(signed_in(&answer).user, attacker.user);
}

#[test]
fn a_person_whose_email_nobody_verified_is_neither_attached_nor_made() {
    let issuer = Issuer::new("ES256");
    let user = Actor::register();
    let values = [
        Value::Null,
        json!(false),
        json!("false"),
        json!("True"),
        json!("yes"),
        json!(""),
        json!(1),
        json!(0),
        json!([true]),
        json!({ "email_verified": true }),
    ];
    all(values, |value| {
        for email in [user.email.clone(), new_email()] {
            let claims = with(&issuer.claims(&email), "email_verified", value.clone());
            let answer = issuer.sign_in(&claims);
            if answer.status != 403 || answer.code() != "42501" || user_of(&email).is_some_and(|id| id != user.user) {
                return Err(format!("{value}: {answer}"));
            }
        }
        Ok(())
    });
    let mut null = issuer.claims(&user.email);
    null["email_verified"] = Value::Null;
    issuer.sign_in(&null).expect(403);
    assert_eq!(issuer.people(), 0);
    login(&user.email, &user.password, None).expect(200);
    // Some providers send the boolean as text.
    issuer.sign_in(&with(&issuer.claims(&new_email()), "email_verified", json!("true"))).expect(200);
}

#[test]
fn a_person_without_a_usable_email_is_not_made() {
    let issuer = Issuer::new("ES256");
    for email in [json!(null), json!(""), json!("ida"), json!("ida@localhost"), json!(7), json!(["ida@example.com"])] {
        issuer.sign_in(&with(&issuer.claims(""), "email", email)).expect(403);
    }
    // The Kelvin sign in lower case would be somebody else's k.
    issuer.sign_in(&issuer.claims(&format!("\u{212a}{}", new_email()))).expect(403);
    assert_eq!(issuer.people(), 0);
}

#[test]
fn a_disabled_user_is_let_in_neither_by_identity_nor_by_email() {
    let issuer = Issuer::new("ES256");
    let (known, claims) = issuer.newcomer();
    let unknown = Actor::register();
    verified(&unknown);
    for user in [known.user, unknown.user] {
        admin::execute("update crm.users set status = 'disabled' where id = $1", &[&user]);
    }
    assert_eq!(issuer.sign_in(&claims).expect(403).code(), "42501");
    known.get("/contacts").expect(401);
    issuer.sign_in(&issuer.claims(&unknown.email)).expect(403);
    assert_eq!(issuer.people(), 1);
    admin::execute("update crm.users set status = 'active' where id = $1", &[&known.user]);
    issuer.sign_in(&claims).expect(200);
}
