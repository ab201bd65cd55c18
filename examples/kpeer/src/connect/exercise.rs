//! The exercise: sends each ordinary message once, and checks what the node does.

use super::Options;
use super::samples;
use crate::client::{self, Received, Responses};
use crate::genesis::{self, Kaspad};
use crate::options::Failure;
use crate::output::{Output, Record};
use crossbeam_channel::Receiver;
use kaspa_peer::peer::Remote;
use kaspa_peer::wire::*;
use kaspa_peer::{DisconnectReason, Peer, PeerAddress, QueueError};
use std::collections::HashSet;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How long a node may take to request what was announced to it.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(3);

/// The number of rejects of one message that are kept. A node may send more.
const REJECTS: usize = 100;

/// The result of one check.
enum Outcome {
    /// The expected answer came, or none was expected. With a note.
    Ok(String),
    /// No answer came, and none had to. With the reason.
    Excused(&'static str),
    Failed(String),
}
use Outcome::{Excused, Failed, Ok as Passed};

/// A reject as it is printed. The texts of the node can be long, and the printed ones are short.
struct ShownReject {
    command: String,
    code: RejectCode,
    reason: String,
}

/// The exercise with one node.
pub struct Exercise<'a> {
    peer: &'a Peer,
    received: &'a Receiver<Message>,
    responses: &'a Responses,
    output: &'a Output,
    wait: Duration,
    headers: bool,
    subnetwork: Option<SubnetworkId>,
    remote: Remote,
    kaspad: Option<Kaspad>,
    genesis: Hash,
    tip: Hash,
    /// The offered items that the node has requested.
    requested: HashSet<Hash>,
    tip_requested: bool,
    /// The first rejects since the last message.
    rejects: Vec<ShownReject>,
    gone: Option<DisconnectReason>,
    /// The number of results of each kind.
    ok: u32,
    excused: u32,
    failed: u32,
}

impl<'a> Exercise<'a> {
    pub fn new(
        peer: &'a Peer,
        received: &'a Receiver<Message>,
        responses: &'a Responses,
        output: &'a Output,
        options: &Options,
    ) -> Result<Self, Failure> {
        let remote = peer.remote().ok_or("no version message")?;
        let kaspad = Kaspad::of(&remote.user_agent);
        let genesis = genesis::hash(options.node.network, &remote.user_agent).unwrap_or(Hash::ZERO);
        let (wait, headers, subnetwork) = (options.wait, !options.without_headers, options.node.subnetwork);
        let tip = remote.selected_tip;
        Ok(Self {
            peer,
            received,
            responses,
            output,
            wait,
            headers,
            subnetwork,
            remote,
            kaspad,
            genesis,
            tip,
            requested: HashSet::new(),
            tip_requested: false,
            rejects: Vec::new(),
            gone: None,
            ok: 0,
            excused: 0,
            failed: 0,
        })
    }

    /// Returns whether no check failed.
    pub fn run(mut self) -> Result<bool, Failure> {
        self.requests();
        self.statements();
        self.offers()?;
        if self.headers {
            self.headers();
        }
        self.selected_tip();
        self.filters();
        let Self { ok, excused, failed, .. } = self;
        self.output.say(
            format_args!("[{}] {ok} ok, {excused} excused, {failed} failed", self.peer.id()),
            Record::of(self.peer, "exercised").field("ok", ok).field("excused", excused).field("failed", failed),
        );
        Ok(failed == 0)
    }

    /// Sends the messages that should be answered.
    fn requests(&mut self) {
        let nonce = rand::random();
        self.ask(&Ping { nonce }, "pong", |_, message| matches!(message, Message::Pong(pong) if pong.nonce == nonce));

        self.ask(&GetSelectedTip, "selectedtip", |this, message| {
            let Message::SelectedTip(tip) = message else { return false };
            this.tip = tip.hash;
            true
        });

        let scope = AddressScope::from(self.subnetwork);
        let outcome = self.answer(&GetAddr { scope }, |_, message| matches!(message, Message::Addr(_)));
        let outcome = match outcome {
            Failed(_) if self.kaspad.is_some() && self.gone.is_none() => {
                Excused("kaspad gives addresses when it knows some, and never on simnet")
            }
            outcome => outcome,
        };
        self.report(Command::GetAddr, "addr", &outcome);

        self.data();

        let (low, high) = (self.genesis, self.tip);
        if low == high {
            let why = Excused("the node has nothing above its genesis block");
            self.report(Command::GetLocator, "locator", &why);
            return self.report(Command::GetBlockInvs, "inv", &why);
        }
        self.ask(&GetLocator { high, low }, "locator", |_, message| matches!(message, Message::Locator(_)));
        self.ask(&GetBlockInvs { low, high }, "inv", |_, message| match message {
            // New blocks may be announced meanwhile; the tip is not new.
            Message::Inv(inv) => {
                inv.items.iter().any(|item| item.kind == InventoryType::SYNC_BLOCK || *item == Inventory::block(high))
            }
            _ => false,
        });
    }

