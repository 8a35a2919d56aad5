//! Requests with an organization's API key: as much as its scopes say, in its organization, as nobody.

use crm_http_tests::actor::{Actor, id_of};
use crm_http_tests::http::{Request, Response};
use crm_http_tests::machine::{Key, forbidden, invite};
use crm_http_tests::sql::{self, assert_nobody, sqlstate};
use crm_http_tests::{PASSWORD_PREFIX, admin, all, unique};
use serde_json::{Value, json};
use uuid::Uuid;

/// An owner with a contact and an account.
fn owner() -> Actor {
    let owner = Actor::register();
    owner.insert("contacts", &json!({ "last_name": "Guarded" }));
    owner.insert("accounts", &json!({ "name": "Guarded" }));
    owner
}

fn rows(answer: &Response) -> usize {
    if answer.status == 200 { answer.rows().len() } else { usize::MAX }
}

/// What a key may do with a table: how many rows it sees, and what creating, updating and deleting are answered.
fn rights(key: &Key, table: &str) -> (usize, u16, u16, u16) {
    let column = if table == "contacts" { "last_name" } else { "name" };
    let seen = rows(&key.get(&format!("/{table}")));
    let row = json!({ column: "Made" });
    (
        seen,
        key.request("POST", &format!("/{table}")).json(&row).send().status,
        key.request("PATCH", &format!("/{table}?{column}=eq.x")).json(&row).send().status,
        key.request("DELETE", &format!("/{table}?{column}=eq.x")).send().status,
    )
}

// ---------------------------------------------------------------------------------------------- scopes

#[test]
fn a_key_for_reading_contacts_changes_nothing() {
    let owner = owner();
    let key = Key::of(&owner, &["contacts.read"]);
    let contact = id_of(&key.get("/contacts").expect(200).rows()[0]);
    assert_eq!(key.get("/accounts").expect(200).rows().len(), 0);
    let before = admin::fingerprint(owner.organization.id);
    let path = format!("/contacts?id=eq.{contact}");
    let row = json!({ "org_id": owner.organization.id, "id": contact, "last_name": "Put" });
    let attempts = [
        key.post("/contacts", &json!({ "last_name": "New" })),
        key.request("POST", "/contacts?on_conflict=org_id,id").prefer("resolution=merge-duplicates").json(&row).send(),
        key.request("PUT", &format!("/contacts?org_id=eq.{}&id=eq.{contact}", owner.organization.id)).json(&row).send(),
        key.patch(&path, &json!({ "title": "x" })),
        key.delete(&path),
        key.post("/accounts", &json!({ "name": "New" })),
    ];
    assert_eq!(admin::fingerprint(owner.organization.id), before);
    all(attempts, |answer| forbidden("", &answer));
}

#[test]
fn a_key_may_do_what_its_scopes_say() {
    let cases: [(&[&str], _, _); 7] = [
        (&["contacts.*"], (1, 201, 204, 204), (0, 403, 403, 403)),
        (&["*.read"], (1, 403, 403, 403), (1, 403, 403, 403)),
        (&["*.*"], (1, 201, 204, 204), (1, 201, 204, 204)),
        (&["*.read", "contacts.create"], (1, 201, 403, 403), (1, 403, 403, 403)),
        (&["contacts.read", "accounts.update"], (1, 403, 403, 403), (0, 403, 204, 403)),
        (&["accounts.delete", "accounts.read"], (0, 403, 403, 403), (1, 403, 403, 204)),
        (&["nothing.read"], (0, 403, 403, 403), (0, 403, 403, 403)),
    ];
    all(cases, |(scopes, contacts, accounts)| {
        let key = Key::of(&owner(), scopes);
        let found = (rights(&key, "contacts"), rights(&key, "accounts"));
        if found == (contacts, accounts) { Ok(()) } else { Err(format!("{scopes:?}: {found:?}")) }
    });
}

#[test]
fn a_key_says_who_it_is() {
    let owner = owner();
    let key = Key::of(&owner, &["contacts.read", "accounts.*"]);
    let whoami = key.get("/rpc/whoami").expect(200).json();
    assert_eq!(
        whoami,
        json!({
            "authenticated": true, "user_id": null, "org_id": owner.organization.id, "role": null, "session_id": null,
            "actor_id": null, "api_key_id": key.id, "scopes": ["accounts.*", "contacts.read"], "platform": false,
            "platform_role": null, "database_role": "crm_app",
        })
    );
    assert_eq!(key.get("/rpc/current_user_id").expect(200).json(), Value::Null);
}

#[test]
fn a_key_sees_the_organization_and_its_people_only_with_the_scopes_for_that() {
    let owner = owner();
    let key = Key::of(&owner, &["contacts.*"]);
    for table in ["/organizations", "/memberships", "/users"] {
        assert_eq!(key.get(table).expect(200).rows().len(), 0, "{table}");
    }
    let key = Key::of(&owner, &["organizations.read", "memberships.read", "users.read"]);
    assert_eq!(key.get("/organizations").expect(200).column("id"), [owner.organization.id.to_string()]);
    assert_eq!(key.get("/memberships").expect(200).column("user_id"), [owner.user.to_string()]);
    assert_eq!(key.get("/users").expect(200).column("id"), [owner.user.to_string()]);
}

