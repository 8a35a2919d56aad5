//! Making, listing and ending the API keys of an organization.

use crm_http_tests::actor::{Actor, anonymous};
use crm_http_tests::http::Response;
use crm_http_tests::machine::{Key, forbidden, many};
use crm_http_tests::sql::{self, sqlstate};
use crm_http_tests::token::with;
use crm_http_tests::{admin, all};
use serde_json::{Value, json};
use uuid::Uuid;

fn good() -> Value {
    json!({ "name": "Backend", "scopes": ["contacts.read"] })
}

fn ask(creator: &Actor, arguments: &Value) -> Response {
    creator.post("/rpc/create_api_key", arguments)
}

fn revoke(by: &Actor, key: &Key) -> Response {
    by.post("/rpc/revoke_api_key", &json!({ "api_key_id": key.id }))
}

/// How many keys the organization has, in force or not.
fn keys(owner: &Actor) -> i64 {
    admin::value("select count(*) from crm_private.api_keys where org_id = $1", &[&owner.organization.id])
}

fn listed(reader: &Actor) -> Vec<String> {
    reader.get("/rpc/list_api_keys").expect(200).column("id")
}

// ---------------------------------------------------------------------------------------------- who may

#[test]
fn an_owner_or_admin_makes_lists_and_revokes_keys_and_nobody_else_does() {
    let owner = Actor::register();
    all(["owner", "admin", "manager", "sales", "support", "read_only"], |role| {
        let member = Actor::member(&owner.organization, role);
        let (there, before) = (Key::of(&owner, &["*.read"]), keys(&owner));
        let administers = ["owner", "admin"].contains(&role);
        let answers = [ask(&member, &good()), member.get("/rpc/list_api_keys"), revoke(&member, &there)];
        let status = if administers { 200 } else { 403 };
        if let Some(answer) = answers.iter().find(|answer| answer.status != status) {
            return Err(format!("{role}, {status} expected: {answer}"));
        }
        let in_sql = sql::session(|client| {
            let mut transaction = sql::begin_authenticated(client, member.token()).unwrap();
            sqlstate(transaction.query("select crm.create_api_key('In SQL', '{contacts.read}')", &[]))
        });
        if in_sql != if administers { "" } else { "42501" } {
            return Err(format!("{role}: {in_sql} in SQL"));
        }
        let done = (keys(&owner) - before, there.get("/contacts").status);
        if done == if administers { (1, 401) } else { (0, 200) } { Ok(()) } else { Err(format!("{role}: {done:?}")) }
    });
}

#[test]
fn somebody_without_an_active_organization_makes_no_key() {
    let (owner, other) = (Actor::register(), Actor::register());
    owner.join(&other.organization, "owner");
    let everywhere = owner.logged_in(None);
    let (key, id) = (Key::of(&owner, &["*.read"]), json!({ "api_key_id": Uuid::new_v4() }));
    ask(&everywhere, &good()).expect(403);
    everywhere.get("/rpc/list_api_keys").expect(403);
    revoke(&everywhere, &key).expect(403);
    for (function, arguments) in [("create_api_key", &good()), ("list_api_keys", &json!({})), ("revoke_api_key", &id)] {
        anonymous("POST", &format!("/rpc/{function}")).json(arguments).send().expect(401);
    }
    assert_eq!((keys(&owner), keys(&other)), (1, 0));
    ask(&everywhere.logged_in(Some(&other.organization.slug)), &good()).expect(200);
    assert_eq!((keys(&owner), keys(&other)), (1, 1));
}

#[test]
fn an_owner_makes_no_platform_key() {
    let owner = Actor::register();
    let arguments = json!({ "name": "Platform", "scopes": ["*.*"] });
    owner.post("/rpc/create_platform_key", &arguments).expect(403);
    anonymous("POST", "/rpc/create_platform_key").json(&arguments).send().expect(401);
    let keys = [(Key::of(&owner, &["*.*"]), "crm_app"), (Key::of_platform(&["*.*"]), "crm_service")];
    for (key, role) in keys {
        forbidden(role, &key.call("create_platform_key", &arguments)).unwrap();
        let state = sql::session(|client| {
            let mut transaction = key.begin(client, role).unwrap();
            sqlstate(transaction.execute("select crm.create_platform_key('Platform')", &[]))
        });
        assert_eq!(state, "42501", "{role}");
    }
}

// ---------------------------------------------------------------------------------------------- what is told

