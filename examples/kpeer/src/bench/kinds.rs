//! The kinds of measurements.

mod broadcast;
mod codec;
mod handshake;
pub mod idle;
mod rtt;
mod stream;
mod trickle;

use super::report::Report;
use super::{Plan, Result};

type Run = fn(&Plan, &mut Report) -> Result<()>;

/// Each group: its name, its other kinds, whether its ends can be two processes, and the function that measures it.
const GROUPS: [(&str, &[&str], bool, Run); 12] = [
    ("small", &["small-frames"], true, stream::small),
    ("tx", &["tx-frames"], true, stream::tx),
    ("inv", &["inv-frames"], true, stream::inv),
    ("block", &["block-owned", "block-frames"], true, stream::block),
    ("known", &["known-1000", "known-50000"], false, stream::known),
    ("receipts", &[], true, stream::receipts),
    ("rtt", &[], true, rtt::run),
    ("handshake", &["handshake-remote"], false, handshake::run),
    ("broadcast", &[], false, broadcast::run),
    ("trickle", &[], false, trickle::run),
    ("idle", &[], false, idle::run),
    ("codec", &[], false, codec::run),
];

pub fn exists(kind: &str) -> bool {
    kind == "all" || GROUPS.iter().any(|(group, kinds, ..)| *group == kind || kinds.contains(&kind))
}

pub fn run(plan: &Plan, report: &mut Report) -> Result<()> {
    let is_named = plan.kind != "all";
    for (group, kinds, remote, run) in GROUPS {
        let is_wanted = kinds.iter().chain([&group]).any(|kind| plan.wants(group, kind));
        if !is_wanted || (plan.receiver.is_some() && !remote && !is_named) {
            continue;
        }
        if plan.receiver.is_some() && !remote {
            return Err(format!("{group} has no roles").into());
        }
        run(plan, report)?;
    }
    Ok(())
}