    /// Requests a block and a transaction that the node has, and a block that it lacks.
    fn data(&mut self) {
        let (tip, missing) = (self.tip, Inventory::block(samples::random_hash()));
        let request = GetData::from(vec![Inventory::block(tip), missing]);
        let (mut block, mut not_found, mut tip_not_found) = (None, false, false);
        let outcome = self.answer(&request, |_, message| {
            match message {
                Message::Block(found) if found.hash() == tip => block = Some(found.clone()),
                Message::NotFound(list) => {
                    not_found |= list.items.contains(&missing);
                    tip_not_found |= list.items.contains(&Inventory::block(tip));
                }
                _ => {}
            }
            (block.is_some() || tip_not_found) && not_found
        });
        let why = match outcome {
            Failed(why) => why,
            _ => "the node does not have its own selected tip".into(),
        };
        let found = match &block {
            Some(block) => Passed(block.hash().to_string()),
            None => Failed(why.clone()),
        };
        self.report(Command::GetData, "block", &found);
        let missed = if not_found { Passed(missing.hash.to_string()) } else { Failed(why) };
        self.report(Command::GetData, "notfound", &missed);

        let Some(id) = block.and_then(|block| block.transactions().last().map(|tx| tx.id())) else {
            let why = "without a block there is no transaction to request";
            return self.report(Command::GetData, "tx", &Failed(why.into()));
        };
        let mut not_found = false;
        let outcome = self.answer(&GetData::from(vec![Inventory::tx(id)]), |_, message| match message {
            Message::Tx(tx) => tx.id() == id,
            Message::NotFound(list) => {
                not_found |= list.items.contains(&Inventory::tx(id));
                not_found
            }
            _ => false,
        });
        let outcome = match outcome {
            Passed(_) if not_found && self.kaspad.is_some() => {
                Excused("notfound: kaspad gives only transactions that are in no block yet")
            }
            Passed(_) if not_found => Failed(format!("notfound: {id}, which is in the selected tip")),
            outcome => outcome,
        };
        self.report(Command::GetData, "tx", &outcome);
    }

