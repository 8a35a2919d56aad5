//! The feed of changes over HTTP: nothing is left out and nothing told twice, whoever writes at the same time.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crm_http_tests::actor::{Actor, anonymous, id_of};
use crm_http_tests::http::text;
use crm_http_tests::sql::{begin_authenticated, connect};
use serde_json::{Value, json};

fn ask(user: &Actor, cursor: &str) -> Value {
    user.post("/rpc/changes_since", &json!({ "cursor": cursor })).expect(200).json()
}

fn now(user: &Actor) -> String {
    text(&user.get("/rpc/changes_since?cursor=now").expect(200).json()["cursor"])
}

/// All there is since then, and where to go on.
fn read(user: &Actor, mut cursor: String) -> (Vec<Value>, String) {
    let mut events = vec![];
    loop {
        let answer = ask(user, &cursor);
        events.extend(answer["events"].as_array().unwrap().clone());
        cursor = text(&answer["cursor"]);
        if answer["more"] == json!(false) {
            return (events, cursor);
        }
    }
}

fn types(events: &[Value]) -> Vec<String> {
    events.iter().map(|event| text(&event["type"])).collect()
}

#[test]
fn a_client_follows_what_changes() {
    let user = Actor::register();
    let start = now(&user);
    let deal = user.insert("deals", &json!({ "name": "Big", "amount": 1000 }));
    let path = format!("/deals?id=eq.{}", id_of(&deal));
    user.request("PATCH", &path)
        .header("X-Request-Id", "the-request")
        .json(&json!({ "status": "won" }))
        .send()
        .expect(204);
    let (events, cursor) = read(&user, start.clone());
    let told = types(&events);
    assert!(told.contains(&"deal.created".into()) && told.contains(&"deal.won".into()), "{told:?}");
    let won = events.iter().find(|event| event["type"] == "deal.won").unwrap();
    assert_eq!((&won["data"]["status"], &won["previous"]["status"]), (&json!("won"), &json!("open")));
    assert_eq!((&won["request_id"], &won["actor"]["user_id"]), (&json!("the-request"), &json!(user.user)));
    assert_eq!(won["record_id"], deal["id"]);

    user.delete(&path).expect(200);
    let (events, _) = read(&user, cursor);
    let deleted = events.iter().find(|event| event["type"] == "deal.deleted").unwrap();
    assert_eq!(deleted["data"]["name"], "Big");
    let (again, _) = read(&user, start);
    let won_again = again.iter().find(|event| event["type"] == "deal.won").unwrap();
    assert_eq!(won_again, won, "what is read once more is the same, though the record is gone");
}

#[test]
fn by_get_it_works_as_well() {
    let user = Actor::register();
    let start = now(&user);
    user.insert("contacts", &json!({ "last_name": "A" }));
    user.insert("tasks", &json!({ "title": "B" }));
    let path = format!("/rpc/changes_since?cursor={start}&types={{contact.*}}");
    assert_eq!(types(user.get(&path).expect(200).json()["events"].as_array().unwrap()), ["contact.created"]);
}

#[test]
fn nobody_and_others_are_told_nothing() {
    let (user, other) = (Actor::register(), Actor::register());
    let (start, others) = (now(&user), now(&other));
    user.insert("contacts", &json!({ "last_name": "Mine" }));
    anonymous("POST", "/rpc/changes_since").json(&json!({})).send().expect(401);
    assert_eq!(read(&other, others).0, Vec::<Value>::new());
    assert_eq!(other.post("/rpc/changes_since", &json!({ "cursor": start })).expect(400).code(), "22023");
    for bad in [
        json!({ "cursor": "x" }),
        json!({ "limit": 0 }),
        json!({ "limit": 1001 }),
        json!({ "types": ["a b"] }),
        json!({ "types": [] }),
        json!({ "types": [null] }),
        json!({ "types": ["deal.wonn"] }),
        json!({ "types": vec!["*"; 51] }),
    ] {
        user.post("/rpc/changes_since", &bad).expect(400);
    }
    let reader = Actor::member(&user.organization, "sales");
    assert_eq!(types(&read(&reader, now(&user)).0), Vec::<String>::new());
    let all = types(&read(&reader, String::from("0.00000000")).0);
    assert!(!all.contains(&"contact.created".into()), "what others own, sales does not read: {all:?}");
}

/// One that began first and commits last: who has read on meanwhile must not miss it.
#[test]
fn a_transaction_that_commits_late_comes_late() {
    let user = Actor::register();
    let cursor = now(&user);
    let mut client = connect();
    let mut late = begin_authenticated(&mut client, user.token()).unwrap();
    late.execute("insert into crm.contacts (last_name) values ('Late')", &[]).unwrap();
    // Of the same table it would wait: where a plan has a limit, those who add to it follow each other.
    user.insert("tasks", &json!({ "title": "Early" }));
    let (events, cursor) = read(&user, cursor);
    assert_eq!(types(&events), ["task.created"]);
    late.commit().unwrap();
    let (events, _) = read(&user, cursor);
    assert_eq!(types(&events), ["contact.created"]);
}

#[test]
fn who_reads_while_many_write_is_told_everything_once_and_each_record_in_its_order() {
    const WRITERS: usize = 4;
    const RECORDS: usize = 12;
    let user = Actor::register();
    let (start, done) = (now(&user), AtomicBool::new(false));
    let write = |writer: usize| {
        for record in 0..RECORDS {
            let task = user.insert("tasks", &json!({ "title": format!("{writer} {record} 0") }));
            for step in 1..3 {
                user.patch(
                    &format!("/tasks?id=eq.{}", id_of(&task)),
                    &json!({ "title": format!("{writer} {record} {step}") }),
                )
                .expect(200);
            }
        }
    };
    let follow = || {
        let (mut told, mut cursor) = (vec![], start.clone());
        loop {
            let was_done = done.load(Ordering::SeqCst);
            let (events, next) = read(&user, cursor);
            told.extend(events);
            cursor = next;
            if was_done {
                return told;
            }
            thread::sleep(Duration::from_millis(5));
        }
    };
    let told = thread::scope(|scope| {
        let follower = scope.spawn(follow);
        let writers: Vec<_> = (0..WRITERS).map(|writer| scope.spawn(move || write(writer))).collect();
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        done.store(true, Ordering::SeqCst);
        follower.join().unwrap()
    });
    let mut titles: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for event in told.iter().filter(|event| event["entity"] == "tasks") {
        titles.entry(text(&event["record_id"])).or_default().push(text(&event["data"]["title"]));
    }
    assert_eq!(titles.len(), WRITERS * RECORDS);
    for titles in titles.values() {
        let steps: Vec<_> = titles.iter().map(|title| title.chars().last().unwrap()).collect();
        assert_eq!(steps, ['0', '1', '2'], "{titles:?}");
    }
}
