//! Somebody who belongs to two organizations, and what each role may do in one.

use crm_http_tests::actor::{self, Actor, id_of};
use crm_http_tests::http::{Request, Response};
use crm_http_tests::{admin, all, team};
use serde_json::{Value, json};
use uuid::Uuid;

struct Both {
    first: Actor,
    second: Actor,
    guest: Actor,
}

/// A member of two organizations, each with a contact of its own: in a team with the first one's owner, a reader in the
/// second.
fn both() -> Both {
    let (first, second, guest) = (Actor::register(), Actor::register(), Actor::register());
    // Their own organization ends, so that there are two.
    admin::execute("update crm.organizations set status = 'cancelled' where id = $1", &[&guest.organization.id]);
    for (owner, name, role) in [(&first, "First", "manager"), (&second, "Second", "read_only")] {
        let account = owner.insert("accounts", &json!({ "name": format!("{name} account") }));
        owner.insert("contacts", &json!({ "last_name": name, "account_id": account["id"] }));
        guest.join(&owner.organization, role);
    }
    team::group(&first, &[&first, &guest]);
    let guest = guest.logged_in(None);
    Both { first, second, guest }
}

fn names(answer: Response) -> Vec<String> {
    answer.expect(200).column("last_name")
}

#[test]
fn a_member_of_both_sees_both_without_an_active_organization() {
    let Both { first, second, guest } = both();
    assert_eq!(guest.get("/rpc/whoami").expect(200).json()["database_role"], "crm_multi");
    assert_eq!(names(guest.get("/contacts?order=last_name")), ["First", "Second"]);
    // Their own, which was cancelled, is listed too.
    assert_eq!(guest.count("organizations"), 3);
    assert_eq!(guest.count("accounts"), 2);
    let embedded = guest.get("/contacts?select=last_name,account:accounts(name)&order=last_name").expect(200).json();
    assert_eq!(embedded[1], json!({ "last_name": "Second", "account": { "name": "Second account" } }));
    for owner in [&first, &second] {
        assert_eq!(owner.count("contacts"), 1);
        assert_eq!(owner.count("users"), 2);
    }
}

#[test]
fn a_member_of_both_sees_one_with_the_header_and_one_with_a_token_for_it() {
    let Both { first, second, guest } = both();
    for (owner, name) in [(&first, "First"), (&second, "Second")] {
        let organization = owner.organization.id.to_string();
        for guest in [guest.working_in(&organization), guest.logged_in(Some(&organization))] {
            assert_eq!(names(guest.get("/contacts")), [name]);
            assert_eq!(guest.count("users"), 2);
        }
    }
    // The header wins over the token.
    let elsewhere = guest.logged_in(Some(&first.organization.slug)).working_in(&second.organization.slug);
    assert_eq!(names(elsewhere.get("/contacts")), ["Second"]);
}

#[test]
fn a_member_of_both_sees_only_the_memberships_of_the_one_they_work_in() {
    let Both { first, guest, .. } = both();
    let organization = first.organization.id.to_string();
    let in_token = guest.logged_in(Some(&organization));
    let in_header = guest.working_in(&organization);
    all([("token", in_token), ("header", in_header)], |(how, guest)| {
        let memberships = guest.get("/memberships?select=org_id&order=user_id").expect(200).column("org_id");
        if memberships == [organization.as_str(), &organization] {
            Ok(())
        } else {
            Err(format!("named in the {how}: memberships {memberships:?}"))
        }
    });
}

#[test]
fn a_member_of_both_names_the_organization_of_what_they_insert() {
    let Both { first, second, guest } = both();
    let unnamed = guest.post("/contacts", &json!({ "last_name": "Whose" }));
    assert_eq!(unnamed.status, 400, "{unnamed}");
    assert!(unnamed.text().contains("org_id"), "{unnamed}");
    let named = guest.insert("contacts", &json!({ "last_name": "Named", "org_id": first.organization.id }));
    assert_eq!(named["created_by"], json!(guest.user));
    let in_header = guest.working_in(&first.organization.slug);
    assert_eq!(in_header.insert("contacts", &json!({ "last_name": "Header" }))["org_id"], json!(first.organization.id));
    // Only a reader there, and a stranger elsewhere.
    for organization in [second.organization.id, Actor::register().organization.id, Uuid::new_v4()] {
        guest.post("/contacts", &json!({ "last_name": "No", "org_id": organization })).expect(403);
    }
    assert_eq!(first.count("contacts"), 3);
    assert_eq!(second.count("contacts"), 1);
}