    /// Sends the messages that should bring no answer.
    fn statements(&mut self) {
        self.tell(&Pong { nonce: rand::random() });
        if let PeerAddress::Ip(address) = self.peer.address() {
            // The node's own address is the only one that certainly exists, and the node knows it.
            let time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs().cast_signed());
            let address = TimedAddress { time, address: NetAddress::new(*address, self.remote.services) };
            self.tell(&Addr { scope: AddressScope::FullNodes, addresses: vec![address] });
        }
        self.tell(&NotFound::from(vec![Inventory::tx(samples::random_hash())]));
        let hash = Some(samples::random_hash());
        let (command, reason) = ("tx".into(), "an exercise".into());
        self.tell(&Reject { command, code: RejectCode::DUPLICATE, reason, hash });
        self.tell(&samples::merkle_block(self.tip));
        self.tell(&FeeFilter { min_fee: 1000 });
        self.tell(&Locator { hashes: vec![self.tip] });
    }

    /// Announces a transaction and a block, and sends them when the node requests them.
    fn offers(&mut self) -> Result<(), Failure> {
        let (tx, block) = (samples::transaction()?, samples::block(self.tip)?);
        let (id, hash) = (tx.id(), block.hash());
        let with_block = self.kaspad.as_ref().is_none_or(|kaspad| kaspad.version <= (0, 1));
        let mut announced = vec![Inventory::tx(id)];
        {
            let mut responses = self.responses.lock();
            responses.insert(id, tx.clone().into());
            if with_block {
                announced.push(Inventory::block(hash));
                responses.insert(hash, block.clone().into());
            }
        }
        self.tell(&Inv::from(announced));
        self.offer(id, &tx);
        if with_block {
            self.offer(hash, &block);
        } else {
            self.report(Command::Block, "nothing", &Excused("not sent: this kaspad may ban for a made-up block"));
        }
        Ok(())
    }

    /// Waits until the node requests an item, which the client then sends. Without a request, it sends the item all the
    /// same.
    fn offer<M: Encode>(&mut self, hash: Hash, message: &M) {
        let deadline = Instant::now() + self.wait.min(REQUEST_TIMEOUT);
        if self.requested.contains(&hash) || self.pump(deadline, |this, _| this.requested.contains(&hash)) {
            let outcome = self.settle(message.command());
            return self.report(message.command(), "nothing", &outcome);
        }
        if self.kaspad.is_some() && self.gone.is_none() {
            let why = Excused("not sent: kaspad did not ask for it, and disconnects at what it did not request");
            return self.report(message.command(), "nothing", &why);
        }
        self.tell(message);
    }

    fn headers(&mut self) {
        let (low, high) = (self.genesis, self.tip);
        let outcome = self.answer(&GetHeaders { low, high }, |_, message| matches!(message, Message::Headers(_)));
        let outcome = match (outcome, &self.gone) {
            (Failed(_), None) if self.kaspad.is_some() => Excused("kaspad answers none"),
            (Failed(why), Some(_)) => Failed(format!("{why}; newer nodes need --without-headers")),
            (outcome, _) => outcome,
        };
        self.report(Command::GetHeaders, "headers", &outcome);
        self.tell(&Headers { headers: vec![samples::header(high, samples::random_hash())] });
        self.tell(&SendHeaders);
    }

    fn selected_tip(&mut self) {
        let outcome = if self.tip_requested && self.gone.is_none() {
            Passed("requested, and sent".into())
        } else if self.kaspad.is_some() && self.gone.is_none() {
            Excused("not sent: kaspad did not ask for it, and disconnects at what it did not request")
        } else {
            return self.tell(&SelectedTip { hash: self.genesis });
        };
        self.report(Command::SelectedTip, "nothing", &outcome);
    }

    fn filters(&mut self) {
        if self.remote.services.contains(Services::BLOOM) {
            self.tell(&samples::filter());
            return self.filters_of_bloom_node();
        }
        let outcome = match self.send(&samples::filter()) {
            Ok(()) => match (self.settle(Command::FilterLoad), &self.gone) {
                (Failed(_), Some(_)) => Passed("disconnected: the node does not offer bloom filters".into()),
                (outcome, _) => outcome,
            },
            Err(why) => Failed(why),
        };
        self.report(Command::FilterLoad, "the end", &outcome);
        if self.gone.is_some() && matches!(outcome, Passed(_)) {
            let why = Excused("not sent: the node does not offer bloom filters, and has disconnected");
            self.report(Command::FilterAdd, "nothing", &why);
            return self.report(Command::FilterClear, "nothing", &why);
        }
        self.tell(&FilterAdd { data: vec![1, 2, 3, 4] });
        self.tell(&FilterClear);
    }

    fn filters_of_bloom_node(&mut self) {
        // A kaspad that disconnected earlier did so for another reason.
        let was_gone = self.gone.is_some();
        let outcome = self.statement(&FilterAdd { data: vec![1, 2, 3, 4] });
        let rejected = self.rejects.iter().any(|reject| reject.command == Command::FilterAdd.name());
        let refused = rejected || (self.gone.is_some() && !was_gone);
        let outcome = match outcome {
            Failed(_) if self.kaspad.is_some() && refused => {
                Excused("kaspad rejects filteradd after filterload: its test of whether a filter is loaded is inverted")
            }
            outcome => outcome,
        };
        self.report(Command::FilterAdd, "nothing", &outcome);
        if self.gone.is_some() && matches!(outcome, Excused(_)) {
            let why = Excused("not sent: kaspad has disconnected at filteradd");
            return self.report(Command::FilterClear, "nothing", &why);
        }
        self.tell(&FilterClear);
    }

    /// Sends a message that must be answered, and reports the result.
    fn ask<M: Encode>(&mut self, message: &M, brings: &str, answers: impl FnMut(&mut Self, &Message) -> bool) {
        let outcome = self.answer(message, answers);
        self.report(message.command(), brings, &outcome);
    }

    /// Sends a message that must bring no answer, and reports the result.
    fn tell<M: Encode>(&mut self, message: &M) {
        let outcome = self.statement(message);
        self.report(message.command(), "nothing", &outcome);
    }

    fn answer<M: Encode>(&mut self, message: &M, mut answers: impl FnMut(&mut Self, &Message) -> bool) -> Outcome {
        if let Err(why) = self.send(message) {
            return Failed(why);
        }
        let mut answer = String::new();
        let came = self.pump(Instant::now() + self.wait, |this, message| {
            let answers = answers(this, message);
            if answers {
                answer = message.summary().to_string();
            }
            answers
        });
        match (&self.gone, self.rejects.first()) {
            _ if came => Passed(answer),
            (Some(reason), _) => Failed(format!("the node disconnected: {reason}")),
            (None, Some(reject)) => Failed(format!("rejected, {}: {}", reject.code, reject.reason)),
            (None, None) => Failed(format!("no answer within {:?}", self.wait)),
        }
    }

    fn statement<M: Encode>(&mut self, message: &M) -> Outcome {
        match self.send(message) {
            Ok(()) => self.settle(message.command()),
            Err(why) => Failed(why),
        }
    }

    /// Checks with a ping that the node has read the last message and is still connected.
    fn settle(&mut self, command: Command) -> Outcome {
        let nonce = rand::random();
        let pinged = self.peer.queue_message(&Ping { nonce });
        let is_pong = |message: &Message| matches!(message, Message::Pong(pong) if pong.nonce == nonce);
        // If the ping cannot be sent, the node may have sent a reject before it disconnected.
        let taken = self.pump(Instant::now() + self.wait, |_, message| is_pong(message));
        let reject = self.rejects.iter().find(|reject| reject.command == command.name());
        match (&self.gone, reject) {
            (Some(reason), _) => Failed(format!("the node disconnected: {reason}")),
            // They are made up, so a node that checks them must reject them.
            (None, Some(reject)) if matches!(command, Command::Tx | Command::Block) => {
                Passed(format!("read and rejected: {}", reject.reason))
            }
            (None, Some(reject)) => Failed(format!("rejected, {}: {}", reject.code, reject.reason)),
            (None, None) if taken => Passed(String::new()),
            (None, None) => Failed(match pinged {
                Ok(_) => format!("no pong after it within {:?}", self.wait),
                Err(error) => error.to_string(),
            }),
        }
    }

    /// Sends a message. Messages that arrived before are not its answer, and are read first.
    fn send<M: Encode>(&mut self, message: &M) -> Result<(), String> {
        // Once more than there are messages, to notice the end of the connection.
        for _ in 0..=self.received.len() {
            self.pump(Instant::now(), |_, _| true);
        }
        self.rejects.clear();
        if self.gone.is_some() {
            return Err("not sent: the node has disconnected".into());
        }
        self.peer.send_message(message, self.wait).map(drop).map_err(|error| {
            if let QueueError::Closed(reason) = &error {
                self.gone = Some(reason.clone());
            }
            format!("not sent: {error}")
        })
    }

    /// Reads messages until `enough` returns true. Returns false at the deadline, and if the node disconnects.
    fn pump(&mut self, deadline: Instant, mut enough: impl FnMut(&mut Self, &Message) -> bool) -> bool {
        while self.gone.is_none() {
            match client::next(self.peer, self.received, deadline) {
                Received::Message(message) => {
                    match &message {
                        Message::GetData(request) => {
                            let (hashes, responses) =
                                (request.items.iter().map(|item| item.hash), self.responses.lock());
                            self.requested.extend(hashes.filter(|hash| responses.contains_key(hash)));
                        }
                        Message::GetSelectedTip(_) => self.tip_requested = true,
                        Message::Reject(reject) if self.rejects.len() < REJECTS => self.rejects.push(ShownReject {
                            command: reject.command.to_string(),
                            code: reject.code,
                            reason: reject.reason.to_string(),
                        }),
                        _ => {}
                    }
                    if enough(self, &message) {
                        return true;
                    }
                    // The deadline also holds for a node that never stops sending.
                    if Instant::now() >= deadline {
                        return false;
                    }
                }
                Received::Gone(reason) => self.gone = Some(reason),
                Received::Silence => return false,
            }
        }
        false
    }

    fn report(&mut self, command: Command, brings: &str, outcome: &Outcome) {
        let (count, word, result, note) = match outcome {
            Passed(note) => (&mut self.ok, "ok", "ok", note.as_str()),
            Excused(note) => (&mut self.excused, "--", "excused", *note),
            Failed(note) => (&mut self.failed, "FAILED", "failed", note.as_str()),
        };
        *count += 1;
        self.output.say(
            format_args!("[{}] {word:<6}  {command:<12} brings {brings:<12} {note}", self.peer.id())
                .to_string()
                .trim_end(),
            Record::of(self.peer, "check")
                .text("command", command)
                .field("brings", brings)
                .field("result", result)
                .field("note", note),
        );
    }
}
