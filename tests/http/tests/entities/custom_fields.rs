use crm_http_tests::entity::Spec;

pub const SPEC: Spec = Spec {
    table: "custom_fields",
    least: r#"{ "entity": "contacts", "key": "field_{n}", "label": "Field {n}", "type": "text" }"#,
    full: r#"{
        "required": true, "default_value": "gold", "description": "Two\nlines, and a comma", "position": 7
    }"#,
    variants: &[
        r#"{ "is_unique": true }"#,
        r#"{ "type": "reference", "reference_entity": "accounts" }"#,
        r#"{ "type": "select", "options": [{ "value": "gold", "label": "Gold" }, { "value": "silver", "label": "Silver" }] }"#,
    ],
    change: r#"{ "description": "Changed {n}" }"#,
    sorted: &[("position", &["1", "9", "10", "200"]), ("label", &[r#""Abel""#, r#""Baker""#, r#""Charlie""#])],
    keys: &[(&["entity", "key"], r#"{ "entity": "contacts", "key": "key_{n}" }"#)],
    bad: &[
        ("key", r#""1st""#, "key"),
        ("type", r#""blob""#, "type"),
        ("position", "-1", "custom_fields_position_check"),
        ("options", r#""gold""#, "options"),
        ("reference_entity", r#""signing_keys""#, "reference_entity"),
    ],
    ..Spec::NOTHING
};
