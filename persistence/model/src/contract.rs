//! The suites that every implementation of a port passes: the in-memory reference, the embedded stores, and
//! stores of outside systems.
//!
//! Thread: a test's. Each suite takes empty stores from its caller and panics where behaviour differs from
//! the port's documentation, or from the reference model. Random parts are seeded and print their seed.
//!
//! Futures are driven by [`ready`](crate::port::ready); a suite for a store that waits needs a runtime round
//! it.

mod accounts;
mod asking;
mod copies;
mod ephemeral;
mod erasures;
mod events;
mod factors;
mod history;
mod joins;
mod links;
mod media;
mod messages;
mod moderation;
mod notify;
mod reports;
mod rooms;
mod strangers;

pub use accounts::{
    a_clock_that_jumps_back_resets_no_counter, a_family_turns_once_from_each_generation,
    a_name_that_was_given_up_is_closed_to_others, a_profile_changes_as_a_whole,
    a_removed_accounts_name_stays_closed_for_thirty_days, a_search_for_what_is_rare_among_many_ends,
    amounts_add_up_to_the_limit, an_account_is_found_by_what_is_unique,
    charges_count_together_and_never_too_many, names_and_numbers_belong_to_one,
    new_accounts_wait_until_they_are_published, people_are_found_by_the_beginnings_of_their_names,
    sessions_end_once_and_by_their_owner, the_least_used_session_makes_room,
};
pub use asking::{public_rooms_are_found, requests_wait_for_an_answer, so_many_requests_are_open};
pub use copies::{
    a_copy_made_while_records_arrive_equals_its_source, epochs_are_raised_for_all_rooms,
    filled_accounts_equal_their_source, filled_accounts_follow_their_source, filled_rooms_equal_their_source,
    filled_rooms_follow_their_source,
};
pub use ephemeral::{
    Bench, a_code_is_good_once_and_for_so_many_tries, a_code_is_restored_and_cancelled,
    a_newer_code_ends_the_one_before, a_number_waits_between_codes,
    a_request_without_a_code_leaves_the_code_before_it, a_token_is_taken_once, an_owner_has_so_many_tokens,
    charges_at_once_are_exact, codes_are_tried_one_by_one_by_whoever_tries_at_once, lives_end,
    names_that_were_added_are_found, presence_is_mirrored, shared_charges_count_together_and_never_too_many,
    wait,
};
pub use erasures::{
    an_erased_account_is_gone_and_its_erasure_waits, an_erasure_goes_on_and_never_back,
    names_that_are_free_are_forgotten,
};
pub use events::{every_event, every_event_comes_back_as_it_was, order_is_kept_and_repetitions_are_known};
pub use factors::{
    a_recovery_code_is_used_once, a_step_is_accepted_once, a_suspended_account_has_no_sessions,
    an_app_waits_until_it_is_confirmed, what_is_removed_leaves_nothing,
};
pub use history::{History, Random, records};
pub use joins::joined_answers_equal_those_of_a_full_store;
pub use links::links_let_in_as_many_as_they_say;
pub use messages::{
    a_later_round_of_reading_replaces_an_earlier_one, a_page_says_exactly_what_it_covers,
    cursor_moves_with_its_rows_and_never_back, deleted_text_never_returns, intents_are_kept_beside_the_log,
    keys_lead_to_their_event, mentions_are_those_of_messages_as_they_stand, not_unread_is_counted_exactly,
    replay_in_any_order_equals_in_order_once, same_log, unreadable_batches_write_nothing,
    what_is_removed_does_not_return,
};
pub use moderation::acts_are_kept_with_what_they_did;
pub use reports::reports_wait_for_somebody_to_decide;
pub use rooms::{
    a_block_keeps_invitations_out, a_command_is_applied_once, a_deleted_room_is_gone_for_ever,
    blocks_need_no_room, conversations_begin_with_who_takes_them, events_change_the_rows_they_name,
    names_are_unique_and_reserved, names_follow_the_kind_of_their_room, presence_needs_a_shared_room,
    random_commands_match_the_reference, rooms_are_listed_in_order, sentences_are_listed_while_they_stand,
    what_a_member_has_set_is_its_own, whom_a_user_blocks_is_listed,
};
pub use strangers::{
    a_stranger_asks_until_it_is_accepted, no_request_outlives_an_account,
    so_many_strangers_are_asked_and_ask, what_is_declined_may_be_asked_again,
    what_waits_may_be_asked_again_as_what_was_declined, who_is_added_by_a_stranger_shares_no_room,
};

