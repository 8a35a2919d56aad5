//! Invoices from the draft to the last payment, as a client of the API meets them.

use crm_http_tests::actor::{Actor, id_of};
use crm_http_tests::http::{Response, text};
use crm_http_tests::identity::{at_once, with_status};
use serde_json::{Value, json};
use uuid::Uuid;

/// A draft of 1,190.00 EUR: two lines, one with a discount.
fn draft(user: &Actor) -> Uuid {
    let account = id_of(&user.insert("accounts", &json!({ "name": "Customer", "billing_city": "Town" })));
    let invoice = id_of(&user.insert("invoices", &json!({ "account_id": account, "currency": "eur" })));
    let lines = json!([
        { "invoice_id": invoice, "position": 1, "description": "Consulting", "quantity": 8, "unit": "h", "unit_price": 112.5,
          "tax_rate": 19, "discount_percent": 0 },
        { "invoice_id": invoice, "position": 2, "description": "Travel", "quantity": 1, "unit": "pieces", "unit_price": 125,
          "tax_rate": 19, "discount_percent": 20 },
    ]);
    user.post("/invoice_items", &lines).expect(201);
    invoice
}

fn sent(user: &Actor) -> Uuid {
    let invoice = draft(user);
    send(user, invoice).expect(200);
    invoice
}

fn send(user: &Actor, invoice: Uuid) -> Response {
    user.patch(&format!("/invoices?id=eq.{invoice}"), &json!({ "status": "sent" }))
}

fn pay(user: &Actor, invoice: Uuid, amount: f64) -> Response {
    user.post("/payments", &json!({ "invoice_id": invoice, "amount": amount, "method": "card" }))
}

fn see(user: &Actor, invoice: Uuid, columns: &str) -> Value {
    user.get(&format!("/invoices?id=eq.{invoice}&select={columns}")).expect(200).rows().remove(0)
}

/// 422 with what the state is and, of a step, what is allowed.
#[track_caller]
fn refused(answer: &Response, message: &str, details: &Value) {
    assert_eq!((answer.status, answer.code()), (422, "PT422".into()), "{answer}");
    let body = answer.json();
    assert_eq!(body["message"], json!(message));
    assert_eq!(serde_json::from_str::<Value>(body["details"].as_str().unwrap()).unwrap(), *details);
    assert!(!text(&body["hint"]).is_empty(), "{answer}");
}

#[test]
fn an_invoice_is_made_sent_and_paid() {
    let user = Actor::register();
    let invoice = draft(&user);
    let amounts = "status,number,subtotal,discount_total,tax_total,total,amount_paid,balance_due";
    assert_eq!(
        see(&user, invoice, amounts),
        json!({ "status": "draft", "number": null, "subtotal": 1000.0, "discount_total": 25.0, "tax_total": 190.0,
                "total": 1190.0, "amount_paid": 0.0, "balance_due": 1190.0 })
    );
    let answer = send(&user, invoice).expect(200).rows().remove(0);
    assert_eq!([&answer["number"], &answer["status"]], [&json!("INV-0001"), &json!("sent")]);
    assert_eq!([&answer["billing_name"], &answer["billing_city"]], [&json!("Customer"), &json!("Town")]);
    pay(&user, invoice, 190.0).expect(201);
    assert_eq!(
        see(&user, invoice, "status,amount_paid,balance_due,paid_at"),
        json!({ "status": "partially_paid", "amount_paid": 190.0, "balance_due": 1000.0, "paid_at": null })
    );
    pay(&user, invoice, 1000.0).expect(201);
    let all = see(
        &user,
        invoice,
        "*,invoice_items(description,line_total),payments(amount,currency,method),account:accounts(name)&invoice_items.order=position&payments.order=amount",
    );
    assert_eq!([&all["status"], &all["balance_due"]], [&json!("paid"), &json!(0.0)]);
    assert_eq!(all["taxes"], json!([{ "rate": 19, "net": 1000.0, "tax": 190.0 }]));
    assert_eq!(
        all["invoice_items"],
        json!([{ "description": "Consulting", "line_total": 900.0 }, { "description": "Travel", "line_total": 100.0 }])
    );
    assert_eq!(
        all["payments"],
        json!([{ "amount": 190.0, "currency": "EUR", "method": "card" }, { "amount": 1000.0, "currency": "EUR", "method": "card" }])
    );
    assert_eq!(all["account"], json!({ "name": "Customer" }));
    refused(
        &pay(&user, invoice, 1.0),
        "the invoice is paid already",
        &json!({ "column": "invoice_id", "from": "paid" }),
    );
}

