//! Getting back in without the password.

use crm_http_tests::actor::{Actor, anonymous, login};
use crm_http_tests::http::{Response, encode};
use crm_http_tests::identity::{Session, at_once, call, told, with_status};
use crm_http_tests::mailbox::{messages_to, token_to, tokens_to};
use crm_http_tests::{PASSWORD_PREFIX, admin, all, sql, unique};
use serde_json::json;

const KIND: &str = "password_reset";

fn request(email: &str) -> Response {
    anonymous("POST", "/rpc/request_password_reset").json(&json!({ "email": email })).send()
}

fn reset(token: &str, new: &str) -> Response {
    anonymous("POST", "/rpc/reset_password").json(&json!({ "token": token, "new_password": new })).send()
}

fn new_password() -> String {
    unique(PASSWORD_PREFIX)
}

/// Somebody new and the token that was sent to them.
fn forgetful() -> (Session, String) {
    let session = Session::open();
    request(&session.user.email).expect(200);
    let token = token_to(&session.user.email, KIND);
    (session, token)
}

#[track_caller]
fn bad_token(answer: Response) {
    assert_eq!((answer.status, answer.code().as_str()), (400, "22023"), "{answer}");
    assert!(answer.text().contains("token: is not valid"), "{answer}");
}

#[test]
fn a_user_who_forgot_the_password_gets_a_token_by_message_only_and_sets_a_new_one() {
    let here = Session::open();
    let elsewhere = Session::of(&here.user).refreshed();
    elsewhere.used_everywhere();
    let asked = request(&here.user.email).expect(200);
    let token = token_to(&here.user.email, KIND);
    assert!(token.len() >= 43 && !format!("{asked:?}").contains(&token), "{asked}");
    let new = new_password();
    let answer = reset(&token, &new).expect(200);
    assert_eq!(answer.json(), json!({ "ended_sessions": 3 }));
    here.expect_ended();
    elsewhere.expect_ended();
    assert_eq!(here.end_reason().as_deref(), Some("password_changed"));
    login(&here.user.email, &here.user.password, None).expect(401);
    let answer = login(&here.user.email, &new, None).expect(200).json();
    assert_eq!(answer["user"]["email_verified"], true);
    let kinds: Vec<_> = messages_to(&here.user.email).into_iter().map(|message| message.kind).collect();
    assert_eq!(kinds, ["email_verification", KIND, "password_changed"]);
}

#[test]
fn a_token_is_stored_nowhere_but_in_the_message_and_not_there_once_it_is_delivered() {
    let (session, token) = forgetful();
    let found = |table: &str| -> bool {
        admin::value(
            &format!("select exists (select from crm_private.{table} as t where strpos(t::text, $1) > 0)"),
            &[&token],
        )
    };
    assert!(!found("one_time_tokens") && found("messages"));
    let message: String = admin::value(
        "select id::text from crm_private.messages where kind = 'password_reset' and recipient = $1",
        &[&session.user.email],
    );
    let mut client = admin::connect();
    let mut transaction = sql::begin_as(&mut client, "crm_worker").unwrap();
    let complete = format!("select crm.complete_message('{message}')");
    let was_waiting = [0, 1].map(|_| transaction.query_one(&complete, &[]).unwrap().get::<_, bool>(0));
    transaction.commit().unwrap();
    assert_eq!(was_waiting, [true, false]);
    assert!(!found("messages"));
    reset(&token, &new_password()).expect(200);
}

#[test]
fn a_user_and_nobody_cannot_read_messages() {
    let (session, _) = forgetful();
    for role in ["crm_anon", "crm_app", "crm_multi"] {
        let claimed = call(role, "select to_jsonb(m) from crm.claim_messages() as m", &[]);
        assert_eq!(sql::sqlstate(claimed), "42501", "{role}");
    }
    session.user.post("/rpc/claim_messages", &json!({})).expect(403);
    anonymous("POST", "/rpc/claim_messages").json(&json!({})).send().expect(401);
    session.user.post("/rpc/complete_message", &json!({ "id": session.id() })).expect(403);
}

