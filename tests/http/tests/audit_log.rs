//! The audit log over HTTP: who did what, from where; for those who may see it, and nobody's to change.

use crm_http_tests::actor::{Actor, id_of};
use crm_http_tests::unique;
use serde_json::json;

#[test]
fn a_request_is_noted_with_who_where_and_what() {
    let user = Actor::register();
    let request = unique("request");
    let contact = user
        .request("POST", "/contacts?select=*")
        .header("X-Request-Id", &request)
        .header("User-Agent", "Test/1.0")
        .header("Prefer", "return=representation")
        .json(&json!({ "last_name": "Noted", "email": "Noted@Example.com" }))
        .send()
        .expect(201)
        .rows()
        .remove(0);
    user.patch(&format!("/contacts?id=eq.{}", id_of(&contact)), &json!({ "title": "Head" })).expect(200);
    user.delete(&format!("/contacts?id=eq.{}", id_of(&contact))).expect(200);

    let path = format!("/audit_log?record_id=eq.{}&order=id", id_of(&contact));
    let entries = user.get(&path).expect(200).rows();
    let actions: Vec<_> = entries.iter().map(|entry| entry["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["insert", "update", "delete"]);
    let first = &entries[0];
    assert_eq!(first["entity"], "contacts");
    assert_eq!(first["after"]["email"], "noted@example.com", "as it was stored");
    assert_eq!((&first["request_id"], &first["user_agent"]), (&json!(request), &json!("Test/1.0")));
    assert_eq!(first["actor_id"], contact["created_by"]);
    assert_eq!((&first["database_role"], &first["login_role"]), (&json!("crm_app"), &json!("crm_authenticator")));
    assert_eq!(first["address"], json!(null), "no proxy is trusted: what it would say, anybody could");
    assert_eq!(entries[1]["changed"], json!(["title"]));
    assert_eq!((&entries[1]["before"]["title"], &entries[1]["after"]["title"]), (&json!(null), &json!("Head")));
    assert_eq!(entries[2]["before"]["title"], "Head");
    assert_ne!(entries[0]["transaction_id"], entries[1]["transaction_id"]);
}

#[test]
fn it_is_filtered_by_entity_record_actor_action_and_time() {
    let user = Actor::register();
    let account = user.insert("accounts", &json!({ "name": "A" }));
    user.insert("contacts", &json!({ "last_name": "B" }));
    let count = |filter: &str| user.get(&format!("/audit_log?{filter}&select=id")).expect(200).rows().len();
    assert_eq!(count("entity=eq.accounts"), 1);
    assert_eq!(count("entity=in.(accounts,contacts)"), 2);
    assert_eq!(count(&format!("record_id=eq.{}", id_of(&account))), 1);
    let actor = account["created_by"].as_str().unwrap();
    assert_eq!(count(&format!("actor_id=eq.{actor}&entity=neq.memberships")), 2);
    assert_eq!(count("action=eq.delete"), 0);
    let time = account["created_at"].as_str().unwrap().replace('+', "%2B");
    assert_eq!(count(&format!("created_at=eq.{time}")), 1);
    assert_eq!(count("created_at=lt.2020-01-01"), 0);
    assert_eq!(count("after-%3E%3Ename=eq.A&entity=eq.accounts"), 1);
    let newest = user.get("/audit_log?order=created_at.desc,id.desc&limit=1&select=entity").expect(200).rows();
    assert_eq!(newest[0]["entity"], "contacts");
}

#[test]
fn it_can_be_verified_and_a_checkpoint_proves_it_later() {
    let user = Actor::register();
    user.insert("accounts", &json!({ "name": "A" }));
    let checkpoint = user.get("/rpc/audit_checkpoint").expect(200).json();
    user.insert("accounts", &json!({ "name": "B" }));
    let found = user.post("/rpc/verify_audit", &json!({ "checkpoint": checkpoint })).expect(200).rows().remove(0);
    assert_eq!((&found["valid"], &found["problems"]), (&json!(true), &json!([])));
    let mut forged = checkpoint.clone();
    forged["hash"] = json!("00".repeat(32));
    let found = user.post("/rpc/verify_audit", &json!({ "checkpoint": forged })).expect(200).rows().remove(0);
    assert_eq!(found["valid"], false);
    user.post("/rpc/verify_audit", &json!({ "checkpoint": { "position": 1 } })).expect(400);
    let transactions =
        user.get("/audit_transactions?select=position,entries&position=gte.1&order=position").expect(200);
    assert!(transactions.rows().len() >= 3);
}

#[test]
fn nobody_writes_it() {
    let user = Actor::register();
    user.insert("accounts", &json!({ "name": "A" }));
    for table in ["audit_log", "audit_transactions"] {
        user.post(&format!("/{table}"), &json!({ "id": "00000000-0000-0000-0000-000000000000" })).expect(403);
        user.patch(&format!("/{table}?id=not.is.null"), &json!({ "request_id": "x" })).expect(403);
        user.delete(&format!("/{table}?id=not.is.null")).expect(403);
    }
    user.get("/audit_log_later").expect(404);
}

#[test]
fn only_those_with_audit_read_see_it_and_only_their_own() {
    let (owner, other) = (Actor::register(), Actor::register());
    let account = owner.insert("accounts", &json!({ "name": "A" }));
    for role in ["manager", "sales", "support", "read_only"] {
        let member = Actor::member(&owner.organization, role);
        assert!(member.get("/audit_log").expect(200).rows().is_empty(), "{role}");
        assert!(member.get("/audit_transactions").expect(200).rows().is_empty(), "{role}");
        member.post("/rpc/verify_audit", &json!({})).expect(403);
        member.get("/rpc/audit_checkpoint").expect(403);
        member.post("/rpc/erase_person", &json!({ "entity": "accounts", "id": account["id"] })).expect(403);
    }
    assert!(!Actor::member(&owner.organization, "admin").get("/audit_log").expect(200).rows().is_empty());
    assert!(other.get(&format!("/audit_log?record_id=eq.{}", id_of(&account))).expect(200).rows().is_empty());
    let unknown = uuid::Uuid::nil();
    let erase =
        |id: uuid::Uuid| other.post("/rpc/erase_person", &json!({ "entity": "accounts", "id": id })).expect(400).json();
    assert_eq!(erase(id_of(&account)), erase(unknown), "what is somebody else's is like what is not there");
}

#[test]
fn a_person_is_erased_from_records_and_history() {
    let user = Actor::register();
    let word = unique("forget");
    let contact = user.insert("contacts", &json!({ "last_name": word, "email": format!("{word}@example.com") }));
    let path = format!("/contacts?id=eq.{}", id_of(&contact));
    user.patch(&path, &json!({ "title": word })).expect(200);
    let told = user.post("/rpc/erase_person", &json!({ "entity": "contacts", "id": contact["id"] })).expect(200).json();
    assert_eq!((&told["erased"]["contacts"], &told["entries"]), (&json!(1), &json!(2)));
    assert!(user.get(&path).expect(200).rows().is_empty());
    let history = user.get("/audit_log?order=id").expect(200);
    assert!(!history.text().contains(&word));
    assert!(history.rows().iter().filter(|entry| entry["erased_at"] != json!(null)).count() == 2);
    assert_eq!(user.post("/rpc/verify_audit", &json!({})).expect(200).rows()[0]["valid"], true);
}
