//! Every ordinary message once, and what each brings.

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

/// How long a node may take to ask for what was announced to it.
const ASKING: Duration = Duration::from_secs(3);

/// So many rejects of one message are kept, however many a node sends.
const REJECTS: usize = 100;

/// What came of one check.
enum Outcome {
    /// What should come came; in words.
    Ok(String),
    /// Nothing came and nothing had to.
    Excused(&'static str),
    Failed(String),
}
use Outcome::{Excused, Failed, Ok as Came};

/// A reject as it is shown: what a node writes can be long, and the words that are shown are few.
struct Refusal {
    command: String,
    code: RejectCode,
    reason: String,
}

/// The exercise with one node.
pub struct Exercise<'a> {
    peer: &'a Peer,
    heard: &'a Receiver<Message>,
    responses: &'a Responses,
    output: &'a Output,
    wait: Duration,
    headers: bool,
    subnetwork: Option<SubnetworkId>,
    remote: Remote,
    kaspad: Option<Kaspad>,
    genesis: Hash,
    tip: Hash,
    /// What the node has asked for of the goods.
    asked: HashSet<Hash>,
    asked_for_tip: bool,
    /// The first rejects since the last message.
    rejects: Vec<Refusal>,
    gone: Option<DisconnectReason>,
    /// How often there was which outcome.
    ok: u32,
    excused: u32,
    failed: u32,
}

impl<'a> Exercise<'a> {
    pub fn new(
        peer: &'a Peer,
        heard: &'a Receiver<Message>,
        responses: &'a Responses,
        output: &'a Output,
        options: &Options,
    ) -> Result<Self, Failure> {
        let remote = peer.remote().ok_or("a handshake without a version")?;
        let kaspad = Kaspad::of(&remote.user_agent);
        let genesis = genesis::hash(options.node.network, &remote.user_agent).unwrap_or(Hash::ZERO);
        let (wait, headers, subnetwork) = (options.wait, !options.without_headers, options.node.subnetwork);
        let tip = remote.selected_tip;
        Ok(Self {
            peer,
            heard,
            responses,
            output,
            wait,
            headers,
            subnetwork,
            remote,
            kaspad,
            genesis,
            tip,
            asked: HashSet::new(),
            asked_for_tip: false,
            rejects: Vec::new(),
            gone: None,
            ok: 0,
            excused: 0,
            failed: 0,
        })
    }

    /// Tells whether all went well.
    pub fn run(mut self) -> Result<bool, Failure> {
        self.questions();
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

    /// What should be answered.
    fn questions(&mut self) {
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

    /// Asks for what is there and what is not.
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
            Some(block) => Came(block.hash().to_string()),
            None => Failed(why.clone()),
        };
        self.report(Command::GetData, "block", &found);
        let missed = if not_found { Came(missing.hash.to_string()) } else { Failed(why) };
        self.report(Command::GetData, "notfound", &missed);

        let Some(id) = block.and_then(|block| block.transactions().last().map(|tx| tx.id())) else {
            let why = "without a block there is no transaction to ask for";
            return self.report(Command::GetData, "tx", &Failed(why.into()));
        };
        let mut denied = false;
        let outcome = self.answer(&GetData::from(vec![Inventory::tx(id)]), |_, message| match message {
            Message::Tx(tx) => tx.id() == id,
            Message::NotFound(list) => {
                denied |= list.items.contains(&Inventory::tx(id));
                denied
            }
            _ => false,
        });
        let outcome = match outcome {
            Came(_) if denied && self.kaspad.is_some() => {
                Excused("notfound: kaspad gives only transactions that are in no block yet")
            }
            Came(_) if denied => Failed(format!("notfound: {id}, which is in the selected tip")),
            outcome => outcome,
        };
        self.report(Command::GetData, "tx", &outcome);
    }

