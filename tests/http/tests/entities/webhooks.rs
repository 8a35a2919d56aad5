//! Made by a function, which tells the secret, so this is no entity like the others. With them what is on its way and what was tried,
//! which nobody writes.

use std::sync::Mutex;

use crm_http_tests::actor::{Actor, anonymous, id_of};
use crm_http_tests::http::text;
use crm_http_tests::{admin, all, sql, team, unique};
use serde_json::{Value, json};
use uuid::Uuid;

fn make(user: &Actor, more: &Value) -> Value {
    let mut webhook = json!({ "name": unique("Hook"), "url": "https://example.com/hook" });
    webhook.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    user.post("/rpc/create_webhook", &webhook).expect(200).json()
}

fn path(webhook: &Value) -> String {
    format!("/webhooks?id=eq.{}", id_of(webhook))
}

fn fingerprint(user: &Actor) -> String {
    let query = "select concat_ws('|', string_agg(w::text, '|' order by w.id), (
             select string_agg(s::text, '|' order by s.id) from crm_private.webhook_secrets as s where s.org_id = $1
         ))
         from crm.webhooks as w where w.org_id = $1";
    admin::value(query, &[&user.organization.id])
}

/// One test at a time: what one claims, another one does not find.
static ALONE: Mutex<()> = Mutex::new(());

/// What whoever delivers does, and leaves one event on its way and one attempt.
fn deliver(user: &Actor, webhook: &Value) {
    for _ in 0..2 {
        user.post("/rpc/test_webhook", &json!({ "webhook_id": webhook["id"] })).expect(200);
    }
    let _alone = ALONE.lock();
    let mut client = admin::connect();
    let mut transaction = sql::begin_as(&mut client, "crm_worker").unwrap();
    let claimed =
        transaction.query("select org_id, id, webhook_id, attempt from crm.claim_webhook_deliveries(1000)", &[]);
    let claimed: Vec<(Uuid, Uuid, Uuid, i32)> =
        claimed.unwrap().iter().map(|row| (row.get(0), row.get(1), row.get(2), row.get(3))).collect();
    let mut own = claimed.iter().filter(|(_, _, of, _)| *of == id_of(webhook));
    let (organization, delivery, _, attempt) = own.next().unwrap();
    let done = "select crm.complete_webhook_delivery($1, $2, $3, 200, 12, 'thanks')";
    transaction.execute(done, &[organization, delivery, attempt]).unwrap();
    for (organization, delivery, _, attempt) in claimed.iter().filter(|(_, id, _, _)| id != delivery) {
        let release = "select crm.release_webhook_delivery($1, $2, $3)";
        transaction.execute(release, &[organization, delivery, attempt]).unwrap();
    }
    transaction.commit().unwrap();
}

#[test]
fn an_owner_makes_one_and_is_told_its_secret_once() {
    let user = Actor::register();
    let secrets = json!({ "headers": { "X-Token": "of the receiver" }, "events": ["contact.*", "deal.won"] });
    let made = make(&user, &secrets);
    let secret = text(&made["secret"]);
    assert!(secret.starts_with("whsec_") && secret.len() > 30, "{secret}");
    assert_eq!((&made["header_names"], &made["enabled"]), (&json!(["x-token"]), &json!(true)));
    let stored = user.get(&path(&made)).expect(200);
    assert!(!stored.text().contains("whsec_") && !stored.text().contains("of the receiver"), "{stored}");
    let stored = stored.rows().remove(0);
    assert_eq!((&stored["events"], &stored["created_by"]), (&secrets["events"], &json!(user.user)));
    let rotate = json!({ "webhook_id": made["id"] });
    let rotated = user.post("/rpc/rotate_webhook_secret", &rotate).expect(200);
    assert_eq!(rotated.header("Cache-Control"), Some("no-store"), "{rotated}");
    assert_ne!(text(&rotated.json()["secret"]), secret);
    let again = json!({ "name": made["name"], "url": "https://example.com/hook" });
    assert_eq!(user.post("/rpc/create_webhook", &again).expect(409).code(), "23505");
    let read = user.get(&format!("/rpc/create_webhook?name={}&url=https://example.com", unique("read")));
    assert!(read.status >= 400, "{read}");
}

