//! Events of other systems over HTTP: who may send them, what is answered, and that an event that comes several times at once
//! becomes one record.

use std::thread;

use crm_http_tests::actor::{Actor, anonymous};
use crm_http_tests::http::{Request, Response, text};
use crm_http_tests::machine::{Key, forbidden};
use crm_http_tests::{admin, all, unique};
use serde_json::{Value, json};
use uuid::Uuid;

const SCOPES: [&str; 4] = ["integration_events.create", "leads.read", "leads.create", "leads.update"];

fn send(key: &Key, payload: &Value) -> Response {
    key.call("ingest_event", &json!({ "event_name": "lead.captured", "payload": payload }))
}

fn raw(key: &Key, name: &str) -> Request {
    key.request("POST", "/rpc/receive_event").header("X-Event-Name", name)
}

fn events(of: &Actor) -> Vec<Value> {
    of.get("/integration_events?order=id").expect(200).rows()
}

/// A refusal that left nothing.
#[track_caller]
fn refused(of: &Actor, answer: Response, status: u16, code: &str) {
    assert_eq!((answer.status, answer.code().as_str()), (status, code), "{answer}");
    assert_eq!(events(of).len(), 0, "{answer}");
}

// ---------------------------------------------------------------------------------------------- who may send

#[test]
fn a_key_sends_a_lead() {
    let owner = Actor::register();
    let key = Key::of(&owner, &SCOPES);
    let payload = json!({ "name": "Ada Lovelace", "email": "ADA@example.com", "message": "Hello", "unknown": [1] });
    let answer = send(&key, &payload).expect(200).json();
    let lead = owner.get("/leads").expect(200).rows().remove(0);
    assert_eq!((&lead["first_name"], &lead["last_name"]), (&json!("Ada"), &json!("Lovelace")));
    assert_eq!((&lead["email"], &lead["created_by"]), (&json!("ada@example.com"), &Value::Null));
    let event = events(&owner).remove(0);
    assert_eq!(
        answer,
        json!({ "id": event["id"], "event_name": "lead.captured", "status": "processed", "duplicate": false, "entity": "leads",
            "record_id": lead["id"], "error": null })
    );
    assert_eq!((&event["payload"], &event["api_key_id"]), (&payload, &json!(key.id)));
}

#[test]
fn who_shows_no_key_or_a_bad_one_is_refused_with_401() {
    let owner = Actor::register();
    let key = Key::of(&owner, &SCOPES);
    let body = json!({ "event_name": "lead.captured", "payload": { "last_name": "x" } });
    let request = || anonymous("POST", "/rpc/ingest_event").header("X-Tenant-ID", &owner.organization.slug).json(&body);
    refused(&owner, request().send(), 401, "42501");
    for bad in [key.text.to_uppercase(), format!("{}x", key.text), "x".into(), String::new()] {
        refused(&owner, request().header("X-API-Key", &bad).send(), 401, "PT401");
    }
    owner.post("/rpc/revoke_api_key", &json!({ "api_key_id": key.id })).expect(200);
    refused(&owner, request().header("X-API-Key", &key.text).send(), 401, "PT401");
}

#[test]
fn who_may_not_send_is_refused_with_403() {
    let owner = Actor::register();
    for scopes in [&["leads.*"][..], &["integration_events.read", "integration_events.update"]] {
        let key = Key::of(&owner, scopes);
        refused(&owner, send(&key, &json!({ "last_name": "x" })), 403, "PT403");
        refused(&owner, raw(&key, "lead.captured").json(&json!({ "last_name": "x" })).send(), 403, "PT403");
    }
    for role in ["manager", "sales", "support", "read_only"] {
        let body = json!({ "event_name": "lead.captured", "payload": { "last_name": "x" } });
        refused(&owner, Actor::member(&owner.organization, role).post("/rpc/ingest_event", &body), 403, "42501");
    }
    let platform = Key::of_platform(&["*.*"]);
    forbidden("a platform key", &send(&platform, &json!({ "last_name": "x" }))).unwrap();
}

#[test]
fn a_key_sends_to_its_own_organization_alone() {
    let (owner, other) = (Actor::register(), Actor::register());
    let key = Key::of(&owner, &SCOPES);
    let body = json!({ "event_name": "lead.captured", "payload": { "last_name": "x" } });
    let to = |organization: &str| {
        key.request("POST", "/rpc/ingest_event").header("X-Tenant-ID", organization).json(&body).send()
    };
    for stranger in [other.organization.id.to_string(), other.organization.slug.clone(), Uuid::new_v4().to_string()] {
        refused(&owner, to(&stranger), 403, "PT403");
    }
    assert_eq!(events(&other).len(), 0);
    to(&owner.organization.slug).expect(200);
    to(&owner.organization.id.to_string()).expect(200);
    assert_eq!((events(&owner).len(), events(&other).len()), (2, 0));
}

