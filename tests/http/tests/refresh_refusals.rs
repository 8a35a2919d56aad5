//! Who does not get on with a refresh token, and what a used one ends.

use crm_http_tests::actor::anonymous;
use crm_http_tests::http::encode;
use crm_http_tests::identity::{Session, at_once, refresh, told};
use crm_http_tests::{admin, all, sql, unique};
use serde_json::json;

#[test]
fn a_thief_who_shows_a_used_token_is_refused_and_ends_the_session() {
    let first = Session::open();
    let second = first.refreshed();
    let third = second.refreshed();
    let elsewhere = Session::of(&first.user);
    for session in [&first, &second, &third] {
        session.used_everywhere();
    }
    first.used_before("1 minute");
    let answer = refresh(&first.refresh_token).expect(401);
    let expected = json!({
        "code": "28000", "message": "the refresh token is not valid", "details": null, "hint": null,
    });
    assert_eq!(answer.json(), expected);
    for session in [&first, &second, &third] {
        session.expect_ended();
        let in_sql = sql::session(|client| sql::sqlstate(sql::begin_authenticated(client, session.user.token())));
        assert_eq!(in_sql, "PT401");
    }
    assert_eq!(first.end_reason().as_deref(), Some("refresh_token_reused"));
    elsewhere.expect_alive();
}

#[test]
fn a_thief_learns_nothing_of_a_token_by_a_filter_that_fails_on_a_refusal() {
    let first = Session::open();
    let second = first.refreshed();
    first.used_before("1 minute");
    let path = "/rpc/refresh_token?pgrst_scalar-%3E%3Emessage=like.the%5C";
    let told = |token: &str| {
        let answer = anonymous("POST", path).json(&json!({ "refresh_token": token })).send().expect(400);
        (answer.code(), answer.text())
    };
    let answers = [told(&first.refresh_token), told(&second.refresh_token), told("unknown")];
    assert_eq!(answers[0].0, "22023", "{answers:?}");
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    second.expect_alive();
}

#[test]
fn an_owner_whose_token_a_thief_used_ends_the_thiefs_session() {
    let owner = Session::open();
    let thief = owner.refreshed().refreshed();
    thief.used_everywhere();
    refresh(&owner.refresh_token).expect(401);
    thief.expect_ended();
}

#[test]
fn a_user_who_is_two_turns_late_is_out_even_within_the_grace() {
    let first = Session::open();
    let third = first.refreshed().refreshed();
    refresh(&first.refresh_token).expect(401);
    third.expect_ended();
}

#[test]
fn an_attacker_with_what_is_no_refresh_token_is_refused_alike() {
    let session = Session::open();
    let good = &session.refresh_token;
    let nobodys = told(&refresh(&unique("nobodys")).expect(401));
    let hash: String = admin::value(
        "select encode(hash, 'hex') from crm_private.refresh_tokens where session_id = $1",
        &[&session.id()],
    );
    let wrong = [
        String::new(),
        " ".into(),
        "null".into(),
        format!(" {good}"),
        format!("{good}="),
        good[1..].into(),
        good[..good.len() - 1].into(),
        good.to_uppercase(),
        format!("Bearer {good}"),
        session.user.token().into(),
        session.user.password.clone(),
        session.id().to_string(),
        hash.clone(),
        format!("\\x{hash}"),
        "' or true --".into(),
        "%".into(),
        "😀".repeat(43),
        "x".repeat(100 << 10),
    ];
    all(wrong, |token| {
        let answer = refresh(&token);
        if told(&answer) == nobodys { Ok(()) } else { Err(answer.to_string()) }
    });
    for value in [json!(1), json!(true), json!([good]), json!({ "refresh_token": good })] {
        anonymous("POST", "/rpc/refresh_token").json(&json!({ "refresh_token": value })).send().expect(401);
    }
    assert_eq!(session.turns(), 1);
    session.expect_alive();
}

