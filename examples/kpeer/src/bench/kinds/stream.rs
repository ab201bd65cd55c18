//! One end sends as fast as it can, the other receives.

use crate::bench::floor::Pump;
use crate::bench::measure::{Cost, Outcome, Sample, Target, calibrate};
use crate::bench::receiver::Receiver;
use crate::bench::report::Report;
use crate::bench::{Plan, Result, payloads};
use kaspa_peer::wire::{Block, BlockFields, Encode, FeeFilter, Frame, Inv, Network, Transaction};
use kaspa_peer::{Peer, QueueError, Receipt};
use std::collections::VecDeque;
use std::time::Duration;

/// Longer than a send waits on a busy machine.
const SEND_TIMEOUT: Duration = Duration::from_secs(60);

/// How many receipts may be unresolved.
const IN_FLIGHT: usize = 1000;

/// How many different announcements of 1000 items a flood has: more than any peer remembers.
const FLOOD: u32 = 64;

const UNIT: &str = "messages/s";

pub fn small(plan: &Plan, report: &mut Report) -> Result<()> {
    let bench = Bench::new(plan, "small", &FeeFilter { min_fee: 1 })?;
    bench.run(report, "small", 0.80, |peer, number| {
        peer.send_message(&FeeFilter { min_fee: number.cast_signed() }, SEND_TIMEOUT).map(drop)
    })?;
    bench.frames(report, "small-frames", 0.80)
}

pub fn tx(plan: &Plan, report: &mut Report) -> Result<()> {
    let tx: Transaction = payloads::tx()?;
    let bench = Bench::new(plan, "tx", &tx)?;
    bench.run(report, "tx", 0.80, |peer, _| peer.send_message(&tx, SEND_TIMEOUT).map(drop))?;
    bench.frames(report, "tx-frames", 0.80)
}

pub fn inv(plan: &Plan, report: &mut Report) -> Result<()> {
    let inv: Inv = payloads::inv(1000);
    let bench = Bench::new(plan, "inv", &inv)?;
    bench.run(report, "inv", 0.75, |peer, _| peer.send_message(&inv, SEND_TIMEOUT).map(drop))?;
    bench.frames(report, "inv-frames", 0.75)
}

pub fn block(plan: &Plan, report: &mut Report) -> Result<()> {
    let fields: BlockFields = payloads::block_fields();
    let block: Block = payloads::block()?;
    let bench = Bench::new(plan, "block", &block)?;
    bench.run(report, "block", 0.85, |peer, _| peer.send_message(&block, SEND_TIMEOUT).map(drop))?;
    bench.run(report, "block-owned", 0.65, |peer, _| peer.send_message(&fields, SEND_TIMEOUT).map(drop))?;
    bench.frames(report, "block-frames", 0.75)
}

/// A flood of announcements of different items, to peers that remember few and many.
pub fn known(plan: &Plan, report: &mut Report) -> Result<()> {
    let invs: Vec<Inv> =
        (0..FLOOD).map(|number| (0..1000).map(|item| payloads::item(number * 1000 + item)).collect()).collect();
    let encode = |inv| Ok(Frame::encode(inv, Network::Simnet)?);
    for (kind, items) in [("known-1000", 1000), ("known-50000", 50_000)] {
        if !plan.wants("known", kind) {
            continue;
        }
        let frames = invs.iter().map(encode).collect::<Result<Vec<Frame>>>()?;
        let bench = Bench::with(plan, "known", Receiver::here(Some(items))?, frames)?;
        bench.frames(report, kind, None)?;
    }
    Ok(())
}