#[test]
fn nobody_inserts_one_without_a_secret() {
    let user = Actor::register();
    let row = json!({ "name": "Hook", "url": "https://example.com/hook" });
    assert_eq!(user.post("/webhooks", &row).expect(403).code(), "42501");
    let upsert = user.request("POST", "/webhooks?on_conflict=org_id,name").prefer("resolution=merge-duplicates");
    upsert.json(&row).send().expect(403);
    assert_eq!(user.count("webhooks"), 0);
}

#[test]
fn an_owner_filters_sorts_and_pages_them() {
    let user = Actor::register();
    let (first, second) =
        (make(&user, &json!({ "name": "First" })), make(&user, &json!({ "name": "Second", "ordered": true })));
    let names = |query: &str| user.get(&format!("/webhooks?{query}")).expect(200).column("name");
    assert_eq!(names("order=name.desc"), ["Second", "First"]);
    assert_eq!(names("ordered=is.true"), ["Second"]);
    assert_eq!(names("events=cs.{*}&order=created_at,id"), ["First", "Second"]);
    let page = user.request("GET", "/webhooks?order=name&limit=1&offset=1").prefer("count=exact").send();
    assert_eq!(page.header("Content-Range"), Some("1-1/2"), "{page}");
    let csv = user.request("GET", "/webhooks?select=name,enabled,ordered&order=name").header("Accept", "text/csv");
    assert_eq!(csv.send().expect(200).text().trim_end(), "name,enabled,ordered\nFirst,t,f\nSecond,t,t");
    deliver(&user, &first);
    let embedded =
        "/webhooks?select=name,webhook_deliveries(event_type,state),webhook_attempts(outcome,status)&order=name";
    let rows = user.get(embedded).expect(200).rows();
    assert_eq!(rows[0]["webhook_deliveries"], json!([{ "event_type": "webhook.test", "state": "pending" }]));
    assert_eq!(rows[0]["webhook_attempts"], json!([{ "outcome": "delivered", "status": 200 }]));
    assert_eq!(rows[1]["webhook_deliveries"], json!([]));
    let of_second = format!("/webhook_attempts?webhook_id=eq.{}", id_of(&second));
    assert_eq!(user.get(&of_second).expect(200).text(), "[]");
}

#[test]
fn an_owner_changes_what_it_gets_and_not_what_the_database_keeps() {
    let user = Actor::register();
    let made = make(&user, &json!({}));
    let change = json!({
        "description": "For people", "url": "https://example.com/other", "events": ["deal.won"], "fields": ["amount"],
        "condition": "$.data.amount > 1000", "ordered": true, "max_per_minute": 60, "header_names": ["X-Forged"],
        "secret_changed_at": "2000-01-01T00:00:00Z", "disabled_reason": "forged", "version": 99,
    });
    let after = user.patch(&path(&made), &change).expect(200).rows().remove(0);
    for column in ["description", "url", "events", "fields", "condition", "ordered", "max_per_minute"] {
        assert_eq!(after[column], change[column], "{column}");
    }
    for column in ["header_names", "secret_changed_at", "disabled_reason"] {
        assert_eq!(after[column], made[column], "{column}");
    }
    assert_eq!(after["version"], json!(2));
    let off = user.patch(&path(&made), &json!({ "enabled": false })).expect(200).rows().remove(0);
    assert!(off["disabled_at"].is_string() && off["disabled_reason"].is_string(), "{off}");
    let test = user.post("/rpc/test_webhook", &json!({ "webhook_id": made["id"] }));
    assert_eq!(test.expect(409).code(), "23505");
    let on = user.patch(&path(&made), &json!({ "enabled": true })).expect(200).rows().remove(0);
    assert_eq!((&on["disabled_at"], &on["disabled_reason"]), (&Value::Null, &Value::Null));
    assert_eq!(user.delete(&path(&made)).expect(200).rows().len(), 1);
    assert_eq!(user.get(&path(&made)).expect(200).text(), "[]");
}

