//! Guessing passwords: after five failures nobody gets in, not even with the right one, until the window is over.

use crm_http_tests::actor::{Actor, login};
use crm_http_tests::http::{Request, Response};
use crm_http_tests::identity::{Session, at_once, call, login_request, told, with_status};
use crm_http_tests::{PASSWORD_PREFIX, admin, all, alone, sql, unique};
use serde_json::json;

const WRONG: &str = "kzq-passphrase-wrong";

fn unknown() -> String {
    format!("{}@example.com", unique("nobody"))
}

fn guess(email: &str, times: usize) {
    for _ in 0..times {
        login(email, WRONG, None).expect(401);
    }
}

/// Refused for up to the window, in the shape of every refusal.
#[track_caller]
fn locked(answer: Response) -> Response {
    assert_eq!((answer.status, answer.code().as_str()), (429, "53400"), "{answer}");
    let seconds: i64 = answer.header("Retry-After").unwrap().parse().unwrap();
    assert!((1..=900).contains(&seconds), "{seconds}");
    answer
}

fn failures(email: &str) -> Option<i32> {
    admin::value(
        "select max(failures) from crm_private.login_failures where kind = 'account' and subject = sha256($1)",
        &[&email.as_bytes()],
    )
}

/// As if the window had begun so long ago.
fn window_began(email: &str, ago: &str) {
    let moved = admin::execute(
        &format!(
            "update crm_private.login_failures set window_started_at = now() - interval '{ago}'
             where kind = 'account' and subject = sha256($1)"
        ),
        &[&email.as_bytes()],
    );
    assert_eq!(moved, 1);
}

#[test]
fn a_user_with_five_wrong_passwords_is_locked_out_even_with_the_right_one() {
    let _alone = alone();
    let user = Session::open();
    guess(&user.user.email, 5);
    locked(login(&user.user.email, &user.user.password, None));
    locked(login(&user.user.email, WRONG, None));
    locked(login(&user.user.email, &user.user.password, Some(&user.user.organization.slug)));
    assert_eq!(failures(&user.user.email), Some(5));
    // Who is logged in stays so.
    user.expect_alive();
}

#[test]
fn an_attacker_cannot_tell_a_locked_account_from_an_unknown_email() {
    let _alone = alone();
    let (user, disabled, nobody) = (Actor::register(), Actor::register(), unknown());
    admin::execute("update crm.users set status = 'disabled' where id = $1", &[&disabled.user]);
    admin::execute("delete from crm_private.login_failures", &[]);
    let emails = [user.email, disabled.email, nobody, "no address".into(), String::new(), "x".repeat(100 << 10)];
    for _ in 0..5 {
        let answers = emails.each_ref().map(|email| told(&login(email, WRONG, None).expect(401)));
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    }
    for password in [WRONG, &user.password, &disabled.password] {
        let answers = emails.each_ref().map(|email| told(&locked(login(email, password, None))));
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    }
    for email in &emails {
        // What is longer than any address is looked at no further.
        assert_eq!(failures(&email[..email.len().min(300)]), Some(5));
    }
}

#[test]
fn a_user_who_gets_in_starts_counting_anew() {
    let _alone = alone();
    let user = Actor::register();
    for _ in 0..3 {
        guess(&user.email, 4);
        assert_eq!(failures(&user.email), Some(4));
        login(&user.email, &user.password, None).expect(200);
        assert_eq!(failures(&user.email), None);
    }
}

#[test]
fn a_user_gets_in_once_the_window_is_over() {
    let _alone = alone();
    let user = Actor::register();
    guess(&user.email, 5);
    window_began(&user.email, "14 minutes 50 seconds");
    let answer = locked(login(&user.email, &user.password, None));
    assert!(answer.header("Retry-After").unwrap().parse::<i64>().unwrap() <= 10, "{answer}");
    window_began(&user.email, "15 minutes");
    guess(&user.email, 1);
    assert_eq!(failures(&user.email), Some(1));
    login(&user.email, &user.password, None).expect(200);
    guess(&user.email, 5);
    locked(login(&user.email, &user.password, None));
    window_began(&user.email, "15 minutes");
    login(&user.email, &user.password, None).expect(200);
}

#[test]
fn a_user_is_not_locked_out_by_somebody_elses_failures() {
    let _alone = alone();
    let (user, colleague) = (Actor::register(), Actor::register());
    colleague.join(&user.organization, "owner");
    guess(&user.email, 5);
    locked(login(&user.email, &user.password, None));
    login(&colleague.email, &colleague.password, None).expect(200);
    locked(login(&user.email, &user.password, None));
}

#[test]
fn an_attacker_gets_no_more_guesses_by_writing_an_email_in_another_way() {
    let _alone = alone();
    let user = Actor::register();
    let email = &user.email;
    for written in
        [email.clone(), email.to_uppercase(), format!(" {email}"), format!("{email}\n"), format!("\t{email} ")]
    {
        guess(&written, 1);
    }
    assert_eq!(failures(email), Some(5));
    locked(login(email, &user.password, None));
    locked(login(&email.to_uppercase(), &user.password, None));
}