/// Small messages, each with a receipt that is waited for.
pub fn receipts(plan: &Plan, report: &mut Report) -> Result<()> {
    let bench = Bench::new(plan, "receipts", &FeeFilter { min_fee: 1 })?;
    let mut receipts: VecDeque<Receipt> = VecDeque::with_capacity(IN_FLIGHT);
    bench.measure(report, "receipts", 0.60, |peer, count| {
        for number in 0..count {
            if receipts.len() == IN_FLIGHT
                && let Some(oldest) = receipts.pop_front()
            {
                oldest.wait()?;
            }
            receipts.push_back(peer.queue_message(&FeeFilter { min_fee: number.cast_signed() })?);
        }
        Ok(receipts.drain(..).try_for_each(|receipt| receipt.wait())?)
    })
}

/// One message, or several in turns, sent many times.
struct Bench<'a> {
    plan: &'a Plan,
    group: &'static str,
    receiver: Receiver,
    frames: Vec<Frame>,
    /// How many messages one measurement sends.
    count: u64,
}

impl<'a> Bench<'a> {
    fn new<M: Encode>(plan: &'a Plan, group: &'static str, message: &M) -> Result<Self> {
        Self::with(plan, group, plan.receiver()?, vec![Frame::encode(message, Network::Simnet)?])
    }

    fn with(plan: &'a Plan, group: &'static str, receiver: Receiver, frames: Vec<Frame>) -> Result<Self> {
        let mut bench = Self { plan, group, receiver, frames, count: 0 };
        bench.count = calibrate(plan, |count| bench.pump(count).map(drop))?;
        Ok(bench)
    }

    fn run(
        &self,
        report: &mut Report,
        kind: &'static str,
        target: impl Into<Option<f64>>,
        send: impl Fn(&Peer, u64) -> std::result::Result<(), QueueError>,
    ) -> Result<()> {
        self.measure(report, kind, target, |peer, count| (0..count).try_for_each(|number| Ok(send(peer, number)?)))
    }

    fn frames(&self, report: &mut Report, kind: &'static str, target: impl Into<Option<f64>>) -> Result<()> {
        let mut frames = self.frames.iter().cycle();
        self.measure(report, kind, target, |peer, count| {
            let mut frames = frames.by_ref().take(usize::try_from(count)?);
            frames.try_for_each(|frame| Ok(peer.send_frame(frame, SEND_TIMEOUT).map(drop)?))
        })
    }

    fn measure(
        &self,
        report: &mut Report,
        kind: &'static str,
        target: impl Into<Option<f64>>,
        mut send: impl FnMut(&Peer, u64) -> Result<()>,
    ) -> Result<()> {
        if !self.plan.wants(self.group, kind) {
            return Ok(());
        }
        let library = || {
            let peer = self.receiver.peer()?;
            let (cost, ()) = Cost::of(|| {
                send(&peer, self.count)?;
                // The answer comes behind everything that was sent.
                peer.ping()?;
                Ok(())
            })?;
            self.receiver.check(self.count)?;
            Ok(Sample::rate(cost, self.count))
        };
        let floor = || self.pump(self.count);
        let target = target.into().map(Target::Ratio);
        report.show(&Outcome::alternate(self.plan, kind, UNIT, target, floor, library)?);
        Ok(())
    }

    /// The floor.
    fn pump(&self, count: u64) -> Result<Sample> {
        let mut pump = Pump::connect(self.receiver.address)?;
        let parts = self.frames.iter().map(parts).collect::<Result<Vec<_>>>()?;
        let (cost, received) = Cost::of(|| {
            for (command, payload) in parts.iter().cycle().take(usize::try_from(count)?) {
                pump.send(command, payload)?;
            }
            pump.finish()
        })?;
        if received == count { Ok(Sample::rate(cost, count)) } else { Err("the floor lost messages".into()) }
    }
}

/// The command field and the payload of a frame.
fn parts(frame: &Frame) -> Result<(&[u8; 12], &[u8])> {
    let command = frame.as_bytes().get(4..).and_then(|rest| rest.first_chunk());
    let payload = frame.as_bytes().get(kaspa_peer::wire::HEADER_SIZE..);
    command.zip(payload).ok_or_else(|| "a frame without a header".into())
}