#[test]
fn an_owner_is_told_the_key_once() {
    let owner = Actor::register();
    let scopes = json!(["contacts.read", "accounts.*", "contacts.read"]);
    let answer = ask(&owner, &json!({ "name": "  Nightly export ", "scopes": scopes })).expect(200);
    assert_eq!(answer.header("Cache-Control"), Some("no-store"));
    let told = answer.json();
    let members: Vec<_> = told.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(members, ["expires_at", "id", "key", "name", "prefix", "scopes"]);
    assert_eq!((&told["name"], &told["expires_at"]), (&json!("Nightly export"), &json!(null)));
    assert_eq!(told["scopes"], json!(["accounts.*", "contacts.read"]));

    let key = Key::told(&told);
    let secret = key.text.strip_prefix(&format!("{}_", key.prefix)).unwrap();
    assert!(key.prefix.starts_with("crmo_") && key.prefix.len() == 13, "{}", key.prefix);
    assert!(secret.len() == 43, "256 bits");
    let (hashed, readable): (bool, bool) = (
        admin::value(
            "select hash = sha256(convert_to($1, 'utf8')) from crm_private.api_keys where id = $2",
            &[&key.text, &key.id],
        ),
        admin::value("select exists (select from crm_private.api_keys as k where strpos(k::text, $1) > 0)", &[&secret]),
    );
    assert_eq!((hashed, readable), (true, false));

    let list = owner.get("/rpc/list_api_keys").expect(200);
    let members: Vec<_> = list.rows()[0].as_object().unwrap().keys().cloned().collect();
    let expected =
        ["created_at", "created_by", "expires_at", "id", "last_used_at", "name", "prefix", "scopes"].map(String::from);
    assert_eq!(members, expected);
    assert_eq!(list.rows()[0]["created_by"], json!(owner.user));
    assert!(!list.text().contains(secret), "{list}");
}

#[test]
fn an_owner_makes_two_keys_of_one_name() {
    let owner = Actor::register();
    let (one, other) = (Key::of(&owner, &["*.read"]), Key::of(&owner, &["*.read"]));
    assert_ne!((&one.text, &one.prefix), (&other.text, &other.prefix));
    for key in [&one, &other] {
        key.get("/contacts").expect(200);
    }
}

#[test]
fn an_owner_is_told_which_argument_is_wrong() {
    let owner = Actor::register();
    let many: Vec<_> = (0..101).map(|number| format!("resource{number}.read")).collect();
    let cases = [
        ("scopes", json!([]), "scopes:"),
        ("scopes", json!(null), "scopes:"),
        ("scopes", json!([null]), "scopes:"),
        ("scopes", json!(["contacts.read", null]), "scopes:"),
        ("scopes", json!(["contacts"]), "scopes:"),
        ("scopes", json!(["*"]), "scopes:"),
        ("scopes", json!([""]), "scopes:"),
        ("scopes", json!(["contacts."]), "scopes:"),
        ("scopes", json!(["contacts.read.all"]), "scopes:"),
        ("scopes", json!(["Contacts.read"]), "scopes:"),
        ("scopes", json!(["contacts.read "]), "scopes:"),
        ("scopes", json!(["cont*.read"]), "scopes:"),
        ("scopes", json!(["**.*"]), "scopes:"),
        ("scopes", json!([format!("{}.read", "x".repeat(64))]), "scopes:"),
        ("scopes", json!([["contacts.read"], ["accounts.read", "*.*"]]), ""),
        ("scopes", json!(many), "scopes:"),
        ("name", json!(""), "name:"),
        ("name", json!("   "), "name:"),
        ("name", json!(null), "name:"),
        ("name", json!("x".repeat(101)), "name:"),
        ("name", json!("a\nb"), "name:"),
        ("name", json!("a\u{0}b"), ""),
        ("expires_at", json!("2020-01-01T00:00:00Z"), "expires_at:"),
        ("expires_at", json!("-infinity"), "expires_at:"),
        ("expires_at", json!("tomorrow-ish"), ""),
    ];
    all(cases, |(argument, value, word)| {
        let mut arguments = good();
        arguments[argument] = value.clone();
        let answer = ask(&owner, &arguments);
        let named = answer.status == 400 && answer.text().contains(word);
        if named { Ok(()) } else { Err(format!("{argument} {value}: {answer:.300}")) }
    });
    for argument in ["name", "scopes"] {
        ask(&owner, &with(&good(), argument, Value::Null)).expect(404);
    }
    owner.get("/rpc/create_api_key?name=x&scopes={*.*}").expect(405);
    assert_eq!(keys(&owner), 0);
}

#[test]
fn an_owner_who_lets_a_key_live_for_ever_gets_one_that_works_or_none() {
    let owner = Actor::register();
    all(["infinity", "294275-12-31T00:00:00Z", "294276-12-31T23:59:59Z", "9999-12-31"], |forever| {
        let answer = ask(&owner, &with(&good(), "expires_at", json!(forever)));
        if answer.status == 400 && answer.text().contains("expires_at:") {
            return Ok(());
        }
        let used = Key::told(&answer.expect(200).json()).get("/contacts");
        if used.status == 200 { Ok(()) } else { Err(format!("{forever}: {used}")) }
    });
    owner.get("/rpc/list_api_keys").expect(200);
}

// ---------------------------------------------------------------------------------------------- the list

