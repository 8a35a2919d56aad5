use crm_http_tests::entity::Spec;

pub const SPEC: Spec = Spec {
    table: "automations",
    least: r#"{ "name": "Automation {n}", "trigger_event": "deal.updated" }"#,
    full: r#"{
        "description": "For people", "enabled": true, "conditions": { "status": "won" },
        "actions": [{ "do": "create_task", "title": "Call, \"soon\"" }], "run_order": 7
    }"#,
    change: r#"{ "description": "Changed {n}" }"#,
    sorted: &[
        ("trigger_event", &[r#""contact.created""#, r#""deal.created""#, r#""deal.updated""#]),
        ("run_order", &["0", "9", "10", "10000"]),
    ],
    keys: &[(&["name"], r#"{ "name": "Key {n}" }"#), (&["external_id"], r#"{ "external_id": "ERP {n}" }"#)],
    bad: &[
        ("trigger_event", r#""deal""#, "automations_trigger_event_check"),
        ("conditions", "[]", "automations_conditions_check"),
        ("actions", "{}", "automations_actions_check"),
        ("run_order", "-1", "automations_run_order_check"),
    ],
    ..Spec::NOTHING
};
