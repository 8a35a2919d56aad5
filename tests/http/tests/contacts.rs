//! What people do all day: contacts and their accounts.

use std::thread;
use std::time::Duration;

use crm_http_tests::actor::{Actor, id_of};
use crm_http_tests::http::{Response, text};
use crm_http_tests::{admin, team};
use serde_json::{Value, json};

#[test]
fn a_user_adds_a_contact_and_the_database_fills_in_the_rest() {
    let user = Actor::register();
    let sent = json!({
        "first_name": " Ada ", "last_name": "Lovelace", "email": " Ada@Example.COM ", "phone": "+44 20 7946 0958",
        // A client's stamps do not count.
        "version": 99, "created_by": "00000000-0000-0000-0000-000000000001", "created_at": "2001-01-01",
        "updated_by": "00000000-0000-0000-0000-000000000001", "updated_at": "2001-01-01",
    });
    let contact = user.insert("contacts", &sent);
    for (column, expected) in [
        ("first_name", json!("Ada")),
        ("email", json!("ada@example.com")),
        ("phone", json!("+44 20 7946 0958")),
        ("phone_normalized", json!("+442079460958")),
        ("org_id", json!(user.organization.id)),
        ("owner_id", json!(user.user)),
        ("created_by", json!(user.user)),
        ("updated_by", json!(user.user)),
        ("version", json!(1)),
        ("status", json!("active")),
    ] {
        assert_eq!(contact[column], expected, "{column}");
    }
    assert!(text(&contact["created_at"]).as_str() > "2020");
    assert_eq!(contact["created_at"], contact["updated_at"]);
    assert_eq!(id_of(&contact).get_version_num(), 7);
}

/// `number` lines of CSV, each contact with a name and an e-mail of its own.
fn contacts_csv(number: usize) -> String {
    let lines = (1..=number).map(|n| format!("First{n},Last{n:04},contact{n:04}@example.com\n"));
    std::iter::once("first_name,last_name,email\n".to_owned()).chain(lines).collect()
}

fn load(user: &Actor, number: usize) {
    user.request("POST", "/contacts")
        .prefer("return=minimal")
        .body("text/csv", contacts_csv(number))
        .send()
        .expect(201);
}

#[test]
fn a_user_adds_a_thousand_contacts_as_csv() {
    let user = Actor::register();
    let answer = user
        .request("POST", "/contacts")
        .prefer("return=minimal")
        .body("text/csv", contacts_csv(1000))
        .send()
        .expect(201);
    assert!(answer.body.is_empty());
    assert_eq!(answer.header("Preference-Applied"), Some("return=minimal"));
    assert_eq!(user.count("contacts"), 1000);
    let one = user.get("/contacts?email=eq.contact0500@example.com").expect(200).rows();
    assert_eq!(one[0]["last_name"], "Last0500");
    assert_eq!(one[0]["created_by"], json!(user.user));
}

#[test]
fn a_user_says_with_columns_what_of_the_sent_data_is_taken() {
    let user = Actor::register();
    let rows = json!([{ "last_name": "One", "junk": 1 }, { "last_name": "Two", "title": "not taken" }]);
    user.post("/contacts?columns=last_name", &rows).expect(201);
    let csv = "first_name,last_name\nAda,Lovelace\n";
    user.request("POST", "/contacts?columns=first_name,last_name").body("text/csv", csv).send().expect(201);
    let rows = user.get("/contacts?select=last_name,title&order=last_name").expect(200).json();
    let expected = json!([
        { "last_name": "Lovelace", "title": null }, { "last_name": "One", "title": null },
        { "last_name": "Two", "title": null },
    ]);
    assert_eq!(rows, expected);
}

#[test]
fn a_user_lists_the_newest_fifty() {
    let user = Actor::register();
    load(&user, 60);
    let later: Vec<_> =
        (0..5).map(|n| id_of(&user.insert("contacts", &json!({ "last_name": format!("Later{n}") })))).collect();
    let newest_first: Vec<_> = later.iter().rev().map(ToString::to_string).collect();
    for order in ["created_at.desc,id.desc", "id.desc"] {
        let page = user.get(&format!("/contacts?order={order}&limit=50")).expect(200).column("id");
        assert_eq!(page.len(), 50, "{order}");
        assert_eq!(page[..5], newest_first, "{order}");
        assert!(page.is_sorted_by(|a, b| a > b), "{order}");
    }
}

