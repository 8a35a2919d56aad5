use crm_http_tests::entity::Spec;

use super::parents::{ACCOUNT, CONTACT, DEAL, ESTIMATE, JOB, PROJECT};

pub const SPEC: Spec = Spec {
    table: "invoices",
    parents: &[ACCOUNT, CONTACT, DEAL, ESTIMATE, PROJECT, JOB],
    least: r#"{ "title": "Invoice {n}", "status": "draft", "currency": "EUR" }"#,
    full: r#"{
        "account_id": "{account}", "contact_id": "{contact}", "deal_id": "{deal}", "estimate_id": "{estimate}",
        "project_id": "{project}", "job_id": "{job}", "issue_date": "2030-05-01", "due_date": "2030-06-01",
        "purchase_order": "PO 1", "billing_name": "Acme, Inc.", "billing_street": "Street 1\nDoor 2", "billing_city": "Zürich",
        "billing_state": "ZH", "billing_postal_code": "8001", "billing_country": "ch", "notes": "Two\nlines", "terms": "30 days"
    }"#,
    stored: r#"{ "billing_country": "CH" }"#,
    kept: r#"{
        "number": "FORGED", "subtotal": 1, "discount_total": 2, "tax_total": 3, "total": 4, "taxes": [{ "rate": 1 }],
        "amount_paid": 5, "balance_due": 6, "sent_at": "2001-01-01T00:00:00Z", "paid_at": "2001-01-01T00:00:00Z",
        "voided_at": "2001-01-01T00:00:00Z"
    }"#,
    change: r#"{ "title": "Changed {n}" }"#,
    sorted: &[
        ("title", &[r#""Abel""#, r#""Baker""#, r#""Charlie""#]),
        ("due_date", &[r#""1999-12-31""#, r#""2029-05-01""#, r#""2030-01-01""#]),
        ("currency", &[r#""CHF""#, r#""EUR""#, r#""USD""#]),
    ],
    keys: &[(&["external_id"], r#"{ "external_id": "ERP {n}" }"#)],
    bad: &[
        ("currency", r#""EURO""#, "currency: "),
        ("billing_country", r#""XY""#, "billing_country: "),
        ("issue_date", r#""1812-06-24""#, "invoices_issue_date_check"),
        ("due_date", r#""1812-06-24""#, "invoices_due_date_check"),
    ],
    ..Spec::NOTHING
};
