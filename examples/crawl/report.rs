//! What was found, for people, programs and Graphviz.

use crate::visit::Visit;
use serde_json::json;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::net::SocketAddr;
use std::time::Duration;

pub type Visits = HashMap<SocketAddr, Result<Visit, String>>;

/// One line of JSON for a node.
pub fn json_line(address: &SocketAddr, result: &Result<Visit, String>) -> String {
    match result {
        Ok(visit) => json!({
            "address": address.to_string(),
            "reached": true,
            "user_agent": visit.remote.user_agent.to_string(),
            "version": visit.remote.advertised_version,
            "services": visit.remote.services.to_string(),
            "selected_tip": visit.remote.selected_tip.to_string(),
            "time_offset": visit.remote.time_offset,
            "rtt_us": visit.rtt.map(|rtt| rtt.as_micros()),
            "knows": visit.knows.iter().map(ToString::to_string).collect::<Vec<_>>(),
        }),
        Err(reason) => json!({ "address": address.to_string(), "reached": false, "reason": reason }),
    }
    .to_string()
}

/// The summary at the end.
pub fn summary(visits: &Visits) -> String {
    let reached: Vec<&Visit> = visits.values().filter_map(|visit| visit.as_ref().ok()).collect();
    let mut text = format!("{} nodes, {} reached\n", visits.len(), reached.len());
    table(&mut text, "user agent", reached.iter().map(|visit| visit.remote.user_agent.to_string()));
    table(&mut text, "version", reached.iter().map(|visit| visit.remote.advertised_version.to_string()));
    table(&mut text, "services", reached.iter().map(|visit| visit.remote.services.to_string()));
    table(&mut text, "unreachable because", visits.values().filter_map(|visit| visit.as_ref().err().cloned()));

    let mut latencies: Vec<Duration> = reached.iter().filter_map(|visit| visit.rtt).collect();
    latencies.sort_unstable();
    let percentile = |of: usize| latencies.get((latencies.len() * of / 100).min(latencies.len().saturating_sub(1)));
    if let (Some(half), Some(most), Some(all)) = (percentile(50), percentile(90), percentile(100)) {
        let _ = writeln!(text, "\nlatency: half within {half:.1?}, 90 % within {most:.1?}, all within {all:.1?}");
    }
    let offsets = || reached.iter().map(|visit| visit.remote.time_offset);
    if let (Some(behind), Some(ahead)) = (offsets().min(), offsets().max()) {
        let _ = writeln!(text, "clocks: {behind} to {ahead} seconds from ours");
    }
    text
}

/// How often each thing occurs, most often first.
fn table(text: &mut String, title: &str, things: impl Iterator<Item = String>) {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    things.for_each(|thing| *counts.entry(thing).or_default() += 1);
    let mut rows: Vec<_> = counts.into_iter().collect();
    rows.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    if !rows.is_empty() {
        let _ = writeln!(text, "\n{:>6}  {title}", "nodes");
    }
    for (thing, count) in rows {
        let _ = writeln!(text, "{count:>6}  {thing}");
    }
}

/// Who knows whom, for Graphviz.
pub fn dot(visits: &Visits) -> String {
    let mut text = String::from("digraph network {\n");
    for (address, visit) in visits {
        let colour = if visit.is_ok() { "black" } else { "gray" };
        let _ = writeln!(text, "  \"{address}\" [color={colour}];");
        for known in visit.iter().flat_map(|visit| &visit.knows) {
            let _ = writeln!(text, "  \"{address}\" -> \"{known}\";");
        }
    }
    text.push_str("}\n");
    text
}
