use crm_http_tests::entity::{Parent, Spec};

pub const SPEC: Spec = Spec {
    table: "accounts",
    parents: &[Parent::new("holding", "accounts", r#"{ "name": "Holding {n}" }"#)],
    least: r#"{ "name": "Account {n}" }"#,
    full: r#"{
        "domain": " WWW.Example-{n}.COM. ", "website": "https://example.com/a?b=c", "type": "reseller", "status": "inactive",
        "industry": "Ship building", "employees": 250, "annual_revenue": 1500000.5, "currency": "eur",
        "email": " Office@Example.com ", "phone": "+44 20 7946 0958", "tax_id": "DE 123 456 789",
        "billing_street": "Harbour 1\nGate 2", "billing_city": "Hamburg", "billing_state": "Hansestadt",
        "billing_postal_code": "20095", "billing_country": "de",
        "shipping_street": "Quai \"Ouest\", 3", "shipping_city": "Zürich", "shipping_state": "ZH", "shipping_postal_code": "8001",
        "shipping_country": "CH", "linkedin_url": "https://linkedin.example/company/x",
        "description": "Two\nlines, and a comma", "parent_id": "{holding}"
    }"#,
    stored: r#"{
        "domain": "example-{n}.com", "currency": "EUR", "email": "office@example.com", "phone_normalized": "+442079460958",
        "billing_country": "DE"
    }"#,
    kept: r#"{ "phone_normalized": "+4930123456" }"#,
    change: r#"{ "industry": "Changed {n}" }"#,
    sorted: &[
        ("name", &[r#""Abel""#, r#""Baker""#, r#""Charlie""#]),
        ("employees", &["1", "9", "10", "200"]),
        ("annual_revenue", &["0.5", "9", "10.25", "200"]),
        ("status", &[r#""active""#, r#""archived""#, r#""inactive""#]),
    ],
    keys: &[(&["external_id"], r#"{ "external_id": "ERP {n}" }"#)],
    embedded: &[(
        "/accounts?id=eq.{id}&select=id,owner:memberships(user_id),contacts(id)",
        r#"[{ "id": "{id}", "owner": { "user_id": "{me}" }, "contacts": [] }]"#,
    )],
    bad: &[
        ("type", r#""enemy""#, "accounts_type_check"),
        ("status", r#""Active""#, "accounts_status_check"),
        ("employees", "-1", "accounts_employees_check"),
        ("annual_revenue", "-0.01", "accounts_annual_revenue_check"),
        ("currency", r#""euro""#, "currency: "),
    ],
    ..Spec::NOTHING
};
