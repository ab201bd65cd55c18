//! Sending: the outbound queue, receipts, announcements and the `push_*` helpers.

#[path = "../common/mod.rs"]
mod common;

mod floods_in_both_directions;
mod inventory_announcements;
mod push_helpers;
mod queue_limit;
mod random_calls;
mod receipts;
mod receipts_asked_repeatedly;
