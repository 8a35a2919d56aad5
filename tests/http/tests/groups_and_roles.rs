//! Roles and groups of an organization's own: what they let people do, from the next request on.

use std::collections::BTreeSet;
use std::process::Command;

use crm_http_tests::actor::{Actor, id_of};
use crm_http_tests::machine::many;
use crm_http_tests::office::{NOBODY, OTHER, OWN, Office, TEAM, names, seen};
use crm_http_tests::team::refused;
use crm_http_tests::{admin, all, document, setting, team};
use serde_json::{Value, json};
use uuid::Uuid;

// ---------------------------------------------------------------------------------------------- as documented

#[test]
fn an_administrator_pastes_the_lines_of_the_document_and_they_work() {
    let office = Office::of("sales");
    let administrator = Actor::member(&office.owner.organization, "admin");
    let lines = document::shell_block(&document::read("docs/permissions.md"), "## Own roles and groups");
    assert!(lines.contains("\"user_id\": \"…\""), "{lines}");
    let lines = lines.replace("\"user_id\": \"…\"", &format!("\"user_id\": \"{}\"", office.actor.user));
    let run = Command::new("bash")
        .args(["-euo", "pipefail", "-c", &lines])
        .env("API", setting("CRM_TEST_URL"))
        .env("AUTH", format!("Authorization: Bearer {}", administrator.token()))
        .output()
        .unwrap();
    let shown = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "{shown}{}", String::from_utf8_lossy(&run.stderr));
    assert_eq!(
        serde_json::from_str::<Value>(&shown).unwrap(),
        json!({ "user_id": office.actor.user, "role": "analyst" })
    );
    // A role that sees all contacts and changes those of its teams.
    assert_eq!(seen(&office.actor), [NOBODY, OTHER, OWN, TEAM]);
    assert_eq!([OWN, TEAM, OTHER, NOBODY].map(|name| office.changes(name)), [200, 200, 403, 403]);
    refused(&office.actor.delete(&office.path(OWN))).unwrap();
    refused(&office.actor.post("/contacts", &json!({ "last_name": "New" }))).unwrap();
    assert_eq!(office.actor.get("/accounts").expect(200).text(), "[]");
}

#[test]
fn an_administrator_widens_a_built_in_role_as_the_document_says() {
    let (office, elsewhere) = (Office::of("sales"), Office::of("sales"));
    let document = document::read("docs/permissions.md");
    let row = document.split('`').find(|text| text.starts_with("{\"role\": \"sales\"")).unwrap();
    assert_eq!(seen(&office.actor), [OWN]);
    let added = office.owner.insert("role_permissions", &serde_json::from_str(row).unwrap());
    // Lets its salespeople see all contacts, and in no other organization.
    assert_eq!(seen(&office.actor), [NOBODY, OTHER, OWN, TEAM]);
    assert_eq!(seen(&elsewhere.actor), [OWN]);
    assert_eq!([OWN, TEAM].map(|name| office.changes(name)), [200, 403]);
    team::take_away(&office.owner, "role_permissions", id_of(&added));
    assert_eq!(seen(&office.actor), [OWN]);
}

// ---------------------------------------------------------------------------------------------- where permissions come from

