//! Proving that an e-mail address is one's own.

use crm_http_tests::actor::{Actor, anonymous};
use crm_http_tests::http::Response;
use crm_http_tests::identity::{at_once, call, with_status};
use crm_http_tests::mailbox::{token_to, tokens_to};
use crm_http_tests::{admin, sql, unique};
use serde_json::json;

const KIND: &str = "email_verification";

fn verify(user: &Actor, token: &str) -> Response {
    user.post("/rpc/verify_email", &json!({ "token": token }))
}

fn ask(user: &Actor) -> Response {
    user.post("/rpc/request_email_verification", &json!({}))
}

#[track_caller]
fn bad_token(answer: Response) {
    assert_eq!((answer.status, answer.code().as_str()), (400, "22023"), "{answer}");
    assert!(answer.text().contains("token: is not valid"), "{answer}");
}

fn is_verified(user: &Actor) -> bool {
    user.get("/rpc/me").expect(200).json()["user"]["email_verified"] == true
}

#[test]
fn a_newcomer_verifies_the_address_with_the_token_of_the_message() {
    let (user, other) = (Actor::register(), Actor::register());
    assert!(!is_verified(&user));
    let token = token_to(&user.email, KIND);
    assert_eq!(verify(&user, &token).expect(200).json(), json!({ "email": user.email }));
    assert!(is_verified(&user) && !is_verified(&other));
    bad_token(verify(&user, &token));
}

#[test]
fn a_user_asks_for_another_message_and_the_one_before_ends() {
    let user = Actor::register();
    let first = token_to(&user.email, KIND);
    let answer = ask(&user).expect(200);
    let second = token_to(&user.email, KIND);
    assert!(first != second && !format!("{answer:?}").contains(&second), "{answer}");
    bad_token(verify(&user, &first));
    assert!(!is_verified(&user));
    verify(&user, &second).expect(200);
    assert!(is_verified(&user));
}

#[test]
fn a_user_is_sent_five_messages_and_no_more() {
    let user = Actor::register();
    for _ in 0..5 {
        ask(&user).expect(200);
    }
    let answer = ask(&user).expect(429);
    let seconds: i64 = answer.header("Retry-After").unwrap().parse().unwrap();
    assert!(answer.code() == "53400" && (1..=900).contains(&seconds), "{answer}");
    assert_eq!(tokens_to(&user.email, KIND).len(), 6);
    verify(&user, &token_to(&user.email, KIND)).expect(200);
}

#[test]
fn an_attacker_with_what_is_no_token_verifies_nothing() {
    let user = Actor::register();
    anonymous("POST", "/rpc/request_password_reset").json(&json!({ "email": user.email })).send().expect(200);
    let (good, of_another_purpose) = (token_to(&user.email, KIND), token_to(&user.email, "password_reset"));
    for token in [
        String::new(),
        unique("nobodys"),
        good[1..].into(),
        good.to_lowercase(),
        of_another_purpose,
        "x".repeat(100 << 10),
    ] {
        bad_token(verify(&user, &token));
    }
    user.post("/rpc/verify_email", &json!({ "token": null })).expect(400);
    user.post("/rpc/verify_email", &json!({ "token": "a\u{0}" })).expect(400);
    user.get(&format!("/rpc/verify_email?token={good}")).expect(405);
    assert!(!is_verified(&user));
    verify(&user, &good).expect(200);
}

#[test]
fn a_token_of_somebody_who_changed_meanwhile_is_refused() {
    for statement in [
        "update crm_private.one_time_tokens set expires_at = now() where user_id = {user}",
        "update crm.users set email = 'new-' || email where id = {user}",
    ] {
        let user = Actor::register();
        let token = token_to(&user.email, KIND);
        assert_eq!(admin::execute(&statement.replace("{user}", &format!("'{}'", user.user)), &[]), 1);
        bad_token(verify(&user, &token));
        let verified: i64 = admin::value(
            "select count(*) from crm.users where id = $1 and email_verified_at is not null",
            &[&user.user],
        );
        assert_eq!(verified, 0, "{statement}");
    }
}

#[test]
fn of_ten_who_use_a_token_at_once_one_is_answered() {
    let user = Actor::register();
    let token = token_to(&user.email, KIND);
    let answers = at_once(10, |_| verify(&user, &token));
    assert_eq!((with_status(&answers, 200), with_status(&answers, 400)), (1, 9), "{answers:?}");
}

#[test]
fn nobody_but_the_user_verifies_an_address() {
    // Whoever registered somebody else's address waits for its owner to do this for them.
    let (user, other) = (Actor::register(), Actor::register());
    let token = token_to(&user.email, KIND);
    bad_token(verify(&other, &token));
    anonymous("POST", "/rpc/verify_email").json(&json!({ "token": token })).send().expect(401);
    assert!(!is_verified(&user) && !is_verified(&other));
    verify(&user, &token).expect(200);
}

#[test]
fn a_sql_client_verifies_an_address() {
    let user = Actor::register();
    let token = token_to(&user.email, KIND);
    let state = |token: &str| {
        sql::session(|client| {
            let mut transaction = sql::begin_authenticated(client, user.token()).unwrap();
            let outcome = transaction.execute("select crm.verify_email($1)", &[&token]);
            let state = sql::sqlstate(outcome);
            transaction.commit().unwrap();
            state
        })
    };
    assert_eq!((state("nobodys"), state(&token), state(&token)), ("22023".into(), String::new(), "22023".into()));
    assert!(is_verified(&user));
    assert_eq!(sql::sqlstate(call("crm_anon", "select crm.verify_email($1)", &[&token])), "42501");
}
