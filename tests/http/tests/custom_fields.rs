//! Fields that an organization adds to its records: defined, written, found and changed over HTTP.

use std::process::Command;
use std::thread;

use crm_http_tests::actor::{Actor, id_of};
use crm_http_tests::http::{Response, text};
use crm_http_tests::machine::Key;
use crm_http_tests::office::{NOBODY, OTHER, OWN, Office, TEAM};
use crm_http_tests::team::refused;
use crm_http_tests::{admin, all, document, setting};
use serde_json::{Value, json};
use uuid::Uuid;

fn define(who: &Actor, definition: &Value) -> Value {
    let mut definition = definition.clone();
    for (column, usual) in [("entity", "contacts"), ("label", "Field"), ("type", "text")] {
        if definition[column].is_null() {
            definition[column] = usual.into();
        }
    }
    who.insert("custom_fields", &definition)
}

fn contact(who: &Actor, fields: &Value) -> Response {
    let row = json!({ "last_name": "X", "custom_fields": fields });
    who.request("POST", "/contacts").prefer("return=representation").json(&row).send()
}

fn path(row: &Value) -> String {
    format!("/contacts?id=eq.{}", id_of(row))
}

fn change(who: &Actor, row: &Value, fields: &Value) -> Response {
    who.patch(&path(row), &json!({ "custom_fields": fields }))
}

fn fields_of(who: &Actor, row: &Value) -> Value {
    who.get(&path(row)).expect(200).rows().remove(0)["custom_fields"].clone()
}

/// Somebody with one field of each type.
fn with_fields() -> Actor {
    let user = Actor::register();
    for kind in ["text", "long_text", "number", "boolean", "date", "datetime", "url", "email"] {
        define(&user, &json!({ "key": format!("a_{kind}"), "type": kind }));
    }
    for kind in ["select", "multi_select"] {
        define(&user, &json!({ "key": format!("a_{kind}"), "type": kind, "options": ["red", "blue"] }));
    }
    define(&user, &json!({ "key": "a_reference", "type": "reference", "reference_entity": "accounts" }));
    user
}

fn problem(answer: &Response, status: u16, code: &str, message: &str) -> Result<(), String> {
    let is_told =
        answer.status == status && answer.code() == code && text(&answer.json()["message"]).starts_with(message);
    if is_told { Ok(()) } else { Err(format!("{status} {code} {message} expected: {answer}")) }
}

// ---------------------------------------------------------------------------------------------- as documented

#[test]
fn an_administrator_pastes_the_lines_of_the_document_and_they_work() {
    let owner = Actor::register();
    let administrator = Actor::member(&owner.organization, "admin");
    let lines = document::shell_block(&document::read("docs/custom_fields.md"), "## To begin with");
    let run = Command::new("bash")
        .args(["-euo", "pipefail", "-c", &lines])
        .env("API", setting("CRM_TEST_URL"))
        .env("AUTH", format!("Authorization: Bearer {}", administrator.token()))
        .output()
        .unwrap();
    let shown = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "{shown}{}", String::from_utf8_lossy(&run.stderr));
    let lee = json!([{ "last_name": "Lee", "custom_fields": { "tier": "gold", "score": 80, "badge": "A-1" } }]);
    assert_eq!(serde_json::from_str::<Value>(&shown).unwrap(), lee);
    let refused = contact(&owner, &json!({ "badge": "A-1" }));
    problem(&refused, 409, "23505", "custom_fields.badge: another record has this value").unwrap();
    assert_eq!(contact(&owner, &json!({})).expect(201).rows()[0]["custom_fields"], json!({ "tier": "silver" }));
}

// ---------------------------------------------------------------------------------------------- values

#[test]
fn each_type_is_stored_in_one_form() {
    let user = with_fields();
    let account = id_of(&user.insert("accounts", &json!({ "name": "Acme" })));
    let sent = json!({
        "a_text": " x ", "a_long_text": "a\nb", "a_number": 1.50, "a_boolean": true, "a_date": "2026-07-31",
        "a_datetime": "2026-07-31T14:30:00+02:00", "a_url": "https://example.com", "a_email": "Ann@Example.com",
        "a_select": "red", "a_multi_select": ["red", "blue", "red"], "a_reference": account,
    });
    let kept = json!({
        "a_text": "x", "a_long_text": "a\nb", "a_number": 1.5, "a_boolean": true, "a_date": "2026-07-31",
        "a_datetime": "2026-07-31T12:30:00.000Z", "a_url": "https://example.com", "a_email": "ann@example.com",
        "a_select": "red", "a_multi_select": ["blue", "red"], "a_reference": account,
    });
    let row = contact(&user, &sent).expect(201).rows().remove(0);
    assert_eq!(row["custom_fields"], kept);
    assert_eq!(change(&user, &row, &kept).expect(200).rows()[0]["custom_fields"], kept);
}