#[test]
fn a_user_filters_by_email() {
    let user = Actor::register();
    load(&user, 20);
    let found = user.get("/contacts?email=eq.contact0007@example.com&select=last_name").expect(200).json();
    assert_eq!(found, json!([{ "last_name": "Last0007" }]));
    let several = user.get("/contacts?email=in.(contact0001@example.com,contact0002@example.com)").expect(200);
    assert_eq!(several.rows().len(), 2);
}

#[test]
fn a_user_pages_with_range_and_learns_how_many_there_are() {
    let user = Actor::register();
    load(&user, 25);
    let page = |range: &str, status: u16| -> Response {
        user.request("GET", "/contacts?order=last_name")
            .header("Range-Unit", "items")
            .header("Range", range)
            .prefer("count=exact")
            .send()
            .expect(status)
    };
    let mut seen = vec![];
    for (range, expected) in [("0-9", "0-9/25"), ("10-19", "10-19/25"), ("20-29", "20-24/25")] {
        let page = page(range, 206);
        assert_eq!(page.header("Content-Range"), Some(expected));
        seen.extend(page.column("last_name"));
    }
    let expected: Vec<_> = (1..=25).map(|n| format!("Last{n:04}")).collect();
    assert_eq!(seen, expected);
    page("0-99", 200);
    assert_eq!(page("30-39", 416).header("Content-Range"), Some("*/25"));
    let offset = user.get("/contacts?order=last_name&limit=5&offset=20").expect(200).column("last_name");
    assert_eq!(offset, expected[20..]);
}

#[test]
fn a_user_changes_a_contact_and_the_stamps_follow() {
    let owner = Actor::register();
    let colleague = Actor::member(&owner.organization, "manager");
    team::group(&owner, &[&owner, &colleague]);
    let before = owner.insert("contacts", &json!({ "last_name": "Before", "email": "same@example.com" }));
    let path = format!("/contacts?id=eq.{}", id_of(&before));
    let stamps = json!({
        "last_name": "After", "version": 77, "created_by": colleague.user, "created_at": "2001-01-01",
        "updated_at": "2001-01-01", "updated_by": owner.user,
    });
    let after = colleague.patch(&path, &stamps).expect(200).rows().remove(0);
    for (column, expected) in [
        ("last_name", json!("After")),
        ("version", json!(2)),
        ("updated_by", json!(colleague.user)),
        ("created_by", json!(owner.user)),
        ("owner_id", json!(owner.user)),
        ("created_at", before["created_at"].clone()),
        ("email", before["email"].clone()),
    ] {
        assert_eq!(after[column], expected, "{column}");
    }
    assert!(text(&after["updated_at"]) > text(&before["updated_at"]));
    let again = owner.patch(&path, &json!({ "email": null })).expect(200).rows().remove(0);
    assert_eq!((&again["version"], &again["updated_by"]), (&json!(3), &json!(owner.user)));
}

#[test]
fn a_user_sees_from_the_version_that_a_colleague_was_faster() {
    let owner = Actor::register();
    let path =
        format!("/contacts?id=eq.{}&version=eq.1", id_of(&owner.insert("contacts", &json!({ "last_name": "X" }))));
    assert_eq!(owner.patch(&path, &json!({ "title": "first" })).expect(200).rows().len(), 1);
    assert_eq!(owner.patch(&path, &json!({ "title": "second" })).expect(200).rows().len(), 0);
}

#[test]
fn a_user_deletes_a_contact() {
    let user = Actor::register();
    let contact = user.insert("contacts", &json!({ "last_name": "Gone" }));
    let path = format!("/contacts?id=eq.{}", id_of(&contact));
    assert_eq!(user.delete(&path).expect(200).json(), json!([contact]));
    assert_eq!(user.get(&path).expect(200).json(), json!([]));
    assert_eq!(user.delete(&path).expect(200).json(), json!([]));
}

