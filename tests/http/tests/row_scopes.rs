//! Rows beyond one's scope: not given away, not taken, not changed in passing, not counted.

use crm_http_tests::actor::id_of;
use crm_http_tests::http::{Request, text};
use crm_http_tests::machine::{Key, forbidden};
use crm_http_tests::office::{NOBODY, OTHER, OWN, Office, TEAM, names};
use crm_http_tests::team::refused;
use crm_http_tests::{admin, all, team};
use serde_json::{Value, json};

// ---------------------------------------------------------------------------------------------- writing

#[test]
fn nobody_gives_a_record_away_beyond_their_scope() {
    let cases = [
        ("sales", [403, 403, 403, 403]),
        ("support", [403, 403, 403, 403]),
        ("manager", [200, 403, 403, 403]),
        ("admin", [200, 200, 200, 200]),
    ];
    all(cases, |(role, expected)| {
        let office = Office::of(role);
        let to = [Some(office.colleague.user), Some(office.other.user), None, Some(office.owner.user)];
        let mut found = vec![];
        for owner in to {
            let before = office.contact(OWN);
            let answer = office.actor.patch(&office.path(OWN), &json!({ "owner_id": owner }));
            let given = office.contact(OWN)["owner_id"] == json!(owner);
            if given != (answer.status == 200) || (!given && office.contact(OWN) != before) {
                return Err(format!("{role}: {answer}"));
            }
            found.push(answer.status);
            admin::execute(
                "update crm.contacts set owner_id = $1 where id = $2",
                &[&office.actor.user, &id_of(&before)],
            );
        }
        if found == expected { Ok(()) } else { Err(format!("{role}: {found:?}")) }
    });
}

#[test]
fn nobody_takes_a_record_that_they_only_see() {
    let office = Office::of("support");
    for name in [TEAM, OTHER, NOBODY] {
        let before = office.contact(name);
        let take = office.actor.patch(&office.path(name), &json!({ "owner_id": office.actor.user }));
        refused(&take).unwrap();
        assert_eq!(office.contact(name), before);
    }
}

#[test]
fn a_bulk_change_that_reaches_one_foreign_row_is_refused_whole() {
    let office = Office::of("support");
    let everything = || admin::fingerprint(office.owner.organization.id);
    let before = everything();
    for path in ["/contacts", "/contacts?external_id=in.(own,other)", "/contacts?order=id", "/contacts?last_name=neq.x"]
    {
        let answer = office.actor.patch(path, &json!({ "title": "Everybody" }));
        refused(&answer).unwrap();
        assert!(answer.text().contains("contacts.update"), "{answer}");
        assert_eq!(everything(), before, "{path}");
    }
    let own = office.actor.patch("/contacts?external_id=in.(own)", &json!({ "title": "Mine" })).expect(200);
    assert_eq!(names(&own), [OWN]);
    // Who does not see the others reaches only their own.
    let salesperson = Office::of("sales");
    assert_eq!(names(&salesperson.actor.patch("/contacts", &json!({ "title": "Mine" })).expect(200)), [OWN]);
    let changed: i64 = admin::value(
        "select count(*) from crm.contacts where org_id = $1 and title = 'Mine'",
        &[&salesperson.owner.organization.id],
    );
    assert_eq!(changed, 1);
    let mixed = [
        json!({ "last_name": "Mine", "owner_id": salesperson.actor.user }),
        json!({ "last_name": "Theirs", "owner_id": salesperson.other.user }),
    ];
    let before = admin::count("contacts", salesperson.owner.organization.id);
    refused(&salesperson.actor.post("/contacts", &json!(mixed))).unwrap();
    assert_eq!(admin::count("contacts", salesperson.owner.organization.id), before);
}

#[test]
fn deleting_a_row_that_one_sees_and_may_not_delete_is_refused() {
    let office = Office::of("sales");
    team::widen(&office.owner, "sales", "contacts.read", "all");
    let before = admin::fingerprint(office.owner.organization.id);
    for path in [office.path(TEAM), office.path(OTHER), office.path(NOBODY), "/contacts".into()] {
        let answer = office.actor.delete(&path);
        refused(&answer).unwrap();
        assert!(answer.text().contains("contacts.delete"), "{answer}");
    }
    assert_eq!(admin::fingerprint(office.owner.organization.id), before);
    assert_eq!(names(&office.actor.delete(&office.path(OWN)).expect(200)), [OWN]);
}

/// By each key that an upsert can go by.
fn upsert(office: &Office, key: &str, name: &str, resolution: &str) -> Request {
    let contact = office.contact(name);
    let mut row = json!({ "last_name": "Upserted" });
    row[key] = contact[key].clone();
    office
        .actor
        .request("POST", &format!("/contacts?on_conflict=org_id,{key}"))
        .prefer(&format!("resolution={resolution}, return=representation"))
        .json(&row)
}

