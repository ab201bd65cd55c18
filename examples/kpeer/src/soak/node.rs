//! The two nodes of a soak: their configuration, and what they do with messages.

use super::counts::Counts;
use kaspa_peer::peer::StallRule;
use kaspa_peer::wire::{
    Command, CustomMessage, GetData, Hash, Inventory, InventoryType, Network, NotFound, Reject, RejectCode,
    Transaction, TxFields, TxOutput,
};
use kaspa_peer::{Config, DagView, Listener, Peer};
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// The custom command that a node answers with a reject and the end of the connection.
pub const OFFENCE: &str = "offence";

/// A node without an answer to `getlocator`, so that a question about it ends the connection after this time.
const NO_ANSWER: Duration = Duration::from_secs(1);

/// How many bytes may wait to be written to one remote.
const QUEUE_LIMIT: usize = 4 << 20;

/// The transaction that both nodes have.
pub fn transaction() -> Result<Transaction, Box<dyn Error>> {
    let output = TxOutput { value: 1, script: vec![7; 150] };
    Ok(Transaction::new(&TxFields { outputs: vec![output], ..TxFields::default() })?)
}

/// A node with short timeouts, so that connections that fail end soon.
pub fn config(name: &str, counts: &Arc<Counts>) -> Result<Config, Box<dyn Error>> {
    let rule = StallRule::new(Command::GetLocator, [Command::Locator], NO_ANSWER);
    let config = Config::builder(Network::Simnet)
        .user_agent_with_comments(name, "1.0.0", ["soak"])
        .handshake_timeout(Duration::from_secs(5))
        .write_timeout(Duration::from_secs(2))
        .frame_timeout(Duration::from_secs(5))
        .queue_limit(QUEUE_LIMIT)
        .stall_rules(StallRule::defaults().into_iter().chain([rule]))
        .dag(Dag)
        .listener(Node { counts: Arc::clone(counts), transaction: transaction()? })
        .build()?;
    Ok(config)
}

/// Makes both nodes answer `getseltip`.
struct Dag;

impl DagView for Dag {
    fn selected_tip(&self) -> Hash {
        Hash::of(b"tip")
    }
}

struct Node {
    counts: Arc<Counts>,
    transaction: Transaction,
}

impl Listener for Node {
    fn on_get_data(&self, peer: &Peer, message: GetData) {
        for item in message.items {
            let is_ours = item.kind == InventoryType::TX && item.hash == self.transaction.id();
            // An answer for which the queue has no room is lost. The stall rule of the remote ends the connection then.
            let _ = if is_ours {
                peer.queue_message(&self.transaction)
            } else {
                peer.queue_message(&NotFound::from_iter([Inventory { ..item }]))
            };
        }
    }

    fn on_custom(&self, peer: &Peer, message: CustomMessage) {
        if message.command.name() == OFFENCE {
            // An error means that the connection is ending already.
            let _ = peer.disconnect_with(&Reject::new(OFFENCE, RejectCode::INVALID, "part of the soak"));
        }
    }

    fn on_reject(&self, _: &Peer, _: Reject) {
        self.counts.rejects.fetch_add(1, Ordering::Relaxed);
    }
}
