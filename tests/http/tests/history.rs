//! History over HTTP: what was changed, what was deleted, and getting it back.

use crm_http_tests::actor::{Actor, id_of};
use crm_http_tests::http::Response;
use crm_http_tests::machine::Key;
use crm_http_tests::unique;
use serde_json::{Value, json};

fn restore(user: &Actor, entity: &str, row: &Value) -> Response {
    user.post("/rpc/restore_record", &json!({ "entity": entity, "id": id_of(row) }))
}

fn undo(user: &Actor, request: &str) -> Response {
    user.post("/rpc/undo", &json!({ "request_id": request }))
}

#[test]
fn a_request_is_taken_back_by_its_id() {
    let user = Actor::register();
    let request = unique("import");
    let rows: Vec<_> = (0..50).map(|n| json!({ "last_name": format!("Imported {n}") })).collect();
    user.request("POST", "/contacts").header("X-Request-Id", &request).json(&json!(rows)).send().expect(201);
    user.patch("/contacts?last_name=eq.Imported%207", &json!({ "title": "Head" })).expect(200);

    let rehearsed = user.post("/rpc/undo", &json!({ "request_id": request, "dry_run": true })).expect(200).json();
    assert_eq!((&rehearsed["reversed"], &rehearsed["kept"]), (&json!(49), &json!(1)));
    assert_eq!(user.count("contacts"), 50, "that was only told");

    let told = undo(&user, &request).expect(200).json();
    assert_eq!((&told["reversed"], &told["kept"], &told["failed"]), (&json!(49), &json!(1), &json!(0)));
    assert_eq!(told["entries"][0]["reason"], "it changed since", "what was not reversed comes first");
    assert_eq!(user.get("/contacts?select=last_name").expect(200).column("last_name"), ["Imported 7"]);
}

/// Deletes a line of a draft invoice, and the draft: two transactions of one request.
fn delete_in_parts(user: &Actor, request: &str) -> Value {
    let invoice = user.insert("invoices", &json!({ "title": "Invoice", "billing_name": "Bo" }));
    let line = |price: i32| json!({ "invoice_id": invoice["id"], "description": "Work", "unit_price": price });
    let line_id = id_of(&user.insert("invoice_items", &line(100)));
    user.insert("invoice_items", &line(10));
    for path in [format!("/invoice_items?id=eq.{line_id}"), format!("/invoices?id=eq.{}", id_of(&invoice))] {
        user.request("DELETE", &path).header("X-Request-Id", request).send().expect(204);
    }
    invoice
}

#[test]
fn an_invoice_comes_to_what_its_lines_come_to_after_a_request_is_taken_back() {
    let user = Actor::register();
    let request = unique("request");
    let invoice = delete_in_parts(&user, &request);
    let told = undo(&user, &request).expect(200).json();
    assert_eq!((&told["reversed"], &told["failed"], &told["others"]), (&json!(3), &json!(0), &json!(0)));
    let path = format!("/invoices?id=eq.{}", id_of(&invoice));
    assert_eq!(user.get(&path).expect(200).rows()[0]["total"], json!(110.0));
    user.patch(&path, &json!({ "status": "sent" })).expect(200);
    assert_eq!(user.get(&path).expect(200).rows()[0]["balance_due"], json!(110.0));
}

#[test]
fn an_invoice_comes_back_without_a_line_that_was_deleted_before_it() {
    let user = Actor::register();
    let invoice = delete_in_parts(&user, &unique("request"));
    restore(&user, "invoices", &invoice).expect(200);
    let row = &user.get(&format!("/invoices?id=eq.{}", id_of(&invoice))).expect(200).rows()[0];
    assert_eq!((row["total"].as_f64(), user.count("invoice_items")), (Some(10.0), 1));
}

fn named(user: &Actor, request: &str, last_name: &str) {
    let row = json!({ "last_name": last_name });
    user.request("POST", "/contacts").header("X-Request-Id", request).json(&row).send().expect(201);
}

#[test]
fn the_request_of_somebody_else_with_the_same_id_stays() {
    let owner = Actor::register();
    let colleague = Actor::member(&owner.organization, "owner");
    let seller = Actor::member(&owner.organization, "sales");
    let request = unique("import");
    named(&owner, &request, "Owner's");
    named(&colleague, &request, "Colleague's");
    named(&seller, &request, "Seller's");
    let key = Key::of(&owner, &["contacts.read", "contacts.create", "contacts.delete"]);
    key.request("POST", "/contacts")
        .header("X-Request-Id", &request)
        .json(&json!({ "last_name": "The key's" }))
        .send()
        .expect(201);

    let told = undo(&seller, &request).expect(200).json();
    assert_eq!((&told["reversed"], told.get("others")), (&json!(1), None), "whoever may not know of all is not told");
    undo(&Actor::member(&owner.organization, "read_only"), &request).expect(400);

    let told = undo(&owner, &request).expect(200).json();
    assert_eq!((&told["reversed"], &told["others"]), (&json!(1), &json!(3)), "the seller's is another, too");
    let transactions = told["transactions"].as_array().unwrap();
    assert_eq!((transactions.len(), &transactions[0]["actor_id"]), (1, &json!(owner.user)));
    let rest = owner.get("/contacts?select=last_name&order=last_name").expect(200).column("last_name");
    assert_eq!(rest, ["Colleague's", "The key's"]);

    let of_key = key.request("POST", "/rpc/undo").json(&json!({ "request_id": request })).send().expect(200).json();
    assert_eq!(of_key["reversed"], 1, "a key takes back its own");
    let path = format!("/audit_transactions?request_id=eq.{request}&actor_id=eq.{}&select=id", colleague.user);
    let id = &owner.get(&path).expect(200).rows()[0]["id"];
    let told = owner.post("/rpc/undo", &json!({ "transaction_id": id })).expect(200).json();
    assert_eq!((&told["reversed"], &told["transactions"][0]["id"]), (&json!(1), id), "what is named is taken back");
    assert_eq!(owner.count("contacts"), 0);

    named(&colleague, &unique("x"), "x");
    let other = unique("other");
    named(&colleague, &other, "Colleague's");
    let told = undo(&owner, &other).expect(200).json();
    assert_eq!((&told["reversed"], &told["others"]), (&json!(0), &json!(1)), "who may know of all is told of others");
    assert_eq!(undo(&seller, &other).expect(400).code(), "22023");
}

