//! The behaviours, each a test of its own for each entity.

pub use super::bad::{refuses_bad_input_in_each_column, takes_only_the_steps_of_its_states};
pub use super::lists::{
    comes_and_goes_as_csv, comes_as_csv, is_embedded_both_ways, is_found_by_each_column, is_found_by_its_custom_fields,
    is_found_by_its_tags, is_paged_with_a_count, is_sorted_with_ties_by_id,
};
pub use super::others::{
    is_a_colleagues_only_as_far_as_the_role_reaches, is_hidden_from_another_tenant, is_not_changed_by_another_tenant,
    is_not_made_for_a_colleague_by_who_may_not, is_not_written_by_who_may_only_read, is_written_by_nobody,
    refers_to_nothing_of_another_tenant,
};
pub use super::rows::{
    is_created, is_deleted, is_read_by_its_id, is_stored_with_all_its_columns, is_unique_per_organization, is_updated,
    is_upserted_on_its_natural_keys,
};