#[test]
fn what_does_not_fit_is_refused_and_names_the_field() {
    let user = with_fields();
    let before = contact(&user, &json!({})).expect(201).rows().remove(0);
    let cases = [
        ("a_text", json!(1)),
        ("a_text", json!("a\nb")),
        ("a_text", json!("x".repeat(501))),
        ("a_long_text", json!(["a"])),
        ("a_number", json!("1")),
        ("a_number", json!(12_345_678_901_234_567_u64)),
        ("a_boolean", json!("true")),
        ("a_boolean", json!(1)),
        ("a_date", json!("2026-02-30")),
        ("a_date", json!("31.7.2026")),
        ("a_datetime", json!("2026-07-31T14:30:00")),
        ("a_datetime", json!(1_770_000_000)),
        ("a_url", json!("javascript:alert(1)")),
        ("a_email", json!("ann")),
        ("a_select", json!("green")),
        ("a_multi_select", json!(["red", "green"])),
        ("a_multi_select", json!("red")),
        ("a_reference", json!("acme")),
        ("a_reference", json!(Uuid::new_v4())),
        ("unknown", json!("x")),
    ];
    all(cases, |(key, value)| {
        let message = format!("custom_fields.{key}: ");
        problem(&contact(&user, &json!({ key: value })), 400, "22023", &message)?;
        problem(&change(&user, &before, &json!({ key: value })), 400, "22023", &message)
    });
    let huge = user
        .request("POST", "/contacts")
        .body("application/json", r#"{"last_name": "X", "custom_fields": {"a_number": 1e400}}"#);
    problem(&huge.send(), 400, "22023", "custom_fields.a_number: must be a number").unwrap();
    let unknown = contact(&user, &json!({ "unknown": 1 }));
    assert!(text(&unknown.json()["hint"]).starts_with("The fields are: a_boolean, a_date"), "{unknown}");
    assert_eq!(user.count("contacts"), 1);
    assert_eq!(user.get(&path(&before)).expect(200).rows()[0], before);
}

#[test]
fn what_is_not_sent_stays() {
    let user = with_fields();
    let row = contact(&user, &json!({ "a_text": "x", "a_number": 1 })).expect(201).rows().remove(0);
    for (sent, after) in [
        (json!({ "a_number": 2 }), json!({ "a_text": "x", "a_number": 2 })),
        (json!({ "a_text": null }), json!({ "a_number": 2 })),
        (json!({}), json!({ "a_number": 2 })),
        (json!({ "a_number": "", "a_date": "2026-01-01" }), json!({ "a_date": "2026-01-01" })),
    ] {
        assert_eq!(change(&user, &row, &sent).expect(200).rows()[0]["custom_fields"], after, "{sent}");
    }
    user.patch(&path(&row), &json!({ "title": "x" })).expect(200);
    assert_eq!(fields_of(&user, &row), json!({ "a_date": "2026-01-01" }));
}

#[test]
fn records_are_filtered_and_sorted_by_custom_fields() {
    let user = with_fields();
    for (number, color, day) in [(9, "red", "2026-01-09"), (10, "blue", "2026-01-10"), (100, "red", "2026-03-01")] {
        let fields = json!({ "a_number": number, "a_select": color, "a_multi_select": [color], "a_date": day });
        let row = json!({ "last_name": number.to_string(), "custom_fields": fields });
        user.post("/contacts", &row).expect(201);
    }
    user.post("/contacts", &json!({ "last_name": "none" })).expect(201);
    let cases = [
        ("custom_fields->>a_select=eq.red&order=last_name", vec!["100", "9"]),
        ("custom_fields->>a_select=in.(red,blue)&order=custom_fields->a_number", vec!["9", "10", "100"]),
        ("custom_fields->a_number=gt.9&order=custom_fields->a_number.desc", vec!["100", "10"]),
        ("custom_fields->a_number=eq.9", vec!["9"]),
        ("custom_fields->>a_date=gte.2026-01-10&custom_fields->>a_date=lt.2026-02-01", vec!["10"]),
        ("custom_fields->a_multi_select=cs.[\"blue\"]", vec!["10"]),
        ("custom_fields->>a_number=is.null", vec!["none"]),
        ("order=custom_fields->a_number.desc.nullslast", vec!["100", "10", "9", "none"]),
    ];
    let ask = || {
        all(&cases, |(query, expected)| {
            let query = query.replace('>', "%3E").replace('"', "%22").replace('[', "%5B").replace(']', "%5D");
            let found = user.get(&format!("/contacts?{query}")).expect(200).column("last_name");
            if found == *expected { Ok(()) } else { Err(format!("{query}: {found:?}")) }
        });
    };
    ask();
    for key in ["a_select", "a_number", "a_date"] {
        admin::value::<Vec<String>>("select crm.index_custom_field('contacts', $1)", &[&key]);
    }
    ask();
    let chosen =
        user.get("/contacts?select=last_name,number:custom_fields-%3Ea_number&last_name=eq.9").expect(200).json();
    assert_eq!(chosen, json!([{ "last_name": "9", "number": 9 }]));
}

// ---------------------------------------------------------------------------------------------- unique, references

#[test]
fn of_many_who_want_the_same_value_exactly_one_gets_it() {
    let user = Actor::register();
    define(&user, &json!({ "key": "badge", "is_unique": true }));
    let answers: Vec<Response> = thread::scope(|scope| {
        let workers: Vec<_> = (0..6).map(|_| scope.spawn(|| contact(&user, &json!({ "badge": "A-1" })))).collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).collect()
    });
    let (won, lost): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 201);
    assert_eq!((won.len(), user.count("contacts")), (1, 1));
    all(lost, |answer| problem(&answer, 409, "23505", "custom_fields.badge: another record has this value"));
    let another = Actor::register();
    define(&another, &json!({ "key": "badge", "is_unique": true }));
    contact(&another, &json!({ "badge": "A-1" })).expect(201);
    user.delete("/contacts?last_name=eq.X").expect(200);
    contact(&user, &json!({ "badge": "A-1" })).expect(201);
}