#[test]
fn another_organization_takes_nothing_back() {
    let (user, other) = (Actor::register(), Actor::register());
    let request = unique("request");
    user.request("POST", "/contacts")
        .header("X-Request-Id", &request)
        .json(&json!({ "last_name": "A" }))
        .send()
        .expect(201);
    let refused = undo(&other, &request).expect(400);
    assert_eq!(refused.json()["message"], undo(&other, "nothing").expect(400).json()["message"]);
    assert_eq!(user.count("contacts"), 1);
}

#[test]
fn a_deleted_record_comes_back_from_the_trash() {
    let owner = Actor::register();
    let (seller, colleague) =
        (Actor::member(&owner.organization, "sales"), Actor::member(&owner.organization, "sales"));
    let contact =
        seller.insert("contacts", &json!({ "first_name": "Bo", "last_name": "Lind", "email": "bo@example.com" }));
    seller.insert("contact_emails", &json!({ "contact_id": contact["id"], "email": "bo@home.example" }));
    seller.delete(&format!("/contacts?id=eq.{}", id_of(&contact))).expect(200);

    let trash = "/trash?select=entity,record_id,title,deleted_by&order=deleted_at.desc,id.desc&limit=10";
    let found = seller.get(trash).expect(200).rows();
    assert_eq!((found.len(), &found[0]["title"], &found[0]["record_id"]), (1, &json!("Bo Lind"), &contact["id"]));
    assert!(colleague.get(trash).expect(200).rows().is_empty(), "a colleague does not see it");
    restore(&colleague, "contacts", &contact).expect(400);

    let restored = restore(&seller, "contacts", &contact).expect(200).json();
    assert_eq!(restored["restored"].as_array().unwrap().len(), 2, "with its address: {restored}");
    let path = format!("/contacts?id=eq.{}&select=*,contact_emails(email)", id_of(&contact));
    let now = &seller.get(&path).expect(200).rows()[0];
    assert_eq!(
        (&now["email"], &now["created_at"], &now["version"]),
        (&contact["email"], &contact["created_at"], &json!(2))
    );
    assert_eq!(now["contact_emails"], json!([{ "email": "bo@home.example" }]));
    assert!(seller.get(trash).expect(200).rows().is_empty());
    restore(&seller, "contacts", &contact).expect(409);
}

#[test]
fn the_past_of_a_record_is_read_with_get() {
    let user = Actor::register();
    let contact = user.insert("contacts", &json!({ "last_name": "A" }));
    let id = id_of(&contact);
    user.patch(&format!("/contacts?id=eq.{id}"), &json!({ "last_name": "B" })).expect(200);
    let path = format!("/rpc/record_history?entity=contacts&id={id}&select=action,version,changed,before,after");
    let history = user.get(&path).expect(200).rows();
    assert_eq!((&history[0]["action"], &history[0]["changed"]), (&json!("update"), &json!(["last_name"])));
    assert_eq!((&history[0]["before"]["last_name"], &history[1]["after"]["last_name"]), (&json!("A"), &json!("A")));
    let first = contact["created_at"].as_str().unwrap().replace('+', "%2B");
    let then = user.get(&format!("/rpc/record_at?entity=contacts&id={id}&at={first}")).expect(200).json();
    assert_eq!((&then["last_name"], &then["version"]), (&json!("A"), &json!(1)));
    let body = json!({ "entity": "contacts", "id": id, "version": 1 });
    user.post("/rpc/restore_record", &body).expect(200);
    assert_eq!(user.get("/contacts").expect(200).column("last_name"), ["A"]);
}

#[test]
fn what_writes_needs_post() {
    let user = Actor::register();
    let contact = user.insert("contacts", &json!({ "last_name": "A" }));
    user.get(&format!("/rpc/restore_record?entity=contacts&id={}", id_of(&contact))).expect(405);
    user.get("/rpc/undo?request_id=x").expect(405);
}

#[test]
fn a_viewer_takes_nothing_back() {
    let owner = Actor::register();
    let viewer = Actor::member(&owner.organization, "read_only");
    let contact = owner.insert("contacts", &json!({ "last_name": "A" }));
    owner.delete(&format!("/contacts?id=eq.{}", id_of(&contact))).expect(200);
    restore(&viewer, "contacts", &contact).expect(403);
    assert_eq!(owner.count("contacts"), 0);
}
