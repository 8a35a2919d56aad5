//! The platform's support acting as a user who asked for help: what that token does, and what it never does.

use crm_http_tests::actor::{Actor, anonymous, id_of};
use crm_http_tests::http::{Response, text};
use crm_http_tests::machine::{Key, forbidden, invite};
use crm_http_tests::token::payload;
use crm_http_tests::{PASSWORD_PREFIX, admin, all, sql, team, unique};
use serde_json::{Value, json};
use uuid::Uuid;

const REASON: &str = "Ticket 4711: cannot see a contact";

fn support() -> Actor {
    let support = Actor::register_as("Sue Support");
    assert!(admin::value::<bool>("select crm.grant_platform_role($1, 'support')", &[&support.user]));
    support
}

fn ask(support: &Actor, arguments: &Value) -> Response {
    support.post("/rpc/impersonate", arguments)
}

/// Support acting as the user, in the user's organization.
fn acting_as(support: &Actor, user: &Actor) -> Actor {
    let arguments = json!({ "user_id": user.user, "reason": REASON, "organization": user.organization.slug });
    user.with_token(&text(&ask(support, &arguments).expect(200).json()["access_token"]))
}

fn impersonations(user: &Actor) -> i64 {
    admin::value(
        "select count(*) from crm_private.sessions where user_id = $1 and kind = 'impersonation'",
        &[&user.user],
    )
}

// ---------------------------------------------------------------------------------------------- what it does

#[test]
fn support_acts_as_a_user_and_is_known_to() {
    let (support, user) = (support(), Actor::with_contacts(2));
    let answer = ask(&support, &json!({ "user_id": user.user, "reason": REASON })).expect(200);
    assert_eq!(answer.header("Cache-Control"), Some("no-store"));
    let told = answer.json();
    let members: Vec<_> = told.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(members, ["access_token", "expires_in", "organization", "organizations", "token_type", "user"]);
    assert_eq!((&told["user"]["id"], &told["organization"]["role"]), (&json!(user.user), &json!("owner")));

    let acting = user.with_token(&text(&told["access_token"]));
    let claims = payload(acting.token());
    assert_eq!((&claims["sub"], &claims["act"]), (&json!(user.user), &json!({ "sub": support.user })));
    let whoami = acting.get("/rpc/whoami").expect(200).json();
    assert_eq!((&whoami["user_id"], &whoami["actor_id"]), (&json!(user.user), &json!(support.user)));
    assert_eq!((&whoami["role"], &whoami["org_id"]), (&json!("owner"), &json!(user.organization.id)));
    assert_eq!(user.get("/rpc/whoami").expect(200).json()["actor_id"], Value::Null);
    assert_eq!(acting.count("contacts"), 2);
    assert_eq!(acting.insert("contacts", &json!({ "last_name": "Helped" }))["created_by"], json!(user.user));
    assert_eq!(acting.get("/rpc/me").expect(200).json()["user"]["email"], json!(user.email));
    sql::session(|client| {
        let mut transaction = sql::begin_authenticated(client, acting.token()).unwrap();
        assert_eq!(sql::whoami(&mut transaction)["actor_id"], json!(support.user));
    });
}

#[test]
fn support_has_no_more_rights_than_the_user() {
    let (support, owner) = (support(), Actor::with_contacts(1));
    let reader = Actor::member(&owner.organization, "read_only");
    let arguments = json!({ "user_id": reader.user, "reason": REASON, "organization": owner.organization.id });
    let acting = reader.with_token(&text(&ask(&support, &arguments).expect(200).json()["access_token"]));
    assert_eq!(acting.count("contacts"), 1);
    acting.post("/contacts", &json!({ "last_name": "x" })).expect(403);
    // As themselves they see none of it.
    assert_eq!(support.count("contacts"), 0);
    support.working_in(&owner.organization.slug).get("/contacts").expect(403);
}

#[test]
fn support_acts_in_an_organization_of_the_user() {
    let (support, user, other) = (support(), Actor::with_contacts(1), Actor::with_contacts(1));
    let ask = |organization: Value| {
        ask(&support, &json!({ "user_id": user.user, "reason": REASON, "organization": organization }))
    };
    for foreign in [json!(other.organization.id), json!(other.organization.slug), json!(Uuid::new_v4()), json!("")] {
        assert_eq!(ask(foreign.clone()).status, 403, "{foreign}");
    }
    ask(json!(support.organization.slug)).expect(403);
    user.join(&other.organization, "read_only");
    let everywhere = user.with_token(&text(&ask(Value::Null).expect(200).json()["access_token"]));
    assert_eq!(everywhere.get("/rpc/whoami").expect(200).json()["database_role"], "crm_multi");
    assert_eq!(everywhere.count("contacts"), 2);
    let there = ask(json!(other.organization.slug)).expect(200).json();
    assert_eq!(there["organization"]["role"], "read_only");
    let acting = user.with_token(&text(&there["access_token"]));
    assert_eq!(acting.count("contacts"), 1);
    acting.working_in(&support.organization.slug).get("/contacts").expect(403);
}