#[test]
fn an_owner_is_told_which_value_is_wrong() {
    let user = Actor::register();
    let made = make(&user, &json!({}));
    let before = fingerprint(&user);
    let values = [
        ("name", json!("x".repeat(101)), "name: too long"),
        ("name", json!(""), "name"),
        ("name", json!(null), "name"),
        ("url", json!("ftp://example.com"), "url"),
        ("url", json!("https://user:password@example.com"), "url"),
        ("url", json!("https://example.com/#part"), "url"),
        ("url", json!("https://"), "url"),
        ("url", json!(null), "url"),
        ("events", json!([]), "events"),
        ("events", json!(["unicorn.created"]), "events"),
        ("events", json!(["contact"]), "events"),
        ("events", json!(vec!["contact.created"; 51]), "events"),
        ("events", json!([null]), "events: must not hold null"),
        ("events", json!(["*", null]), "events: must not hold null"),
        ("events", json!(["deal.wonn"]), "events: there is no event"),
        ("fields", json!([""]), "fields"),
        ("fields", json!(["nope"]), "fields: no update"),
        ("fields", json!([null]), "fields: must not hold null"),
        ("condition", json!("$.data.amount"), "condition"),
        ("condition", json!("$.data.name like_regex \"^(a+)+$\""), "condition"),
        ("condition", json!("nonsense ("), "condition"),
        ("max_per_minute", json!(0), "max_per_minute: must be between"),
        ("max_per_minute", json!("many"), "many"),
        ("description", json!("a\u{0}b"), r"\\u0000 cannot be converted to text"),
    ];
    all(values, |(column, value, word)| {
        let answer = user.patch(&path(&made), &json!({ column: value }));
        let fits = answer.status == 400 && answer.text().contains(word);
        if fits { Ok(()) } else { Err(format!("400 {word:?} expected: {answer}")) }
    });
    let nested = (0..130).fold(json!(1), |inner, _| json!({ "a": inner }));
    all([json!({ "Host": "x" }), json!({ "X-A": "ü" }), json!({ "a b": "x" }), json!([]), nested], |headers| {
        let set = user.post("/rpc/set_webhook_headers", &json!({ "webhook_id": made["id"], "headers": headers }));
        if (set.status, set.code().as_str()) == (400, "22023") { Ok(()) } else { Err(set.to_string()) }
    });
    assert_eq!(fingerprint(&user), before);
}

/// Whoever makes one gets all that it tells.
#[test]
fn an_administrator_of_ones_own_names_only_events_that_they_may_know() {
    let user = Actor::register();
    let permissions =
        ["webhooks.create", "webhooks.read", "webhooks.update", "contacts.read"].map(|name| (name, "all"));
    let hooks = team::member_with(&user, 30, &[&permissions[..], &[("deals.read", "team")]].concat());
    let made = make(&hooks, &json!({ "events": ["contact.*"] }));
    for events in [json!(["deal.won"]), json!(["*"]), json!(["*.created"]), json!(["contact.*", "lead.created"])] {
        let create = json!({ "name": unique("Hook"), "url": "https://example.com", "events": events });
        assert_eq!(hooks.post("/rpc/create_webhook", &create).expect(403).code(), "42501", "{events}");
        hooks.patch(&path(&made), &json!({ "events": events })).expect(403);
    }
    let owners = make(&user, &json!({}));
    hooks.patch(&path(&owners), &json!({ "url": "https://elsewhere.example" })).expect(403);
    hooks.patch(&path(&made), &json!({ "description": "For people" })).expect(200);
    assert_eq!(hooks.get("/webhooks").expect(200).rows().len(), 2);
}