// ---------------------------------------------------------------------------------------------- its organization

#[test]
fn a_key_writes_as_nobody_in_its_own_organization() {
    let (owner, other) = (owner(), owner());
    let key = Key::of(&owner, &["contacts.*"]);
    let claimed = json!({
        "last_name": "Claimed", "created_by": owner.user, "updated_by": other.user, "created_at": "2000-01-01",
        "version": 7,
    });
    let row = key.post("/contacts", &claimed).expect(201).rows().remove(0);
    assert_eq!(row["org_id"], json!(owner.organization.id));
    for column in ["created_by", "updated_by", "owner_id"] {
        assert_eq!(row[column], Value::Null, "{column}");
    }
    assert_eq!(row["version"], 1);
    assert_ne!(row["created_at"], "2000-01-01T00:00:00+00:00");
    let named = json!({ "last_name": "Named", "org_id": owner.organization.id });
    key.post("/contacts", &named).expect(201);
    // Somebody's row stays theirs, whoever touches it.
    let own = owner.insert("contacts", &json!({ "last_name": "Own" }));
    let change = json!({ "title": "Changed", "updated_by": other.user });
    let changed = key.patch(&format!("/contacts?id=eq.{}", id_of(&own)), &change).expect(200).rows().remove(0);
    assert_eq!((&changed["created_by"], &changed["updated_by"]), (&json!(owner.user), &Value::Null));

    let before = admin::fingerprint(other.organization.id);
    let foreign = json!({ "last_name": "Foreign", "org_id": other.organization.id, "created_by": other.user });
    let (inserted, moved) = (
        key.post("/contacts", &foreign),
        key.patch("/contacts?last_name=eq.Named", &json!({ "org_id": other.organization.id })),
    );
    assert_eq!(admin::fingerprint(other.organization.id), before);
    assert_eq!((inserted.status, moved.status), (403, 403), "{inserted}\n{moved}");
}

#[test]
fn a_key_sees_and_changes_nothing_elsewhere() {
    let (owner, other) = (owner(), owner());
    let key = Key::of(&owner, &["*.*"]);
    let before = admin::fingerprint(other.organization.id);
    let contact = id_of(&other.get("/contacts").expect(200).rows()[0]);
    for table in ["contacts", "accounts", "memberships"] {
        let answer = key.get(&format!("/{table}?org_id=eq.{}", other.organization.id)).expect(200);
        assert_eq!(answer.rows().len(), 0, "{table}");
    }
    assert_eq!(key.get(&format!("/users?id=eq.{}", other.user)).expect(200).rows().len(), 0);
    assert_eq!(key.get(&format!("/organizations?id=eq.{}", other.organization.id)).expect(200).rows().len(), 0);
    for id in [contact, Uuid::new_v4()] {
        let path = format!("/contacts?id=eq.{id}");
        assert_eq!(key.patch(&path, &json!({ "title": "x" })).expect(200).rows().len(), 0);
        assert_eq!(key.delete(&path).expect(200).rows().len(), 0);
    }
    key.delete("/contacts").expect(200);
    assert_eq!(admin::fingerprint(other.organization.id), before);
    assert_eq!(owner.count("contacts"), 0);
}

#[test]
fn a_key_works_in_no_other_organization_by_a_header() {
    let (owner, other) = (owner(), owner());
    let key = Key::of(&owner, &["*.*"]);
    let get = |name: &str, value: &str| key.request("GET", "/contacts").header(name, value).send();
    let of = |person: &Actor| [person.organization.id.to_string(), person.organization.slug.clone()];
    let uppercase = owner.organization.slug.to_uppercase();
    for header in ["X-Org-ID", "X-Tenant-ID"] {
        for own in of(&owner).iter().chain([&uppercase]) {
            assert_eq!(get(header, own).expect(200).rows().len(), 1, "{own}");
        }
        for foreign in of(&other).iter().chain([&Uuid::new_v4().to_string(), &unique("nowhere"), &String::new()]) {
            let answer = get(header, foreign);
            assert_eq!((answer.status, answer.code()), (403, "PT403".into()), "{foreign}: {answer}");
        }
    }
    let both = key.request("GET", "/contacts").header("X-Org-ID", &owner.organization.slug);
    both.header("X-Tenant-ID", &other.organization.slug).send().expect(400);
}

// ---------------------------------------------------------------------------------------------- what is for people

