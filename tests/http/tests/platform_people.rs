//! The platform's own people, with their own login: what a super admin may, what support may, and how it ends.

use crm_http_tests::actor::{Actor, id_of};
use crm_http_tests::http::text;
use crm_http_tests::machine::{Key, forbidden, many};
use crm_http_tests::{PASSWORD_PREFIX, admin, all, unique};
use serde_json::{Value, json};

fn of_the_platform(role: &str) -> Actor {
    let person = Actor::register();
    assert!(admin::value::<bool>("select crm.grant_platform_role($1, $2)", &[&person.user, &role]));
    person
}

/// Every function of the platform, with arguments about somebody, and whether support may call it.
fn functions(victim: &Actor) -> Vec<(&'static str, Value, bool)> {
    let (org, user) = (victim.organization.id, victim.user);
    let email = format!("{}@example.com", unique("made"));
    vec![
        ("create_organization", json!({ "name": unique("made") }), false),
        ("list_organizations", json!({}), true),
        ("suspend_organization", json!({ "org_id": org, "reason": "x" }), false),
        ("resume_organization", json!({ "org_id": org }), false),
        ("create_user", json!({ "email": email, "password": unique(PASSWORD_PREFIX) }), false),
        ("list_users", json!({ "org_id": org }), true),
        ("org_ids_for_user", json!({ "uid": user }), true),
        ("link_identity", json!({ "user_id": user, "provider": "google", "subject": unique("s") }), false),
        ("issue_token", json!({ "user_id": user, "org_id": org }), false),
        ("suspend_user", json!({ "user_id": user }), false),
        ("resume_user", json!({ "user_id": user }), false),
        ("cancel_organization", json!({ "org_id": org, "reason": "x" }), false),
        ("delete_organization", json!({ "org_id": org, "batch": 1000 }), false),
        ("delete_user", json!({ "user_id": user }), false),
    ]
}

#[test]
fn a_super_admin_does_what_the_platform_does() {
    let (admin, victim) = (of_the_platform("super_admin"), Actor::with_contacts(1));
    let whoami = admin.get("/rpc/whoami").expect(200).json();
    assert_eq!((&whoami["platform_role"], &whoami["platform"]), (&json!("super_admin"), &json!(false)));
    for (function, arguments, _) in functions(&victim) {
        let answer = admin.post(&format!("/rpc/{function}"), &arguments);
        assert_eq!(answer.status, 200, "{function}: {answer}");
    }
    assert_eq!(admin::count("contacts", victim.organization.id), 0);
    // What is in an organization is not theirs for that, and what is the DBA's is not either.
    assert_eq!(admin.count("contacts"), 0);
    all(
        ["grant_platform_role", "revoke_platform_role", "create_platform_key", "clear_expired", "load_demo"],
        |function| {
            let arguments = match function {
                "grant_platform_role" => json!({ "user_id": admin.user, "role": "support" }),
                "revoke_platform_role" => json!({ "user_id": admin.user }),
                "create_platform_key" => json!({ "name": "x" }),
                _ => json!({}),
            };
            let answer = admin.post(&format!("/rpc/{function}"), &arguments);
            if [403, 404].contains(&answer.status) { Ok(()) } else { Err(format!("{function}: {answer}")) }
        },
    );
}

#[test]
fn support_looks_and_changes_nothing() {
    let (support, victim) = (of_the_platform("support"), Actor::register());
    all(functions(&victim), |(function, arguments, permitted)| {
        let answer = support.post(&format!("/rpc/{function}"), &arguments);
        if permitted {
            return if answer.status == 200 { Ok(()) } else { Err(format!("{function}: {answer}")) };
        }
        forbidden(function, &answer)
    });
    victim.get("/contacts").expect(200);
}

#[test]
fn an_issued_token_and_an_impersonation_have_no_platform_role() {
    let (admin, support, victim) = (of_the_platform("super_admin"), of_the_platform("support"), Actor::register());
    let key = Key::of_platform(&["tokens.create", "users.*"]);
    let issued =
        key.call("issue_token", &json!({ "user_id": admin.user, "org_id": admin.organization.id })).expect(200).json();
    let issued = admin.with_token(&text(&issued["access_token"]));
    assert_eq!(issued.get("/rpc/whoami").expect(200).json()["platform_role"], Value::Null);
    issued.get("/rpc/list_organizations").expect(403);
    issued.post("/rpc/impersonate", &json!({ "user_id": victim.user, "reason": "x" })).expect(403);
    // Nor can the key make its own way to log in as one of them.
    let arguments = json!({ "user_id": admin.user, "provider": "google", "subject": unique("s") });
    key.call("link_identity", &arguments).expect(403);
    let acting = support.post("/rpc/impersonate", &json!({ "user_id": victim.user, "reason": "x" })).expect(200).json();
    let acting = victim.with_token(&text(&acting["access_token"]));
    assert_eq!(acting.get("/rpc/whoami").expect(200).json()["platform_role"], Value::Null);
    acting.get("/rpc/list_organizations").expect(403);
    acting.post("/rpc/impersonate", &json!({ "user_id": admin.user, "reason": "x" })).expect(403);
}

#[test]
fn a_platform_role_begins_and_ends_with_the_next_request() {
    let person = Actor::register();
    let list = || person.get("/rpc/list_organizations?limit=1");
    assert_eq!(many(list), [403]);
    assert!(admin::value::<bool>("select crm.grant_platform_role($1, 'super_admin')", &[&person.user]));
    assert_eq!(many(list), [200]);
    assert!(admin::value::<bool>("select crm.revoke_platform_role($1)", &[&person.user]));
    assert_eq!(many(list), [403]);
    assert_eq!(person.get("/rpc/whoami").expect(200).json()["platform_role"], Value::Null);
}

#[test]
fn a_super_admin_without_an_organization_is_one_too() {
    let admin = of_the_platform("super_admin");
    admin::execute("delete from crm.organizations where id = $1", &[&admin.organization.id]);
    let admin = admin.logged_in(None);
    assert_eq!(admin.get("/rpc/whoami").expect(200).json()["database_role"], "crm_multi");
    let made = admin.post("/rpc/create_organization", &json!({ "name": "Made" })).expect(200).json();
    let deleted = admin.post("/rpc/delete_organization", &json!({ "org_id": id_of(&made) })).expect(200).json();
    assert_eq!(deleted["deleted"], 1);
}