#[test]
fn what_a_client_sends_of_the_databases_columns_is_ignored() {
    let user = Actor::register();
    let invoice = sent(&user);
    let before = see(&user, invoice, "*");
    let forged = json!({
        "total": 1, "subtotal": 1, "tax_total": 0, "amount_paid": 1, "balance_due": 0, "number": "MINE", "paid_at": "2020-01-01T00:00:00Z",
        "taxes": [],
    });
    user.patch(&format!("/invoices?id=eq.{invoice}"), &forged).expect(200);
    let after = see(&user, invoice, "*");
    for column in ["total", "subtotal", "tax_total", "amount_paid", "balance_due", "number", "paid_at", "taxes"] {
        assert_eq!(after[column], before[column], "{column}");
    }
    // The whole invoice, as it was read, may be sent back.
    user.patch(&format!("/invoices?id=eq.{invoice}"), &after).expect(200);
    let line = user.insert(
        "invoice_items",
        &json!({ "invoice_id": draft(&user), "description": "x", "unit_price": 5, "line_total": 1 }),
    );
    assert_eq!(line["line_total"], json!(5.0));
}

#[test]
fn a_step_that_there_is_not_is_422_with_those_that_there_are() {
    let user = Actor::register();
    let invoice = draft(&user);
    let step = |status: &str| user.patch(&format!("/invoices?id=eq.{invoice}"), &json!({ "status": status }));
    refused(
        &step("paid"),
        "status: there is no step from draft to paid",
        &json!({ "column": "status", "from": "draft", "to": "paid", "allowed": ["sent"] }),
    );
    step("sent").expect(200);
    refused(
        &step("draft"),
        "status: there is no step from sent to draft",
        &json!({ "column": "status", "from": "sent", "to": "draft", "allowed": ["overdue", "void"] }),
    );
    step("void").expect(200);
    refused(
        &step("sent"),
        "status: there is no step from void to sent",
        &json!({ "column": "status", "from": "void", "to": "sent", "allowed": [] }),
    );
    refused(
        &user.post("/invoices", &json!({ "status": "sent" })),
        "status: a new one cannot be sent",
        &json!({ "column": "status", "from": null, "to": "sent", "allowed": ["draft"] }),
    );
}

#[test]
fn what_was_sent_stays_as_it_is() {
    let user = Actor::register();
    let invoice = sent(&user);
    let state = |column: &str| json!({ "column": column, "from": "sent" });
    refused(
        &user.patch(&format!("/invoices?id=eq.{invoice}"), &json!({ "title": "Another" })),
        "title of an invoice that is sent cannot be changed",
        &state("title"),
    );
    let lines = "the lines of an invoice that is sent cannot be changed";
    refused(
        &user.post("/invoice_items", &json!({ "invoice_id": invoice, "description": "x" })),
        lines,
        &state("invoice_id"),
    );
    refused(&user.delete(&format!("/invoice_items?invoice_id=eq.{invoice}")), lines, &state("invoice_id"));
    let answer = user.delete(&format!("/invoices?id=eq.{invoice}")).expect(409);
    assert_eq!(answer.json()["message"], json!("invoice INV-0001 has a number and cannot be deleted"));
    user.delete("/accounts?name=eq.Customer").expect(409);
    user.patch(&format!("/invoices?id=eq.{invoice}"), &json!({ "due_date": "2199-12-31" })).expect(200);
}

#[test]
fn twenty_invoices_sent_at_once_have_twenty_consecutive_numbers() {
    let user = Actor::register();
    let invoices: Vec<Uuid> = (0..20).map(|_| draft(&user)).collect();
    let refused = draft(&user);
    user.delete(&format!("/invoice_items?invoice_id=eq.{refused}")).expect(200);
    let answers = at_once(24, |number| send(&user, *invoices.get(number).unwrap_or(&refused)));
    assert_eq!((with_status(&answers, 200), with_status(&answers, 422)), (20, 4));
    let numbers = user.get("/invoices?number=not.is.null&order=number&select=number").expect(200).column("number");
    let expected: Vec<String> = (1..=20).map(|number| format!("INV-{number:04}")).collect();
    assert_eq!(numbers, expected);
}