#[test]
fn an_attacker_cannot_tell_a_known_email_from_an_unknown_one() {
    let (user, disabled) = (Actor::register(), Actor::register());
    admin::execute("update crm.users set status = 'disabled' where id = $1", &[&disabled.user]);
    let nobody = format!("{}@example.com", unique("nobody"));
    let emails = [&nobody, &user.email, &disabled.email];
    for status in [200, 200, 200, 200, 200, 429, 429] {
        let answers = emails.map(|email| request(email).expect(status));
        assert!(answers.iter().all(|answer| told(answer) == told(&answers[0])), "{answers:?}");
        for answer in &answers {
            let wait = answer.header("Retry-After").map(|seconds| seconds.parse::<i64>().unwrap());
            assert_eq!(wait.is_some_and(|wait| (1..=900).contains(&wait)), status == 429, "{answer}");
        }
    }
    assert_eq!(tokens_to(&user.email, KIND).len(), 5);
    assert_eq!((tokens_to(&nobody, KIND).len(), tokens_to(&disabled.email, KIND).len()), (0, 0));
    // Logging in is counted by itself.
    login(&user.email, &user.password, None).expect(200);
}

#[test]
fn an_attacker_gets_no_more_messages_by_writing_an_email_in_another_way_or_all_at_once() {
    let user = Actor::register();
    for written in [user.email.to_uppercase(), format!(" {} ", user.email), user.email.clone()] {
        request(&written).expect(200);
    }
    let answers = at_once(20, |_| request(&user.email));
    assert_eq!((with_status(&answers, 200), with_status(&answers, 429)), (2, 18), "{answers:?}");
    assert_eq!(tokens_to(&user.email, KIND).len(), 5);
}

#[test]
fn a_user_who_was_locked_out_gets_in_with_the_new_password_at_once() {
    let (session, token) = forgetful();
    let email = &session.user.email;
    for _ in 0..5 {
        login(email, "kzq-passphrase-wrong", None).expect(401);
    }
    login(email, &session.user.password, None).expect(429);
    let new = new_password();
    reset(&token, &new).expect(200);
    login(email, &session.user.password, None).expect(401);
    login(email, &new, None).expect(200);
}

#[test]
fn a_token_works_once_and_ends_the_others_that_were_sent() {
    let (session, first) = forgetful();
    request(&session.user.email).expect(200);
    let second = token_to(&session.user.email, KIND);
    assert_ne!(first, second);
    let new = new_password();
    reset(&first, &new).expect(200);
    bad_token(reset(&first, &new_password()));
    bad_token(reset(&second, &new_password()));
    login(&session.user.email, &new, None).expect(200);
}

#[test]
fn a_user_who_changes_the_password_ends_tokens_that_were_sent() {
    let (session, token) = forgetful();
    let new = new_password();
    let arguments = json!({ "current_password": session.user.password, "new_password": new });
    session.user.post("/rpc/change_password", &arguments).expect(200);
    bad_token(reset(&token, &new_password()));
    login(&session.user.email, &new, None).expect(200);
}

#[test]
fn a_password_that_is_refused_does_not_use_the_token_up() {
    let (session, token) = forgetful();
    for bad in ["", "short", "password1", &session.user.email, &"x".repeat(257)] {
        let answer = reset(&token, bad).expect(400);
        assert!(answer.code() == "22023" && answer.text().contains("new_password"), "{answer}");
    }
    session.user.get("/rpc/me").expect(200);
    login(&session.user.email, &session.user.password, None).expect(200);
    reset(&token, &new_password()).expect(200);
}

