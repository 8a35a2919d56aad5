use crm_http_tests::entity::Spec;

pub const SPEC: Spec = Spec {
    table: "integration_events",
    made: "insert into crm.integration_events (org_id, event_name, event_key, payload)
        values ('{org}', 'shop.event', 'Key {n}', '{\"n\": {n}}')",
    deleted: true,
    ..Spec::NOTHING
};