#[test]
fn a_user_reads_contacts_with_their_accounts_and_accounts_with_their_contacts() {
    let user = Actor::register();
    let parent = user.insert("accounts", &json!({ "name": "Holding" }));
    let account = user.insert("accounts", &json!({ "name": "Acme", "parent_id": id_of(&parent) }));
    user.insert("contacts", &json!({ "last_name": "Inside", "account_id": id_of(&account) }));
    user.insert("contacts", &json!({ "last_name": "Outside" }));
    let contacts = user.get("/contacts?select=*,account:accounts(*)&order=last_name").expect(200).json();
    assert_eq!(contacts[0]["account"], account);
    assert_eq!(contacts[1]["account"], Value::Null);
    let inner = user.get("/contacts?select=last_name,account:accounts!inner(name)&account.name=eq.Acme").expect(200);
    assert_eq!(inner.json(), json!([{ "last_name": "Inside", "account": { "name": "Acme" } }]));
    let accounts = user.get("/accounts?select=name,contacts(last_name)&order=name").expect(200).json();
    let expected =
        json!([{ "name": "Acme", "contacts": [{ "last_name": "Inside" }] }, { "name": "Holding", "contacts": [] }]);
    assert_eq!(accounts, expected);
}

#[test]
fn a_user_deletes_an_account_and_its_contacts_stay() {
    let user = Actor::register();
    let account = id_of(&user.insert("accounts", &json!({ "name": "Acme" })));
    let contact = id_of(&user.insert("contacts", &json!({ "last_name": "Left", "account_id": account })));
    user.delete(&format!("/accounts?id=eq.{account}")).expect(200);
    let left = user.get(&format!("/contacts?id=eq.{contact}&select=account_id,org_id")).expect(200).json();
    assert_eq!(left, json!([{ "account_id": null, "org_id": user.organization.id }]));
}

// ---------------------------------------------------------------------------------------------- upsert, CSV, headers

fn upsert(user: &Actor, key: &str, resolution: &str, rows: &Value) -> Vec<Value> {
    let request = user
        .request("POST", &format!("/contacts?on_conflict=org_id,{key}&order={key}"))
        .prefer(&format!("resolution={resolution}, return=representation"));
    let answer = request.json(rows).send();
    assert!(matches!(answer.status, 200 | 201), "{answer}");
    answer.rows()
}

#[test]
fn a_user_upserts_by_external_id_and_by_email() {
    for key in ["external_id", "email"] {
        let user = Actor::register();
        let rows = |name: &str| json!([{ key: "one@example.com", "last_name": name }, { key: "two@example.com", "last_name": name }]);
        let first = upsert(&user, key, "merge-duplicates", &json!([rows("Old")[0]]));
        let merged = upsert(&user, key, "merge-duplicates", &rows("New"));
        assert_eq!(merged.len(), 2, "{key}");
        assert_eq!((&merged[0]["id"], &merged[0]["version"]), (&first[0]["id"], &json!(2)), "{key}");
        assert_eq!(merged[0]["created_at"], first[0]["created_at"], "{key}");
        assert_eq!(upsert(&user, key, "ignore-duplicates", &rows("Ignored")).len(), 0, "{key}");
        let stored = user.get("/contacts?select=last_name,version&order=version").expect(200).json();
        let expected = json!([{ "last_name": "New", "version": 1 }, { "last_name": "New", "version": 2 }]);
        assert_eq!(stored, expected, "{key}");
    }
}

#[test]
fn a_user_puts_a_contact_under_an_id_of_their_own() {
    let user = Actor::register();
    let (org, id) = (user.organization.id, uuid::Uuid::new_v4());
    let path = format!("/contacts?org_id=eq.{org}&id=eq.{id}");
    let put = |name: &str| {
        let row = json!({ "org_id": org, "id": id, "last_name": name });
        user.request("PUT", &path).prefer("return=representation").json(&row).send()
    };
    let made = put("Made").expect(201).rows().remove(0);
    assert_eq!((&made["id"], &made["version"]), (&json!(id), &json!(1)));
    let changed = put("Changed").expect(200).rows().remove(0);
    assert_eq!((&changed["last_name"], &changed["version"]), (&json!("Changed"), &json!(2)));
    assert_eq!(user.count("contacts"), 1);
}

