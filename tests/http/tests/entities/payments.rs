use crm_http_tests::entity::{Parent, Spec};

use super::parents::ACCOUNT;

/// One that can be paid.
const INVOICE: Parent =
    Parent::new("invoice", "invoices", r#"{ "title": "Invoice {n}", "currency": "EUR", "account_id": "{account}" }"#)
        .then(&[
            ("POST /invoice_items", r#"{ "invoice_id": "{id}", "description": "Line", "unit_price": 1000 }"#),
            ("PATCH /invoices?id=eq.{id}", r#"{ "status": "sent" }"#),
        ]);

pub const SPEC: Spec = Spec {
    table: "payments",
    parents: &[ACCOUNT, INVOICE],
    least: r#"{ "invoice_id": "{invoice}", "amount": 10 }"#,
    full: r#"{
        "amount": 25.5, "method": "card", "paid_on": "2030-05-01", "reference": "Reference, \"one\"", "note": "Two\nlines",
        "idempotency_key": "payment {n}"
    }"#,
    stored: r#"{ "account_id": "{account}", "currency": "EUR" }"#,
    kept: r#"{ "account_id": "{org}", "currency": "USD" }"#,
    change: r#"{ "note": "Changed {n}" }"#,
    sorted: &[
        ("amount", &["0.5", "9", "10.25", "200"]),
        ("paid_on", &[r#""1999-12-31""#, r#""2029-05-01""#, r#""2030-01-01""#]),
        ("method", &[r#""bank_transfer""#, r#""card""#, r#""paypal""#]),
    ],
    keys: &[
        (&["external_id"], r#"{ "external_id": "ERP {n}" }"#),
        (&["idempotency_key"], r#"{ "idempotency_key": "key {n}" }"#),
    ],
    bad: &[
        ("amount", "0", "payments_amount_check"),
        ("method", r#""barter""#, "payments_method_check"),
        ("paid_on", r#""1812-06-24""#, "payments_paid_on_check"),
    ],
    ..Spec::NOTHING
};
