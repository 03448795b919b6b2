//! The behaviour that every implementation of [`Records`] and [`Attempts`] has: one suite, run against each.
//!
//! An implementation gives a [`Place`] (where its records are, empty at first) and calls
//! [`records_conformance!`](crate::records_conformance) or [`attempts_conformance!`](crate::attempts_conformance) in a test
//! file, which makes one test of each sentence below. Every function panics with what was broken; none of them sleeps, and
//! none of them knows which implementation it talks to.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a suite of tests ends in a panic when a promise is broken"
)]

pub mod attempts;
pub mod groups;
pub mod lists;
pub mod made;
pub mod manifests;
pub mod many;
pub mod records;
pub mod resources;
pub mod search;
mod steps;

/// Every promise about records, in one place for the macro.
pub mod promises {
    pub use super::groups::*;
    pub use super::lists::*;
    pub use super::manifests::*;
    pub use super::many::*;
    pub use super::records::*;
    pub use super::resources::*;
    pub use super::search::*;
}

use crate::{Attempts, Records};

/// Where records are; opening it again finds what was kept.
pub trait Place {
    /// The implementation under test.
    type Records: Records;

    /// Opens the records that are here.
    fn open(&self) -> Self::Records;
}

/// Where attempts are; opening it again finds what was kept.
pub trait AttemptPlace {
    /// The implementation under test.
    type Attempts: Attempts;

    /// Opens the attempts that are here.
    fn open(&self) -> Self::Attempts;
}

/// Makes one test of each promise about records. The argument is a function that gives a new, empty [`Place`].
#[macro_export]
macro_rules! records_conformance {
    ($place:expr) => {
        $crate::records_conformance!($place;
            nothing_is_there_at_first,
            every_kind_of_record_is_read_back,
            records_are_replaced_and_deleted,
            a_conflict_keeps_nothing_and_names_what,
            a_version_never_comes_back,
            relations_are_counted_inside_the_write,
            tenants_do_not_see_each_other,
            a_region_has_one_claim_on_a_ca,
            the_epoch_rises_with_trust,
            a_grant_rests_on_one_moment,
            a_changed_policy_counts_at_the_next_look,
            a_first_connection_finds_its_facts,
            lists_are_paged_in_order_and_back,
            filtered_lists_find_every_match,
            attachments_are_listed_from_both_sides,
            templates_are_kept_with_their_versions,
            groups_are_nested_and_hold_things,
            policies_of_groups_count_for_the_things_in_them,
            whole_records_are_kept_by_kind_and_name,
            records_of_one_kind_are_found_in_every_tenant,
            things_are_found_by_type_and_billing_group,
            things_are_found_by_queries,
            two_tenants_are_changed_together_or_not_at_all,
            changes_are_in_the_audit_log,
            what_was_answered_is_there_after_reopening,
            of_many_writers_of_one_key_one_wins,
            malformed_batches_are_refused,
            devices_of_manifests_are_found_by_their_keys,
            a_counter_never_goes_higher_than_it_may,
            batches_are_kept_each_for_itself_in_order,
            facts_of_many_are_those_of_each,
            a_fact_that_many_rest_on_may_still_change,
            one_conflict_among_many_stops_no_other
        );
    };
    ($place:expr; $($promise:ident),*) => {
        $(
            #[test]
            fn $promise() {
                $crate::conformance::promises::$promise(&$place());
            }
        )*
    };
}

/// Makes one test of each promise about attempts. The argument is a function that gives a new, empty [`AttemptPlace`].
#[macro_export]
macro_rules! attempts_conformance {
    ($place:expr) => {
        $crate::attempts_conformance!($place;
            attempts_are_read_newest_first,
            attempts_are_found_by_what_they_are_about,
            a_storm_leaves_first_last_and_count,
            attempts_are_there_after_reopening
        );
    };
    ($place:expr; $($promise:ident),*) => {
        $(
            #[test]
            fn $promise() {
                $crate::conformance::attempts::$promise(&$place());
            }
        )*
    };
}
