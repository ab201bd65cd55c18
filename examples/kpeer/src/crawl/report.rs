//! The results of a crawl, for people, programs and Graphviz.

use super::visit::Visit;
use crate::output::Record;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::SocketAddr;
use std::time::Duration;

pub type Visits = BTreeMap<SocketAddr, Result<Visit, String>>;

/// One node, for `--json`.
pub fn record(address: &SocketAddr, result: &Result<Visit, String>) -> Record {
    let record = Record::new("node").text("address", address).field("reached", result.is_ok());
    match result {
        Ok(Visit { remote, rtt, knows }) => record
            .text("user_agent", &remote.user_agent)
            .field("version", remote.advertised_version)
            .text("services", remote.services)
            .text("selected_tip", remote.selected_tip)
            .field("time_offset", remote.time_offset)
            .field("rtt_us", rtt.map(|rtt| rtt.as_micros()))
            .field("knows", knows.iter().map(ToString::to_string).collect::<Vec<_>>()),
        Err(reason) => record.field("reason", reason),
    }
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

/// How often each value occurs, the most frequent first.
fn table(text: &mut String, title: &str, values: impl Iterator<Item = String>) {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    values.for_each(|value| *counts.entry(value).or_default() += 1);
    let mut rows: Vec<_> = counts.into_iter().collect();
    rows.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    if !rows.is_empty() {
        let _ = writeln!(text, "\n{:>6}  {title}", "nodes");
    }
    for (value, count) in rows {
        let _ = writeln!(text, "{count:>6}  {value}");
    }
}

/// The graph of which node knows which, for Graphviz.
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