#[test]
fn an_attacker_cannot_make_a_failure_uncounted() {
    let _alone = alone();
    // What PostgREST is asked to do with the answer may fail, and a transaction that fails remembers nothing.
    let asked: [(&str, &[(&str, &str)]); 16] = [
        ("", &[("Prefer", "tx=rollback")]),
        ("", &[("Prefer", "tx=rollback, return=minimal")]),
        ("", &[("Prefer", "handling=strict, max-affected=0")]),
        ("", &[("Prefer", "handling=strict, tx=rollback")]),
        ("", &[("Accept", "application/vnd.pgrst.object+json")]),
        ("?select=pgrst_scalar->>code::int", &[]),
        ("?select=code::int", &[]),
        ("?pgrst_scalar->>code=match.(", &[]),
        ("?pgrst_scalar->>message=like.the%5C", &[]),
        ("?pgrst_scalar->>message=ilike.the%5C", &[]),
        ("?pgrst_scalar->>code=not.like.28%5C", &[]),
        ("?or=(pgrst_scalar->>code.like.28%5C,pgrst_scalar.is.null)", &[]),
        ("?code=match.(", &[]),
        ("?limit=0", &[]),
        ("?order=pgrst_scalar->>code", &[]),
        ("", &[("Range", "5-1"), ("Range-Unit", "items")]),
    ];
    all(asked, |(query, headers)| {
        let user = Actor::register();
        let request = |password: &str| {
            let body = json!({ "email": user.email, "password": password });
            let request = Request::new("POST", &format!("/rpc/login{}", query.replace('>', "%3E"))).json(&body);
            headers.iter().fold(request, |request, (name, value)| request.header(name, value))
        };
        let wrong = request(WRONG).try_send()?;
        let counted = failures(&user.email) == Some(1);
        let right = request(&user.password).try_send()?;
        // Refused before the password is looked at is as good.
        let tells_nothing = wrong.status == right.status && wrong.body == right.body;
        if counted || tells_nothing { Ok(()) } else { Err(format!("not counted: {wrong}, but {}", right.status)) }
    });
}

#[test]
fn a_thief_of_a_token_cannot_make_a_failure_uncounted() {
    let _alone = alone();
    let user = Actor::register();
    let guess = |current: &str| {
        let guess = json!({ "current_password": current, "new_password": unique(PASSWORD_PREFIX) });
        user.post("/rpc/change_password?pgrst_scalar-%3E%3Emessage=like.the%5C", &guess)
    };
    for current in [WRONG; 8].into_iter().chain([user.password.as_str()]) {
        let answer = guess(current);
        assert!(answer.status >= 400, "{answer}");
    }
    assert!(failures(&user.email).is_none_or(|failures| failures == 5));
}

#[test]
fn an_attacker_cannot_make_many_guesses_in_one_request() {
    let _alone = alone();
    let user = Actor::register();
    let mut guesses = vec![json!({ "email": user.email, "password": WRONG }); 20];
    guesses.push(json!({ "email": user.email, "password": user.password }));
    for preference in ["params=multiple-objects", "params=single-object", "missing=default"] {
        let answer = Request::new("POST", "/rpc/login").prefer(preference).json(&json!(guesses)).send();
        assert!(!answer.text().contains("access_token"), "{preference}: {answer}");
        assert!(failures(&user.email).is_none_or(|failures| failures <= 5), "{preference}");
    }
}

#[test]
fn a_user_who_does_not_know_the_current_password_is_locked_out_as_at_login() {
    let _alone = alone();
    let user = Actor::register();
    let change = |current: &str| {
        let new = unique(PASSWORD_PREFIX);
        user.post("/rpc/change_password", &json!({ "current_password": current, "new_password": new }))
    };
    for _ in 0..4 {
        change(WRONG).expect(403);
    }
    guess(&user.email, 1);
    locked(login(&user.email, &user.password, None));
    locked(change(&user.password));
    locked(change(WRONG));
    // A password that could not be set anyway is no attempt.
    window_began(&user.email, "15 minutes");
    for _ in 0..6 {
        user.post("/rpc/change_password", &json!({ "current_password": WRONG, "new_password": "short" })).expect(400);
    }
    assert_eq!(failures(&user.email), Some(5));
    change(&user.password).expect(200);
    assert_eq!(failures(&user.email), None);
}

#[test]
fn of_fifty_guesses_at_once_five_are_looked_at() {
    let _alone = alone();
    let (user, nobody) = (Actor::register(), unknown());
    for email in [&user.email, &nobody] {
        let answers = at_once(50, |_| login(email, WRONG, None));
        assert_eq!((with_status(&answers, 401), with_status(&answers, 429)), (5, 45), "{answers:?}");
        assert_eq!(failures(email), Some(5));
        locked(login(email, &user.password, None));
    }
}

#[test]
fn twenty_logins_at_once_with_the_right_password_all_get_in() {
    let _alone = alone();
    let user = Actor::register();
    let answers = at_once(20, |_| login(&user.email, &user.password, None));
    assert_eq!(with_status(&answers, 200), 20, "{answers:?}");
    assert_eq!(failures(&user.email), None);
}

#[test]
fn a_right_password_among_many_guesses_at_once_is_no_error() {
    let _alone = alone();
    let user = Actor::register();
    let answers = at_once(30, |number| {
        let password = if number % 3 == 0 { &user.password } else { WRONG };
        login_request(&user.email, password).send()
    });
    assert!(answers.iter().all(|answer| [200, 401, 429].contains(&answer.status)), "{answers:?}");
}

#[test]
fn a_sql_client_is_locked_out_as_well_and_it_is_not_raised() {
    let _alone = alone();
    let user = Actor::register();
    let login_in_sql = |password: &str| call("crm_anon", "select crm.login($1, $2)", &[&user.email, password]);
    for _ in 0..5 {
        assert_eq!(login_in_sql(WRONG).unwrap()["code"], "28P01");
    }
    assert_eq!(login_in_sql(&user.password).unwrap()["code"], "53400");
    locked(login(&user.email, &user.password, None));
    for role in ["crm_anon", "crm_app", "crm_multi"] {
        sql::session(|client| {
            for statement in ["delete from crm_private.login_failures", "select from crm_private.login_failures"] {
                let mut transaction = sql::begin_as(client, role).unwrap();
                assert_eq!(sql::sqlstate(transaction.execute(statement, &[])), "42501", "{role}");
            }
        });
    }
}