#[test]
fn support_acts_for_as_many_minutes_as_it_says() {
    let (support, user) = (support(), Actor::register());
    let ask = |minutes: Value| ask(&support, &json!({ "user_id": user.user, "reason": REASON, "minutes": minutes }));
    for (minutes, seconds) in [(json!(null), 900), (json!(1), 60), (json!(15), 900)] {
        let told = ask(minutes).expect(200).json();
        let claims = payload(&text(&told["access_token"]));
        assert_eq!(told["expires_in"], seconds);
        assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), seconds);
        let ends: bool = admin::value(
            "select extract(epoch from expires_at - created_at)::bigint between $1::bigint - 2 and $1::bigint + 2
             from crm_private.sessions where id = $2",
            &[&seconds, &Uuid::parse_str(&text(&claims["sid"])).unwrap()],
        );
        assert!(ends, "{seconds}");
    }
    let before = impersonations(&user);
    all(
        [json!(0), json!(-1), json!(16), json!(61), json!(i32::MAX), json!(i32::MIN), json!(1_i64 << 40), json!("x")],
        |minutes| {
            let answer = ask(minutes.clone());
            if answer.status == 400 { Ok(()) } else { Err(format!("{minutes}: {answer}")) }
        },
    );
    assert_eq!(impersonations(&user), before);
}

#[test]
fn support_says_why_and_the_user_reads_it() {
    let (support, user) = (support(), Actor::register());
    for reason in [json!(""), json!("  \t"), json!(null), json!("a\nb"), json!("x".repeat(501))] {
        let answer = ask(&support, &json!({ "user_id": user.user, "reason": reason }));
        assert!(answer.status == 400 && answer.text().contains("reason:"), "{reason}: {answer}");
    }
    ask(&support, &json!({ "user_id": user.user })).expect(404);
    support.get(&format!("/rpc/impersonate?user_id={}&reason=x", user.user)).expect(405);
    assert_eq!(impersonations(&user), 0);

    let acting = acting_as(&support, &user);
    let sessions = user.get("/rpc/my_sessions?kind=eq.impersonation").expect(200).rows();
    assert_eq!(sessions.len(), 1);
    assert_eq!((&sessions[0]["reason"], &sessions[0]["current"]), (&json!(REASON), &json!(false)));
    assert_eq!(id_of(&sessions[0]), acting.session());
    // The user need not have it.
    let ended = user.post("/rpc/end_session", &json!({ "session_id": acting.session() })).expect(200).json();
    assert_eq!(ended, json!({ "ended_sessions": 1 }));
    acting.get("/contacts").expect(401);
    user.get("/contacts").expect(200);
}

#[test]
fn support_ends_it_and_nothing_else_by_logging_out() {
    let (support, user) = (support(), Actor::register());
    let (acting, again) = (acting_as(&support, &user), acting_as(&support, &user));
    assert_eq!(acting.post("/rpc/logout", &json!({})).expect(200).json(), json!({ "ended_sessions": 1 }));
    acting.get("/contacts").expect(401);
    for other in [&again, &user, &support] {
        other.get("/contacts").expect(200);
    }
    // Everywhere, it is the user's word that counts.
    user.post("/rpc/logout", &json!({ "everywhere": true })).expect(200);
    again.get("/contacts").expect(401);
    support.get("/contacts").expect(200);
}

// ---------------------------------------------------------------------------------------------- what it never does

#[test]
fn support_does_nothing_in_the_users_name_that_outlives_it() {
    let (support, user, other) = (support(), Actor::register(), Actor::register());
    let second = Actor::register();
    let acting = acting_as(&support, &user);
    let invited = invite(&other, &user.email, "sales");
    let password = unique(PASSWORD_PREFIX);
    let own = user.logged_in(None);
    let cases = [
        ("change_password", json!({ "current_password": user.password, "new_password": password })),
        ("create_api_key", json!({ "name": "Kept", "scopes": ["*.*"] })),
        ("invite_user", json!({ "email": support.email, "role": "owner" })),
        ("revoke_invitation", json!({ "invitation_id": Uuid::new_v4() })),
        ("accept_invitation", json!({ "token": invited })),
        ("impersonate", json!({ "user_id": second.user, "reason": REASON })),
        ("impersonate", json!({ "user_id": user.user, "reason": REASON })),
        ("logout", json!({ "everywhere": true })),
        ("end_session", json!({ "session_id": own.session() })),
        ("switch_org", json!({ "organization": user.organization.slug })),
        ("switch_org", json!({})),
        ("request_email_verification", json!({})),
        ("set_member_role", json!({ "user_id": user.user, "role": "owner" })),
        ("remove_member", json!({ "user_id": user.user })),
        ("leave_organization", json!({})),
        ("set_notification_email", json!({ "enabled": true })),
    ];
    all(cases, |(function, arguments)| forbidden(function, &acting.post(&format!("/rpc/{function}"), &arguments)));
    own.get("/contacts").expect(200);
    user.logged_in(None);
    let keys: i64 =
        admin::value("select count(*) from crm_private.api_keys where org_id = $1", &[&user.organization.id]);
    assert_eq!((keys, admin::count("memberships", other.organization.id)), (0, 1));
    // The invitation was not used up.
    user.post("/rpc/accept_invitation", &json!({ "token": invited })).expect(200);
}

