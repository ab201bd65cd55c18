//! Bytes to message and message to bytes, without sockets and threads.

use crate::bench::floor::hash_only;
use crate::bench::measure::{Cost, Outcome, Sample, Target, calibrate};
use crate::bench::report::Report;
use crate::bench::{Plan, Result, payloads};
use kaspa_peer::wire::{Encode, Frame, FrameDecoder, HEADER_SIZE, Network, read_message};
use std::hint::black_box;

/// The size of the stream that is read repeatedly, in bytes.
const STREAM: usize = 256 * 1024;

pub fn run(plan: &Plan, report: &mut Report) -> Result<()> {
    let block = payloads::block()?;
    let tx = payloads::tx()?;
    let inv = payloads::inv(1000);
    read(plan, report, "codec.read-tx", &tx, 1.20)?;
    read(plan, report, "codec.read-inv", &inv, 1.12)?;
    read(plan, report, "codec.read-block", &block, 1.20)?;
    write(plan, report, "codec.write-tx", &tx, None)?;
    write(plan, report, "codec.write-inv", &inv, None)?;
    write(plan, report, "codec.write-block", &block, Some(1.25))?;
    write(plan, report, "codec.write-owned", &payloads::block_fields(), Some(1.45))
}

/// Decodes frames from a stream of bytes, as a connection does.
fn read<M: Encode>(plan: &Plan, report: &mut Report, kind: &str, message: &M, target: f64) -> Result<()> {
    let frame = Frame::encode(message, Network::Simnet)?;
    let mut decoder = FrameDecoder::new(Network::Simnet);
    // Small frames arrive many at a time.
    let stream = frame.as_bytes().repeat(STREAM.div_ceil(frame.as_bytes().len()));
    let mut bytes = stream.as_slice();
    compare(plan, report, kind, &frame, Some(target), || {
        loop {
            if let Some(frame) = decoder.next_frame()? {
                black_box(frame.decode()?);
                return Ok(());
            }
            if bytes.is_empty() {
                bytes = &stream;
            }
            decoder.read_from(&mut bytes)?;
        }
    })?;
    // The reader without a buffer accepts the same frame.
    black_box(read_message(&mut frame.as_bytes(), Network::Simnet)?);
    Ok(())
}

fn write<M: Encode>(plan: &Plan, report: &mut Report, kind: &str, message: &M, target: Option<f64>) -> Result<()> {
    let frame = Frame::encode(message, Network::Simnet)?;
    compare(plan, report, kind, &frame, target, || {
        black_box(Frame::encode(black_box(message), Network::Simnet)?);
        Ok(())
    })
}

fn compare(
    plan: &Plan,
    report: &mut Report,
    kind: &str,
    frame: &Frame,
    target: Option<f64>,
    mut work: impl FnMut() -> Result<()>,
) -> Result<()> {
    let payload = frame.as_bytes().get(HEADER_SIZE..).unwrap_or_default();
    let slice = Plan { slice: plan.slice / 4, kind: String::new(), peers: Vec::new(), ..*plan };
    let hash = || {
        hash_only(payload);
        Ok(())
    };
    let count = calibrate(&slice, |count| (0..count).try_for_each(|_| hash()))?;
    let floor = || repeat(count, hash);
    let library = || repeat(count, &mut work);
    let target = target.map(Target::RatioAtMost);
    report.show(&Outcome::alternate(plan, kind, "µs", target, floor, library)?);
    Ok(())
}

fn repeat(count: u64, mut work: impl FnMut() -> Result<()>) -> Result<Sample> {
    let (cost, ()) = Cost::of(|| (0..count).try_for_each(|_| work()))?;
    // There is only this thread, so its CPU time is the time on a machine without other load.
    Ok(Sample::new(cost.cpu.as_secs_f64() * 1e6 / count as f64, cost, count))
}