#[test]
fn an_upsert_onto_a_colleagues_row_changes_and_tells_nothing() {
    let (blind, seeing) = (Office::of("sales"), Office::of("support"));
    for office in [&blind, &seeing] {
        for (key, name) in [("id", TEAM), ("external_id", TEAM), ("id", NOBODY), ("external_id", OTHER)] {
            let before = admin::fingerprint(office.owner.organization.id);
            let merged = upsert(office, key, name, "merge-duplicates").send();
            refused(&merged).unwrap();
            let contact = office.contact(name);
            assert!(!merged.text().contains(&text(&contact["last_name"])), "{merged}");
            let ignored = upsert(office, key, name, "ignore-duplicates").send();
            assert!([200, 201].contains(&ignored.status), "{ignored}");
            assert_eq!(ignored.text(), "[]");
            assert_eq!(admin::fingerprint(office.owner.organization.id), before);
        }
        let own = upsert(office, "external_id", OWN, "merge-duplicates").send().expect(200).rows().remove(0);
        assert_eq!((&own["last_name"], &own["owner_id"]), (&json!("Upserted"), &json!(office.actor.user)));
    }
}

// ---------------------------------------------------------------------------------------------- reading

#[test]
fn what_is_embedded_is_as_far_as_ones_scope() {
    let office = Office::of("manager");
    // The colleague's contact belongs to an account that is another's, and the other way round.
    let account = |name: &str| office.contact(name)["account_id"].clone();
    let (of_team, of_other) = (account(TEAM), account(OTHER));
    office.owner.patch(&office.path(TEAM), &json!({ "account_id": of_other })).expect(200);
    office.owner.patch(&office.path(OTHER), &json!({ "account_id": of_team })).expect(200);
    let contacts = office.actor.get("/contacts?select=*,account:accounts(name)&order=last_name").expect(200).rows();
    let pairs: Vec<_> =
        contacts.iter().map(|contact| (text(&contact["last_name"]), contact["account"].clone())).collect();
    assert_eq!(pairs, [(OWN.to_owned(), json!({ "name": OWN })), (TEAM.to_owned(), Value::Null)]);
    let inner = office.actor.get("/contacts?select=last_name,account:accounts!inner(name)").expect(200);
    assert_eq!(names(&inner), [OWN]);
    let by_account = office.actor.get("/contacts?select=last_name,accounts!inner()&accounts.name=eq.Other").expect(200);
    assert_eq!(by_account.text(), "[]");
    let accounts = office.actor.get("/accounts?select=name,contacts(last_name)&order=name").expect(200).json();
    assert_eq!(
        accounts,
        json!([{ "name": OWN, "contacts": [{ "last_name": OWN }] }, { "name": TEAM, "contacts": [] }])
    );
    let counted = office.actor.get("/accounts?select=name,contacts(count)&order=name").expect(200).json();
    assert_eq!(counted[1], json!({ "name": TEAM, "contacts": [{ "count": 0 }] }));
}

#[test]
fn an_exact_count_is_of_what_one_sees() {
    for (role, contacts, named) in [("sales", 1, 1), ("manager", 2, 1), ("support", 4, 2), ("admin", 4, 2)] {
        let office = Office::of(role);
        assert_eq!(office.actor.count("contacts"), contacts, "{role}");
        assert_eq!(office.actor.count("accounts"), contacts, "{role}");
        assert_eq!(office.actor.count("contacts?external_id=in.(own,other)"), named, "{role}");
        let page = office.actor.request("GET", "/contacts?limit=1&order=id").prefer("count=exact").send();
        let status = if contacts == 1 { 200 } else { 206 };
        assert_eq!(page.header("Content-Range"), Some(format!("0-0/{contacts}").as_str()), "{role}: {page}");
        page.expect(status);
        let changed = office.actor.request("PATCH", "/contacts?external_id=eq.own").prefer("count=exact");
        let changed = changed.json(&json!({ "title": "x" })).send();
        assert_eq!(changed.header("Content-Range"), Some("0-0/1"), "{changed}");
    }
}

#[test]
fn a_key_has_its_scopes_for_all_rows_and_looks_after_no_roles() {
    let office = Office::of("sales");
    let key = Key::of(&office.owner, &["contacts.*", "roles.*", "role_permissions.*"]);
    assert_eq!(names(&key.get("/contacts")), [NOBODY, OTHER, OWN, TEAM]);
    assert_eq!(key.get("/roles").expect(200).text(), "[]");
    let attempts = [
        key.post("/roles", &json!({ "name": team::role_name(), "rank": 1 })),
        key.post("/role_permissions", &json!({ "role": "sales", "permission": "contacts.read", "scope": "all" })),
    ];
    all(attempts, |answer| forbidden("", &answer));
    assert_eq!(key.patch("/contacts", &json!({ "title": "x" })).expect(200).rows().len(), 4);
}