#[test]
fn a_caller_without_a_token_or_with_nul_in_it_is_told_so() {
    for (body, status) in [
        (json!({ "refresh_token": null }), 400),
        (json!({}), 404),
        (json!({ "refresh_token": "\u{0}" }), 400),
        (json!({ "refresh_token": "abc\u{0}def" }), 400),
        (json!({ "refresh_token": "abc", "user_id": "x" }), 404),
    ] {
        anonymous("POST", "/rpc/refresh_token").json(&body).send().expect(status);
    }
}

#[test]
fn a_refresh_token_in_a_url_is_refused_and_stays_good() {
    let session = Session::open();
    let path = format!("/rpc/refresh_token?refresh_token={}", encode(&session.refresh_token));
    let answer = anonymous("GET", &path).send();
    assert!(answer.status == 405 && !answer.text().contains("access_token"), "{answer}");
    anonymous("HEAD", &path).send().expect(405);
    assert_eq!(session.turns(), 1);
    session.expect_alive();
}

#[test]
fn a_refresh_token_is_no_access_token() {
    let session = Session::open();
    session.user.with_token(&session.refresh_token).get("/contacts").expect(401);
    session.expect_alive();
}

#[test]
fn a_user_who_is_out_cannot_refresh() {
    let cases = [
        "update crm_private.sessions set ended_at = now() where id = {session}",
        "update crm_private.sessions set expires_at = now() - interval '1 second' where id = {session}",
        "update crm_private.sessions set created_at = now() - interval '30 days' where id = {session}",
        "delete from crm_private.sessions where id = {session}",
        "update crm.users set status = 'disabled' where id = {user}",
        "update crm.users set status = 'deleted' where id = {user}",
        "delete from crm.users where id = {user}",
    ];
    all(cases, |statement| {
        let first = Session::open();
        first.user.share_ownership();
        let second = first.refreshed();
        let statement = statement
            .replace("{session}", &format!("'{}'", first.id()))
            .replace("{user}", &format!("'{}'", first.user.user));
        assert_eq!(admin::execute(&statement, &[]), 1);
        for session in [first, second] {
            let answer = refresh(&session.refresh_token);
            if (answer.status, answer.code().as_str()) != (401, "28000") {
                return Err(format!("{statement}: {answer}"));
            }
        }
        Ok(())
    });
}

#[test]
fn a_user_who_logged_out_cannot_refresh() {
    let session = Session::open();
    session.user.post("/rpc/logout", &json!({})).expect(200);
    session.expect_ended();
}

#[test]
fn a_user_who_logs_out_while_another_tab_refreshes_is_out() {
    for _ in 0..5 {
        let session = Session::open();
        let answers = at_once(6, |number| match number {
            0 => session.user.post("/rpc/logout", &json!({})),
            _ => refresh(&session.refresh_token),
        });
        assert_eq!(answers[0].status, 200, "{answers:?}");
        for answer in &answers[1..] {
            assert!([200, 401].contains(&answer.status), "{answer}");
            if answer.status == 200 {
                Session::told(&session.user, answer).expect_ended();
            }
        }
        session.expect_ended();
    }
}

#[test]
fn a_disabled_user_who_is_active_again_goes_on() {
    let session = Session::open();
    let set =
        |status: &str| admin::execute("update crm.users set status = $1 where id = $2", &[&status, &session.user.user]);
    set("disabled");
    refresh(&session.refresh_token).expect(401);
    set("active");
    session.expect_alive();
}

#[test]
fn a_worker_and_a_dba_cannot_refresh() {
    let session = Session::open();
    for role in ["crm_worker", "crm_admin"] {
        let mut client = admin::connect();
        let mut transaction = sql::begin_as(&mut client, role).unwrap();
        let refused = transaction.query_one("select crm.refresh_token($1)", &[&session.refresh_token]);
        assert_eq!(sql::sqlstate(refused), "42501", "{role}");
    }
    session.expect_alive();
}

#[test]
fn a_refresh_token_is_stored_nowhere() {
    let session = Session::open().refreshed();
    for table in ["refresh_tokens", "sessions"] {
        let found: bool = admin::value(
            &format!("select exists (select from crm_private.{table} as t where strpos(t::text, $1) > 0)"),
            &[&session.refresh_token],
        );
        assert!(!found, "{table}");
    }
}
