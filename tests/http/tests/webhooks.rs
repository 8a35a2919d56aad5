//! Webhooks over HTTP: making, listing, changing, trying and deleting them; and that no secret comes back.

use std::time::{Duration, Instant};

use crm_http_tests::actor::{Actor, anonymous, id_of};
use crm_http_tests::http::text;
use crm_http_tests::issuer::as_role;
use crm_http_tests::sql;
use crm_http_tests::{admin, alone, unique};
use postgres::fallible_iterator::FallibleIterator;
use serde_json::{Value, json};
use uuid::Uuid;

fn make(user: &Actor, further: Value) -> Value {
    let mut arguments = json!({ "name": unique("hook"), "url": "https://example.com/hook" });
    arguments.as_object_mut().unwrap().extend(further.as_object().unwrap().clone());
    user.post("/rpc/create_webhook", &arguments).expect(200).json()
}

/// What a worker is handed of this organization.
fn claim(organization: Uuid) -> Vec<Value> {
    as_role("crm_worker", |sql| {
        while sql.query_one("select (crm.fan_out_events() ->> 'more')::boolean", &[]).unwrap().get(0) {}
        let rows = sql.query("select to_jsonb(c) from crm.claim_webhook_deliveries(1000) as c", &[]).unwrap();
        let claimed = rows.iter().map(|row| row.get::<_, Value>(0));
        let claimed: Vec<_> = claimed.filter(|delivery| delivery["org_id"] == json!(organization)).collect();
        for one in &claimed {
            let report = "select crm.complete_webhook_delivery(($1::jsonb ->> 'org_id')::uuid, ($1::jsonb ->> 'id')::uuid, ($1::jsonb ->> 'attempt')::integer, 200, 1, 'ok')";
            assert!(sql.query_one(report, &[one]).unwrap().get::<_, bool>(0));
        }
        claimed
    })
}

#[test]
fn an_administrator_makes_lists_changes_and_deletes_one() {
    let _alone = alone();
    let owner = Actor::register();
    let answer = owner
        .request("POST", "/rpc/create_webhook")
        .json(&json!({ "name": "CRM to ERP", "url": "https://erp.example.com/in", "events": ["invoice.*"], "headers": { "X-Key": "k3y" } }))
        .send()
        .expect(200);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let webhook = answer.json();
    assert!(text(&webhook["secret"]).starts_with("whsec_"));
    let path = format!("/webhooks?id=eq.{}", id_of(&webhook));
    let listed = owner.get("/webhooks").expect(200).rows().remove(0);
    assert_eq!(
        (&listed["name"], &listed["header_names"], &listed["enabled"]),
        (&json!("CRM to ERP"), &json!(["x-key"]), &json!(true))
    );
    assert!(!listed.to_string().contains("whsec_") && !listed.to_string().contains("k3y"));
    let changed =
        owner.patch(&path, &json!({ "events": ["invoice.paid"], "enabled": false })).expect(200).rows().remove(0);
    assert_eq!((&changed["events"], &changed["disabled_reason"]), (&json!(["invoice.paid"]), &json!("by hand")));
    let kept =
        owner.patch(&path, &json!({ "disabled_reason": "x", "header_names": ["x"] })).expect(200).rows().remove(0);
    assert_eq!(
        (&kept["disabled_reason"], &kept["header_names"]),
        (&json!("by hand"), &json!(["x-key"])),
        "the database's to say"
    );
    owner.delete(&path).expect(200);
    assert!(owner.get("/webhooks").expect(200).rows().is_empty());
}

#[test]
fn an_event_reaches_the_worker_signed_and_the_log_tells_it() {
    let _alone = alone();
    let owner = Actor::register();
    let webhook = make(&owner, json!({ "events": ["contact.created"], "condition": "$.data.last_name == \"Wanted\"" }));
    owner.insert("contacts", &json!({ "last_name": "Other" }));
    let contact = owner.insert("contacts", &json!({ "last_name": "Wanted" }));
    let mut claimed = claim(owner.organization.id);
    assert_eq!(claimed.len(), 1);
    let delivery = claimed.remove(0);
    let body: Value = serde_json::from_str(delivery["body"].as_str().unwrap()).unwrap();
    assert_eq!((&body["type"], &body["record_id"]), (&json!("contact.created"), &contact["id"]));
    assert_eq!(body["data"], contact, "the event tells the record as the API does");
    assert_eq!(delivery["headers"]["webhook-id"], body["id"]);
    let attempts = owner.get(&format!("/webhook_attempts?webhook_id=eq.{}", id_of(&webhook))).expect(200).rows();
    assert_eq!(
        (attempts.len(), &attempts[0]["outcome"], &attempts[0]["response"]),
        (1, &json!("delivered"), &json!("ok"))
    );
    let again =
        owner.post("/rpc/replay_webhook", &json!({ "webhook_id": webhook["id"], "event_id": body["id"] })).expect(200);
    assert_eq!(again.json(), json!({ "replayed": 1 }));
    assert_eq!(claim(owner.organization.id)[0]["body"], delivery["body"]);
}