#[test]
fn an_owner_sends_and_a_get_does_not() {
    let owner = Actor::register();
    let body = json!({ "event_name": "lead.captured", "payload": { "last_name": "x" } });
    owner.post("/rpc/ingest_event", &body).expect(200);
    owner.get("/rpc/ingest_event?event_name=lead.captured&payload={}").expect(405);
    let filtered = owner.post("/rpc/ingest_event?status=eq.failed", &body);
    assert_eq!(filtered.status, 400, "{filtered}");
    assert_eq!(events(&owner).len(), 1);
}

// ---------------------------------------------------------------------------------------------- what is no event

#[test]
fn what_is_no_event_is_refused_with_422_and_what_is_too_large_with_413() {
    let owner = Actor::register();
    let key = Key::of(&owner, &SCOPES);
    for body in [
        json!({ "event_name": "lead", "payload": {} }),
        json!({ "event_name": "Lead.Captured", "payload": {} }),
        json!({ "event_name": "a.b\r\nX-Injected: x", "payload": {} }),
        json!({ "event_name": null, "payload": {} }),
        json!({ "event_name": "lead.captured", "payload": [] }),
        json!({ "event_name": "lead.captured", "payload": "{}" }),
        json!({ "event_name": "lead.captured", "payload": null }),
        json!({ "event_name": "lead.captured", "payload": {}, "event_id": "" }),
        json!({ "event_name": "lead.captured", "payload": {}, "event_id": "x".repeat(256) }),
    ] {
        let answer = key.call("ingest_event", &body);
        assert_eq!(answer.header("X-Injected"), None, "{answer}");
        refused(&owner, answer, 422, "PT422");
    }
    let large = json!({ "last_name": "x", "notes": "x".repeat(256 * 1024) });
    refused(&owner, send(&key, &large), 413, "54000");
    refused(&owner, raw(&key, "lead.captured").json(&large).send(), 413, "54000");
    refused(&owner, raw(&key, "lead").json(&json!({})).send(), 422, "PT422");
    refused(&owner, key.request("POST", "/rpc/receive_event").json(&json!({ "last_name": "x" })).send(), 422, "PT422");
    for body in ["[]", r#"[{"last_name": "x"}]"#] {
        refused(&owner, raw(&key, "lead.captured").body("application/json", body).send(), 422, "PT422");
    }
    // PostgREST's own answer.
    for body in ["[1]", r#"[{"last_name": "x"}, {"email": "y"}]"#] {
        refused(&owner, raw(&key, "lead.captured").body("application/json", body).send(), 400, "PGRST102");
    }
    for body in ["", "{", "last_name=x"] {
        let answer = raw(&key, "lead.captured").body("application/json", body).send();
        assert!((400..500).contains(&answer.status), "{answer}");
    }
    assert_eq!(events(&owner).len(), 0);
}

// ---------------------------------------------------------------------------------------------- sent again

#[test]
fn an_event_that_is_sent_again_is_answered_like_the_first_time() {
    let owner = Actor::register();
    let key = Key::of(&owner, &SCOPES);
    let body = json!({ "event_name": "lead.captured", "payload": { "last_name": "Once" }, "event_id": "evt-1" });
    let first = key.call("ingest_event", &body).expect(200).json();
    let mut again = key.call("ingest_event", &body).expect(200).json();
    assert_eq!(again["duplicate"], json!(true));
    again["duplicate"] = json!(false);
    assert_eq!(again, first);
    let other = json!({ "event_name": "lead.captured", "payload": { "last_name": "Other" }, "event_id": "evt-1" });
    let refused = key.call("ingest_event", &other);
    assert_eq!((refused.status, refused.code()), (422, "PT422".into()), "{refused}");
    assert_eq!((events(&owner).len(), owner.count("leads")), (1, 1));
}

/// Who sends an event until it is taken learns each time that it was not.
#[test]
fn an_event_that_failed_and_is_sent_again_is_tried_again() {
    let owner = Actor::register();
    let (sender, key) = (Key::of(&owner, &["integration_events.create"]), Key::of(&owner, &SCOPES));
    let body = json!({ "event_name": "lead.captured", "payload": { "last_name": "Once" }, "event_id": "evt-1" });
    for _ in 0..2 {
        let answer = sender.call("ingest_event", &body);
        assert_eq!((answer.status, answer.code()), (403, "42501".into()), "{answer}");
    }
    let answers = at_once(|_| key.call("ingest_event", &body).expect(200).json());
    assert!(answers.iter().all(|answer| answer["status"] == json!("processed")), "{answers:?}");
    assert_eq!(answers.iter().filter(|answer| answer["duplicate"] == json!(false)).count(), 1, "{answers:?}");
    let event = events(&owner).remove(0);
    assert_eq!((&event["status"], &event["attempts"]), (&json!("processed"), &json!(3)));
    assert_eq!((events(&owner).len(), owner.count("leads")), (1, 1));
}

