use crm_http_tests::entity::{Parent, Spec};

pub const SPEC: Spec = Spec {
    table: "contacts",
    parents: &[Parent::new("account", "accounts", r#"{ "name": "Account {n}" }"#)],
    least: r#"{ "last_name": "Contact {n}" }"#,
    full: r#"{
        "account_id": "{account}", "salutation": " Dr. ", "first_name": "Ada", "title": "Head of \"Engines\", UK",
        "department": "Engines", "status": "inactive", "lead_source": "Fair", "email": " Ada.{n}@Example.COM ", "email_kind": "home", "phone_kind": "mobile",
        "phone": "+44 20 7946 0958", "do_not_call": true, "do_not_email": true, "linkedin_url": "https://linkedin.example/ada",
        "avatar_url": "https://example.com/ada.png", "birthday": "1915-12-10", "street": "Street 1\nDoor 2", "city": "London",
        "state": "Greater London", "postal_code": "W1", "country": "gb", "description": "Two\nlines, and a comma"
    }"#,
    stored: r#"{
        "salutation": "Dr.", "email": "ada.{n}@example.com", "phone_normalized": "+442079460958", "country": "GB"
    }"#,
    kept: r#"{ "phone_normalized": "+4930123456" }"#,
    change: r#"{ "title": "Changed {n}" }"#,
    sorted: &[
        ("last_name", &[r#""Abel""#, r#""Baker""#, r#""Charlie""#]),
        ("birthday", &[r#""1899-12-31""#, r#""1970-01-01""#, r#""2001-02-03""#]),
        ("do_not_call", &["false", "true"]),
    ],
    keys: &[
        (&["external_id"], r#"{ "external_id": "ERP {n}" }"#),
        (&["email"], r#"{ "email": "key{n}@example.com" }"#),
    ],
    embedded: &[
        (
            "/contacts?id=eq.{id}&select=id,account:accounts(name),owner:memberships(user_id)",
            r#"[{ "id": "{id}", "account": { "name": "Account 0" }, "owner": { "user_id": "{me}" } }]"#,
        ),
        ("/accounts?id=eq.{account}&select=contacts(count)", r#"[{ "contacts": [{ "count": 1 }] }]"#),
    ],
    bad: &[
        ("status", r#""Active""#, "contacts_status_check"),
        ("birthday", r#""1492-10-12""#, "contacts_birthday_check"),
        ("country", r#""D1""#, "country: "),
        ("surname", r#""x""#, "surname"),
    ],
    ..Spec::NOTHING
};
