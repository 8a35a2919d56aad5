//! Changing one's password, and what a password may be.

use crm_http_tests::actor::{Actor, login};
use crm_http_tests::http::Response;
use crm_http_tests::identity::Session;
use crm_http_tests::mailbox::messages_to;
use crm_http_tests::{PASSWORD_PREFIX, all, sql, unique};
use serde_json::{Value, json};

fn change(user: &Actor, current: &str, new: &str) -> Response {
    user.post("/rpc/change_password", &json!({ "current_password": current, "new_password": new }))
}

fn new_password() -> String {
    unique(PASSWORD_PREFIX)
}

#[test]
fn a_user_who_changes_the_password_goes_on_here_and_nowhere_else() {
    let here = Session::open();
    let elsewhere = [Session::of(&here.user), Session::of(&here.user).refreshed()];
    for session in &elsewhere {
        session.used_everywhere();
    }
    let new = new_password();
    let answer = change(&here.user, &here.user.password, &new).expect(200);
    // Registering opened one as well.
    assert_eq!(answer.json(), json!({ "ended_sessions": 3 }));
    for session in &elsewhere {
        session.expect_ended();
        assert_eq!(session.end_reason().as_deref(), Some("password_changed"));
    }
    here.expect_alive();
    login(&here.user.email, &here.user.password, None).expect(401);
    login(&here.user.email, &new, None).expect(200);
    let told: Vec<_> = messages_to(&here.user.email).into_iter().map(|message| (message.kind, message.token)).collect();
    assert_eq!(told.last(), Some(&("password_changed".into(), None)));
}

#[test]
fn a_user_who_does_not_know_the_current_password_changes_nothing() {
    let here = Session::open();
    let elsewhere = Session::of(&here.user);
    let new = new_password();
    for wrong in ["", &new, &here.user.password.to_uppercase(), &format!("{} ", here.user.password)] {
        let answer = change(&here.user, wrong, &new);
        assert_eq!((answer.status, answer.code().as_str()), (403, "28P01"), "{answer}");
    }
    login(&here.user.email, &here.user.password, None).expect(200);
    here.expect_alive();
    elsewhere.expect_alive();
}

#[test]
fn a_user_cannot_change_to_a_password_that_is_easily_guessed() {
    let user = Actor::register();
    let (email, local) = (user.email.clone(), user.email.split('@').next().unwrap().to_owned());
    let cases = [
        (String::new(), "too short"),
        ("kzq-pas".into(), "too short"),
        ("😀".repeat(7), "too short"),
        ("x".repeat(257), "too long"),
        ("😀".repeat(257), "too long"),
        ("x".repeat(1 << 20), "too long"),
        ("password".into(), "commonest"),
        ("password1".into(), "commonest"),
        ("PassWord1".into(), "commonest"),
        (" password1 ".into(), "commonest"),
        ("12345678".into(), "commonest"),
        ("123456789".into(), "commonest"),
        ("iloveyou1".into(), "commonest"),
        ("qwertyuiop".into(), "commonest"),
        ("aaaaaaaa".into(), "commonest"),
        ("        ".into(), "commonest"),
        (email.clone(), "too close"),
        (email.to_uppercase(), "too close"),
        (local, "too close"),
        ("Some Body".into(), "too close"),
    ];
    all(cases, |(password, word)| {
        let excerpt: String = password.chars().take(20).collect();
        let answer = change(&user, &user.password, &password);
        let refused = answer.status == 400 && answer.code() == "22023";
        if refused && answer.text().contains("new_password") && answer.text().contains(word) {
            Ok(())
        } else {
            Err(format!("{excerpt}, {word} expected: {answer}"))
        }
    });
    login(&user.email, &user.password, None).expect(200);
}

#[test]
fn a_user_may_change_to_anything_else_whatever_it_consists_of() {
    let mut user = Actor::register();
    let cases = [
        "kzq-passphrase- of eight words that fill sixty-four characters ..".to_owned(),
        "correct horse battery staple".into(),
        "😀🐎🔋📎🦆🌵🧦🪁".into(),
        "пароль анны и бориса".into(),
        "vhzkrtwq".into(),
        "  leading and trailing  ".into(),
        "tab\tand\nline break zq".into(),
        format!("{PASSWORD_PREFIX}{}", "ä".repeat(256 - PASSWORD_PREFIX.len())),
        "\"';--\\ zq %s {} $1".into(),
    ];
    for password in cases {
        change(&user, &user.password, &password).expect(200);
        login(&user.email, &user.password, None).expect(401);
        login(&user.email, &password, None).expect(200);
        user.password = password;
    }
}

#[test]
fn a_user_may_keep_a_password_and_the_other_sessions_end_all_the_same() {
    let here = Session::open();
    let elsewhere = Session::of(&here.user);
    change(&here.user, &here.user.password, &here.user.password).expect(200);
    elsewhere.expect_ended();
    here.expect_alive();
}

#[test]
fn a_user_who_sends_null_nothing_or_nul_is_told_so() {
    let user = Actor::register();
    let (current, new) = (&user.password, new_password());
    for (arguments, status) in [
        (json!({ "current_password": null, "new_password": new }), 400),
        (json!({ "current_password": current, "new_password": null }), 400),
        (json!({ "current_password": current }), 404),
        (json!({ "new_password": new }), 404),
        (json!({ "current_password": current, "new_password": "zq\u{0}zq\u{0}zqzqzq" }), 400),
        (json!({ "current_password": current, "new_password": new, "email": "x@example.com" }), 404),
    ] {
        user.post("/rpc/change_password", &arguments).expect(status);
    }
    user.get(&format!("/rpc/change_password?current_password={current}&new_password={new}")).expect(405);
    login(&user.email, &user.password, None).expect(200);
}

#[test]
fn a_user_changes_only_their_own_password() {
    let (user, colleague) = (Actor::register(), Actor::register());
    colleague.join(&user.organization, "owner");
    let new = new_password();
    let answer = change(&user, &colleague.password, &new);
    assert_eq!((answer.status, answer.code().as_str()), (403, "28P01"), "{answer}");
    change(&user.working_in(&user.organization.slug), &user.password, &new).expect(200);
    login(&colleague.email, &colleague.password, None).expect(200);
    colleague.get("/rpc/me").expect(200);
}

#[test]
fn a_sql_client_changes_the_password_and_a_wrong_one_is_not_raised() {
    let here = Session::open();
    let elsewhere = Session::of(&here.user);
    let new = new_password();
    sql::session(|client| {
        let mut transaction = sql::begin_authenticated(client, here.user.token()).unwrap();
        let change = "select crm.change_password($1, $2)";
        let refusal: Value = transaction.query_one(change, &[&new, &new]).unwrap().get(0);
        assert_eq!(refusal["code"], "28P01");
        let short = transaction.transaction().unwrap().query_one(change, &[&here.user.password, &"short"]).err();
        assert_eq!(short.unwrap().code().unwrap().code(), "22023");
        let answer: Value = transaction.query_one(change, &[&here.user.password, &new]).unwrap().get(0);
        assert_eq!(answer, json!({ "ended_sessions": 2 }));
        transaction.commit().unwrap();
    });
    elsewhere.expect_ended();
    login(&here.user.email, &new, None).expect(200);
}