pub use media::{
    a_file_goes_forward_only, a_file_is_attached_once, a_file_knows_its_message,
    a_picture_takes_the_place_of_another, a_quota_holds_before_anything_is_stored,
    filled_media_equal_their_source, filled_media_follow_their_source, what_nobody_needs_is_doomed,
};
pub use notify::{
    a_batch_is_taken_once, a_token_belongs_to_one_session, a_window_has_one_push, attempts_end_once,
    decisions_are_found_by_message, filled_notifications_equal_their_source,
    filled_notifications_follow_their_source, old_rows_are_forgotten, what_a_dead_process_claimed_is_unknown,
    what_was_given_up_is_told_and_revived,
};

use crate::event::Event;
use crate::port::{
    AccountDump, AccountFill, AccountStore, ErasureStore, EventSink, FactorStore, MediaDump, MediaFill,
    MediaStore, MessageDump, MessageStore, NotifyDump, NotifyFill, NotifyStore, RoomDump, RoomFill,
    RoomStore,
};

/// All that `page` gives, page after page; each begins after the last item of the one before.
fn pages(mut page: impl FnMut(&str) -> Vec<String>) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    loop {
        let next = page(all.last().map_or("", String::as_str));
        if next.is_empty() {
            return all;
        }
        all.extend(next);
        assert!(all.len() < 10_000, "the pages do not end");
    }
}

/// All suites of the message port. `open` makes an empty store.
pub fn message_store<M: MessageStore>(mut open: impl FnMut() -> M) {
    replay_in_any_order_equals_in_order_once(&mut open(), 1..40);
    deleted_text_never_returns(&mut open());
    a_page_says_exactly_what_it_covers(&mut open());
    cursor_moves_with_its_rows_and_never_back(&mut open());
    unreadable_batches_write_nothing(&mut open());
    not_unread_is_counted_exactly(&mut open());
    mentions_are_those_of_messages_as_they_stand(&mut open());
    what_is_removed_does_not_return(&mut open());
    keys_lead_to_their_event(&mut open());
    intents_are_kept_beside_the_log(&mut open());
    a_later_round_of_reading_replaces_an_earlier_one(&mut open());
    joined_answers_equal_those_of_a_full_store(&mut open(), 1..40);
}

/// All suites of the room port. `open` makes an empty store.
pub fn room_store<R: RoomStore>(mut open: impl FnMut() -> R) {
    a_command_is_applied_once(&mut open());
    events_change_the_rows_they_name(&mut open());
    names_are_unique_and_reserved(&mut open());
    names_follow_the_kind_of_their_room(&mut open());
    a_deleted_room_is_gone_for_ever(&mut open());
    sentences_are_listed_while_they_stand(&mut open());
    links_let_in_as_many_as_they_say(&mut open());
    requests_wait_for_an_answer(&mut open());
    so_many_requests_are_open(&mut open());
    a_stranger_asks_until_it_is_accepted(&mut open());
    what_is_declined_may_be_asked_again(&mut open());
    what_waits_may_be_asked_again_as_what_was_declined(&mut open());
    who_is_added_by_a_stranger_shares_no_room(&mut open());
    no_request_outlives_an_account(&mut open());
    so_many_strangers_are_asked_and_ask(&mut open());
    public_rooms_are_found(&mut open());
    acts_are_kept_with_what_they_did(&mut open());
    reports_wait_for_somebody_to_decide(&mut open());
    rooms_are_listed_in_order(&mut open());
    blocks_need_no_room(&mut open());
    a_block_keeps_invitations_out(&mut open());
    presence_needs_a_shared_room(&mut open());
    conversations_begin_with_who_takes_them(&mut open());
    whom_a_user_blocks_is_listed(&mut open());
    what_a_member_has_set_is_its_own(&mut open());
    random_commands_match_the_reference(&mut open(), 1..20);
}