#[test]
fn what_a_record_lacks_is_told_in_words() {
    let owner = Actor::register();
    let answer = send(&Key::of(&owner, &SCOPES), &json!({ "title": "Nobody" }));
    assert_eq!((answer.status, answer.code()), (422, "23514".into()), "{answer}");
    assert_eq!(answer.json()["message"], json!("last_name, company: at least one of them is needed"));
}

#[test]
fn the_header_names_an_event_where_the_body_does_not() {
    let owner = Actor::register();
    let key = Key::of(&owner, &SCOPES);
    let with = |header: &str, name: &str| {
        let request = raw(&key, "lead.captured").header("Idempotency-Key", header);
        request.json(&json!({ "last_name": name })).send()
    };
    assert_eq!(with("k-1", "Once").expect(200).json()["duplicate"], json!(false));
    assert_eq!(with("\"k-1\"", "Once").expect(200).json()["duplicate"], json!(true));
    with("k-1", "Other").expect(422);
    assert_eq!(with("k-2", "Other").expect(200).json()["duplicate"], json!(false));
    with(&"k".repeat(256), "Other").expect(422);
    let keys: Vec<_> = events(&owner).iter().map(|event| text(&event["event_key"])).collect();
    assert_eq!(keys, ["k-1", "k-2"]);
}

#[test]
fn an_event_that_comes_several_times_at_once_becomes_one_lead() {
    let owner = Actor::register();
    let key = Key::of(&owner, &SCOPES);
    let body = json!({ "event_name": "lead.captured", "payload": { "last_name": "Once" }, "event_id": "evt-1" });
    let mut answers: Vec<Value> = at_once(|_| key.call("ingest_event", &body).expect(200).json());
    assert_eq!(answers.iter().filter(|answer| answer["duplicate"] == json!(false)).count(), 1);
    answers.dedup_by(|one, other| one["record_id"] == other["record_id"]);
    assert_eq!((answers.len(), owner.count("leads"), events(&owner).len()), (1, 1, 1));
}

#[test]
fn events_about_one_person_that_come_at_once_become_one_lead() {
    let owner = Actor::register();
    let key = Key::of(&owner, &SCOPES);
    at_once(|n| send(&key, &json!({ "email": "one@example.com", "title": format!("Event {n}") })).expect(200).json());
    assert_eq!((owner.count("leads"), events(&owner).len()), (1, 8));
}

fn at_once(send: impl Fn(usize) -> Value + Sync) -> Vec<Value> {
    thread::scope(|scope| {
        let send = &send;
        let workers: Vec<_> = (0..8).map(|n| scope.spawn(move || send(n))).collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).collect()
    })
}

// ---------------------------------------------------------------------------------------------- what fails

#[test]
fn an_event_that_fails_is_kept_and_says_why() {
    let owner = Actor::register();
    let key = Key::of(&owner, &SCOPES);
    let answer = send(&key, &json!({ "last_name": "x", "email": "nobody" }));
    assert_eq!((answer.status, answer.code()), (422, "22023".into()), "{answer}");
    let (answer, event) = (answer.json(), events(&owner).remove(0));
    let details: Value = serde_json::from_str(&text(&answer["details"])).unwrap();
    let error = "email: not a valid e-mail address";
    assert_eq!(answer["message"], json!(error));
    assert_eq!(
        details,
        json!({ "id": event["id"], "event_name": "lead.captured", "status": "failed", "duplicate": false, "entity": "leads",
            "record_id": null })
    );
    assert_eq!(
        (&event["status"], &event["error"], &event["error_code"]),
        (&json!("failed"), &json!(error), &json!("22023"))
    );
    assert_eq!(owner.count("leads"), 0);
}

#[test]
fn a_key_that_may_not_make_leads_is_refused_with_403_and_the_event_kept() {
    let owner = Actor::register();
    let key = Key::of(&owner, &["integration_events.create"]);
    let answer = send(&key, &json!({ "last_name": "x" }));
    assert_eq!((answer.status, answer.code()), (403, "42501".into()), "{answer}");
    assert_eq!(answer.json()["message"], json!("your key does not permit leads.create"));
    let event = text(&events(&owner).remove(0)["id"]);
    let retried = owner.post("/rpc/retry_event", &json!({ "id": event })).expect(200).json();
    assert_eq!((&retried["status"], owner.count("leads")), (&json!("processed"), 1));
}

