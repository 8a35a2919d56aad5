use crm_http_tests::entity::Spec;

pub const SPEC: Spec = Spec {
    table: "integration_rules",
    least: r#"{ "name": "Rule {n}", "event_name": "shop.event_{n}", "entity": "contacts", "mapping": { "last_name": "$.name" } }"#,
    full: r#"{
        "mapping": { "last_name": ["$.name", { "value": "unknown, yet" }], "email": "$.email" },
        "match_on": ["email"], "id_path": "$.event.id", "enabled": false
    }"#,
    change: r#"{ "name": "Changed {n}" }"#,
    sorted: &[("name", &[r#""Abel""#, r#""Baker""#, r#""Charlie""#]), ("entity", &[r#""contacts""#])],
    keys: &[
        (&["event_name"], r#"{ "event_name": "key.event_{n}" }"#),
        (&["external_id"], r#"{ "external_id": "ERP {n}" }"#),
    ],
    bad: &[
        ("event_name", r#""shop""#, "integration_rules_event_name_check"),
        ("entity", r#""signing_keys""#, "entity"),
        ("mapping", "[]", "mapping"),
        ("mapping", r#"{ "nothing": "$.name" }"#, "mapping"),
        ("mapping", r#"{ "last_name": "$.name ?" }"#, "mapping"),
        ("match_on", r#"["phone"]"#, "match_on"),
        ("id_path", r#""id""#, "id_path"),
    ],
    ..Spec::NOTHING
};
