use crm_http_tests::entity::Spec;

use super::parents::{ACCOUNT, CONTACT, DEAL};

pub const SPEC: Spec = Spec {
    table: "leads",
    parents: &[ACCOUNT, CONTACT, DEAL],
    least: r#"{ "last_name": "Lead {n}" }"#,
    full: r#"{
        "salutation": "Dr.", "first_name": " Ada ", "company": "Engines, Inc.", "title": "Head of \"Engines\"",
        "email": " Ada.{n}@Example.COM ", "phone": "+44 20 7946 0958", "website": "https://example.com/a?b=c", "industry": "Engines",
        "employees": 250, "source": "Fair", "status": "working", "rating": "hot", "score": 75, "estimated_value": 15000.5,
        "currency": "gbp", "campaign": "Spring", "utm_source": "newsletter", "utm_medium": "email", "utm_campaign": "spring",
        "utm_term": "crm", "utm_content": "button", "do_not_call": true, "do_not_email": true,
        "linkedin_url": "https://linkedin.example/ada", "street": "Street 1\nDoor 2", "city": "London", "state": "Greater London",
        "postal_code": "W1", "country": "gb", "lost_reason": "Price", "converted_account_id": "{account}",
        "converted_contact_id": "{contact}", "converted_deal_id": "{deal}", "description": "Two\nlines, and a comma"
    }"#,
    stored: r#"{
        "first_name": "Ada", "email": "ada.{n}@example.com", "phone_normalized": "+442079460958", "currency": "GBP",
        "country": "GB"
    }"#,
    kept: r#"{ "phone_normalized": "+4930123456", "converted_at": "2001-01-01T00:00:00Z" }"#,
    change: r#"{ "title": "Changed {n}" }"#,
    sorted: &[
        ("last_name", &[r#""Abel""#, r#""Baker""#, r#""Charlie""#]),
        ("score", &["1", "9", "10", "100"]),
        ("status", &[r#""lost""#, r#""new""#, r#""qualified""#]),
        ("estimated_value", &["0.5", "9", "10.25", "200"]),
    ],
    keys: &[(&["external_id"], r#"{ "external_id": "ERP {n}" }"#)],
    bad: &[
        ("last_name", "null", "leads_last_name_or_company_check"),
        ("rating", r#""boiling""#, "leads_rating_check"),
        ("score", "101", "leads_score_check"),
        ("employees", "-1", "leads_employees_check"),
        ("estimated_value", "-0.01", "leads_estimated_value_check"),
    ],
    ..Spec::NOTHING
};