/// Grants something in one way, and takes it away again: both are in force at the next request, with the same token.
fn comes_and_goes(role: &str, change: impl Fn(&Office) -> (&'static str, Uuid), with: &[&str], without: &[&str]) {
    let office = Office::of(role);
    for _ in 0..2 {
        assert_eq!(seen(&office.actor), without);
        let (table, id) = change(&office);
        assert_eq!(seen(&office.actor), with);
        team::take_away(&office.owner, table, id);
    }
    assert_eq!(seen(&office.actor), without);
}

#[test]
fn what_a_role_is_given_is_in_force_at_the_next_request() {
    let widen = |office: &Office| ("role_permissions", team::widen(&office.owner, "sales", "contacts.read", "team"));
    comes_and_goes("sales", widen, &[OWN, TEAM], &[OWN]);
}

#[test]
fn what_a_group_is_given_is_in_force_at_the_next_request() {
    let give = |office: &Office| {
        let row = json!({ "group_id": office.group, "permission": "contacts.*", "scope": "all" });
        ("group_permissions", id_of(&office.owner.insert("group_permissions", &row)))
    };
    comes_and_goes("sales", give, &[NOBODY, OTHER, OWN, TEAM], &[OWN]);
}

#[test]
fn the_role_of_a_group_is_in_force_at_the_next_request() {
    let give = |office: &Office| {
        let row = json!({ "group_id": office.group, "role": "manager" });
        ("group_roles", id_of(&office.owner.insert("group_roles", &row)))
    };
    comes_and_goes("sales", give, &[OWN, TEAM], &[OWN]);
}

#[test]
fn who_joins_a_group_is_seen_by_its_managers_at_the_next_request() {
    let put = |office: &Office| ("group_members", team::put_into(&office.owner, office.group, &office.other));
    comes_and_goes("manager", put, &[OTHER, OWN, TEAM], &[OWN, TEAM]);
}

#[test]
fn a_group_that_is_deleted_takes_what_it_gave() {
    let office = Office::of("manager");
    let wide = team::group(&office.owner, &[&office.actor]);
    office.owner.insert("group_permissions", &json!({ "group_id": wide, "permission": "*.read", "scope": "all" }));
    assert_eq!(seen(&office.actor), [NOBODY, OTHER, OWN, TEAM]);
    team::take_away(&office.owner, "groups", wide);
    assert_eq!(seen(&office.actor), [OWN, TEAM]);
    team::take_away(&office.owner, "groups", office.group);
    assert_eq!(seen(&office.actor), [OWN]);
}

#[test]
fn a_scope_that_is_changed_is_in_force_at_the_next_request() {
    let office = Office::of("read_only");
    let role = team::role(&office.owner, 10, &[]);
    let id = team::widen(&office.owner, &role, "contacts.*", "own");
    let given = json!({ "user_id": office.actor.user, "role": role });
    office.owner.post("/rpc/set_member_role", &given).expect(200);
    for (scope, sees) in [
        ("own", &[OWN][..]),
        ("team", &[OWN, TEAM]),
        ("all", &[NOBODY, OTHER, OWN, TEAM]),
        ("team", &[OWN, TEAM]),
        ("own", &[OWN]),
    ] {
        office.owner.patch(&format!("/role_permissions?id=eq.{id}"), &json!({ "scope": scope })).expect(200);
        assert_eq!(seen(&office.actor), sees, "{scope}");
    }
}

#[test]
fn writing_comes_and_goes_with_the_grant_too() {
    let office = Office::of("read_only");
    let insert = || office.actor.request("POST", "/contacts").json(&json!({ "last_name": "x" })).send();
    for _ in 0..2 {
        assert_eq!(many(insert), [403]);
        let given = team::widen(&office.owner, "read_only", "contacts.create", "own");
        assert_eq!(many(insert), [201]);
        team::take_away(&office.owner, "role_permissions", given);
    }
    assert_eq!(many(insert), [403]);
}

#[test]
fn a_role_keeps_its_people_when_it_is_renamed_and_cannot_go_while_it_has_some() {
    let office = Office::of("read_only");
    let (role, renamed) = (team::role(&office.owner, 10, &[("contacts.read", "own")]), team::role_name());
    let given = json!({ "user_id": office.actor.user, "role": role });
    office.owner.post("/rpc/set_member_role", &given).expect(200);
    office.owner.patch(&format!("/roles?name=eq.{role}"), &json!({ "name": renamed })).expect(200);
    assert_eq!(office.actor.get("/rpc/whoami").expect(200).json()["role"], json!(renamed));
    assert_eq!(seen(&office.actor), [OWN]);
    let path = format!("/roles?name=eq.{renamed}");
    office.owner.delete(&path).expect(409);
    assert_eq!(seen(&office.actor), [OWN]);
    let given = json!({ "user_id": office.actor.user, "role": "read_only" });
    office.owner.post("/rpc/set_member_role", &given).expect(200);
    assert_eq!(office.owner.delete(&path).expect(200).rows().len(), 1);
    assert_eq!(office.owner.get(&format!("/role_permissions?role=eq.{renamed}")).expect(200).text(), "[]");
}

#[test]
fn nobody_changes_or_deletes_a_built_in_role_or_adds_to_the_owners() {
    let office = Office::of("admin");
    let attempts = |who: &Actor| {
        [
            who.patch("/roles?name=eq.sales", &json!({ "title": "x" })),
            who.patch("/roles?name=eq.sales", &json!({ "built_in": false })),
            who.delete("/roles?name=eq.sales"),
            who.post("/roles", &json!({ "name": team::role_name(), "built_in": true })),
            who.post("/role_permissions", &json!({ "role": "owner", "permission": "contacts.read", "scope": "all" })),
        ]
    };
    for who in [&office.actor, &office.owner] {
        all(attempts(who), |answer| refused(&answer));
    }
    for (row, status) in [
        (json!({ "role": "sales", "permission": "nothing.read", "scope": "all" }), 400),
        (json!({ "role": "sales", "permission": "contacts.fly", "scope": "all" }), 400),
        (json!({ "role": "sales", "permission": "contacts", "scope": "all" }), 400),
        (json!({ "role": "sales", "permission": "contacts.read", "scope": "everybody" }), 400),
        (json!({ "role": "nobodys", "permission": "contacts.read", "scope": "all" }), 403),
    ] {
        let answer = office.owner.post("/role_permissions", &row);
        assert_eq!(answer.status, status, "{answer}");
    }
}

#[test]
fn an_administrator_is_shown_the_role_they_make_and_the_one_they_change() {
    let office = Office::of("admin");
    for who in [&office.owner, &office.actor] {
        let name = team::role_name();
        let made = who.request("POST", "/roles").prefer("return=representation").json(&json!({ "name": name })).send();
        let made = made.expect(201).rows().remove(0);
        assert_eq!((&made["name"], &made["rank"], &made["built_in"]), (&json!(name), &json!(10), &json!(false)));
        let (path, renamed) = (format!("/roles?id=eq.{}", id_of(&made)), team::role_name());
        for change in [json!({ "name": renamed }), json!({ "rank": 20 }), json!({ "title": "Renamed" })] {
            let changed = who.patch(&path, &change).expect(200).rows().remove(0);
            let (member, value) = change.as_object().unwrap().iter().next().unwrap();
            assert_eq!(changed[member], *value);
        }
    }
}

#[test]
fn who_has_a_role_without_permissions_is_known_and_sees_nothing() {
    let office = Office::with_only(&[]);
    let me = office.actor.get("/rpc/me").expect(200).json();
    assert_eq!(me["organization"]["id"], json!(office.owner.organization.id));
    for table in [
        "contacts",
        "accounts",
        "memberships",
        "permissions",
        "built_in_roles",
        "built_in_permissions",
        "roles",
        "role_permissions",
        "groups",
        "group_members",
        "group_permissions",
        "group_roles",
        "rpc/my_permissions",
    ] {
        assert_eq!(office.actor.get(&format!("/{table}")).expect(200).text(), "[]", "{table}");
    }
    // Whom they belong to, everybody is told.
    let listed: BTreeSet<_> = office.actor.get("/organizations").expect(200).column("id").into_iter().collect();
    let own = [office.owner.organization.id, office.actor.organization.id].map(|id| id.to_string());
    assert_eq!(listed, BTreeSet::from(own));
    assert_eq!(office.actor.get("/users").expect(200).column("id"), [office.actor.user.to_string()]);
    let attempts = [
        office.actor.patch(&format!("/organizations?id=eq.{}", office.owner.organization.id), &json!({ "name": "x" })),
        office.actor.post("/contacts", &json!({ "last_name": "x" })),
        office.actor.patch("/contacts", &json!({ "title": "x" })),
        office.actor.delete("/contacts"),
    ];
    all(attempts, |answer| refused(&answer));
}

#[test]
fn who_may_write_what_they_cannot_read_reads_nothing_by_writing() {
    let office =
        Office::with_only(&[("contacts.create", "own"), ("contacts.update", "all"), ("contacts.delete", "all")]);
    let contacts = || admin::count("contacts", office.owner.organization.id);
    let before = contacts();
    office.actor.post("/contacts", &json!({ "last_name": "Dropped" })).expect(201);
    let shown = office.actor.request("POST", "/contacts").prefer("return=representation");
    refused(&shown.json(&json!({ "last_name": "Shown" })).send()).unwrap();
    assert_eq!(office.actor.patch("/contacts?id=not.is.null", &json!({ "title": "x" })).expect(200).text(), "[]");
    assert_eq!(office.actor.delete("/contacts?id=not.is.null").expect(200).text(), "[]");
    assert_eq!(office.actor.count("contacts"), 0);
    assert_eq!(contacts(), before + 1);
}

// ---------------------------------------------------------------------------------------------- teams

#[test]
fn a_manager_sees_and_changes_the_rows_of_the_team_and_no_others() {
    let office = Office::of("manager");
    assert_eq!(seen(&office.actor), [OWN, TEAM]);
    assert_eq!([OWN, TEAM].map(|name| office.changes(name)), [200, 200]);
    for name in [OTHER, NOBODY] {
        let before = office.contact(name);
        assert_eq!(office.actor.patch(&office.path(name), &json!({ "title": "x" })).expect(200).text(), "[]");
        assert_eq!(office.actor.delete(&office.path(name)).expect(200).text(), "[]");
        assert_eq!(office.contact(name), before);
    }
    // For a colleague, and not for somebody else.
    for (person, status) in [(&office.colleague, 201), (&office.other, 403)] {
        let row = json!({ "last_name": "For somebody", "owner_id": person.user });
        office.actor.post("/contacts", &row).expect(status);
    }
    assert_eq!(office.actor.delete(&office.path(TEAM)).expect(200).rows().len(), 1);
}

#[test]
fn a_team_in_one_organization_is_none_in_another() {
    let office = Office::of("manager");
    // The same two people, both members elsewhere, where they are in no group.
    let elsewhere = Actor::register();
    office.actor.join(&elsewhere.organization, "manager");
    office.colleague.join(&elsewhere.organization, "sales");
    let row = json!({ "last_name": "Elsewhere", "owner_id": office.colleague.user });
    elsewhere.insert("contacts", &row);
    assert_eq!(names(&office.actor.working_in(&elsewhere.organization.slug).get("/contacts")), [""; 0]);
    let across = office.actor.logged_in(None);
    assert_eq!(across.get("/rpc/whoami").expect(200).json()["database_role"], "crm_multi");
    assert_eq!(names(&across.get("/contacts")), [OWN, TEAM]);
    team::group(&elsewhere, &[&office.actor, &office.colleague]);
    assert_eq!(names(&across.get("/contacts")), ["Elsewhere", OWN, TEAM]);
    assert_eq!(names(&office.actor.get("/contacts")), [OWN, TEAM]);
}
