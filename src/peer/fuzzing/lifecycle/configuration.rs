//! The settings of a peer: mostly the default, sometimes a limit or a timeout that is soon reached.

use super::callbacks::{Callbacks, PanickingDag};
use super::capturing::Captured;
use super::connection::NETWORK;
use crate::peer::fuzzing::Choices;
use crate::peer::{Config, CustomCommands, RateLimit, ScoreLimit, StallRule};
use crate::wire::Command;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);
const LONG: Duration = Duration::from_secs(300);

pub(super) fn configuration(
    choices: &mut Choices<'_>,
    callbacks: &Arc<Callbacks>,
    captured: Option<&Captured>,
) -> Option<Config> {
    let mut causes = callbacks.program.record.causes.lock();
    let handshake_timeout = choices.of(&[LONG, LONG, MS, 5 * MS]);
    causes.handshake_timeout = handshake_timeout < LONG;
    let [idle, frame, ping] = [(); 3].map(|()| choices.of(&[None, None, None, Some(MS), Some(5 * MS)]));
    (causes.idle_timeout, causes.frame_timeout) = (idle.is_some(), frame.is_some());
    let mut builder = Config::builder(NETWORK)
        .listener(Arc::clone(callbacks))
        .handshake_timeout(handshake_timeout)
        .idle_timeout(idle)
        .frame_timeout(frame)
        .ping_interval(ping)
        .write_timeout(choices.of(&[Some(LONG), Some(MS), None]))
        .trickle_interval(choices.of(&[MS, 100 * MS]))
        .queue_limit(choices.of(&[8 * 1024 * 1024, 1, 200, 100_000]))
        .known_inventory(choices.of(&[1000, 0, 1]))
        .inventory_queue(choices.of(&[1000, 1]))
        .custom_commands(choices.of(&[CustomCommands::Deliver, CustomCommands::Disconnect]))
        .score_limit(ScoreLimit::new(10))
        .capture(captured.and_then(Captured::capture));
    causes.stall_rules = choices.byte() % 4 == 1;
    if causes.stall_rules {
        let tip = StallRule::new(Command::GetSelectedTip, [Command::SelectedTip], MS);
        builder = builder.stall_rules(vec![tip, StallRule::new(Command::GetData, [Command::NotFound], MS)]);
    }
    causes.rate_limit = choices.byte() % 4 == 1;
    if causes.rate_limit {
        let end_after = choices.of(&[MS, LONG]);
        builder = builder.rate_limit(RateLimit::default().messages_per_second(2).end_after(end_after));
    }
    match choices.byte() % 8 {
        1 => {
            causes.panics = true;
            builder = builder.dag(PanickingDag(Mutex::new(choices.byte() % 4)));
        }
        2 => builder = builder.dag(()),
        _ => {}
    }
    builder.build().ok()
}
