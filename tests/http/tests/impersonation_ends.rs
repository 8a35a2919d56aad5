//! Support acting as a user is refused from the next request on, once one of the two is out or the time is over; and
//! who may act so is the DBA's alone to say.

use crm_http_tests::actor::{Actor, anonymous};
use crm_http_tests::http::text;
use crm_http_tests::machine::{Key, forbidden, many};
use crm_http_tests::sql::{self, sqlstate};
use crm_http_tests::token::{self, Signer, with};
use crm_http_tests::{admin, all};
use serde_json::{Value, json};
use uuid::Uuid;

fn grant(user: &Actor, role: &str) {
    assert!(admin::value::<bool>("select crm.grant_platform_role($1, $2)", &[&user.user, &role]));
}

struct Case {
    support: Actor,
    user: Actor,
    acting: Actor,
}

impl Case {
    fn begin() -> Self {
        let (support, user) = (Actor::register(), Actor::with_contacts(1));
        grant(&support, "support");
        let arguments = json!({ "user_id": user.user, "reason": "Ticket 4711" });
        let told = support.post("/rpc/impersonate", &arguments).expect(200).json();
        let acting = user.with_token(&text(&told["access_token"]));
        Self { support, user, acting }
    }

    fn found(&self) -> (Vec<u16>, String) {
        let state = sql::session(|client| sqlstate(sql::begin_authenticated(client, self.acting.token())));
        (many(|| self.acting.get("/contacts")), state)
    }
}

#[test]
fn support_is_refused_from_the_next_request_on() {
    let refused = (vec![401], "PT401".to_owned());
    let cases = [
        ("select crm.revoke_platform_role({support})", refused.clone()),
        ("delete from crm_private.platform_members where user_id = {support}", refused.clone()),
        ("update crm.users set status = 'disabled' where id = {support}", refused.clone()),
        ("update crm.users set status = 'disabled' where id = {user}", refused.clone()),
        ("select crm.suspend_user({support})", refused.clone()),
        ("select crm.suspend_user({user})", refused.clone()),
        ("delete from crm.users where id = {support}", refused.clone()),
        ("update crm_private.sessions set expires_at = now() where id = {session}", refused.clone()),
        ("update crm_private.sessions set ended_at = now() where id = {session}", refused),
        (
            "update crm.memberships set status = 'ended', ended_at = now() where user_id = {user}",
            (vec![403], "PT403".to_owned()),
        ),
        ("update crm.organizations set status = 'suspended' where id = {org}", (vec![403], "PT403".to_owned())),
    ];
    all(cases, |(statement, expected)| {
        let case = Case::begin();
        case.support.share_ownership();
        case.user.share_ownership();
        assert_eq!(case.found(), (vec![200], String::new()));
        let statement = statement
            .replace("{support}", &format!("'{}'", case.support.user))
            .replace("{user}", &format!("'{}'", case.user.user))
            .replace("{org}", &format!("'{}'", case.user.organization.id))
            .replace("{session}", &format!("'{}'", case.acting.session()));
        assert_eq!(admin::execute(&statement, &[]), 1, "{statement}");
        let found = case.found();
        if found == expected { Ok(()) } else { Err(format!("{statement}: {found:?}")) }
    });
}

#[test]
fn support_whose_role_is_given_back_begins_anew() {
    let Case { support, user, acting } = Case::begin();
    assert!(admin::value::<bool>("select crm.revoke_platform_role($1)", &[&support.user]));
    assert!(!admin::value::<bool>("select crm.revoke_platform_role($1)", &[&support.user]));
    let arguments = json!({ "user_id": user.user, "reason": "Ticket 4712" });
    support.post("/rpc/impersonate", &arguments).expect(403);
    // As themselves they go on, and so does the user.
    support.get("/contacts").expect(200);
    user.get("/contacts").expect(200);
    grant(&support, "support");
    acting.get("/contacts").expect(401);
    support.post("/rpc/impersonate", &arguments).expect(200);
}

