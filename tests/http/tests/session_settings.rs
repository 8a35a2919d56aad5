//! How long sessions last and how late one may be is for the DBA to say. Settings are everybody's, so these tests run
//! one at a time.

use std::thread::sleep;
use std::time::Duration;

use crm_http_tests::actor::login;
use crm_http_tests::identity::{Session, Settings, at_once, refresh, with_status};
use crm_http_tests::{admin, token};

#[test]
fn a_user_is_out_once_a_short_refresh_token_has_expired() {
    let _settings = Settings::with("refresh_token_ttl = '5 seconds'");
    let session = Session::open();
    let answer = login(&session.user.email, &session.user.password, None).expect(200).json();
    assert_eq!((&answer["refresh_expires_in"], &answer["expires_in"]), (&5.into(), &5.into()));
    session.used_everywhere();
    sleep(Duration::from_secs(6));
    session.expect_ended();
}

#[test]
fn a_user_goes_on_with_a_short_refresh_token_in_time() {
    let _settings = Settings::with("refresh_token_ttl = '4 seconds'");
    let mut session = Session::open();
    for _ in 0..3 {
        sleep(Duration::from_secs(2));
        session = session.refreshed();
    }
    session.expect_alive();
}

#[test]
fn an_answer_to_a_refresh_promises_no_more_than_the_session_keeps() {
    let _settings = Settings::with("refresh_token_ttl = '5 seconds'");
    let session = Session::open();
    let answer = refresh(&session.refresh_token).expect(200);
    let next = Session::told(&session.user, &answer);
    let claims = token::payload(next.user.token());
    let ends: i64 = admin::value(
        "select ceil(extract(epoch from expires_at))::bigint from crm_private.sessions where id = $1",
        &[&session.id()],
    );
    assert_eq!(answer.json()["refresh_expires_in"], 5);
    assert!(claims["exp"].as_i64().unwrap() <= ends, "{claims} in a session until {ends}");
    assert!(answer.json()["expires_in"].as_i64().unwrap() <= 5, "{answer}");
}

#[test]
fn a_session_of_longer_settings_is_as_short_as_the_next_refresh_says() {
    let settings = Settings::keep();
    let session = Session::open();
    settings.set("refresh_token_ttl = '2 seconds'");
    let answer = refresh(&session.refresh_token).expect(200);
    assert_eq!(answer.json()["refresh_expires_in"], 2);
    sleep(Duration::from_secs(3));
    refresh(&Session::told(&session.user, &answer).refresh_token).expect(401);
}

#[test]
fn a_user_logs_in_again_after_the_longest_age_however_often_they_refreshed() {
    let settings = Settings::with("session_max_age = '1 hour'");
    let session = Session::open().refreshed().refreshed();
    let made = |ago: &str| {
        admin::execute(
            &format!("update crm_private.sessions set created_at = now() - interval '{ago}' where id = $1"),
            &[&session.id()],
        )
    };
    made("59 minutes 50 seconds");
    let answer = refresh(&session.refresh_token).expect(200);
    for promised in ["expires_in", "refresh_expires_in"] {
        assert!((1..=10).contains(&answer.json()[promised].as_i64().unwrap()), "{promised}: {answer}");
    }
    let next = Session::told(&session.user, &answer);
    made("1 hour");
    refresh(&next.refresh_token).expect(401);
    settings.set("session_max_age = '2 hours'");
    refresh(&next.refresh_token).expect(200);
}

#[test]
fn a_login_lasts_no_longer_than_the_longest_age() {
    let _settings = Settings::with("session_max_age = '1 minute'");
    let session = Session::open();
    let answer = login(&session.user.email, &session.user.password, None).expect(200).json();
    assert_eq!((&answer["refresh_expires_in"], &answer["expires_in"]), (&60.into(), &60.into()));
}

#[test]
fn an_access_token_lives_as_long_as_the_setting_says() {
    let _settings = Settings::with("access_token_ttl = '2 seconds'");
    let session = Session::open();
    let next = session.refreshed();
    for session in [&session, &next] {
        let claims = token::payload(session.user.token());
        assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 2);
    }
    sleep(Duration::from_secs(3));
    next.user.get("/rpc/me").expect(401);
    next.refreshed().user.get("/rpc/me").expect(200);
}

#[test]
fn a_user_without_a_grace_is_out_at_the_second_use() {
    let _settings = Settings::with("refresh_grace = '0'");
    let session = Session::open();
    let next = session.refreshed().refreshed();
    next.used_everywhere();
    let late = next.refreshed();
    refresh(&next.refresh_token).expect(401);
    late.expect_ended();
}

#[test]
fn of_twenty_requests_at_once_without_a_grace_one_is_answered_and_the_session_ends() {
    let _settings = Settings::with("refresh_grace = '0'");
    for _ in 0..3 {
        let session = Session::open();
        let answers = at_once(20, |_| refresh(&session.refresh_token));
        assert_eq!((with_status(&answers, 200), with_status(&answers, 401)), (1, 19), "{answers:?}");
        assert_eq!(session.turns(), 2);
        let winner = answers.iter().find(|answer| answer.status == 200).unwrap();
        Session::told(&session.user, winner).expect_ended();
        assert_eq!(session.end_reason().as_deref(), Some("refresh_token_reused"));
    }
}

#[test]
fn a_user_with_a_longer_grace_may_be_later() {
    let settings = Settings::with("refresh_grace = '1 minute'");
    let session = Session::open();
    let next = session.refreshed();
    session.used_before("55 seconds");
    assert_eq!(session.refreshed().refresh_token, next.refresh_token);
    settings.set("refresh_grace = '20 seconds'");
    refresh(&session.refresh_token).expect(401);
    next.expect_ended();
}