#[test]
fn an_owner_lists_the_live_keys_of_their_own_organization() {
    let (owner, other) = (Actor::register(), Actor::register());
    let keys: Vec<_> = (0..3).map(|_| Key::of(&owner, &["contacts.read"])).collect();
    let (foreign, platform) = (Key::of(&other, &["*.*"]), Key::of_platform(&["*.*"]));
    assert_eq!(listed(&owner), [2, 1, 0].map(|number: usize| keys[number].id.to_string()));
    assert_eq!(listed(&other), [foreign.id.to_string()]);
    revoke(&owner, &keys[0]).expect(200);
    admin::execute("update crm_private.api_keys set expires_at = clock_timestamp() where id = $1", &[&keys[1].id]);
    assert_eq!(listed(&owner), [keys[2].id.to_string()]);
    let of_platform: Vec<Uuid> = admin::value("select array_agg(id) from crm.list_api_keys()", &[]);
    assert!(of_platform.contains(&platform.id));
    assert!(keys.iter().chain([&foreign]).all(|key| !of_platform.contains(&key.id)));
}

#[test]
fn an_owner_revokes_only_keys_of_their_own_organization() {
    let (owner, other) = (Actor::register(), Actor::register());
    let (key, platform) = (Key::of(&owner, &["*.*"]), Key::of_platform(&["*.*"]));
    let unknown = Key { id: Uuid::new_v4(), ..key.clone() };
    for foreign in [&key, &platform, &unknown] {
        assert_eq!(revoke(&other, foreign).expect(200).json(), json!({ "revoked": 0 }));
    }
    assert_eq!(admin::value::<Value>("select crm.revoke_api_key($1)", &[&key.id]), json!({ "revoked": 0 }));
    key.get("/contacts").expect(200);
    platform.get("/rpc/list_organizations?limit=1").expect(200);
    assert_eq!(revoke(&owner, &key).expect(200).json(), json!({ "revoked": 1 }));
    assert_eq!(revoke(&owner, &key).expect(200).json(), json!({ "revoked": 0 }));
    key.get("/contacts").expect(401);
    assert_eq!(admin::value::<Value>("select crm.revoke_api_key($1)", &[&platform.id]), json!({ "revoked": 1 }));
    platform.get("/rpc/list_organizations?limit=1").expect(401);
    owner.post("/rpc/revoke_api_key", &json!({ "api_key_id": null })).expect(400);
    owner.get(&format!("/rpc/revoke_api_key?api_key_id={}", key.id)).expect(405);
}

// ---------------------------------------------------------------------------------------------- last_used_at

fn last_used(key: &Key) -> Option<std::time::SystemTime> {
    admin::value("select last_used_at from crm_private.api_key_uses where api_key_id = $1", &[&key.id])
}

#[test]
fn a_key_that_writes_is_noted_at_once() {
    let owner = Actor::register();
    let key = Key::of(&owner, &["contacts.*"]);
    assert_eq!(last_used(&key), None);
    key.post("/contacts", &json!({ "last_name": "Written" })).expect(201);
    let first = last_used(&key).unwrap();
    assert!(owner.get("/rpc/list_api_keys").expect(200).rows()[0]["last_used_at"].is_string());
    // To the minute.
    key.post("/contacts", &json!({ "last_name": "Again" })).expect(201);
    assert_eq!(last_used(&key), Some(first));
    admin::execute(
        "update crm_private.api_key_uses set last_used_at = now() - interval '2 minutes' where api_key_id = $1",
        &[&key.id],
    );
    key.post("/contacts", &json!({ "last_name": "Later" })).expect(201);
    assert!(last_used(&key).unwrap() >= first);
}

#[test]
fn a_key_that_only_reads_is_noted_with_the_next_write_on_the_same_connection() {
    let owner = Actor::register();
    let (reader, writer) = (Key::of(&owner, &["*.read"]), Key::of(&owner, &["*.read"]));
    let mut client = sql::connect();
    for _ in 0..2 {
        let mut transaction = client.build_transaction().read_only(true).start().unwrap();
        transaction.batch_execute("set local role crm_app").unwrap();
        reader.authenticate(&mut transaction).unwrap();
        assert_eq!(sql::contacts(&mut transaction), 0);
        transaction.commit().unwrap();
        assert_eq!(last_used(&reader), None);
    }
    writer.begin(&mut client, "crm_app").unwrap().commit().unwrap();
    assert!(last_used(&reader).is_some() && last_used(&writer).is_some());
}

#[test]
fn a_key_that_only_reads_over_http_is_noted_once_its_connections_write() {
    let owner = Actor::register();
    let (reader, writer) = (Key::of(&owner, &["*.read"]), Key::of(&owner, &["contacts.*"]));
    for _ in 0..50 {
        assert_eq!(many(|| reader.get("/contacts")), [200]);
        assert_eq!(many(|| writer.request("POST", "/contacts").json(&json!({ "last_name": "x" })).send()), [201]);
        if last_used(&reader).is_some() {
            return;
        }
    }
    panic!("{:?} was never noted", reader.id);
}
