use crm_http_tests::entity::Spec;

pub const SPEC: Spec = Spec {
    table: "daily_metrics",
    made: "insert into crm.daily_metrics (org_id, day, new_contacts) values ('{org}', date '2030-01-01' + {n}, {n})",
    ..Spec::NOTHING
};
