//! Why somebody may or may not: explain_access for those who administer, my_permissions for everybody.

use crm_http_tests::actor::{Actor, anonymous, id_of};
use crm_http_tests::http::{Response, text};
use crm_http_tests::machine::Key;
use crm_http_tests::team::{not_there, refused, remove};
use crm_http_tests::{all, team};
use serde_json::{Value, json};
use uuid::Uuid;

#[test]
fn an_administrator_is_told_why_somebody_may_or_may_not() {
    let owner = Actor::register();
    let (member, colleague) =
        (Actor::member(&owner.organization, "sales"), Actor::member(&owner.organization, "sales"));
    let contact = |of: &Actor| id_of(&of.insert("contacts", &json!({ "last_name": "Explained" })));
    let (own, theirs) = (contact(&member), contact(&colleague));
    let explain = |row: Uuid| {
        let arguments = json!({ "user_id": member.user, "resource": "contacts", "row_id": row });
        owner.post("/rpc/explain_access", &arguments).expect(200).json()
    };
    let (mine, others) = (explain(own), explain(theirs));
    assert_eq!(
        (&mine["user_id"], &mine["resource"], &mine["row_id"]),
        (&json!(member.user), &json!("contacts"), &json!(own))
    );
    assert_eq!(mine["row"], json!({ "exists": true, "owner_id": member.user, "whose": "own" }));
    assert_eq!(others["row"]["whose"], "another's");
    assert_eq!(mine["standing"]["membership"]["role"], "sales");
    for action in ["read", "create", "update", "delete"] {
        assert_eq!(mine["may"][action]["permitted"], true, "{mine}");
        assert_eq!(mine["may"][action]["scope"], "own");
        assert_eq!(mine["may"][action]["via"][0]["via"], "role sales");
    }
    assert_eq!(others["may"]["read"]["permitted"], false, "{others}");
    let group = team::group(&owner, &[&member, &colleague]);
    owner.insert("group_permissions", &json!({ "group_id": group, "permission": "contacts.read", "scope": "team" }));
    let shared = explain(theirs);
    assert_eq!(shared["row"]["whose"], "team's");
    assert_eq!(
        (&shared["may"]["read"]["permitted"], &shared["may"]["update"]["permitted"]),
        (&json!(true), &json!(false)),
        "{shared}"
    );
    assert!(text(&shared["may"]["update"]["because"]).contains("own"), "{shared}");
    // What is told is what happens.
    let path = format!("/contacts?id=eq.{theirs}");
    assert_eq!(member.get(&path).expect(200).rows().len(), 1);
    refused(&member.patch(&path, &json!({ "title": "x" }))).unwrap();
    remove(&owner, &member).expect(200);
    let ended = explain(own);
    assert_eq!(ended["may"]["read"]["permitted"], false);
    assert!(text(&ended["may"]["read"]["because"]).contains("ended"), "{ended}");
}

#[test]
fn nobody_else_is_told_and_nothing_of_other_organizations() {
    let (owner, other) = (Actor::with_contacts(1), Actor::register());
    let foreign = id_of(&owner.get("/contacts").expect(200).rows()[0]);
    let ask = |who: &Actor, user: Uuid, resource: &str, row: Value| {
        who.post("/rpc/explain_access", &json!({ "user_id": user, "resource": resource, "row_id": row }))
    };
    all(["manager", "sales", "support", "read_only"], |role| {
        let actor = Actor::member(&owner.organization, role);
        refused(&ask(&actor, actor.user, "contacts", Value::Null))?;
        refused(&ask(&actor, owner.user, "contacts", json!(foreign)))
    });
    anonymous("POST", "/rpc/explain_access")
        .json(&json!({ "user_id": owner.user, "resource": "contacts" }))
        .send()
        .expect(401);
    ask(&owner, owner.user, "contacts", Value::Null).expect(200);
    // Of a person or row elsewhere the same as of none.
    let hide = |answer: Response, ids: [Uuid; 2]| {
        ids.iter().fold(answer.expect(200).text(), |text, id| text.replace(&id.to_string(), "?"))
    };
    let nowhere = [Uuid::new_v4(), Uuid::new_v4()];
    let seen = hide(ask(&other, owner.user, "contacts", json!(foreign)), [owner.user, foreign]);
    assert_eq!(seen, hide(ask(&other, nowhere[0], "contacts", json!(nowhere[1])), nowhere));
    assert!(seen.contains("no member") && !seen.contains("owner_id"), "{seen}");
    for resource in ["memberships", "users", "crm_private.settings", "pg_class", "nothing", "", "contacts; select 1"] {
        not_there(&ask(&owner, owner.user, resource, Value::Null)).unwrap();
    }
    not_there(&owner.post("/rpc/explain_access", &json!({ "user_id": null, "resource": "contacts" }))).unwrap();
}

#[test]
fn everybody_is_told_their_own_permissions_and_nobody_elses() {
    let owner = Actor::register();
    let member = Actor::member(&owner.organization, "sales");
    let mine = |who: &Actor, permission: &str| {
        let rows = who.get("/rpc/my_permissions").expect(200).rows();
        rows.iter().find(|row| row["permission"] == permission).map(|row| text(&row["scope"]))
    };
    assert_eq!(mine(&member, "contacts.read").as_deref(), Some("own"));
    assert_eq!(mine(&member, "access.read"), None);
    let group = team::group(&owner, &[&member]);
    let given =
        owner.insert("group_permissions", &json!({ "group_id": group, "permission": "*.read", "scope": "all" }));
    assert_eq!(mine(&member, "contacts.read").as_deref(), Some("all"));
    assert_eq!(mine(&member, "access.read").as_deref(), Some("all"));
    assert_eq!(mine(&member, "contacts.update").as_deref(), Some("own"));
    team::take_away(&owner, "group_permissions", id_of(&given));
    assert_eq!(mine(&member, "access.read"), None);
    anonymous("GET", "/rpc/my_permissions").send().expect(401);
    let key = Key::of(&owner, &["contacts.read", "accounts.*"]);
    let told = key.get("/rpc/my_permissions?order=permission").expect(200).column("permission");
    assert_eq!(told, ["accounts.create", "accounts.delete", "accounts.read", "accounts.update", "contacts.read"]);
    // Across organizations there is nothing to tell.
    let across = Actor::register();
    across.join(&owner.organization, "sales");
    across.logged_in(None).get("/rpc/my_permissions").expect(403);
}
