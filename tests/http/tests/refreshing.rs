//! Going on with a refresh token: each works once, and who shows a used one ends the session.

use std::thread;
use std::time::Duration;

use crm_http_tests::actor::Actor;
use crm_http_tests::http::text;
use crm_http_tests::identity::{Session, at_once, call, refresh, with_status};
use crm_http_tests::token;
use crm_http_tests::{admin, sql};
use serde_json::{Value, json};

#[test]
fn a_user_goes_on_with_each_refresh_token_as_often_as_it_is_exchanged() {
    let first = Session::open();
    let mut sessions = vec![first.clone()];
    for turn in 1..=8 {
        let now = sessions.last().unwrap();
        let answer = refresh(&now.refresh_token).expect(200);
        assert_eq!(answer.header("Cache-Control"), Some("no-store"));
        let body = answer.json();
        let members: Vec<_> = body.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(members, ["access_token", "expires_in", "refresh_expires_in", "refresh_token", "token_type"]);
        assert_eq!((&body["token_type"], &body["expires_in"]), (&json!("Bearer"), &json!(900)));
        assert_eq!(body["refresh_expires_in"], 7 * 24 * 3600);
        assert!(text(&body["refresh_token"]).len() >= 43, "{answer}");
        sessions.push(Session::told(&first.user, &answer));
        assert_eq!(first.turns(), turn + 1);
    }
    for session in &sessions {
        session.user.get("/rpc/me").expect(200);
        assert_eq!(session.id(), first.id());
    }
    let mut tokens: Vec<_> = sessions.iter().map(|session| &session.refresh_token).collect();
    tokens.sort_unstable();
    tokens.dedup();
    assert_eq!(tokens.len(), 9);
}

#[test]
fn a_refresh_lengthens_the_session_to_seven_days_from_now() {
    let session = Session::open();
    admin::execute(
        "update crm_private.sessions
         set expires_at = now() + interval '1 minute', refreshed_at = now() - interval '1 day' where id = $1",
        &[&session.id()],
    );
    session.refreshed();
    let lengthened: bool = admin::value(
        "select expires_at between now() + interval '7 days' - interval '1 minute' and now() + interval '7 days'
             and refreshed_at > now() - interval '1 minute'
         from crm_private.sessions where id = $1",
        &[&session.id()],
    );
    assert!(lengthened);
}

#[test]
fn a_user_whose_answer_was_lost_gets_the_same_successor_again() {
    let session = Session::open();
    let next = session.refreshed();
    for _ in 0..3 {
        let again = session.refreshed();
        assert_eq!(again.refresh_token, next.refresh_token);
        assert_eq!(again.id(), session.id());
        again.user.get("/rpc/me").expect(200);
    }
    assert_eq!(session.turns(), 2);
    next.expect_alive();
}

#[test]
fn a_user_nine_seconds_late_goes_on_and_one_eleven_seconds_late_is_out() {
    let (early, late) = (Session::open(), Session::open());
    let (next, lost) = (early.refreshed(), late.refreshed());
    early.used_before("8 seconds");
    assert_eq!(early.refreshed().refresh_token, next.refresh_token);
    late.used_before("11 seconds");
    refresh(&late.refresh_token).expect(401);
    lost.expect_ended();
}

#[test]
fn twenty_requests_at_once_with_one_token_get_one_successor() {
    for _ in 0..3 {
        let session = Session::open();
        let answers = at_once(20, |_| refresh(&session.refresh_token));
        assert_eq!(with_status(&answers, 200), 20, "{answers:?}");
        let next = text(&answers[0].json()["refresh_token"]);
        for answer in &answers {
            assert_eq!(answer.json()["refresh_token"], next);
            Session::told(&session.user, answer).user.get("/rpc/me").expect(200);
        }
        assert_eq!(session.turns(), 2);
        refresh(&next).expect(200);
    }
}

#[test]
fn two_tabs_a_turn_apart_do_not_wait_for_each_other_forever() {
    let first = Session::open();
    let second = first.refreshed();
    let mut held = admin::connect();
    let mut lock = held.transaction().unwrap();
    lock.execute("select from crm_private.sessions where id = $1 for update", &[&first.id()]).unwrap();
    thread::scope(|scope| {
        let ahead = scope.spawn(|| refresh(&second.refresh_token));
        thread::sleep(Duration::from_millis(400));
        let behind = scope.spawn(|| refresh(&first.refresh_token));
        thread::sleep(Duration::from_millis(400));
        lock.commit().unwrap();
        // Which of them comes first decides whether the one behind is too late.
        for answer in [ahead.join().unwrap(), behind.join().unwrap()] {
            assert!([200, 401].contains(&answer.status), "{answer}");
        }
    });
}

#[test]
fn a_sql_client_refreshes_and_a_refusal_is_not_raised() {
    let session = Session::open();
    let refresh = "select crm.refresh_token($1)";
    let mut tokens = vec![session.refresh_token.clone()];
    for role in ["crm_anon", "crm_app", "crm_multi"] {
        let answer = call(role, refresh, &[tokens.last().unwrap()]).unwrap();
        session.user.with_token(&text(&answer["access_token"])).get("/rpc/me").expect(200);
        tokens.push(text(&answer["refresh_token"]));
    }
    let refusal = call("crm_anon", refresh, &[&tokens[0]]).unwrap();
    assert_eq!(refusal["code"], "28000");
    let ended = Session { refresh_token: tokens.pop().unwrap(), ..session };
    ended.expect_ended();
}

#[test]
fn a_sql_client_who_rolls_back_has_used_nothing() {
    let session = Session::open();
    let rolled_back: Value = sql::session(|client| {
        let mut transaction = sql::begin_as(client, "crm_anon").unwrap();
        transaction.query_one("select crm.refresh_token($1)", &[&session.refresh_token]).unwrap().get(0)
    });
    assert_eq!(refresh(&text(&rolled_back["refresh_token"])).status, 401);
    session.expect_alive();
}

/// The organization a token is for, and its role.
fn place(session: &Session) -> (Value, String) {
    let claims = token::payload(session.user.token());
    (claims["org_id"].clone(), text(&claims["role"]))
}

#[test]
fn a_member_whose_membership_ended_goes_on_where_they_would_after_a_login() {
    let (one, other) = (Actor::register(), Actor::register());
    let session = Session::in_organization(&Actor::member(&one.organization, "sales"), Some(&one.organization.slug));
    assert_eq!(place(&session), (json!(one.organization.id), "crm_app".into()));
    let leave = |organization: &uuid::Uuid| {
        admin::execute(
            "update crm.memberships set status = 'ended', ended_at = now() where user_id = $1 and org_id = $2",
            &[&session.user.user, organization],
        )
    };
    session.user.join(&other.organization, "sales");
    leave(&one.organization.id);
    let everywhere = session.refreshed();
    assert_eq!(place(&everywhere), (Value::Null, "crm_multi".into()));
    assert_eq!(everywhere.user.count("organizations"), 2);

    let session = Session::in_organization(&session.user, Some(&other.organization.slug));
    leave(&other.organization.id);
    let own = session.refreshed();
    assert_eq!(place(&own), (json!(session.user.organization.id), "crm_app".into()));
    own.user.get("/contacts").expect(200);
}