#[test]
fn a_user_gets_contacts_as_csv() {
    let user = Actor::register();
    load(&user, 3);
    let answer = user
        .request("GET", "/contacts?select=first_name,last_name,email&order=last_name")
        .header("Accept", "text/csv")
        .send()
        .expect(200);
    assert_eq!(answer.header("Content-Type"), Some("text/csv; charset=utf-8"));
    assert_eq!(answer.text().trim_end(), contacts_csv(3).trim_end());
}

#[test]
fn a_user_sends_a_form_with_blank_fields() {
    let user = Actor::register();
    let blank =
        json!({ "last_name": "New", "email": "", "phone": " ", "external_id": "", "avatar_url": "", "country": "de" });
    for _ in 0..2 {
        let stored = user.insert("contacts", &blank);
        for column in ["email", "phone", "phone_normalized", "external_id", "avatar_url"] {
            assert_eq!(stored[column], Value::Null, "{column}");
        }
        assert_eq!(stored["country"], "DE");
    }
}

#[test]
fn an_account_is_read_with_its_parent_and_its_subsidiaries() {
    let user = Actor::register();
    let holding = id_of(&user.insert("accounts", &json!({ "name": "Holding" })));
    for name in ["North", "South"] {
        user.insert("accounts", &json!({ "name": name, "parent_id": holding }));
    }
    assert_eq!(
        user.get("/accounts?select=name,parent(name)&parent.name=eq.Holding&order=name").expect(200).json(),
        json!([
            { "name": "Holding", "parent": null },
            { "name": "North", "parent": { "name": "Holding" } },
            { "name": "South", "parent": { "name": "Holding" } },
        ])
    );
    let embedded = "/accounts?select=name,subsidiaries!inner(name,contacts(last_name))&subsidiaries.order=name";
    assert_eq!(
        user.get(embedded).expect(200).json(),
        json!([{
            "name": "Holding",
            "subsidiaries": [{ "name": "North", "contacts": [] }, { "name": "South", "contacts": [] }],
        }])
    );
    let other = Actor::register();
    let row = json!({ "org_id": user.organization.id, "id": holding, "parent_id": holding });
    for function in ["parent", "subsidiaries"] {
        let answer = other.post(&format!("/rpc/{function}"), &json!({ "account": row }));
        assert_eq!(answer.expect(200).rows().len(), 0, "{function}");
    }
}

/// The request holds the first contact and waits for the second, when somebody who holds that wants the first.
#[test]
fn who_loses_to_another_change_is_told_to_try_again() {
    let user = Actor::register();
    let [first, second] =
        ["First", "Second"].map(|name| id_of(&user.insert("contacts", &json!({ "last_name": name }))));
    let mut other = admin::connect();
    let mut change = other.transaction().unwrap();
    // The request looks for circles, a second after it began to wait, and this one never.
    change.batch_execute("set local deadlock_timeout = '1h'").unwrap();
    let update = "update crm.contacts set title = 'Other' where id = $1";
    change.execute(update, &[&second]).unwrap();
    let holder: i32 = change.query_one("select pg_backend_pid()", &[]).unwrap().get(0);
    let in_turn = || {
        let rows = [first, second].map(|id| json!({ "id": id, "last_name": "Changed", "title": "Mine" }));
        let request = user.request("POST", "/contacts?on_conflict=org_id,id");
        request.prefer("resolution=merge-duplicates,return=representation").json(&json!(rows)).send()
    };
    let answer = thread::scope(|scope| {
        let request = scope.spawn(in_turn);
        let waits = "select exists (select from pg_stat_activity where $1 = any (pg_blocking_pids(pid)))";
        while !admin::value::<bool>(waits, &[&holder]) {
            thread::sleep(Duration::from_millis(20));
        }
        change.execute(update, &[&first]).unwrap();
        request.join().unwrap()
    });
    change.rollback().unwrap();
    assert_eq!(
        (answer.status, answer.json()),
        (
            409,
            json!({
                "code": "PT409", "message": "deadlock detected", "details": null,
                "hint": "Somebody else changed the same records at the same time. Nothing was saved: send it again.",
            })
        ),
        "{answer}"
    );
    assert_eq!(in_turn().expect(200).column("title"), ["Mine", "Mine"]);
}