#[test]
fn nobody_else_reaches_one() {
    let (user, stranger) = (Actor::register(), Actor::register());
    let made = make(&user, &json!({ "headers": { "X-Token": "of the receiver" } }));
    deliver(&user, &made);
    let (before, change) = (fingerprint(&user), json!({ "url": "https://elsewhere.example" }));
    let tables = ["webhooks", "webhook_deliveries", "webhook_attempts"];
    for table in tables {
        assert_eq!(stranger.get(&format!("/{table}")).expect(200).text(), "[]");
        anonymous("GET", &format!("/{table}")).send().expect(401);
        assert_eq!(user.get(&format!("/{table}")).expect(200).rows().len(), 1, "{table}");
    }
    assert_eq!(stranger.patch(&path(&made), &change).expect(200).text(), "[]");
    assert_eq!(stranger.delete(&path(&made)).expect(200).text(), "[]");
    let calls = |actor: &Actor, status: u16| {
        for (function, more) in [
            ("rotate_webhook_secret", json!({})),
            ("set_webhook_headers", json!({ "headers": {} })),
            ("test_webhook", json!({})),
            ("replay_webhook", json!({})),
        ] {
            let mut body = more;
            body["webhook_id"] = made["id"].clone();
            actor.post(&format!("/rpc/{function}"), &body).expect(status);
        }
    };
    calls(&stranger, 400);
    for (role, seen) in [("manager", [1, 0, 0]), ("sales", [0; 3]), ("support", [0; 3]), ("read_only", [0; 3])] {
        let member = Actor::member(&user.organization, role);
        let counts = tables.map(|table| member.get(&format!("/{table}")).expect(200).rows().len());
        assert_eq!(counts, seen, "{role}");
        member.patch(&path(&made), &change).expect(403);
        member.delete(&path(&made)).expect(403);
        calls(&member, 403);
        let create = json!({ "name": "Hook", "url": "https://example.com" });
        assert_eq!(member.post("/rpc/create_webhook", &create).expect(403).code(), "42501");
    }
    assert_eq!(fingerprint(&user), before);
}

#[test]
fn nobody_writes_what_is_on_its_way_or_was_tried() {
    let user = Actor::register();
    let made = make(&user, &json!({}));
    deliver(&user, &made);
    for table in ["webhook_deliveries", "webhook_attempts"] {
        let path = format!("/{table}?webhook_id=eq.{}", id_of(&made));
        let before = user.get(&path).expect(200).text();
        user.patch(&path, &json!({ "event_type": "forged" })).expect(403);
        user.delete(&path).expect(403);
        user.post(&format!("/{table}"), &user.get(&path).rows()[0]).expect(403);
        assert_eq!(user.get(&path).expect(200).text(), before, "{table}");
    }
}

#[test]
fn nobody_but_the_worker_does_its_work() {
    let user = Actor::register();
    let nobody = Uuid::nil();
    for (function, body) in [
        ("fan_out_events", json!({})),
        ("claim_webhook_deliveries", json!({})),
        ("complete_webhook_delivery", json!({ "org_id": nobody, "id": nobody, "attempt": 1, "status": 200 })),
        ("fail_webhook_delivery", json!({ "org_id": nobody, "id": nobody, "attempt": 1 })),
        ("release_webhook_delivery", json!({ "org_id": nobody, "id": nobody, "attempt": 1 })),
        ("maintain_webhooks", json!({})),
    ] {
        let path = format!("/rpc/{function}");
        for (answer, status) in [(anonymous("POST", &path).json(&body).send(), 401), (user.post(&path, &body), 403)] {
            assert_eq!((answer.status, answer.code().as_str()), (status, "42501"), "{answer}");
        }
    }
}
