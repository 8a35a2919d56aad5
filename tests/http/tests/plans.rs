//! Plans over HTTP: what is refused with 402, and that of many who want the last place exactly one gets it.

use std::thread;

use crm_http_tests::actor::{Actor, anonymous};
use crm_http_tests::http::Response;
use crm_http_tests::machine::{Key, forbidden, invite};
use crm_http_tests::{PASSWORD_PREFIX, admin, unique};
use serde_json::{Value, json};

fn platform() -> Key {
    Key::of_platform(&["organizations.*", "users.*"])
}

/// Somebody whose organization may have so many of this.
fn limited(limit: &str, maximum: i64) -> Actor {
    let owner = Actor::register();
    let arguments = json!({ "org_id": owner.organization.id, "name": limit, "maximum": maximum, "reason": "a test" });
    platform().call("set_plan_override", &arguments).expect(200);
    owner
}

#[track_caller]
fn refused(answer: &Response, limit: &str, current: i64, maximum: i64) {
    assert_eq!((answer.status, answer.code()), (402, "PT402".into()), "{answer}");
    let body = answer.json();
    assert_eq!(body["message"], json!(format!("the plan's limit is reached: {limit}")));
    let details: Value = serde_json::from_str(body["details"].as_str().unwrap()).unwrap();
    assert_eq!(details, json!({ "limit": limit, "current": current, "maximum": maximum, "plan": "free" }));
    assert!(body["hint"].as_str().unwrap().contains("larger plan"), "{answer}");
}

fn usage(of: &Actor, limit: &str) -> Value {
    of.get(&format!("/rpc/usage?limit_name=eq.{limit}")).expect(200).rows().remove(0)
}

/// How many of these succeed when they are sent at once; the others are refused with 402.
fn successes(send: impl Fn(usize) -> Response + Sync) -> usize {
    let answers: Vec<Response> = thread::scope(|scope| {
        let send = &send;
        let workers: Vec<_> = (0..8).map(|n| scope.spawn(move || send(n))).collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).collect()
    });
    for answer in &answers {
        assert!([200, 201, 402].contains(&answer.status), "{answer}");
    }
    answers.iter().filter(|answer| answer.status < 300).count()
}

#[test]
fn one_record_too_many_is_402_with_the_limit() {
    let owner = limited("contacts", 3);
    for n in 0..3 {
        owner.insert("contacts", &json!({ "last_name": format!("Contact {n}") }));
    }
    let more = json!({ "last_name": "One more" });
    refused(&owner.post("/contacts", &more), "contacts", 3, 3);
    owner.delete("/contacts?last_name=eq.Contact 0".replace(' ', "%20").as_str()).expect(200);
    owner.post("/contacts", &more).expect(201);
    refused(&owner.post("/contacts", &more), "contacts", 3, 3);
    assert_eq!(owner.count("contacts"), 3);
    owner.insert("accounts", &json!({ "name": "Something else" }));
}

#[test]
fn a_file_with_too_many_rows_adds_none() {
    let owner = limited("contacts", 100);
    let file = |rows: usize| {
        let lines: String = (0..rows).map(|n| format!("First{n},Last{n},person{n}@example.com\n")).collect();
        let text = format!("first_name,last_name,email\n{lines}");
        owner.request("POST", "/contacts").body("text/csv", text).send()
    };
    refused(&file(101), "contacts", 0, 100);
    assert_eq!(owner.count("contacts"), 0);
    file(100).expect(201);
    assert_eq!(usage(&owner, "contacts")["current"], 100);
}

#[test]
fn an_upsert_counts_what_it_adds() {
    let owner = limited("contacts", 2);
    let upsert = |rows: Value, resolution: &str| {
        let request = owner.request("POST", "/contacts?on_conflict=org_id,email").prefer(resolution);
        request.json(&rows).send()
    };
    let two = json!([{ "last_name": "A", "email": "a@example.com" }, { "last_name": "B", "email": "b@example.com" }]);
    upsert(two.clone(), "resolution=merge-duplicates").expect(201);
    for resolution in ["resolution=merge-duplicates", "resolution=ignore-duplicates"] {
        let answer = upsert(two.clone(), resolution);
        assert!([200, 201].contains(&answer.status), "{answer}");
        let three =
            json!([{ "last_name": "A", "email": "a@example.com" }, { "last_name": "C", "email": "c@example.com" }]);
        refused(&upsert(three, resolution), "contacts", 2, 2);
    }
    assert_eq!(usage(&owner, "contacts")["current"], 2);
}

#[test]
fn a_key_is_bound_by_the_plan_too() {
    let owner = limited("contacts", 1);
    let key = Key::of(&owner, &["contacts.*", "organizations.read"]);
    key.post("/contacts", &json!({ "last_name": "First" })).expect(201);
    refused(&key.post("/contacts", &json!({ "last_name": "Second" })), "contacts", 1, 1);
    assert_eq!(key.get("/rpc/usage?limit_name=eq.contacts").expect(200).rows()[0]["current"], 1);
}

