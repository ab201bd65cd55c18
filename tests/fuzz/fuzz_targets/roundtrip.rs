//! A message with any fields is either refused before a byte is written, or decodes to the same message.
#![no_main]

use kaspa_peer::peer::fuzzing::Choices;
use kaspa_peer::wire::{Block, BlockFields, Encode, Frame, HEADER_SIZE, Message, MessageReader, Transaction, TxFields};
use kaspa_peer_fuzz::{NETWORK, block_fields, message, tx_fields};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let mut choices = Choices::new(input);
    match choices.byte() {
        0 => check_tx(&tx_fields(&mut choices)),
        1 => check_block(&block_fields(&mut choices)),
        _ => {
            let (message, expected) = message(&mut choices);
            check(&message, &expected);
        }
    }
});

fn check(message: &(impl Encode + ?Sized), expected: &Message) {
    if let Err(error) = message.validate() {
        assert_eq!(message.encode(), Err(error.clone()));
        assert_eq!(Frame::encode(message, NETWORK), Err(error));
        return;
    }
    let command = message.command();
    let payload = message.encode().unwrap();
    assert_eq!(payload.len(), message.encoded_len());
    assert!(payload.len() <= command.payload_limit() as usize);
    assert_eq!(Message::decode(command, &payload).as_ref(), Ok(expected));
    let frame = Frame::encode(message, NETWORK).unwrap();
    assert_eq!(frame.as_bytes()[HEADER_SIZE..], payload);
    let read = MessageReader::new(frame.as_bytes(), NETWORK).read_message().unwrap();
    assert_eq!(read.as_ref(), Some(expected));
    assert_eq!(expected.encode(), Ok(payload));
}

fn check_tx(fields: &TxFields) {
    match Transaction::new(fields) {
        Ok(tx) => {
            assert_eq!(tx.as_bytes().len(), fields.encoded_len());
            let mut again = tx.to_fields();
            assert_eq!(Transaction::new(&again).as_ref(), Ok(&tx));
            // Encoding fills in a missing payload and its hash.
            if fields.payload.is_none() && !fields.subnetwork.is_native() {
                assert_eq!(again.payload.take(), Some(Vec::new()));
            }
            if fields.payload_hash.is_none() {
                again.payload_hash = None;
            }
            assert_eq!(&again, fields);
            check(fields, &tx.into());
        }
        Err(error) => assert_eq!(fields.validate(), Err(error)),
    }
}

fn check_block(fields: &BlockFields) {
    match Block::try_from(fields) {
        Ok(block) => {
            assert_eq!(block.as_bytes().len(), fields.encoded_len());
            assert_eq!(Block::try_from(&block.to_fields()).as_ref(), Ok(&block));
            check(fields, &block.into());
        }
        // A block can have several errors, and the two calls may find different ones first.
        Err(_) => assert!(fields.validate().is_err()),
    }
}
