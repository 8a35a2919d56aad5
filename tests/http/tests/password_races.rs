//! Passwords that are set, reset and used at the same time.

use std::thread;
use std::time::Duration;

use crm_http_tests::actor::{Actor, anonymous, login};
use crm_http_tests::http::{Response, text};
use crm_http_tests::identity::{Session, at_once, with_status};
use crm_http_tests::mailbox::{token_to, tokens_to};
use crm_http_tests::{PASSWORD_PREFIX, sql, unique};
use serde_json::{Value, json};

fn request(email: &str) -> Response {
    anonymous("POST", "/rpc/request_password_reset").json(&json!({ "email": email })).send()
}

fn reset(token: &str, new: &str) -> Response {
    anonymous("POST", "/rpc/reset_password").json(&json!({ "token": token, "new_password": new })).send()
}

fn change(user: &Actor, current: &str, new: &str) -> Response {
    user.post("/rpc/change_password", &json!({ "current_password": current, "new_password": new }))
}

fn new_password() -> String {
    unique(PASSWORD_PREFIX)
}

/// Somebody new and the token that was sent to them.
fn forgetful() -> (Session, String) {
    let session = Session::open();
    request(&session.user.email).expect(200);
    let token = token_to(&session.user.email, "password_reset");
    (session, token)
}

/// Logs in while the password is set anew: the thief's transaction begins before that and ends after it.
fn thief_during(user: &Actor, set: impl FnOnce() -> Response + Send) -> Session {
    let mut client = sql::connect();
    let mut transaction = sql::begin_as(&mut client, "crm_anon").unwrap();
    let loot: Value = transaction.query_one("select crm.login($1, $2)", &[&user.email, &user.password]).unwrap().get(0);
    thread::scope(|scope| {
        let done = scope.spawn(set);
        thread::sleep(Duration::from_millis(700));
        transaction.commit().unwrap();
        done.join().unwrap().expect(200);
    });
    Session { user: user.with_token(&text(&loot["access_token"])), refresh_token: text(&loot["refresh_token"]) }
}

#[test]
fn a_user_who_changes_the_password_twice_at_once_has_one_of_the_two() {
    let user = Actor::register();
    let (one, other) = (new_password(), new_password());
    let answers = thread::scope(|scope| {
        let first = scope.spawn(|| change(&user, &user.password, &one));
        let second = scope.spawn(|| change(&user, &user.password, &other));
        [first.join().unwrap(), second.join().unwrap()]
    });
    let statuses = answers.map(|answer| answer.status);
    assert!(statuses == [200, 403] || statuses == [403, 200], "{statuses:?}");
    let (right, wrong) = if statuses[0] == 200 { (&one, &other) } else { (&other, &one) };
    login(&user.email, right, None).expect(200);
    login(&user.email, wrong, None).expect(401);
    login(&user.email, &user.password, None).expect(401);
}

#[test]
fn of_two_who_use_a_token_at_once_one_gets_in() {
    for _ in 0..3 {
        let (session, token) = forgetful();
        let passwords = [new_password(), new_password()];
        let answers = at_once(2, |number| reset(&token, &passwords[number]));
        assert_eq!((with_status(&answers, 200), with_status(&answers, 400)), (1, 1), "{answers:?}");
        for (answer, password) in answers.iter().zip(&passwords) {
            login(&session.user.email, password, None).expect(if answer.status == 200 { 200 } else { 401 });
        }
    }
}

#[test]
fn a_user_who_resets_and_changes_the_password_at_once_waits_for_neither_forever() {
    for _ in 0..8 {
        let (session, token) = forgetful();
        let (email, password) = (&session.user.email, &session.user.password);
        login(email, "kzq-passphrase-wrong", None).expect(401);
        let (changed, was_reset) = (new_password(), new_password());
        let answers = at_once(2, |number| match number {
            0 => reset(&token, &was_reset),
            _ => {
                let arguments = json!({ "current_password": password, "new_password": changed });
                session.user.post("/rpc/change_password", &arguments)
            }
        });
        let works = |password: &str| login(email, password, None).status == 200;
        assert!(answers.iter().any(|answer| answer.status == 200), "{answers:?}");
        assert_eq!([works(&changed), works(&was_reset)].iter().filter(|works| **works).count(), 1, "{answers:?}");
        assert!(!works(password));
    }
}

#[test]
fn a_thief_who_logs_in_while_the_password_is_changed_is_out_afterwards() {
    let owner = Session::open();
    let thief = thief_during(&owner.user, || change(&owner.user, &owner.user.password, &new_password()));
    thief.expect_ended();
    owner.expect_alive();
}

#[test]
fn a_thief_who_logs_in_while_the_password_is_reset_is_out_afterwards() {
    let (session, token) = forgetful();
    let thief = thief_during(&session.user, || reset(&token, &new_password()));
    thief.expect_ended();
}

#[test]
fn a_thief_who_keeps_logging_in_while_the_password_is_reset_is_out_afterwards() {
    for _ in 0..3 {
        let (session, token) = forgetful();
        let loot = thread::scope(|scope| {
            let logs_in = || {
                let answers = (0..30).map(|_| login(&session.user.email, &session.user.password, None));
                answers.take_while(|answer| answer.status == 200).collect::<Vec<_>>()
            };
            let thieves: Vec<_> = (0..3).map(|_| scope.spawn(logs_in)).collect();
            thread::sleep(Duration::from_millis(300));
            reset(&token, &new_password()).expect(200);
            thieves.into_iter().flat_map(|thief| thief.join().unwrap()).collect::<Vec<_>>()
        });
        let alive = loot.iter().filter(|answer| Session::told(&session.user, answer).user.get("/rpc/me").status == 200);
        assert_eq!(alive.count(), 0, "of {} sessions", loot.len());
    }
}

#[test]
fn of_two_tokens_used_at_once_one_sets_the_password() {
    for _ in 0..3 {
        let (session, _) = forgetful();
        request(&session.user.email).expect(200);
        let tokens = tokens_to(&session.user.email, "password_reset");
        let passwords = [new_password(), new_password()];
        let answers = at_once(2, |number| reset(&tokens[number], &passwords[number]));
        assert_eq!((with_status(&answers, 200), with_status(&answers, 400)), (1, 1), "{answers:?}");
        for (answer, password) in answers.iter().zip(&passwords) {
            login(&session.user.email, password, None).expect(if answer.status == 200 { 200 } else { 401 });
        }
    }
}