/// All suites of the account port. `open` makes an empty store.
pub fn account_store<S: AccountStore>(mut open: impl FnMut() -> S) {
    an_account_is_found_by_what_is_unique(&mut open());
    names_and_numbers_belong_to_one(&mut open());
    a_removed_accounts_name_stays_closed_for_thirty_days(&mut open());
    a_family_turns_once_from_each_generation(&mut open());
    sessions_end_once_and_by_their_owner(&mut open());
    the_least_used_session_makes_room(&mut open());
    amounts_add_up_to_the_limit(&mut open());
    charges_count_together_and_never_too_many(&mut open());
    a_clock_that_jumps_back_resets_no_counter(&mut open());
    new_accounts_wait_until_they_are_published(&mut open());
    a_profile_changes_as_a_whole(&mut open());
    a_name_that_was_given_up_is_closed_to_others(&mut open());
    people_are_found_by_the_beginnings_of_their_names(&mut open());
    a_search_for_what_is_rare_among_many_ends(&mut open());
}

/// All suites of the port of second factors. `open` makes an empty store.
pub fn factor_store<S: FactorStore>(mut open: impl FnMut() -> S) {
    an_app_waits_until_it_is_confirmed(&mut open());
    a_step_is_accepted_once(&mut open());
    a_recovery_code_is_used_once(&mut open());
    what_is_removed_leaves_nothing(&mut open());
    a_suspended_account_has_no_sessions(&mut open());
}

/// All suites of the port of erasures. `open` makes an empty store.
pub fn erasure_store<S: ErasureStore>(mut open: impl FnMut() -> S) {
    an_erased_account_is_gone_and_its_erasure_waits(&mut open());
    an_erasure_goes_on_and_never_back(&mut open());
    names_that_are_free_are_forgotten(&mut open());
}

/// All suites of the event port. `read` gives all that was published so far.
pub fn event_sink<S: EventSink>(sink: &mut S, read: &mut dyn FnMut(&mut S) -> Vec<Event>) {
    every_event_comes_back_as_it_was(sink, read);
    order_is_kept_and_repetitions_are_known(sink, read);
}

