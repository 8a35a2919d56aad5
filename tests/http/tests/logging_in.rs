//! Registering and logging in with what is wrong, or with what belongs to somebody else.

use std::thread;

use crm_http_tests::actor::{Actor, login};
use crm_http_tests::http::{Request, Response};
use crm_http_tests::token::with;
use crm_http_tests::{PASSWORD_PREFIX, admin, all, unique};
use serde_json::{Value, json};

fn register(arguments: &Value) -> Response {
    Request::new("POST", "/rpc/register").json(arguments).send()
}

/// Arguments that are good, for somebody new.
fn good() -> Value {
    let name = unique("newcomer");
    json!({
        "email": format!("{name}@example.com"), "password": unique(PASSWORD_PREFIX), "organization_name": name,
        "full_name": "Nora New",
    })
}

/// Whether anything of a registration with these arguments is in the database.
fn left_behind(arguments: &Value) -> bool {
    let (email, name) = (arguments["email"].as_str(), arguments["organization_name"].as_str());
    admin::value(
        "select exists (select from crm.users where email = lower($1)) or exists (select from crm.organizations where name = $2)",
        &[&email, &name],
    )
}

#[test]
fn a_newcomer_is_told_which_argument_is_wrong() {
    let long = |length: usize| Value::from("x".repeat(length));
    let cases = [
        ("email", json!(""), "email: not a valid e-mail address"),
        ("email", json!("nobody"), "email: not a valid e-mail address"),
        ("email", json!("a@localhost"), "email: not a valid e-mail address"),
        ("email", json!("Nora <nora@example.com>"), "email: not a valid e-mail address"),
        ("email", json!("a\nb@example.com"), "email: not a valid e-mail address"),
        ("email", format!("{}@example.com", "x".repeat(300)).into(), "email: not a valid e-mail address"),
        ("password", json!(""), "password: too short"),
        ("password", json!("short"), "password: too short"),
        ("password", json!("1234567"), "password: too short"),
        ("password", long(257), "password: too long"),
        ("password", long(1 << 20), "password: too long"),
        ("organization_name", json!(""), "organization_name: must not be empty"),
        ("organization_name", json!("   "), "organization_name: must not be empty"),
        ("organization_name", json!("a\u{7}b"), "organization_name: line breaks and control characters"),
        ("organization_name", long(201), "organization_name: too long"),
        ("full_name", json!("a\nb"), "full_name: line breaks and control characters"),
        ("full_name", long(201), "full_name: too long"),
    ];
    all(cases, |(name, value, word)| {
        let arguments = with(&good(), name, value);
        let answer = register(&arguments);
        let refused = answer.status == 400 && answer.code() == "22023" && answer.text().contains(word);
        if refused && !left_behind(&arguments) { Ok(()) } else { Err(format!("{word:?} expected: {answer}")) }
    });
}

#[test]
fn a_newcomer_who_sends_null_or_nothing_for_an_argument_is_refused() {
    for name in ["email", "password", "organization_name"] {
        let missing = with(&good(), name, Value::Null);
        let answer = register(&missing);
        assert!(answer.status == 404 && answer.text().contains("register"), "{answer}");
        let mut null = good();
        null[name] = Value::Null;
        let answer = register(&null);
        assert!(answer.status == 400 && answer.text().contains(name), "{name}: {answer}");
        assert!(!left_behind(&null) && !left_behind(&missing), "{name}");
    }
}

#[test]
fn a_newcomer_who_sends_something_else_than_text_is_refused_or_read_as_text() {
    for value in [json!(1), json!(true), json!([]), json!({})] {
        for name in ["email", "organization_name"] {
            let answer = register(&with(&good(), name, value.clone()));
            assert!(answer.status == 400 || name != "email" && answer.status == 200, "{answer}");
        }
    }
    let unknown = with(&good(), "role", json!("crm_admin"));
    assert_eq!(register(&unknown).status, 404);
    for name in ["email", "password", "organization_name", "full_name"] {
        let nul = with(&good(), name, json!("somebody\u{0}@example.com"));
        assert_eq!(register(&nul).status, 400, "{name}");
    }
}

#[test]
fn a_newcomer_may_have_a_long_password_of_any_characters_and_only_that_one_logs_in() {
    for password in [
        "kzq-passphrase-ä😀 with spaces  ".to_owned(),
        format!("{PASSWORD_PREFIX}{}", "x".repeat(256 - PASSWORD_PREFIX.len())),
        "  kzq-passphrase-  ".into(),
    ] {
        let arguments = with(&good(), "password", json!(password));
        register(&arguments).expect(200);
        let email = arguments["email"].as_str().unwrap();
        login(email, &password, None).expect(200);
        let all_but_one: String = password.chars().take(password.chars().count() - 1).collect();
        for wrong in
            [password.to_uppercase(), format!("{password}x"), all_but_one, password.trim().to_lowercase() + "y"]
        {
            login(email, &wrong, None).expect(401);
        }
    }
}

#[test]
fn a_newcomer_cannot_take_somebodys_email() {
    let somebody = Actor::register();
    for email in [somebody.email.clone(), somebody.email.to_uppercase(), format!(" {} ", somebody.email)] {
        let arguments = with(&good(), "email", json!(email));
        let answer = register(&arguments);
        assert_eq!((answer.status, answer.code()), (409, "23505".into()), "{answer}");
        let organization = arguments["organization_name"].as_str();
        let made: bool =
            admin::value("select exists (select from crm.organizations where name = $1)", &[&organization]);
        assert!(!made, "an organization without its owner is left");
    }
    login(&somebody.email, &somebody.password, None).expect(200);
}