#[test]
fn a_reference_goes_to_what_one_may_read() {
    let office = Office::of("sales");
    define(&office.owner, &json!({ "key": "partner", "type": "reference", "reference_entity": "contacts" }));
    let stranger = Actor::with_contacts(1);
    let strange = id_of(&stranger.get("/contacts").expect(200).rows()[0]);
    let id = |name| id_of(&office.contact(name));
    contact(&office.actor, &json!({ "partner": id(OWN) })).expect(201);
    all([id(TEAM), id(OTHER), id(NOBODY), strange, Uuid::new_v4()], |hidden| {
        let answer = contact(&office.actor, &json!({ "partner": hidden }));
        problem(&answer, 400, "22023", "custom_fields.partner: must be the id of one of contacts that you may read")
    });
    let pointing = contact(&office.owner, &json!({ "partner": id(OTHER) })).expect(201).rows().remove(0);
    office.owner.delete(&office.path(OTHER)).expect(200);
    assert_eq!(fields_of(&office.owner, &pointing), json!({}));
}

// ---------------------------------------------------------------------------------------------- definitions

#[test]
fn definitions_are_made_by_administrators_alone() {
    let owner = Actor::register();
    let field = define(&owner, &json!({ "key": "tier", "type": "select", "options": ["a", "b"] }));
    let path = format!("/custom_fields?id=eq.{}", id_of(&field));
    let rename = json!({ "field_id": id_of(&field), "old_value": "a", "new_value": "z" });
    all(["manager", "sales", "support", "read_only"], |role| {
        let member = Actor::member(&owner.organization, role);
        assert_eq!(member.get("/custom_fields").expect(200).column("key"), ["tier"]);
        refused(
            &member.post("/custom_fields", &json!({ "entity": "contacts", "key": "x", "label": "X", "type": "text" })),
        )?;
        refused(&member.patch(&path, &json!({ "label": "x" })))?;
        refused(&member.post("/rpc/rename_custom_field_option", &rename))?;
        refused(&member.delete(&path))
    });
    let stranger = Actor::register();
    assert_eq!(stranger.get("/custom_fields").expect(200).text(), "[]");
    assert_eq!(stranger.patch(&path, &json!({ "label": "x" })).expect(200).text(), "[]");
    assert_eq!(stranger.delete(&path).expect(200).text(), "[]");
    let answer = stranger.post("/rpc/rename_custom_field_option", &rename);
    problem(&answer, 400, "22023", "field_id: there is no such field").unwrap();
    let answer = contact(&stranger, &json!({ "tier": "a" }));
    problem(&answer, 400, "22023", "custom_fields.tier: there is no such field").unwrap();
    assert_eq!(answer.json()["hint"], json!("There are no custom fields here yet: add one to /custom_fields."));
    let into_others = json!({ "last_name": "X", "org_id": owner.organization.id, "custom_fields": { "nope": 1 } });
    refused(&stranger.post("/contacts", &into_others)).unwrap();
    let administrator = Actor::member(&owner.organization, "admin");
    administrator.patch(&path, &json!({ "label": "Level" })).expect(200);
    assert_eq!(owner.get(&path).expect(200).rows()[0]["label"], "Level");
    let key = Key::of(&owner, &["contacts.*"]);
    assert_eq!(key.post("/contacts", &json!({ "last_name": "K", "custom_fields": { "tier": "a" } })).status, 201);
}