#[test]
fn a_member_of_both_looks_after_roles_and_groups_in_one_at_a_time() {
    let Both { first, guest, .. } = both();
    admin::execute("update crm.memberships set role = 'admin' where user_id = $1", &[&guest.user]);
    let there = guest.logged_in(Some(&first.organization.slug));
    let tables = ["roles", "role_permissions", "groups", "group_members", "group_permissions", "group_roles"];
    for table in tables.into_iter().chain(["permissions", "built_in_roles", "built_in_permissions"]) {
        let path = format!("/{table}");
        guest.get(&path).expect(403);
        guest.post(&path, &json!({})).expect(403);
        guest.delete(&path).expect(403);
        there.get(&path).expect(200);
    }
}

#[test]
fn a_member_of_both_cannot_move_or_link_a_row_from_one_to_the_other() {
    let Both { first, second, guest } = both();
    // A writer in both, so that only the rules about organizations stand in the way.
    admin::execute("update crm.memberships set role = 'admin' where user_id = $1", &[&guest.user]);
    let contact = id_of(&first.get("/contacts").expect(200).rows()[0]);
    let foreign_account = id_of(&second.get("/accounts").expect(200).rows()[0]);
    let path = format!("/contacts?id=eq.{contact}");
    for (change, status) in [
        (json!({ "org_id": second.organization.id }), 403),
        (json!({ "account_id": foreign_account }), 409),
        (json!({ "org_id": second.organization.id, "account_id": foreign_account }), 403),
        (json!({ "owner_id": second.user }), 409),
    ] {
        guest.patch(&path, &change).expect(status);
    }
    let row = json!({ "last_name": "x", "org_id": first.organization.id, "account_id": foreign_account });
    guest.post("/contacts", &row).expect(409);
    assert_eq!((first.count("contacts"), second.count("contacts")), (1, 1));
}

#[test]
fn a_member_of_both_changes_only_where_their_role_allows() {
    let Both { first, second, guest } = both();
    let before = admin::fingerprint(second.organization.id);
    let change = json!({ "title": "Changed" });
    // What is seen in one and may not be changed there is not passed over in silence: nothing changes in the other.
    let first_before = admin::fingerprint(first.organization.id);
    for path in ["/contacts?last_name=in.(First,Second)", "/contacts?last_name=eq.Second"] {
        assert_eq!(guest.patch(path, &change).expect(403).code(), "42501", "{path}");
    }
    assert_eq!(guest.delete("/accounts").expect(403).code(), "42501");
    assert_eq!(admin::fingerprint(first.organization.id), first_before);
    let changed = guest.patch("/contacts?last_name=eq.First", &change).expect(200);
    assert_eq!(changed.column("last_name"), ["First"]);
    let deleted = guest.delete(&format!("/accounts?org_id=eq.{}", first.organization.id)).expect(200);
    assert_eq!(deleted.column("name"), ["First account"]);
    assert_eq!(admin::fingerprint(second.organization.id), before);
    assert_eq!(first.count("accounts"), 0);
}

// ---------------------------------------------------------------------------------------------- roles

/// The statuses of a POST, of an upsert and a PUT over the contact, of a PATCH and a DELETE of it; and which of the last
/// four leave it as it was.
fn writes(member: &Actor, owner: &Actor, contact: &Value) -> Vec<(&'static str, u16, bool)> {
    let (org, id) = (owner.organization.id, id_of(contact));
    let row = json!({ "org_id": org, "id": id, "last_name": "Put", "owner_id": contact["owner_id"] });
    let stored =
        || admin::value::<Option<Value>>("select (select to_jsonb(c) from crm.contacts as c where id = $1)", &[&id]);
    let attempts: [(&str, Request); 5] = [
        ("POST", member.request("POST", "/contacts").json(&json!({ "last_name": "New" }))),
        (
            "upsert",
            member.request("POST", "/contacts?on_conflict=org_id,id").prefer("resolution=merge-duplicates").json(&row),
        ),
        ("PUT", member.request("PUT", &format!("/contacts?org_id=eq.{org}&id=eq.{id}")).json(&row)),
        ("PATCH", member.request("PATCH", &format!("/contacts?id=eq.{id}")).json(&json!({ "title": "x" }))),
        ("DELETE", member.request("DELETE", &format!("/contacts?id=eq.{id}"))),
    ];
    let attempts = attempts.into_iter().map(|(verb, request)| {
        let before = stored();
        let status = request.send().status;
        (verb, status, verb != "POST" && stored() == before)
    });
    attempts.collect()
}