#[test]
fn a_token_that_says_something_else_of_who_acts_is_refused() {
    let Case { support, user, acting } = Case::begin();
    let colleague = Actor::register();
    grant(&colleague, "support");
    let (signer, header) = (Signer::stolen(), token::header(acting.token()).to_string());
    let claims = token::payload(acting.token());
    let own = token::payload(user.token());
    let cases = [
        ("nobody acts", with(&claims, "act", Value::Null)),
        ("a colleague acts", with(&claims, "act", json!({ "sub": colleague.user }))),
        ("the user acts", with(&claims, "act", json!({ "sub": user.user }))),
        ("somebody unknown acts", with(&claims, "act", json!({ "sub": Uuid::new_v4() }))),
        ("as somebody else", with(&claims, "sub", json!(colleague.user))),
        ("in the user's own session", with(&claims, "sid", own["sid"].clone())),
        ("support acts in the user's own session", with(&own, "act", json!({ "sub": support.user }))),
    ];
    all(cases, |(what, claims)| {
        let claims = claims.to_string();
        let forged = user.with_token(&signer.sign(&header, &claims));
        let (answer, state) = (
            forged.get("/contacts"),
            sql::session(|client| sqlstate(sql::begin_authenticated(client, forged.token()))),
        );
        let refused = answer.status == 401 && state == "PT401";
        if refused { Ok(()) } else { Err(format!("{what}: {state} {answer}")) }
    });
    acting.get("/contacts").expect(200);
}

// ---------------------------------------------------------------------------------------------- who is of the platform

#[test]
fn nobody_but_the_dba_says_who_is_of_the_platform() {
    let Case { support, user, acting } = Case::begin();
    let boss = Actor::register();
    grant(&boss, "super_admin");
    let organization_key = Key::of(&user, &["*.*"]);
    let platform_key = Key::of_platform(&["*.*"]);
    let cases = [
        ("grant_platform_role", json!({ "user_id": user.user, "role": "super_admin" })),
        ("revoke_platform_role", json!({ "user_id": support.user })),
    ];
    for (function, arguments) in cases {
        let path = format!("/rpc/{function}");
        anonymous("POST", &path).json(&arguments).send().expect(401);
        for person in [&user, &support, &boss, &acting] {
            forbidden(function, &person.post(&path, &arguments)).unwrap();
        }
        for role in ["crm_anon", "crm_app", "crm_multi", "crm_service"] {
            let state = sql::session(|client| {
                let mut transaction = sql::begin_as(client, role).unwrap();
                sqlstate(transaction.query(&format!("select crm.revoke_platform_role('{}')", support.user), &[]))
            });
            assert_eq!(state, "42501", "{role}");
        }
        for key in [&organization_key, &platform_key] {
            forbidden(function, &key.call(function, &arguments)).unwrap();
        }
    }
    acting.get("/contacts").expect(200);
}

#[test]
fn the_dba_is_told_what_is_wrong_with_a_platform_role() {
    let (user, disabled) = (Actor::register(), Actor::register());
    admin::execute("update crm.users set status = 'disabled' where id = $1", &[&disabled.user]);
    let mut client = admin::connect();
    let grant = "select crm.grant_platform_role($1, $2)";
    for role in [Some("owner"), Some(""), Some("SUPPORT"), None] {
        assert_eq!(sqlstate(client.execute(grant, &[&user.user, &role])), "22023", "{role:?}");
    }
    for nobody in [Some(disabled.user), Some(Uuid::new_v4()), None] {
        assert_eq!(sqlstate(client.execute(grant, &[&nobody, &"support"])), "22023", "{nobody:?}");
    }
    let members: i64 = admin::value(
        "select count(*) from crm_private.platform_members where user_id in ($1, $2)",
        &[&user.user, &disabled.user],
    );
    assert_eq!(members, 0);
}
