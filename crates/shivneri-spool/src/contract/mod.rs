//! The suite that every spool must pass, one claim a function. A spool of one's own is held to it
//! by implementing [`Subject`] and calling [`spool_contract!`](crate::spool_contract) in its tests.

pub mod accepting;
pub mod attempts;
pub mod changing;
pub mod crashing;
pub mod fixture;
pub mod inheriting;
pub mod keeping;
pub mod late;
pub mod leasing;
pub mod looking;
pub mod overruling;
pub mod play;
pub mod repeating;

use std::sync::Arc;

use async_trait::async_trait;

use crate::Spool;

/// A kind of spool under test.
#[async_trait]
pub trait Subject: Send + Sync {
    /// A new, empty spool with the built-in lanes.
    async fn open(&self) -> Arc<dyn Spool>;

    /// The same spool as its next owner finds it after the present one was killed; none where a
    /// spool of this kind does not outlive its process.
    async fn crash(&self, spool: Arc<dyn Spool>) -> Option<Arc<dyn Spool>>;
}

/// Makes one test of each claim, for the [`Subject`] that the expression gives.
#[macro_export]
macro_rules! spool_contract {
    ($subject:expr) => {
        $crate::spool_contract! { $subject;
            accepting: an_accepted_message_is_there_with_all_its_fields,
            accepting: a_message_in_an_unknown_lane_is_refused_by_name,
            accepting: a_key_sent_again_gives_the_first_id_and_with_another_body_conflicts,
            accepting: sixty_four_clients_with_one_key_make_one_message,
            accepting: a_key_counts_for_its_owner_and_for_a_day,
            accepting: an_id_is_taken_once,
            leasing: a_delivery_is_leased_to_one_caller,
            leasing: urgent_mail_goes_first_and_bulk_is_not_starved,
            leasing: within_a_lane_the_oldest_goes_first,
            leasing: scheduled_mail_is_not_leased_early,
            leasing: the_deadline_is_the_wish_or_the_lanes_age,
            leasing: a_released_delivery_waits_for_its_time_and_says_why,
            leasing: unparking_makes_what_waits_due,
            leasing: new_mail_wakes_who_waits_for_due_mail,
            leasing: what_needs_a_decision_is_leased_out_of_its_turn,
            leasing: mail_past_its_time_keeps_out_no_doubt_that_has_run_its_course,
            leasing: a_doubt_to_be_resent_needs_no_decision_until_its_resends_are_used_up,
            leasing: a_doubt_that_is_asked_about_is_due_when_it_is_to_be_asked,
            attempts: each_transition_leads_to_its_status,
            attempts: an_attempt_needs_a_lease_and_no_other_open_one,
            attempts: an_attempt_of_an_older_epoch_changes_nothing,
            attempts: the_next_lease_knows_what_was_tried,
            attempts: recipients_the_provider_refused_are_rejected_alone,
            attempts: recipients_the_provider_deferred_are_sent_alone,
            attempts: refused_recipients_leave_and_the_rest_goes_on_at_once,
            attempts: a_doubt_is_not_hidden_by_a_later_end,
            attempts: a_delivery_is_settled_without_an_attempt,
            late: what_was_not_started_is_due_at_once_and_not_in_doubt,
            late: a_late_acceptance_moves_even_what_ended_in_doubt,
            late: mail_given_up_in_doubt_and_proven_unsent_is_sent,
            late: a_certain_end_is_not_amended,
            late: a_late_acceptance_stops_a_resend_that_is_under_way,
            late: the_holder_of_a_lease_clears_up_its_doubt_once,
            late: a_second_acceptance_is_a_confirmed_duplicate,
            late: an_agents_unsettled_attempts_are_listed,
            late: late_evidence_finds_the_delivery_as_it_was_before,
            late: a_lease_from_before_late_evidence_does_nothing_more,
            late: a_lease_from_before_late_evidence_is_given_back_as_the_evidence_says,
            late: word_of_some_recipients_is_taken_once_the_resend_has_its_end,
            late: what_a_look_up_finds_deferred_is_due_again,
            late: a_resend_taken_after_an_event_is_a_confirmed_duplicate,
            repeating: an_answered_request_leaves_nobody_of_it_in_doubt,
            repeating: a_late_answer_to_a_request_is_one_to_its_repetitions,
            repeating: what_is_proven_unsent_during_a_repetition_is_due_once_that_has_ended,
            inheriting: who_waits_for_evidence_alone_is_due_once_all_is_proven_unsent,
            changing: mail_is_cancelled_only_before_it_is_sent,
            changing: a_cancelled_lease_begins_no_attempt,
            changing: failed_mail_is_requeued_and_doubtful_mail_only_by_word,
            changing: a_bounced_recipient_is_requeued_alone,
            changing: erased_mail_is_gone_and_counted,
            changing: evidence_moves_a_recipient_only_forward,
            overruling: a_doubt_that_a_person_overruled_is_hidden_by_no_later_end,
            overruling: overruled_mail_that_was_taken_twice_is_a_confirmed_duplicate,
            overruling: overruled_mail_that_was_never_sent_is_in_doubt_no_more,
            inheriting: a_part_that_was_taken_twice_is_a_confirmed_duplicate,
            inheriting: a_doubt_settled_as_unsent_is_settled_for_those_split_off_as_well,
            inheriting: a_late_acceptance_is_one_for_those_split_off_as_well,
            looking: each_part_of_a_search_narrows_it,
            looking: pages_show_each_message_once_and_the_newest_first,
            looking: counts_follow_the_mail,
            looking: events_tell_each_change_once_and_in_order,
            keeping: bodies_go_first_and_messages_later,
            keeping: small_records_are_kept_and_removed,
            keeping: a_pause_that_a_provider_asked_for_is_kept_with_the_attempts_end,
            keeping: generations_rise_for_each_agent,
            keeping: a_closed_spool_says_so,
            crashing: what_was_acknowledged_is_there_after_a_crash,
            crashing: an_attempt_open_at_a_crash_is_in_doubt_until_evidence_comes,
            crashing: how_long_a_key_lives_is_known_to_later_leases,
            crashing: a_resend_open_at_a_crash_is_listed_as_a_possible_duplicate,
            crashing: the_owner_before_can_commit_nothing,
            play: nothing_is_lost_in_a_long_random_play,
        }
    };
    ($subject:expr; $($file:ident: $claim:ident,)*) => {
        $(
            #[tokio::test]
            async fn $claim() {
                $crate::contract::$file::$claim(&$subject).await;
            }
        )*
    };
}