/// All suites of the port of short-lived state. `run` makes a store for each, or a seed that it has not seen.
pub fn ephemeral(mut run: impl FnMut(fn(&Bench<'_>))) {
    run(a_code_is_good_once_and_for_so_many_tries);
    run(codes_are_tried_one_by_one_by_whoever_tries_at_once);
    run(a_newer_code_ends_the_one_before);
    run(a_number_waits_between_codes);
    run(a_request_without_a_code_leaves_the_code_before_it);
    run(a_code_is_restored_and_cancelled);
    run(lives_end);
    run(a_token_is_taken_once);
    run(an_owner_has_so_many_tokens);
    run(shared_charges_count_together_and_never_too_many);
    run(charges_at_once_are_exact);
    run(presence_is_mirrored);
    run(names_that_were_added_are_found);
}

/// All suites of copying a message log. `open` makes an empty store.
pub fn message_dump<M: MessageDump>(mut open: impl FnMut() -> M) {
    a_copy_made_while_records_arrive_equals_its_source(&mut open(), 1..40);
    epochs_are_raised_for_all_rooms(&mut open());
}

/// All suites of copying rooms. `open` makes an empty store, `snapshot` dumps it as it is now.
pub fn room_dump<R: RoomStore + RoomFill, D: RoomDump>(
    mut open: impl FnMut() -> R,
    snapshot: impl Fn(&R) -> D,
) {
    filled_rooms_equal_their_source(&mut open(), &snapshot);
    filled_rooms_follow_their_source(&mut open(), &snapshot);
}

/// All suites of copying accounts. `open` makes an empty store, `snapshot` dumps it as it is now.
pub fn account_dump<A: ErasureStore + AccountFill, D: AccountDump>(
    mut open: impl FnMut() -> A,
    snapshot: impl Fn(&A) -> D,
) {
    filled_accounts_equal_their_source(&mut open(), &snapshot);
    filled_accounts_follow_their_source(&mut open(), &snapshot);
}

/// All suites of the port of notifications. `open` makes an empty store.
pub fn notify_store<S: NotifyStore>(mut open: impl FnMut() -> S) {
    a_token_belongs_to_one_session(&mut open());
    a_batch_is_taken_once(&mut open());
    a_window_has_one_push(&mut open());
    attempts_end_once(&mut open());
    what_a_dead_process_claimed_is_unknown(&mut open());
    decisions_are_found_by_message(&mut open());
    what_was_given_up_is_told_and_revived(&mut open());
    old_rows_are_forgotten(&mut open());
}

/// All suites of copying notifications. `open` makes an empty store, `snapshot` dumps it as it is now.
pub fn notify_dump<S: NotifyStore + NotifyFill, D: NotifyDump>(
    mut open: impl FnMut() -> S,
    snapshot: impl Fn(&S) -> D,
) {
    filled_notifications_equal_their_source(&mut open(), &snapshot);
    filled_notifications_follow_their_source(&mut open(), &snapshot);
}

/// All suites of the port of media. `open` makes an empty store.
pub fn media_store<S: MediaStore>(mut open: impl FnMut() -> S) {
    a_quota_holds_before_anything_is_stored(&mut open());
    a_file_goes_forward_only(&mut open());
    a_file_is_attached_once(&mut open());
    what_nobody_needs_is_doomed(&mut open());
    a_file_knows_its_message(&mut open());
    a_picture_takes_the_place_of_another(&mut open());
}

/// All suites of copying media. `open` makes an empty store, `snapshot` dumps it as it is now.
pub fn media_dump<S: MediaStore + MediaFill, D: MediaDump>(
    mut open: impl FnMut() -> S,
    snapshot: impl Fn(&S) -> D,
) {
    filled_media_equal_their_source(&mut open(), &snapshot);
    filled_media_follow_their_source(&mut open(), &snapshot);
}

#[cfg(test)]
mod tests {
    use crate::memory::{
        MemoryAccounts, MemoryEvents, MemoryMedia, MemoryMessages, MemoryNotify, MemoryRooms,
    };

    #[test]
    fn the_reference_stores_can_be_copied() {
        super::message_dump(MemoryMessages::default);
        super::room_dump(MemoryRooms::default, MemoryRooms::clone);
        super::account_dump(MemoryAccounts::default, MemoryAccounts::clone);
        super::notify_dump(MemoryNotify::default, MemoryNotify::clone);
        super::media_dump(MemoryMedia::default, MemoryMedia::clone);
    }

    #[test]
    fn the_reference_message_store_passes() {
        super::message_store(MemoryMessages::default);
    }

    #[test]
    fn the_reference_room_store_passes() {
        super::room_store(MemoryRooms::default);
    }

    #[test]
    fn the_reference_account_store_passes() {
        super::account_store(MemoryAccounts::default);
        super::factor_store(MemoryAccounts::default);
        super::erasure_store(MemoryAccounts::default);
    }

    #[test]
    fn the_reference_notifications_pass() {
        super::notify_store(MemoryNotify::default);
    }

    #[test]
    fn the_reference_media_pass() {
        super::media_store(MemoryMedia::default);
    }

    #[test]
    fn the_reference_event_sink_passes() {
        super::event_sink(&mut MemoryEvents::default(), &mut |sink| sink.published.clone());
    }
}