#[test]
fn of_many_who_accept_for_the_last_seat_exactly_one_gets_it() {
    let owner = limited("users", 2);
    let invitations: Vec<_> =
        (0..8).map(|_| invite(&owner, &format!("{}@example.com", unique("invited")), "sales")).collect();
    let accept = |n: usize| {
        let arguments = json!({ "token": invitations[n], "password": unique(PASSWORD_PREFIX) });
        anonymous("POST", "/rpc/accept_invitation").json(&arguments).send()
    };
    assert_eq!(successes(accept), 1);
    assert_eq!(admin::count("memberships", owner.organization.id), 2);
    let free = limited("users", 3);
    let token = invite(&free, &format!("{}@example.com", unique("invited")), "sales");
    anonymous("POST", "/rpc/accept_invitation")
        .json(&json!({ "token": token, "password": unique(PASSWORD_PREFIX) }))
        .send()
        .expect(200);
    assert_eq!(usage(&free, "users")["current"], 2);
}

#[test]
fn a_refused_invitation_can_be_accepted_when_there_is_a_seat() {
    let owner = limited("users", 1);
    let token = invite(&owner, &format!("{}@example.com", unique("invited")), "sales");
    let accept = || {
        let arguments = json!({ "token": token, "password": unique(PASSWORD_PREFIX) });
        anonymous("POST", "/rpc/accept_invitation").json(&arguments).send()
    };
    refused(&accept(), "users", 1, 1);
    let arguments = json!({ "org_id": owner.organization.id, "name": "users" });
    platform().call("remove_plan_override", &arguments).expect(200);
    accept().expect(200);
}

#[test]
fn of_many_that_the_platform_registers_for_the_last_seat_exactly_one_gets_it() {
    let owner = limited("users", 2);
    let platform = platform();
    let create = |_| {
        let email = format!("{}@example.com", unique("created"));
        let arguments = json!({ "email": email, "org_id": owner.organization.id, "role": "sales" });
        platform.call("create_user", &arguments)
    };
    assert_eq!(successes(create), 1);
    assert_eq!(usage(&owner, "users")["current"], 2);
}

#[test]
fn of_many_who_add_the_last_record_exactly_one_does() {
    let owner = limited("contacts", 1);
    let add = |n: usize| owner.post("/contacts", &json!({ "last_name": format!("Contact {n}") }));
    assert_eq!(successes(add), 1);
    assert_eq!(owner.count("contacts"), 1);
}

#[test]
fn a_feature_and_a_plan_count_from_the_next_request_on() {
    let (owner, platform) = (Actor::register(), platform());
    let has = |feature: &str| owner.post("/rpc/feature_enabled", &json!({ "name": feature })).expect(200).json();
    assert_eq!((has("sso"), has("webhooks")), (json!(false), json!(true)));
    let id = owner.organization.id;
    platform.call("set_plan", &json!({ "org_id": id, "plan": "enterprise" })).expect(200);
    for _ in 0..10 {
        assert_eq!(owner.get("/rpc/feature_enabled?name=sso").expect(200).json(), json!(true));
        assert_eq!(usage(&owner, "contacts")["maximum"], Value::Null);
    }
    let off = json!({ "org_id": id, "name": "sso", "enabled": false, "reason": "not yet" });
    platform.call("set_plan_override", &off).expect(200);
    for _ in 0..10 {
        assert_eq!(has("sso"), json!(false));
    }
    assert_eq!(
        platform.get(&format!("/rpc/usage?org_id={id}&limit_name=eq.users")).expect(200).rows()[0]["plan"],
        "enterprise"
    );
    assert_eq!(owner.get("/plans?select=name&order=name").expect(200).column("name"), ["enterprise", "free", "pro"]);
}

#[test]
fn nobody_else_changes_a_plan() {
    let (owner, reader) = (Actor::register(), Key::of_platform(&["organizations.read"]));
    let plan = json!({ "org_id": owner.organization.id, "plan": "enterprise" });
    let beside = json!({ "org_id": owner.organization.id, "name": "users", "unlimited": true, "reason": "x" });
    for (function, arguments) in [("set_plan", &plan), ("set_plan_override", &beside)] {
        forbidden(function, &owner.post(&format!("/rpc/{function}"), arguments)).unwrap();
        forbidden(function, &reader.call(function, arguments)).unwrap();
        anonymous("POST", &format!("/rpc/{function}")).json(arguments).send().expect(401);
    }
    assert_eq!(usage(&owner, "users")["maximum"], 10);
    anonymous("GET", "/plans").send().expect(401);
    anonymous("GET", "/rpc/usage").send().expect(401);
}
