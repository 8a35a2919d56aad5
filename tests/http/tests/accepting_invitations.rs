//! Accepting an invitation: somebody new, with a password. Those who have an account are in joining.rs.

use std::thread;

use crm_http_tests::actor::{Actor, anonymous, id_of, login};
use crm_http_tests::http::{Response, text};
use crm_http_tests::machine::invite;
use crm_http_tests::mailbox::token_to;
use crm_http_tests::{PASSWORD_PREFIX, admin, all, sql, unique};
use serde_json::{Value, json};

fn address() -> String {
    format!("{}@example.com", unique("invited"))
}

fn password() -> String {
    unique(PASSWORD_PREFIX)
}

fn accept(arguments: &Value) -> Response {
    anonymous("POST", "/rpc/accept_invitation").json(arguments).send()
}

/// Somebody new, with a password.
fn accept_new(token: &str) -> Response {
    accept(&json!({ "token": token, "password": password() }))
}

fn has_account(email: &str) -> bool {
    admin::value("select exists (select from crm.users where email = $1)", &[&email])
}

/// The answer to a token that is no good.
fn not_valid(answer: &Response) -> Result<(), String> {
    let refused = answer.status == 400 && answer.code() == "22023" && answer.text().contains("token: is not valid");
    if refused { Ok(()) } else { Err(format!("not valid, expected: {answer}")) }
}

// ---------------------------------------------------------------------------------------------- somebody new

#[test]
fn a_newcomer_joins_with_a_password_and_is_logged_in() {
    let (owner, email, password) = (Actor::with_contacts(1), address(), password());
    let token = invite(&owner, &email, "support");
    let answer = accept(&json!({ "token": token, "password": password, "full_name": " Nina New " })).expect(200);
    assert_eq!(answer.header("Cache-Control"), Some("no-store"));
    let welcome = answer.json();
    assert_eq!(welcome["user"]["email"], json!(email));
    assert_eq!((&welcome["user"]["full_name"], &welcome["user"]["email_verified"]), (&json!("Nina New"), &json!(true)));
    assert_eq!(welcome["organization"]["id"], json!(owner.organization.id));
    assert_eq!(welcome["organization"]["role"], "support");
    assert_eq!(welcome["organizations"].as_array().unwrap().len(), 1);
    assert_eq!((&welcome["token_type"], &welcome["expires_in"]), (&json!("Bearer"), &json!(900)));

    let newcomer = Actor { user: id_of(&welcome["user"]), ..owner.with_token(&text(&welcome["access_token"])) };
    let whoami = newcomer.get("/rpc/whoami").expect(200).json();
    assert_eq!((&whoami["user_id"], &whoami["role"]), (&json!(newcomer.user), &json!("support")));
    assert_eq!(newcomer.count("contacts"), 1);
    assert_eq!(newcomer.insert("contacts", &json!({ "last_name": "New" }))["created_by"], json!(newcomer.user));
    assert_eq!(newcomer.get("/rpc/my_sessions").expect(200).column("kind"), ["invitation"]);
    let refresh = json!({ "refresh_token": welcome["refresh_token"] });
    anonymous("POST", "/rpc/refresh_token").json(&refresh).send().expect(200);
    assert_eq!(login(&email, &password, None).expect(200).json()["organization"]["role"], "support");
    sql::session(|client| {
        let mut transaction = sql::begin_authenticated(client, newcomer.token()).unwrap();
        assert_eq!(sql::whoami(&mut transaction)["role"], "support");
    });
}

#[test]
fn a_newcomer_has_the_role_they_were_invited_to() {
    let owner = Actor::register();
    all(["owner", "admin", "manager", "sales", "support", "read_only"], |role| {
        let welcome = accept_new(&invite(&owner, &address(), role)).expect(200).json();
        let newcomer = owner.with_token(&text(&welcome["access_token"]));
        let writes = newcomer.post("/contacts", &json!({ "last_name": "x" })).status == 201;
        let told = newcomer.get("/rpc/whoami").expect(200).json()["role"].clone();
        if told == role && writes == (role != "read_only") { Ok(()) } else { Err(format!("{role}: {told}, {writes}")) }
    });
}

#[test]
fn a_newcomer_whose_password_is_refused_tries_again_with_the_same_token() {
    let (owner, email) = (Actor::register(), address());
    let token = invite(&owner, &email, "sales");
    let cases = [json!("short"), json!("password1"), json!("x".repeat(257)), json!(email), json!(null)];
    all(cases, |password| {
        let answer = accept(&json!({ "token": token, "password": password }));
        let refused = answer.status == 400 && answer.text().contains("password:") && !has_account(&email);
        if refused { Ok(()) } else { Err(format!("{password}: {answer}")) }
    });
    let answer = accept(&json!({ "token": token }));
    assert!(answer.status == 400 && answer.text().contains("password:"), "{answer}");
    let name = accept(&json!({ "token": token, "password": password(), "full_name": "a\nb" }));
    assert!(name.status == 400 && name.text().contains("full_name:"), "{name}");
    accept_new(&token).expect(200);
}

