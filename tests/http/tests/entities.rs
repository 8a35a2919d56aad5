//! Each entity over HTTP: what `crm_http_tests::entity` says that entities do, with the rows of `entities/`.

use crm_http_tests::entity::{Spec, catalog};

mod parents;

mod accounts;
mod activities;
mod activity_links;
mod appointment_attendees;
mod appointments;
mod attachments;
mod automations;
mod contact_accounts;
mod contact_emails;
mod contact_phones;
mod contacts;
mod custom_fields;
mod daily_metrics;
mod deal_contacts;
mod deal_stage_changes;
mod deals;
mod estimate_items;
mod estimates;
mod integration_events;
mod integration_rules;
mod invoice_items;
mod invoices;
mod jobs;
mod leads;
mod messages;
mod notifications;
mod number_series;
mod payments;
mod pipeline_stages;
mod pipelines;
mod projects;
mod saved_filters;
mod tags;
mod tasks;
mod tickets;
mod webhooks;

/// Tables that are no entities like the others, and have tests of their own: what an organization itself, its people and
/// their permissions are, what each organization has from the beginning, and what functions make.
const TRIED_ELSEWHERE: [&str; 14] = [
    "audit_log",
    "audit_transactions",
    "deleted_records",
    "group_members",
    "group_permissions",
    "group_roles",
    "groups",
    "memberships",
    "number_series",
    "role_permissions",
    "roles",
    "webhook_attempts",
    "webhook_deliveries",
    "webhooks",
];

/// A test for each behaviour, so that a failure names the entity and the behaviour.
macro_rules! behaviours {
    ($entity:ident: $($behaviour:ident),* $(,)?) => {
        mod $entity {
            $(
                #[test]
                fn $behaviour() {
                    crm_http_tests::entity::behaviour::$behaviour(&crate::entities::$entity::SPEC);
                }
            )*
        }
    };
}

macro_rules! entities {
    (written: $($entity:ident),*; read_only: $($shown:ident),* $(,)?) => {
        const SPECS: &[&Spec] = &[$(&$entity::SPEC),*, $(&$shown::SPEC),*];
        mod behaviour {
            $(behaviours! {
                $entity:
                is_created,
                is_stored_with_all_its_columns,
                is_read_by_its_id,
                is_found_by_each_column,
                is_sorted_with_ties_by_id,
                is_paged_with_a_count,
                is_embedded_both_ways,
                is_updated,
                is_upserted_on_its_natural_keys,
                is_unique_per_organization,
                is_deleted,
                comes_and_goes_as_csv,
                is_found_by_its_tags,
                is_found_by_its_custom_fields,
                refuses_bad_input_in_each_column,
                takes_only_the_steps_of_its_states,
                is_hidden_from_another_tenant,
                is_not_changed_by_another_tenant,
                refers_to_nothing_of_another_tenant,
                is_not_written_by_who_may_only_read,
                is_a_colleagues_only_as_far_as_the_role_reaches,
                is_not_made_for_a_colleague_by_who_may_not,
            })*
            $(behaviours! {
                $shown:
                is_read_by_its_id,
                is_found_by_each_column,
                is_sorted_with_ties_by_id,
                is_paged_with_a_count,
                is_embedded_both_ways,
                comes_as_csv,
                is_hidden_from_another_tenant,
                is_written_by_nobody,
            })*
        }
    };
}

entities! {
    written:
    accounts,
    activities,
    activity_links,
    appointment_attendees,
    appointments,
    attachments,
    automations,
    contact_accounts,
    contact_emails,
    contact_phones,
    contacts,
    custom_fields,
    deal_contacts,
    deals,
    estimate_items,
    estimates,
    integration_rules,
    invoice_items,
    invoices,
    jobs,
    leads,
    messages,
    notifications,
    payments,
    pipeline_stages,
    pipelines,
    projects,
    saved_filters,
    tags,
    tasks,
    tickets;
    read_only:
    daily_metrics,
    deal_stage_changes,
    integration_events,
}

#[test]
fn every_table_of_organizations_is_tried() {
    let mut tried: Vec<_> = SPECS.iter().map(|spec| spec.table).chain(TRIED_ELSEWHERE).collect();
    tried.sort_unstable();
    assert_eq!(tried, catalog::tables(), "each entity has a file in tests/http/tests/entities");
}