#[test]
fn a_test_event_is_sent() {
    let _alone = alone();
    let owner = Actor::register();
    let webhook = make(&owner, json!({ "events": ["deal.won"] }));
    let event = owner.post("/rpc/test_webhook", &json!({ "webhook_id": webhook["id"] })).expect(200).json();
    let claimed = claim(owner.organization.id);
    assert_eq!(
        (claimed.len(), &claimed[0]["event_id"], &claimed[0]["event_type"]),
        (1, &event["event_id"], &json!("webhook.test"))
    );
}

#[test]
fn a_lock_that_somebody_holds_keeps_their_own_organization_waiting_alone() {
    let _alone = alone();
    let (holder, other) = (Actor::register(), Actor::register());
    for owner in [&holder, &other] {
        make(owner, json!({ "events": ["contact.created"] }));
    }
    claim(holder.organization.id);
    holder.insert("contacts", &json!({ "last_name": "Held" }));
    assert_eq!(claim(holder.organization.id).len(), 1, "while nobody holds anything");
    holder.insert("contacts", &json!({ "last_name": "Held" }));
    other.insert("contacts", &json!({ "last_name": "Free" }));

    let mut client = sql::connect();
    let mut transaction = sql::begin_request(&mut client, holder.token()).unwrap();
    assert_eq!(transaction.query("select id from crm.webhooks for update", &[]).unwrap().len(), 1);
    let began = Instant::now();
    assert_eq!(claim(other.organization.id).len(), 1);
    assert!(claim(holder.organization.id).is_empty());
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    transaction.rollback().unwrap();
    assert_eq!(claim(holder.organization.id).len(), 1, "what was held up comes");

    // What is sent again waits for who is just changing the headers, and nothing else does.
    let webhook = id_of(&holder.get("/webhooks").expect(200).rows()[0]);
    holder.post("/rpc/replay_webhook", &json!({ "webhook_id": webhook, "since": "2000-01-01" })).expect(200);
    let mut transaction = sql::begin_request(&mut client, holder.token()).unwrap();
    transaction.query("select crm.set_webhook_headers($1, '{}')", &[&webhook]).unwrap();
    other.insert("contacts", &json!({ "last_name": "Free" }));
    let began = Instant::now();
    assert_eq!(claim(other.organization.id).len(), 1);
    assert!(claim(holder.organization.id).is_empty());
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    transaction.rollback().unwrap();
    assert_eq!(claim(holder.organization.id).len(), 2, "all of it");
}

#[test]
fn a_subscription_never_sees_another_organizations_events() {
    let _alone = alone();
    let (owner, other) = (Actor::register(), Actor::register());
    make(&owner, json!({ "events": ["*"] }));
    make(&other, json!({ "events": ["*"] }));
    claim(owner.organization.id);
    claim(other.organization.id);
    other.insert("contacts", &json!({ "last_name": "Theirs" }));
    let mine = claim(owner.organization.id);
    assert!(mine.iter().all(|delivery| !delivery.to_string().contains("Theirs")), "{mine:?}");
    let theirs = id_of(&other.get("/webhooks").expect(200).rows()[0]);
    for (function, arguments) in [
        ("rotate_webhook_secret", json!({ "webhook_id": theirs })),
        ("test_webhook", json!({ "webhook_id": theirs })),
        ("replay_webhook", json!({ "webhook_id": theirs })),
        ("set_webhook_headers", json!({ "webhook_id": theirs, "headers": {} })),
    ] {
        let unknown = json!({ "webhook_id": Uuid::new_v4(), "headers": {} });
        let unknown =
            if arguments["headers"].is_null() { json!({ "webhook_id": unknown["webhook_id"] }) } else { unknown };
        let [told, of_none] = [arguments, unknown]
            .map(|arguments| owner.post(&format!("/rpc/{function}"), &arguments).expect(400).text());
        assert_eq!(told, of_none, "{function}: somebody else's is as one that never was");
    }
    assert!(
        owner
            .patch(&format!("/webhooks?id=eq.{theirs}"), &json!({ "url": "https://evil.example" }))
            .expect(200)
            .rows()
            .is_empty()
    );
    assert!(owner.delete(&format!("/webhooks?id=eq.{theirs}")).expect(200).rows().is_empty());
}