#[test]
fn at_a_limit_of_the_plan_the_answer_is_402_and_the_event_kept() {
    let owner = Actor::register();
    let key = Key::of(&owner, &SCOPES);
    let limit = json!({ "org_id": owner.organization.id, "name": "leads", "maximum": 0, "reason": "a test" });
    Key::of_platform(&["organizations.update"]).call("set_plan_override", &limit).expect(200);
    let answer = send(&key, &json!({ "last_name": "x" }));
    assert_eq!((answer.status, answer.code()), (402, "53400".into()), "{answer}");
    assert!(text(&answer.json()["details"]).contains(r#""limit":"leads""#), "{answer}");
    assert_eq!((owner.count("leads"), events(&owner).len()), (0, 1));
}

#[test]
fn an_event_is_worked_on_again_by_who_may() {
    let (owner, stranger) = (Actor::register(), Actor::register());
    let key = Key::of(&owner, &SCOPES);
    let name = format!("{}.paid", unique("shop").replace('-', "_"));
    let body = json!({ "event_name": name, "payload": { "who": "Ann" } });
    let event = key.call("ingest_event", &body).expect(200).json();
    assert_eq!(event["status"], json!("ignored"));
    let rule = json!({ "name": "Shop", "event_name": name, "entity": "leads", "mapping": { "last_name": "$.who" } });
    owner.post("/integration_rules", &rule).expect(201);
    let again = json!({ "id": event["id"] });
    forbidden("the key", &key.call("retry_event", &again)).unwrap();
    forbidden("the key", &key.call("retry_events", &json!({}))).unwrap();
    let nothing = stranger.post("/rpc/retry_event", &again);
    assert_eq!((nothing.status, nothing.code()), (400, "22023".into()), "{nothing}");
    assert_eq!(owner.post("/rpc/retry_event", &again).expect(200).json()["status"], json!("processed"));
    assert_eq!(owner.post("/rpc/retry_event", &again).expect(200).json()["status"], json!("processed"));
    assert_eq!(owner.count("leads"), 1);
    let counts = owner.post("/rpc/retry_events", &json!({ "status": "ignored" })).expect(200).json();
    assert_eq!(counts, json!({ "processed": 0, "failed": 0, "ignored": 0, "last": null }));
    owner.get(&format!("/rpc/retry_event?id={}", text(&event["id"]))).expect(405);
}

#[test]
fn a_payload_keeps_all_its_digits() {
    let owner = Actor::register();
    let key = Key::of(&owner, &SCOPES);
    let body = r#"{"last_name": "x", "n": 12345678901234567890.10, "huge": 1e400}"#;
    raw(&key, "lead.captured").body("application/json", body).send().expect(200);
    let kept: String =
        admin::value("select payload ->> 'n' from crm.integration_events where org_id = $1", &[&owner.organization.id]);
    assert_eq!(kept, "12345678901234567890.10");
}

#[test]
fn nobody_writes_events_past_the_functions_but_administrators_delete_them() {
    let owner = Actor::register();
    let key = Key::of(&owner, &["*.*"]);
    send(&key, &json!({ "last_name": "x" })).expect(200);
    let row = json!({ "event_name": "a.b", "payload": {} });
    let attempts = [
        owner.post("/integration_events", &row),
        owner.patch("/integration_events?event_name=eq.lead.captured", &json!({ "status": "failed", "error": "x" })),
        key.post("/integration_events", &row),
        key.patch("/integration_events?event_name=eq.lead.captured", &json!({ "payload": {} })),
        Key::of(&owner, &SCOPES).delete("/integration_events?event_name=eq.lead.captured"),
        Actor::member(&owner.organization, "manager").delete("/integration_events?event_name=eq.lead.captured"),
    ];
    all(attempts, |answer| forbidden("events", &answer));
    assert_eq!(events(&owner).len(), 1);
    let event = text(&events(&owner)[0]["id"]);
    assert_eq!(Actor::register().delete(&format!("/integration_events?id=eq.{event}")).expect(200).rows().len(), 0);
    assert_eq!(
        Actor::member(&owner.organization, "admin")
            .delete(&format!("/integration_events?id=eq.{event}"))
            .expect(200)
            .rows()
            .len(),
        1
    );
    assert_eq!((events(&owner).len(), owner.count("leads")), (0, 1));
}
