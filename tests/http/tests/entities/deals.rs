use crm_http_tests::entity::{Parent, Spec};

use super::parents::{ACCOUNT, CONTACT};

const PIPELINE: Parent = Parent::new("pipeline", "pipelines", r#"{ "name": "Pipeline {n}" }"#);
const STAGE: Parent = Parent::new(
    "stage",
    "pipeline_stages",
    r#"{ "pipeline_id": "{pipeline}", "name": "Stage {n}", "probability": 20 }"#,
);

pub const SPEC: Spec = Spec {
    table: "deals",
    parents: &[ACCOUNT, CONTACT, PIPELINE, STAGE],
    least: r#"{ "name": "Deal {n}", "status": "open" }"#,
    full: r#"{
        "account_id": "{account}", "contact_id": "{contact}", "pipeline_id": "{pipeline}", "stage_id": "{stage}", "amount": 15000.5,
        "currency": "gbp", "probability": 35, "expected_close_date": "2030-05-01", "lost_reason": "Price", "source": "Fair",
        "next_step": "Call, \"soon\"", "position": 12.5, "description": "Two\nlines, and a comma"
    }"#,
    stored: r#"{ "currency": "GBP", "weighted_amount": 5250.175 }"#,
    kept: r#"{ "closed_at": "2001-01-01T00:00:00Z", "stage_changed_at": "2001-01-01T00:00:00Z" }"#,
    change: r#"{ "next_step": "Changed {n}" }"#,
    sorted: &[
        ("name", &[r#""Abel""#, r#""Baker""#, r#""Charlie""#]),
        ("amount", &["0.5", "9", "10.25", "200"]),
        ("expected_close_date", &[r#""1999-12-31""#, r#""2029-05-01""#, r#""2030-01-01""#]),
        ("position", &["0.5", "9", "10.25", "200"]),
    ],
    keys: &[(&["external_id"], r#"{ "external_id": "ERP {n}" }"#)],
    bad: &[
        ("amount", "-0.01", "deals_amount_check"),
        ("probability", "101", "deals_probability_check"),
        ("currency", r#""EURO""#, "currency: "),
    ],
    ..Spec::NOTHING
};