#[test]
fn an_attacker_with_what_is_no_token_is_refused_alike() {
    let (session, good) = forgetful();
    let hash: String = admin::value(
        "select encode(hash, 'hex') from crm_private.one_time_tokens where user_id = $1 and purpose = 'password_reset'",
        &[&session.user.user],
    );
    let wrong = [
        String::new(),
        unique("nobodys"),
        good[1..].into(),
        good.to_uppercase(),
        format!("{good}x"),
        hash.clone(),
        format!("\\x{hash}"),
        token_to(&session.user.email, "email_verification"),
        session.refresh_token.clone(),
        session.user.token().into(),
        "' or true --".into(),
        "😀".into(),
        "x".repeat(100 << 10),
    ];
    for token in wrong {
        bad_token(reset(&token, &new_password()));
    }
    for (arguments, status) in [
        (json!({ "token": null, "new_password": "kzq-passphrase-x" }), 400),
        (json!({ "token": good, "new_password": null }), 400),
        (json!({ "token": "a\u{0}b", "new_password": "kzq-passphrase-x" }), 400),
        (json!({ "token": good }), 404),
    ] {
        anonymous("POST", "/rpc/reset_password").json(&arguments).send().expect(status);
    }
    login(&session.user.email, &session.user.password, None).expect(200);
    reset(&good, &new_password()).expect(200);
}

#[test]
fn a_token_of_somebody_who_changed_meanwhile_is_refused() {
    let cases = [
        "update crm_private.one_time_tokens set expires_at = now() where user_id = {user}",
        "update crm.users set email = 'new-' || email where id = {user}",
        "update crm.users set status = 'disabled' where id = {user}",
        "update crm.users set status = 'deleted' where id = {user}",
        "delete from crm.users where id = {user}",
    ];
    for statement in cases {
        let (session, token) = forgetful();
        session.user.share_ownership();
        let hash = || -> Option<String> {
            admin::value("select max(hash) from crm_private.passwords where user_id = $1", &[&session.user.user])
        };
        assert!(admin::execute(&statement.replace("{user}", &format!("'{}'", session.user.user)), &[]) > 0);
        let before = hash();
        bad_token(reset(&token, &new_password()));
        assert_eq!(hash(), before, "{statement}");
    }
}

#[test]
fn a_token_lasts_an_hour() {
    let (session, _) = forgetful();
    let lasts: bool = admin::value(
        "select bool_and(expires_at - created_at between '59 minutes' and '61 minutes') from crm_private.one_time_tokens
         where user_id = $1 and purpose = 'password_reset'",
        &[&session.user.user],
    );
    assert!(lasts);
}

#[test]
fn a_caller_who_sends_no_address_is_told_so() {
    let cases =
        [json!(""), json!("nobody"), json!("a@localhost"), json!("a\nb@example.com"), json!(null), json!("a\u{0}@b.c")];
    all(cases, |email| {
        let answer = anonymous("POST", "/rpc/request_password_reset").json(&json!({ "email": email })).send();
        if answer.status == 400 { Ok(()) } else { Err(answer.to_string()) }
    });
}

#[test]
fn a_token_in_a_url_is_refused_and_stays_good() {
    let (session, token) = forgetful();
    let email = encode(&session.user.email);
    let new = new_password();
    for path in [
        format!("/rpc/request_password_reset?email={email}"),
        format!("/rpc/reset_password?token={token}&new_password={new}"),
    ] {
        anonymous("GET", &path).send().expect(405);
    }
    assert_eq!(tokens_to(&session.user.email, KIND).len(), 1);
    reset(&token, &new).expect(200);
}

#[test]
fn a_sql_client_resets_a_password() {
    let (session, token) = forgetful();
    let new = new_password();
    let asked = call("crm_anon", "select crm.request_password_reset($1)", &[&session.user.email]).unwrap();
    assert!(!asked["message"].is_null(), "{asked}");
    let refused = call("crm_anon", "select crm.reset_password($1, $2)", &[&token, "short"]);
    assert_eq!(sql::sqlstate(refused), "22023");
    let answer = call("crm_anon", "select crm.reset_password($1, $2)", &[&token, &new]).unwrap();
    assert_eq!(answer, json!({ "ended_sessions": 2 }));
    let again = call("crm_anon", "select crm.reset_password($1, $2)", &[&token, &new]);
    assert_eq!(sql::sqlstate(again), "22023");
    session.expect_ended();
    login(&session.user.email, &new, None).expect(200);
}
