//! How many allocations a message costs. Unlike its time, that is the same on every machine.

use super::payloads;
use kaspa_peer::wire::{Encode, FeeFilter, Frame, FrameDecoder, Message, Network};

/// How many allocations `work` makes on this thread, not counting those of dropping its result.
fn allocations<T>(work: impl FnOnce() -> T) -> u64 {
    let mut result = None;
    let counts = allocation_counter::measure(|| result = Some(work()));
    drop(result);
    counts.count_total
}

/// How many allocations it takes to read one more message from a stream that has carried the same message before.
fn to_read(message: &dyn Encode) -> u64 {
    let frame = Frame::encode(message, Network::Simnet).unwrap();
    let mut decoder = FrameDecoder::new(Network::Simnet);
    let mut read = || {
        let mut bytes = frame.as_bytes();
        while !bytes.is_empty() {
            decoder.read_from(&mut bytes).unwrap();
            if let Some(frame) = decoder.next_frame().unwrap() {
                return frame.decode().unwrap();
            }
        }
        panic!("the frame is incomplete");
    };
    (0..10).for_each(|_| drop(read()));
    allocations(read)
}

#[test]
fn reading_a_message_without_lists_allocates_nothing() {
    assert_eq!(to_read(&FeeFilter { min_fee: 1 }), 0);
}

#[test]
fn reading_a_transaction_takes_one_allocation() {
    assert_eq!(to_read(&payloads::tx().unwrap()), 1);
}

#[test]
fn reading_an_inv_takes_one_allocation() {
    assert_eq!(to_read(&payloads::inv(1000)), 1);
}

#[test]
fn a_decoded_block_is_its_bytes_and_a_table_of_transactions() {
    let payload = payloads::block().unwrap().as_bytes().to_vec();
    let command = payloads::block().unwrap().command();
    assert_eq!(allocations(|| Message::decode(command, &payload).unwrap()), 2);
    assert_eq!(allocations(|| Message::decode_vec(command, payload).unwrap()), 1);
}

#[test]
fn cloning_a_block_takes_two_allocations() {
    let block = payloads::block().unwrap();
    assert_eq!(allocations(|| block.clone()), 2);
}

#[test]
fn the_header_of_a_block_is_parsed_once_at_its_first_use() {
    let block = payloads::block().unwrap();
    assert_eq!(allocations(|| block.header().time), 2);
    assert_eq!(allocations(|| block.header().time), 0);
}

#[test]
fn visiting_a_block_allocates_nothing() {
    let block = payloads::block().unwrap();
    assert_eq!(allocations(|| payloads::visit(&block)), 0);
}

#[test]
fn encoding_a_message_takes_one_allocation() {
    let (tx, block) = (payloads::tx().unwrap(), payloads::block().unwrap());
    let messages: [&dyn Encode; 5] =
        [&FeeFilter { min_fee: 1 }, &tx, &payloads::inv(1000), &block, &payloads::block_fields()];
    for message in messages {
        assert_eq!(allocations(|| message.encode().unwrap()), 1, "{}", message.command());
        let frame = allocations(|| Frame::encode(message, Network::Simnet).unwrap());
        assert_eq!(frame, 1, "{}", message.command());
    }
}