#[test]
fn two_newcomers_at_once_cannot_both_take_an_email() {
    for _ in 0..5 {
        let arguments = good();
        let statuses: Vec<u16> = thread::scope(|scope| {
            let register = || register(&with(&arguments, "organization_name", json!(unique("racer")))).status;
            let racers: Vec<_> = (0..4).map(|_| scope.spawn(register)).collect();
            racers.into_iter().map(|racer| racer.join().unwrap()).collect()
        });
        assert_eq!(statuses.iter().filter(|&&status| status == 200).count(), 1, "{statuses:?}");
        assert_eq!(statuses.iter().filter(|&&status| status == 409).count(), 3, "{statuses:?}");
    }
}

#[test]
fn an_attacker_cannot_tell_a_wrong_password_from_an_unknown_email() {
    let (user, disabled) = (Actor::register(), Actor::register());
    admin::execute("update crm.users set status = 'disabled' where id = $1", &[&disabled.user]);
    let unknown = format!("{}@example.com", unique("nobody"));
    let wrong = unique(PASSWORD_PREFIX);
    // Other tests were nobody, too, and failed as often as one may.
    admin::execute("delete from crm_private.login_failures", &[]);
    let expected = json!({
        "code": "28P01", "message": "the e-mail or the password is wrong", "details": null, "hint": null,
    });
    let comparable = |answer: &Response| {
        let headers = answer.headers.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("date"));
        format!("{headers:?} {}", answer.text(), headers = headers.collect::<Vec<_>>())
    };
    let first = comparable(&login(&unknown, &wrong, None).expect(401));
    let organization = user.organization.slug.as_str();
    for (email, password, organization) in [
        (user.email.as_str(), wrong.as_str(), None),
        (&user.email, &wrong, Some(organization)),
        (&unknown, &wrong, Some(organization)),
        (&disabled.email, &disabled.password, None),
        (&user.email, "", None),
        (&user.email, &user.password[1..], None),
        ("", "", None),
        ("no address", &user.password, None),
        ("' or true --", "' or true --", None),
        ("%", &user.password, None),
    ] {
        let answer = login(email, password, organization).expect(401);
        assert_eq!(answer.json(), expected, "{email}");
        assert_eq!(comparable(&answer), first, "{email}");
    }
    let long = "x".repeat(1 << 20);
    login(&user.email, &long, None).expect(401);
    login(&long, &user.password, None).expect(401);
}

#[test]
fn a_user_who_names_an_organization_of_others_is_refused_as_for_one_that_does_not_exist() {
    let (user, other) = (Actor::register(), Actor::register());
    let former = Actor::register();
    former.join(&user.organization, "sales");
    let ended = Actor::register();
    admin::execute("update crm.organizations set status = 'suspended' where id = $1", &[&ended.organization.id]);
    let answers = [
        other.organization.id.to_string(),
        other.organization.slug,
        unique("nowhere"),
        "' or true --".into(),
        String::new(),
    ]
    .map(|named| login(&user.email, &user.password, Some(&named)).expect(403).text());
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    assert!(answers[0].contains("42501"), "{answers:?}");
    // Of a suspended one, too, unless it is one's own.
    let suspended =
        |user: &Actor| login(&user.email, &user.password, Some(&ended.organization.slug)).expect(403).text();
    assert_eq!(suspended(&user), answers[0]);
    assert!(suspended(&ended).contains("this organization is suspended"));
}

#[test]
fn a_refused_login_leaves_no_session() {
    let user = Actor::register();
    let sessions =
        || -> i64 { admin::value("select count(*) from crm_private.sessions where user_id = $1", &[&user.user]) };
    let before = sessions();
    login(&user.email, "kzq-passphrase-wrong", None).expect(401);
    login(&user.email, &user.password, Some("nowhere")).expect(403);
    assert_eq!(sessions(), before);
    login(&user.email, &user.password, None).expect(200);
    assert_eq!(sessions(), before + 1);
}

#[test]
fn a_user_who_is_logged_in_can_log_in_as_somebody_else_and_register_another_organization() {
    let (user, other) = (Actor::register(), Actor::register());
    let arguments = json!({ "email": other.email, "password": other.password });
    let answer = user.post("/rpc/login", &arguments).expect(200).json();
    assert_eq!(answer["user"]["id"], json!(other.user));
    user.post("/rpc/register", &good()).expect(200);
    // The request itself is still the first user's.
    assert_eq!(user.get("/rpc/whoami").expect(200).json()["user_id"], json!(user.user));
}

#[test]
fn a_newcomers_organization_has_a_slug_that_reads_as_no_id_and_no_path() {
    for name in ["../../etc", "00000000-0000-0000-0000-000000000001", "---", "😀", "a'b\"c", "<script>", "%00", "ÄÖÜ"]
    {
        let answer = register(&with(&good(), "organization_name", json!(name))).expect(200).json();
        let slug = answer["organization"]["slug"].as_str().unwrap();
        assert!(
            !slug.is_empty() && slug.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'),
            "{slug}"
        );
        assert!(uuid::Uuid::parse_str(slug).is_err(), "{slug}");
        assert_eq!(answer["organization"]["name"], name);
    }
}
