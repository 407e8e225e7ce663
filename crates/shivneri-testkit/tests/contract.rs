//! The suite passes a provider that keeps the contract, and catches each flaw by its claim.

mod handmade;

use handmade::{Flaw, HandmadeSubject};
use shivneri_testkit::contract;

async fn verdict(flaw: Flaw) -> Result<(), String> {
    let suite = async move { contract::run(&HandmadeSubject(flaw)).await };
    tokio::spawn(suite).await.map_err(|failed| {
        let panic = failed.into_panic();
        panic.downcast_ref::<String>().cloned().unwrap_or_else(|| "a panic without words".into())
    })
}

async fn is_caught_by(flaw: Flaw, claim: &str) {
    let message = verdict(flaw).await.expect_err("the suite lets it pass");
    assert!(message.contains(&format!("the claim {claim} ")), "{flaw:?} gives: {message}");
}

#[tokio::test]
async fn a_provider_that_keeps_the_contract_passes() {
    assert_eq!(verdict(Flaw::None).await, Ok(()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_passes_on_a_runtime_of_several_threads_too() {
    assert_eq!(verdict(Flaw::None).await, Ok(()));
}

#[tokio::test]
#[should_panic(expected = "the claim a_slow_answer_in_time_is_accepted ")]
async fn a_provider_that_hurries_answers_is_caught() {
    // Alone: in the whole suite an answer that merely comes late on a busy machine would strike
    // another claim first.
    let subject = HandmadeSubject(Flaw::HurriesAnswers);
    contract::answers::a_slow_answer_in_time_is_accepted(&subject).await;
}

macro_rules! caught {
    ($($test:ident: $flaw:ident by $claim:ident;)*) => {
        $(
            #[tokio::test]
            async fn $test() {
                is_caught_by(Flaw::$flaw, stringify!($claim)).await;
            }
        )*
    };
}

caught! {
    a_provider_that_retries_is_caught:
        Retries by one_send_is_one_request;
    a_provider_that_follows_redirects_is_caught:
        FollowsRedirects by a_redirect_is_not_followed;
    a_provider_that_goes_on_in_the_background_is_caught:
        GoesOnInTheBackground by a_dropped_send_leaves_nothing_behind;
    a_provider_that_reuses_closed_connections_is_caught:
        ReusesClosedConnections by a_connection_closed_while_idle_makes_no_doubt;
    a_provider_whose_request_changes_is_caught:
        DrawsABoundary by the_request_is_the_same_each_time;
    a_provider_that_makes_up_ids_is_caught:
        MakesUpIds by an_acceptance_gives_the_providers_id;
    a_provider_that_ignores_error_codes_is_caught:
        IgnoresCodes by documented_answers_mean_what_the_table_says;
    a_provider_that_condemns_mail_for_any_4xx_is_caught:
        CondemnsAny4xx by an_undocumented_4xx_is_an_unexplained_rejection;
    a_provider_that_blames_the_mail_for_the_key_is_caught:
        BlamesTheMailForTheKey by a_401_or_403_is_a_fault_of_the_account;
    a_provider_that_condemns_large_mail_is_caught:
        CondemnsLargeMail by a_413_is_unsupported;
    a_provider_that_is_deaf_while_it_writes_is_caught:
        DeafWhileItWrites by an_answer_before_the_body_is_heard;
    a_provider_that_forgets_the_pause_is_caught:
        ForgetsThePause by a_throttle_is_told_with_its_pause;
    a_provider_that_forgets_the_pause_of_a_503_is_caught:
        ForgetsThePauseOfA503 by a_503_with_retry_after_is_a_throttle;
    a_provider_that_takes_a_503_for_proof_is_caught:
        TakesA503ForProof by an_undocumented_5xx_is_weak_doubt;
    a_provider_that_trusts_any_success_is_caught:
        TrustsAnySuccess by a_success_that_makes_no_sense_is_weak_doubt;
    a_provider_that_reads_without_end_is_caught:
        ReadsWithoutEnd by a_huge_answer_is_not_read_to_its_end;
    a_provider_that_blames_the_service_for_the_link_is_caught:
        BlamesTheServiceForTheLink by a_service_out_of_reach_is_unavailable;
    a_provider_that_doubts_what_it_never_wrote_is_caught:
        DoubtsWhatItNeverWrote by a_body_not_handed_over_is_unavailable;
    a_provider_that_calls_silence_unavailable_is_caught:
        CallsSilenceUnavailable by silence_after_the_body_is_strong_doubt;
    a_provider_that_ignores_the_timeout_is_caught:
        IgnoresTheTimeout by a_send_ends_with_its_timeout;
    a_provider_that_gives_up_early_is_caught:
        GivesUpEarly by a_send_ends_with_its_timeout;
    a_provider_that_shows_its_key_is_caught:
        ShowsItsKey by secrets_are_never_shown;
    a_provider_that_repeats_answers_in_its_words_is_caught:
        RepeatsAnswers by errors_hold_no_addresses_and_no_bodies;
    a_provider_that_refuses_other_scripts_is_caught:
        RefusesOtherScripts by words_beyond_ascii_are_sent;
    a_provider_that_drops_attachments_is_caught:
        DropsAttachments by a_large_attachment_is_sent_whole;
    a_provider_that_never_probes_green_is_caught:
        ProbesRedAlways by a_healthy_account_probes_green;
    a_provider_that_always_probes_green_is_caught:
        ProbesGreenAlways by a_wrong_key_shows_in_the_probe;
    a_provider_that_probes_green_after_a_503_is_caught:
        ProbesGreenAfterA503 by a_probe_of_a_broken_service_is_not_green;
    a_provider_that_probes_by_mail_is_caught:
        ProbesByMail by a_probe_sends_no_mail;
}