#[test]
fn a_newcomer_uses_a_token_once() {
    let (owner, email) = (Actor::register(), address());
    let token = invite(&owner, &email, "sales");
    let welcome = accept_new(&token).expect(200).json();
    not_valid(&accept_new(&token)).unwrap();
    let newcomer = owner.with_token(&text(&welcome["access_token"]));
    not_valid(&newcomer.post("/rpc/accept_invitation", &json!({ "token": token }))).unwrap();
    let members = admin::count("memberships", owner.organization.id);
    assert_eq!(members, 2);
}

#[test]
fn a_newcomer_who_accepts_twice_at_once_joins_once() {
    for _ in 0..4 {
        let (owner, email) = (Actor::register(), address());
        let token = invite(&owner, &email, "sales");
        let mut statuses: Vec<_> = thread::scope(|scope| {
            let both = [(); 2].map(|()| scope.spawn(|| accept_new(&token).status));
            both.into_iter().map(|one| one.join().unwrap()).collect()
        });
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 400]);
        assert_eq!(admin::count("memberships", owner.organization.id), 2);
    }
}

#[test]
fn a_newcomer_with_two_invitations_who_accepts_both_at_once_has_one_account() {
    let (first, second, email) = (Actor::register(), Actor::register(), address());
    let tokens = [&first, &second].map(|owner| invite(owner, &email, "sales"));
    let statuses: Vec<_> = thread::scope(|scope| {
        let both = [&tokens[0], &tokens[1]].map(|token| scope.spawn(|| accept_new(token).status));
        both.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    let joined = [&first, &second].map(|owner| admin::count("memberships", owner.organization.id));
    assert_eq!(joined.iter().sum::<i64>(), 3, "{joined:?}");
}

// ---------------------------------------------------------------------------------------------- bad tokens

#[test]
fn nobody_joins_with_a_token_that_is_no_good() {
    let email = address();
    let statements = [
        "update crm_private.one_time_tokens set expires_at = clock_timestamp() where org_id = $1",
        "update crm_private.invitations set expires_at = clock_timestamp() where org_id = $1",
        "update crm_private.invitations set revoked_at = now() where org_id = $1",
        "delete from crm_private.invitations where org_id = $1",
        "update crm.organizations set status = 'suspended' where id = $1",
        "update crm.organizations set status = 'cancelled' where id = $1",
    ];
    all(statements, |statement| {
        let owner = Actor::register();
        admin::execute("delete from crm_private.login_failures where kind = 'invitation'", &[]);
        let token = invite(&owner, &email, "sales");
        assert_eq!(admin::execute(statement, &[&owner.organization.id]), 1);
        let answer = accept_new(&token);
        let nothing_left = !has_account(&email) && admin::count("memberships", owner.organization.id) == 1;
        not_valid(&answer)
            .and(if nothing_left { Ok(()) } else { Err("somebody joined".into()) })
            .map_err(|problem| format!("{statement}: {problem}"))
    });
}

#[test]
fn nobody_joins_with_what_is_no_token() {
    let (owner, email) = (Actor::register(), address());
    let token = invite(&owner, &email, "sales");
    let reset = json!({ "email": owner.email });
    anonymous("POST", "/rpc/request_password_reset").json(&reset).send().expect(200);
    let garbage = [
        String::new(),
        " ".into(),
        "x".into(),
        format!("{token}A"),
        token[1..].into(),
        token.to_uppercase(),
        "A".repeat(43),
        "x".repeat(100_000),
        "' or true --".into(),
        token_to(&owner.email, "password_reset"),
        token_to(&owner.email, "email_verification"),
        owner.token().into(),
    ];
    all(garbage, |garbage| not_valid(&accept_new(&garbage)).map_err(|problem| format!("{garbage:.50}: {problem}")));
    accept(&json!({ "token": null, "password": password() })).expect(400);
    accept(&json!({ "password": password() })).expect(404);
    accept(&json!({ "token": "a\u{0}b", "password": password() })).expect(400);
    // In the URL it would stand in every log.
    anonymous("GET", &format!("/rpc/accept_invitation?token={token}&password={}", password())).send().expect(405);
    // A token for joining is none for anything else.
    let reset = json!({ "token": token, "new_password": password() });
    anonymous("POST", "/rpc/reset_password").json(&reset).send().expect(400);
    Actor::register().post("/rpc/verify_email", &json!({ "token": token })).expect(400);
    accept_new(&token).expect(200);
}

#[test]
fn a_newcomer_joins_once_the_organization_is_active_again() {
    let owner = Actor::register();
    let token = invite(&owner, &address(), "sales");
    let set = |status: &str| {
        admin::execute("update crm.organizations set status = $1 where id = $2", &[&status, &owner.organization.id])
    };
    set("suspended");
    not_valid(&accept_new(&token)).unwrap();
    set("active");
    accept_new(&token).expect(200);
}