#[test]
fn a_member_writes_the_contacts_that_their_role_reaches_in_every_way_or_in_none() {
    let owner = Actor::register();
    let everything = [("POST", 201), ("upsert", 200), ("PUT", 204), ("PATCH", 204), ("DELETE", 204)];
    let refused = everything.map(|(verb, _)| (verb, 403));
    // A row that one does not see is as if there were none.
    let unseen = [("POST", 201), ("upsert", 403), ("PUT", 403), ("PATCH", 204), ("DELETE", 204)];
    let seen = [("POST", 201), ("upsert", 403), ("PUT", 403), ("PATCH", 403), ("DELETE", 403)];
    let kept = [("POST", 201), ("upsert", 200), ("PUT", 204), ("PATCH", 204), ("DELETE", 403)];
    all(
        [
            ("owner", everything, everything),
            ("admin", everything, everything),
            ("manager", everything, everything),
            ("sales", everything, unseen),
            ("support", kept, seen),
            ("read_only", refused, refused),
        ],
        |(role, own, theirs)| {
            let member = Actor::member(&owner.organization, role);
            team::group(&owner, &[&owner, &member]);
            assert_eq!(member.get("/rpc/whoami").expect(200).json()["role"], role);
            for (whose, statuses) in [(member.user, own), (owner.user, theirs)] {
                let contact = owner.insert("contacts", &json!({ "last_name": "Old", "owner_id": whose }));
                let unharmed = |verb, status| verb != "POST" && (status == 403 || statuses == unseen);
                let expected = statuses.map(|(verb, status)| (verb, status, unharmed(verb, status)));
                let done = writes(&member, &owner, &contact);
                if done != expected {
                    return Err(format!("{role}, own: {}: {done:?}", whose == member.user));
                }
            }
            Ok(())
        },
    );
}

#[test]
fn nobody_writes_the_tables_of_identity() {
    let owner = Actor::register();
    for table in ["users", "memberships", "organizations"] {
        owner.post(&format!("/{table}"), &json!({})).expect(403);
        owner.patch(&format!("/{table}"), &json!({ "status": "active" })).expect(403);
        owner.delete(&format!("/{table}?status=eq.active")).expect(403);
    }
    for (table, column) in [("permissions", "action"), ("built_in_roles", "name"), ("built_in_permissions", "scope")] {
        owner.post(&format!("/{table}"), &json!({})).expect(403);
        owner.patch(&format!("/{table}"), &json!({ column: "all" })).expect(403);
        owner.delete(&format!("/{table}?{column}=neq.x")).expect(403);
    }
}

#[test]
fn nobody_reaches_what_is_private() {
    let owner = Actor::register();
    for table in ["signing_keys", "passwords", "sessions", "settings", "schema_version"] {
        for path in [format!("/{table}"), format!("/crm_private.{table}")] {
            owner.get(&path).expect(404);
        }
        let path = format!("/{table}");
        owner.request("GET", &path).header("Accept-Profile", "crm_private").send().expect(406);
        owner.request("POST", &path).header("Content-Profile", "crm_private").json(&json!({})).send().expect(406);
    }
    for (function, argument) in [
        ("issue_token", json!({ "user_id": owner.user })),
        ("rotate_signing_key", json!({ "alg": "RS256" })),
        ("load_demo", json!({ "password": "kzq-passphrase-demo" })),
        ("enroll", json!({ "target": "crm.contacts" })),
        ("unenroll", json!({ "target": "crm.contacts" })),
        ("check_enrollment", json!({})),
        ("doctor", json!({})),
    ] {
        owner.post(&format!("/rpc/{function}"), &argument).expect(403);
        actor::anonymous("POST", &format!("/rpc/{function}")).json(&argument).send().expect(401);
    }
}
