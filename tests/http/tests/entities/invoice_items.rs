use crm_http_tests::entity::Spec;

use super::parents::INVOICE;

pub const SPEC: Spec = Spec {
    table: "invoice_items",
    parents: &[INVOICE],
    least: r#"{ "invoice_id": "{invoice}", "description": "Line {n}" }"#,
    full: r#"{
        "position": 7, "quantity": 2.5, "unit": "h", "unit_price": 100.4, "discount_percent": 10, "tax_rate": 19
    }"#,
    stored: r#"{ "discount_amount": 25.1, "line_total": 225.9 }"#,
    kept: r#"{ "discount_amount": 77, "line_total": 88 }"#,
    change: r#"{ "description": "Changed {n}" }"#,
    sorted: &[
        ("position", &["1", "9", "10", "200"]),
        ("unit_price", &["0.5", "9", "10.25", "200"]),
        ("description", &[r#""Abel""#, r#""Baker""#, r#""Charlie""#]),
    ],
    keys: &[(&["external_id"], r#"{ "external_id": "ERP {n}" }"#)],
    bad: &[
        ("quantity", "1000000001", "invoice_items_quantity_check"),
        ("unit_price", "1000000000001", "invoice_items_unit_price_check"),
        ("discount_percent", "100.5", "invoice_items_discount_percent_check"),
        ("tax_rate", "-1", "invoice_items_tax_rate_check"),
    ],
    part_of: Some("invoice"),
    ..Spec::NOTHING
};