#[test]
fn only_administrators_have_them_and_nobody_reads_secrets_back() {
    let _alone = alone();
    let owner = Actor::register();
    let webhook = make(&owner, json!({ "headers": { "Authorization": "Bearer h1dden" } }));
    let secret = text(&webhook["secret"]);
    owner.post("/rpc/test_webhook", &json!({ "webhook_id": webhook["id"] })).expect(200);
    owner.insert("contacts", &json!({ "last_name": "A" }));
    for path in ["/webhooks", "/webhook_deliveries", "/webhook_attempts", "/audit_log", "/rpc/changes_since"] {
        let told = owner.get(path).expect(200).text();
        assert!(!told.contains(&secret) && !told.contains("h1dden") && !told.contains("whsec_"), "{path}");
    }
    owner.get("/webhook_secrets").expect(404);
    anonymous("GET", "/webhooks").send().expect(401);
    anonymous("POST", "/rpc/create_webhook")
        .json(&json!({ "name": "a", "url": "https://example.com" }))
        .send()
        .expect(401);
    for role in ["manager", "sales", "support", "read_only"] {
        let member = Actor::member(&owner.organization, role);
        member.post("/rpc/create_webhook", &json!({ "name": "a", "url": "https://example.com" })).expect(403);
        member.post("/rpc/rotate_webhook_secret", &json!({ "webhook_id": webhook["id"] })).expect(403);
        assert!(member.get("/webhook_deliveries").expect(200).rows().is_empty(), "{role}");
    }
    for function in ["claim_webhook_deliveries", "fan_out_events", "maintain_webhooks"] {
        owner.post(&format!("/rpc/{function}"), &json!({})).expect(403);
    }
    owner.post("/webhooks", &json!({ "name": "without a secret", "url": "https://example.com" })).expect(403);
}

#[test]
fn what_cannot_be_is_refused_with_its_reason() {
    let _alone = alone();
    let owner = Actor::register();
    for (further, field) in [
        (json!({ "url": "file:///etc/passwd" }), "url"),
        (json!({ "url": "https://u:p@example.com" }), "url"),
        (json!({ "url": "nothing" }), "url"),
        (json!({ "events": [] }), "events"),
        (json!({ "events": ["no.such.event"] }), "events"),
        (json!({ "events": ["unicorn.created"] }), "events"),
        (json!({ "events": ["deal.wonn"] }), "events"),
        (json!({ "events": ["*.qwerty"] }), "events"),
        (json!({ "events": [null] }), "events"),
        (json!({ "fields": ["nope"] }), "fields"),
        (json!({ "fields": [null] }), "fields"),
        (json!({ "max_per_minute": 0 }), "max_per_minute"),
        (json!({ "condition": "$.data.amount" }), "condition"),
        (json!({ "condition": "'; drop table x" }), "condition"),
        (json!({ "headers": { "Content-Length": "5" } }), "headers"),
        (json!({ "headers": { "X": "a\nb" } }), "headers"),
        (json!({ "headers": [] }), "headers"),
    ] {
        let mut arguments = json!({ "name": unique("hook"), "url": "https://example.com/hook" });
        arguments.as_object_mut().unwrap().extend(further.as_object().unwrap().clone());
        let answer = owner.post("/rpc/create_webhook", &arguments).expect(400);
        assert!(text(&answer.json()["message"]).starts_with(&format!("{field}: ")), "{arguments}: {}", answer.text());
    }
    assert_eq!(admin::count("webhooks", owner.organization.id), 0);
}

/// What whoever listens hears of what is done meanwhile.
fn heard(run: impl FnOnce()) -> Vec<String> {
    let mut listener = admin::connect();
    listener.batch_execute("listen crm_events").unwrap();
    run();
    let mut notifications = listener.notifications();
    let mut heard = notifications.timeout_iter(Duration::from_millis(500));
    std::iter::from_fn(|| heard.next().unwrap()).map(|notification| notification.payload().to_owned()).collect()
}

#[test]
fn who_delivers_is_woken_where_there_is_a_webhook_and_told_nothing() {
    let _alone = alone();
    let owner = Actor::register();
    let insert = || drop(owner.insert("contacts", &json!({ "last_name": "A" })));
    assert!(heard(insert).is_empty(), "nobody wants to know");
    let webhook = make(&owner, json!({ "events": ["deal.won"] }));
    assert_eq!(heard(insert), [""]);
    assert!(
        heard(|| drop(Actor::register().insert("contacts", &json!({ "last_name": "B" })))).is_empty(),
        "nor elsewhere"
    );
    owner.patch(&format!("/webhooks?id=eq.{}", id_of(&webhook)), &json!({ "enabled": false })).expect(200);
    assert!(heard(insert).is_empty(), "nor any more");
}

#[test]
fn the_plan_says_how_many_there_are() {
    let _alone = alone();
    let owner = Actor::register();
    make(&owner, json!({}));
    make(&owner, json!({}));
    let third =
        owner.post("/rpc/create_webhook", &json!({ "name": "third", "url": "https://example.com" })).expect(402);
    assert_eq!(third.json()["message"], "the plan's limit is reached: webhooks");
}
