use crm_http_tests::entity::Spec;

use super::parents::DEAL;

pub const SPEC: Spec = Spec {
    table: "deal_stage_changes",
    parents: &[DEAL],
    made: "insert into crm.deal_stage_changes (org_id, deal_id, owner_id, to_stage_id, to_stage)
           values ('{org}', '{deal}', '{me}', '{org}', 'Stage {n}')",
    part_of: Some("deal"),
    ..Spec::NOTHING
};