#[test]
fn a_definition_that_makes_no_sense_is_refused() {
    let user = Actor::register();
    define(&user, &json!({ "key": "tier" }));
    let usual = json!({ "entity": "contacts", "key": "x", "label": "X", "type": "text" });
    let cases = [
        (json!({ "entity": "organizations" }), "entity: "),
        (json!({ "key": "Not A Key" }), "key: "),
        (json!({ "label": "" }), "label: "),
        (json!({ "type": "json" }), "type: "),
        (json!({ "type": "select" }), "options: "),
        (json!({ "options": ["a"] }), "options: "),
        (json!({ "type": "select", "options": ["a", "a"] }), "options: "),
        (json!({ "type": "number", "default_value": "x" }), "default_value: "),
        (json!({ "type": "reference" }), "reference_entity: "),
        (json!({ "type": "boolean", "is_unique": true }), "is_unique: "),
    ];
    all(cases, |(changes, message)| {
        let mut definition = usual.clone();
        definition.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        problem(&user.post("/custom_fields", &definition), 400, "22023", message)
    });
    let twice =
        user.post("/custom_fields", &json!({ "entity": "contacts", "key": "tier", "label": "X", "type": "text" }));
    twice.expect(409);
    let change = user.patch("/custom_fields?key=eq.tier", &json!({ "type": "number" }));
    problem(&change, 400, "22023", "type: cannot be changed").unwrap();
}

#[test]
fn values_follow_their_definition() {
    let user = Actor::register();
    let field = define(&user, &json!({ "key": "tier", "type": "select", "options": ["silver", "gold"] }));
    let row = contact(&user, &json!({ "tier": "gold" })).expect(201).rows().remove(0);
    let path = format!("/custom_fields?id=eq.{}", id_of(&field));
    user.patch(&path, &json!({ "key": "level" })).expect(200);
    assert_eq!(fields_of(&user, &row), json!({ "level": "gold" }));
    let rename = json!({ "field_id": id_of(&field), "old_value": "gold", "new_value": "premium" });
    user.post("/rpc/rename_custom_field_option", &rename).expect(200);
    assert_eq!(fields_of(&user, &row), json!({ "level": "premium" }));
    problem(
        &user.patch(&path, &json!({ "options": ["silver"] })),
        409,
        "23503",
        "options: 1 of contacts have \"premium\"",
    )
    .unwrap();
    contact(&user, &json!({ "level": "premium" })).expect(201);
    let unique = user.patch(&path, &json!({ "is_unique": true }));
    problem(&unique, 409, "23505", "is_unique: several records have the same value in custom_fields.level").unwrap();
    user.delete(&path).expect(200);
    assert_eq!(fields_of(&user, &row), json!({}));
    let after = user.get(&self::path(&row)).expect(200).rows().remove(0);
    assert_eq!((&after["version"], &after["updated_by"]), (&json!(4), &json!(user.user)));
    let by_get = format!("/rpc/rename_custom_field_option?field_id={}&old_value=a&new_value=b", id_of(&field));
    user.get(&by_get).expect(405);
}