#[test]
fn a_key_with_all_scopes_does_nothing_that_is_for_people() {
    let owner = owner();
    let member = Actor::member(&owner.organization, "sales");
    let key = Key::of(&owner, &["*.*"]);
    let invited = invite(&owner, &format!("{}@example.com", unique("invited")), "sales");
    let password = unique(PASSWORD_PREFIX);
    let cases = [
        ("create_api_key", json!({ "name": "Child", "scopes": ["contacts.read"] })),
        ("invite_user", json!({ "email": "friend@example.com", "role": "owner" })),
        ("revoke_invitation", json!({ "invitation_id": Uuid::new_v4() })),
        ("accept_invitation", json!({ "token": invited, "password": password })),
        ("change_password", json!({ "current_password": owner.password, "new_password": password })),
        ("request_email_verification", json!({})),
        ("logout", json!({})),
        ("logout", json!({ "everywhere": true })),
        ("end_session", json!({ "session_id": owner.session() })),
        ("my_sessions", json!({})),
        ("me", json!({})),
        ("switch_org", json!({ "organization": owner.organization.slug })),
        ("switch_org", json!({})),
        ("impersonate", json!({ "user_id": member.user, "reason": "because" })),
        ("grant_platform_role", json!({ "user_id": owner.user, "role": "support" })),
        ("org_ids_for_user", json!({ "uid": owner.user })),
        ("set_member_role", json!({ "user_id": member.user, "role": "admin" })),
        ("remove_member", json!({ "user_id": member.user })),
        ("leave_organization", json!({})),
        ("set_notification_email", json!({ "enabled": true })),
    ];
    let answers = cases.map(|(function, arguments)| key.call(function, &arguments));
    let (keys, invitations): (i64, i64) = (
        admin::value("select count(*) from crm_private.api_keys where org_id = $1", &[&owner.organization.id]),
        admin::value("select count(*) from crm_private.invitations where org_id = $1", &[&owner.organization.id]),
    );
    assert_eq!((keys, invitations, admin::count("memberships", owner.organization.id)), (1, 1, 2));
    for person in [&owner, &member] {
        person.get("/rpc/me").expect(200);
        person.logged_in(None);
    }
    all(answers, |answer| forbidden("", &answer));
}

// ---------------------------------------------------------------------------------------------- in SQL

#[test]
fn a_key_has_the_same_rights_in_sql() {
    let (owner, _other) = (owner(), owner());
    let (reader, writer) = (Key::of(&owner, &["contacts.read"]), Key::of(&owner, &["contacts.*"]));
    let mut client = sql::connect();
    let insert = "insert into crm.contacts (last_name) values ('In SQL') returning created_by, org_id";

    let mut transaction = sql::begin_as(&mut client, "crm_app").unwrap();
    let told = reader.authenticate(&mut transaction).unwrap();
    assert_eq!((&told["api_key_id"], &told["org_id"]), (&json!(reader.id), &json!(owner.organization.id)));
    assert_eq!(told["scopes"], json!(["contacts.read"]));
    assert_eq!(sql::contacts(&mut transaction), 1);
    assert_eq!(sqlstate(transaction.execute(insert, &[])), "42501");
    drop(transaction);

    let mut transaction = writer.begin(&mut client, "crm_app").unwrap();
    let row = transaction.query_one(insert, &[]).unwrap();
    assert_eq!(row.get::<_, Option<Uuid>>(0), None);
    assert_eq!(row.get::<_, Uuid>(1), owner.organization.id);
    transaction.commit().unwrap();
    assert_eq!(owner.count("contacts"), 2);
    assert_nobody(&mut client);
}

#[test]
fn a_wrong_key_makes_nobody_of_the_transaction() {
    let owner = owner();
    let key = Key::of(&owner, &["*.*"]);
    let mut client = sql::connect();
    for wrong in ["", "x", &key.text[..key.text.len() - 1], &key.prefix, owner.token(), &"x".repeat(1 << 20)] {
        assert_eq!(sqlstate(key.with_text(wrong).begin(&mut client, "crm_app")), "PT401", "{wrong:.60}");
    }
    let mut transaction = sql::begin_as(&mut client, "crm_app").unwrap();
    let state = sqlstate(transaction.query("select crm.authenticate_api_key(null)", &[]));
    assert_eq!(state, "PT401");
    drop(transaction);
    for role in ["crm_anon", "crm_multi"] {
        assert_eq!(sqlstate(key.begin(&mut client, role)), "42501", "{role}");
    }
    // Refused in an exception block, as a savepoint is, leaves who one was; without one, nobody.
    let mut transaction = key.begin(&mut client, "crm_app").unwrap();
    let mut savepoint = transaction.savepoint("attempt").unwrap();
    assert_eq!(sqlstate(key.with_text("x").authenticate(&mut savepoint)), "PT401");
    savepoint.rollback().unwrap();
    assert_eq!(sql::whoami(&mut transaction)["api_key_id"], json!(key.id));
    drop(transaction);
    assert_nobody(&mut client);
    let request = Request::new("GET", "/contacts").header("Authorization", &format!("Bearer {}", key.text));
    request.send().expect(401);
}