#[test]
fn lines_added_at_once_are_all_in_the_total() {
    let user = Actor::register();
    let invoice = draft(&user);
    let answers = at_once(10, |number| {
        user.post(
            "/invoice_items",
            &json!({ "invoice_id": invoice, "description": format!("Line {number}"), "unit_price": 10 }),
        )
    });
    assert_eq!(with_status(&answers, 201), 10);
    assert_eq!(see(&user, invoice, "subtotal,total"), json!({ "subtotal": 1100.0, "total": 1290.0 }));
}

#[test]
fn a_payment_that_is_sent_often_counts_once() {
    let user = Actor::register();
    let invoice = sent(&user);
    let payment = json!({ "invoice_id": invoice, "amount": 190, "idempotency_key": "order 1" });
    let answers = at_once(10, |_| user.post("/payments", &payment));
    assert_eq!((with_status(&answers, 201), with_status(&answers, 409)), (1, 9));
    let again = user
        .request("POST", "/payments?on_conflict=org_id,idempotency_key")
        .prefer("resolution=ignore-duplicates,return=representation")
        .json(&payment)
        .send();
    assert_eq!(again.expect(201).rows().len(), 0);
    assert_eq!(see(&user, invoice, "amount_paid"), json!({ "amount_paid": 190.0 }));
    // Without a key, what is due is paid at most once all the same.
    let answers = at_once(5, |_| pay(&user, invoice, 1000.0));
    assert_eq!((with_status(&answers, 201), with_status(&answers, 422)), (1, 4));
}

#[test]
fn part_payments_at_once_are_all_counted_and_none_is_taken_after_the_last() {
    let user = Actor::register();
    let invoice = sent(&user);
    let answers = at_once(14, |_| pay(&user, invoice, 119.0));
    assert_eq!((with_status(&answers, 201), with_status(&answers, 422)), (10, 4));
    assert_eq!(
        see(&user, invoice, "status,amount_paid,balance_due"),
        json!({ "status": "paid", "amount_paid": 1190.0, "balance_due": 0.0 })
    );
    assert_eq!(user.get(&format!("/payments?invoice_id=eq.{invoice}&select=id")).expect(200).rows().len(), 10);
}

#[test]
fn an_administrator_says_how_numbers_look_and_where_they_begin() {
    let user = Actor::register();
    let begin = json!({ "kind": "invoice", "number": 1000 });
    assert_eq!(
        user.post("/rpc/set_next_number", &begin).expect(200).json(),
        json!({ "kind": "invoice", "next_number": 1000 })
    );
    let look = json!({ "prefix": "2026/", "padding": 6, "last_number": 5 });
    user.patch("/number_series?kind=eq.invoice", &look).expect(200);
    let answer = send(&user, draft(&user)).expect(200).rows().remove(0);
    assert_eq!(answer["number"], json!("2026/001000"));
    user.post("/rpc/set_next_number", &begin).expect(409);
    user.delete("/number_series?kind=eq.invoice").expect(409);
    user.get("/rpc/set_next_number?kind=ticket&number=5").expect(405);
    let seller = Actor::member(&user.organization, "sales");
    assert_eq!(
        seller.get("/number_series?select=kind&order=kind").expect(200).column("kind"),
        ["estimate", "invoice", "ticket"]
    );
    seller.post("/rpc/set_next_number", &json!({ "kind": "ticket", "number": 5 })).expect(403);
}

#[test]
fn another_organizations_invoices_are_none() {
    let (user, stranger) = (Actor::register(), Actor::register());
    let invoice = sent(&user);
    let item = json!({ "invoice_id": invoice, "description": "x" });
    let nowhere = json!({ "invoice_id": Uuid::new_v4(), "description": "x" });
    let answers = [&item, &nowhere].map(|item| stranger.post("/invoice_items", item).expect(400).text());
    assert_eq!(answers[0], answers[1]);
    let answers = [invoice, Uuid::new_v4()].map(|invoice| pay(&stranger, invoice, 1.0).expect(400).text());
    assert_eq!(answers[0], answers[1]);
    for table in ["invoices", "estimates", "payments", "invoice_items"] {
        let mut row = json!({ "org_id": user.organization.id });
        if table == "payments" {
            row["invoice_id"] = json!(invoice);
            row["amount"] = json!(1);
        } else if table == "invoice_items" {
            row["invoice_id"] = json!(invoice);
            row["description"] = json!("x");
        }
        stranger.post(&format!("/{table}"), &row).expect(403);
        assert_eq!(stranger.count(table), 0);
    }
    assert_eq!(see(&user, invoice, "amount_paid,total"), json!({ "amount_paid": 0.0, "total": 1190.0 }));
}
