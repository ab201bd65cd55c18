//! The time and the allocations that it takes to encode and to decode one message, beside those of the checksum, which
//! is always needed.

#[path = "../common/payloads.rs"]
mod payloads;

use divan::{AllocProfiler, Bencher, black_box};
use kaspa_peer::wire::{Encode, FeeFilter, Frame, FrameDecoder, HEADER_SIZE, Message, Network};
use sha2::{Digest, Sha256};
use std::error::Error;

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

const NAMES: [&str; 5] = ["feefilter", "tx", "inv", "block", "block-owned"];

fn message(name: &str) -> Result<Box<dyn Encode>, Box<dyn Error>> {
    Ok(match name {
        "feefilter" => Box::new(FeeFilter { min_fee: 1 }),
        "tx" => Box::new(payloads::tx()?),
        "inv" => Box::new(payloads::inv(1000)),
        "block" => Box::new(payloads::block()?),
        _ => Box::new(payloads::block_fields()),
    })
}

fn frame(name: &str) -> Result<Frame, Box<dyn Error>> {
    Ok(Frame::encode(&*message(name)?, Network::Simnet)?)
}

/// Runs a benchmark with a value, or prints the error if the value could not be built.
fn with<T>(made: Result<T, Box<dyn Error>>, run: impl FnOnce(T)) {
    match made {
        Ok(made) => run(made),
        Err(error) => eprintln!("codec: {error}"),
    }
}

#[divan::bench(args = NAMES)]
fn checksum(bencher: Bencher<'_, '_>, name: &str) {
    with(frame(name), |frame| {
        let payload = frame.as_bytes().get(HEADER_SIZE..).unwrap_or_default();
        bencher.bench_local(|| Sha256::digest(Sha256::digest(black_box(payload))));
    });
}

#[divan::bench(args = NAMES)]
fn write_frame(bencher: Bencher<'_, '_>, name: &str) {
    with(message(name), |message| bencher.bench_local(|| Frame::encode(black_box(&*message), Network::Simnet)));
}

#[divan::bench(args = NAMES)]
fn read_frame(bencher: Bencher<'_, '_>, name: &str) {
    with(frame(name), |frame| {
        let mut decoder = FrameDecoder::new(Network::Simnet);
        bencher.bench_local(|| -> Result<(), Box<dyn Error>> {
            let mut bytes = frame.as_bytes();
            while !bytes.is_empty() {
                decoder.read_from(&mut bytes)?;
                while let Some(frame) = decoder.next_frame()? {
                    black_box(frame.decode()?);
                }
            }
            Ok(())
        });
    });
}

#[divan::bench(args = NAMES)]
fn decode_payload(bencher: Bencher<'_, '_>, name: &str) {
    with(frame(name), |frame| {
        let payload = frame.as_bytes().get(HEADER_SIZE..).unwrap_or_default();
        let command = frame.command();
        bencher
            .with_inputs(|| payload.to_vec())
            .bench_local_values(|payload| black_box(Message::decode_vec(command, payload)).is_ok());
    });
}

#[divan::bench]
fn visit_block(bencher: Bencher<'_, '_>) {
    with(payloads::block().map_err(Into::into), |block| bencher.bench_local(|| payloads::visit(black_box(&block))));
}