    /// What should bring nothing.
    fn statements(&mut self) {
        self.tell(&Pong { nonce: rand::random() });
        if let PeerAddress::Ip(address) = self.peer.address() {
            // The node's own address is no news to it, and the only one that is surely one.
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

    /// Announces a transaction and a block, and sends them.
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

    /// Waits until the node asks for this, which it is then sent; or sends it unasked.
    fn offer<M: Encode>(&mut self, hash: Hash, message: &M) {
        let deadline = Instant::now() + self.wait.min(ASKING);
        if self.asked.contains(&hash) || self.pump(deadline, |this, _| this.asked.contains(&hash)) {
            let outcome = self.settle(message.command());
            return self.report(message.command(), "nothing", &outcome);
        }
        if self.kaspad.is_some() && self.gone.is_none() {
            let why = Excused("not sent: kaspad did not ask for it, and ends on what it did not ask for");
            return self.report(message.command(), "nothing", &why);
        }
        self.tell(message);
    }

    fn headers(&mut self) {
        let (low, high) = (self.genesis, self.tip);
        let outcome = self.answer(&GetHeaders { low, high }, |_, message| matches!(message, Message::Headers(_)));
        let outcome = match (outcome, &self.gone) {
            (Failed(_), None) if self.kaspad.is_some() => Excused("kaspad answers none"),
            (Failed(why), Some(_)) => Failed(format!("{why}; newer nodes want --without-headers")),
            (outcome, _) => outcome,
        };
        self.report(Command::GetHeaders, "headers", &outcome);
        self.tell(&Headers { headers: vec![samples::header(high, samples::random_hash())] });
        self.tell(&SendHeaders);
    }

    fn selected_tip(&mut self) {
        let outcome = if self.asked_for_tip && self.gone.is_none() {
            Came("asked for, and sent".into())
        } else if self.kaspad.is_some() && self.gone.is_none() {
            Excused("not sent: kaspad did not ask for it, and ends on what it did not ask for")
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
                (Failed(_), Some(_)) => Came("the end, since the node does not offer bloom filters".into()),
                (outcome, _) => outcome,
            },
            Err(why) => Failed(why),
        };
        self.report(Command::FilterLoad, "the end", &outcome);
        if self.gone.is_some() && matches!(outcome, Came(_)) {
            let why = Excused("not sent: the node does not offer bloom filters, and has ended");
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
                Excused("kaspad refuses filteradd after filterload: its test of whether a filter is loaded is inverted")
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

    /// A question that must be answered.
    fn ask<M: Encode>(&mut self, message: &M, brings: &str, answers: impl FnMut(&mut Self, &Message) -> bool) {
        let outcome = self.answer(message, answers);
        self.report(message.command(), brings, &outcome);
    }

    /// A statement that must bring nothing.
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
            _ if came => Came(answer),
            (Some(reason), _) => Failed(format!("the node went away: {reason}")),
            (None, Some(reject)) => Failed(format!("rejected, {}: {}", reject.code, reject.reason)),
            (None, None) => Failed(format!("nothing within {:?}", self.wait)),
        }
    }

    fn statement<M: Encode>(&mut self, message: &M) -> Outcome {
        match self.send(message) {
            Ok(()) => self.settle(message.command()),
            Err(why) => Failed(why),
        }
    }

    /// Sees that the node has taken the last message and is still there.
    fn settle(&mut self, command: Command) -> Outcome {
        let nonce = rand::random();
        let pinged = self.peer.queue_message(&Ping { nonce });
        let is_pong = |message: &Message| matches!(message, Message::Pong(pong) if pong.nonce == nonce);
        // A node that cannot be pinged any more has said why, or that it goes, and that is heard, too.
        let taken = self.pump(Instant::now() + self.wait, |_, message| is_pong(message));
        let reject = self.rejects.iter().find(|reject| reject.command == command.name());
        match (&self.gone, reject) {
            (Some(reason), _) => Failed(format!("the node went away: {reason}")),
            // They are made up, so a node that looks at them must not like them.
            (None, Some(reject)) if matches!(command, Command::Tx | Command::Block) => {
                Came(format!("taken and refused: {}", reject.reason))
            }
            (None, Some(reject)) => Failed(format!("rejected, {}: {}", reject.code, reject.reason)),
            (None, None) if taken => Came(String::new()),
            (None, None) => Failed(match pinged {
                Ok(_) => format!("no pong after it within {:?}", self.wait),
                Err(error) => error.to_string(),
            }),
        }
    }

    /// Sends a message; what came before it cannot be its answer.
    fn send<M: Encode>(&mut self, message: &M) -> Result<(), String> {
        // Once more than there are messages, to notice the end.
        for _ in 0..=self.heard.len() {
            self.pump(Instant::now(), |_, _| true);
        }
        self.rejects.clear();
        if self.gone.is_some() {
            return Err("not sent: the node has gone".into());
        }
        self.peer.send_message(message, self.wait).map(drop).map_err(|error| {
            if let QueueError::Closed(reason) = &error {
                self.gone = Some(reason.clone());
            }
            format!("not sent: {error}")
        })
    }

    /// Notes what is said until `enough`, which tells whether it was.
    fn pump(&mut self, deadline: Instant, mut enough: impl FnMut(&mut Self, &Message) -> bool) -> bool {
        while self.gone.is_none() {
            match client::next(self.peer, self.heard, deadline) {
                Received::Message(message) => {
                    match &message {
                        Message::GetData(request) => {
                            let (hashes, responses) =
                                (request.items.iter().map(|item| item.hash), self.responses.lock());
                            self.asked.extend(hashes.filter(|hash| responses.contains_key(hash)));
                        }
                        Message::GetSelectedTip(_) => self.asked_for_tip = true,
                        Message::Reject(reject) if self.rejects.len() < REJECTS => self.rejects.push(Refusal {
                            command: reject.command.to_string(),
                            code: reject.code,
                            reason: reject.reason.to_string(),
                        }),
                        _ => {}
                    }
                    if enough(self, &message) {
                        return true;
                    }
                    // A node that never stops talking is not waited for longer than a silent one.
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
            Came(note) => (&mut self.ok, "ok", "ok", note.as_str()),
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