/// Else who is a member as well, and acts as an owner for a minute, has the owner's permissions for good.
#[test]
fn support_gives_nobody_permissions_in_the_users_name() {
    let (support, user) = (support(), Actor::register());
    support.join(&user.organization, "read_only");
    let acting = acting_as(&support, &user);
    let group = team::group(&user, &[]);
    let before = admin::fingerprint(user.organization.id);
    let cases = [
        ("roles", json!({ "name": team::role_name(), "rank": 100 })),
        ("role_permissions", json!({ "role": "read_only", "permission": "*.*" })),
        ("group_permissions", json!({ "group_id": group, "permission": "*.*" })),
        ("group_roles", json!({ "group_id": group, "role": "admin" })),
        ("group_members", json!({ "group_id": group, "user_id": support.user })),
    ];
    let answers = cases.map(|(table, row)| acting.post(&format!("/{table}"), &row));
    all(answers, |answer| forbidden("", &answer));
    assert_eq!(admin::fingerprint(user.organization.id), before);
}

#[test]
fn support_cannot_refresh() {
    let (support, user) = (support(), Actor::register());
    let acting = acting_as(&support, &user);
    let tokens: i64 =
        admin::value("select count(*) from crm_private.refresh_tokens where session_id = $1", &[&acting.session()]);
    assert_eq!(tokens, 0);
    let refresh = json!({ "refresh_token": acting.token() });
    anonymous("POST", "/rpc/refresh_token").json(&refresh).send().expect(401);
}

#[test]
fn nobody_but_support_acts_as_somebody_or_learns_who_there_is() {
    let (owner, other) = (Actor::register(), Actor::register());
    let member = Actor::member(&owner.organization, "sales");
    let admin = Actor::member(&owner.organization, "admin");
    owner.join(&other.organization, "owner");
    let everywhere = owner.logged_in(None);
    for person in [&owner, &admin, &member, &everywhere] {
        let answers = [member.user, other.user, owner.user, Uuid::new_v4()].map(|user| {
            let answer = ask(person, &json!({ "user_id": user, "reason": REASON }));
            (answer.status, answer.text())
        });
        assert_eq!(answers[0].0, 403, "{answers:?}");
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
        // Nor by what else is wrong with the question.
        for arguments in [
            json!({ "user_id": member.user, "reason": "" }),
            json!({ "user_id": member.user, "reason": REASON, "minutes": 0 }),
            json!({ "user_id": null, "reason": REASON }),
        ] {
            assert_eq!(ask(person, &arguments).text(), answers[0].1);
        }
    }
    assert_eq!(impersonations(&member) + impersonations(&other), 0);
    let arguments = json!({ "user_id": member.user, "reason": REASON });
    anonymous("POST", "/rpc/impersonate").json(&arguments).send().expect(401);
    forbidden("a key", &Key::of(&owner, &["*.*"]).call("impersonate", &arguments)).unwrap();
    forbidden("a platform key", &Key::of_platform(&["*.*"]).call("impersonate", &arguments)).unwrap();
}

#[test]
fn support_does_not_act_as_the_platforms_people_or_who_is_not_there() {
    let (support, colleague, boss) = (support(), support(), Actor::register());
    admin::value::<bool>("select crm.grant_platform_role($1, 'super_admin')", &[&boss.user]);
    let ask = |person: &Actor, user: Value| ask(person, &json!({ "user_id": user, "reason": REASON }));
    for person in [&support, &boss] {
        for target in [&colleague, &boss, &support] {
            forbidden("", &ask(person, json!(target.user))).unwrap();
        }
    }
    let (disabled, deleted) = (Actor::register(), Actor::register());
    admin::execute("update crm.users set status = 'disabled' where id = $1", &[&disabled.user]);
    admin::execute("update crm.users set status = 'deleted' where id = $1", &[&deleted.user]);
    for nobody in [json!(disabled.user), json!(deleted.user), json!(Uuid::new_v4()), json!(null)] {
        let answer = ask(&support, nobody.clone());
        assert!(answer.status == 400 && answer.text().contains("user_id:"), "{nobody}: {answer}");
    }
    ask(&boss, json!(Actor::register().user)).expect(200);
}
