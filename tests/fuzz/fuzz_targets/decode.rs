//! Decodes any payload with any command. A message that decodes can be used and encoded again.
//!
//! The first byte chooses the command, the rest is the payload.
#![no_main]

use kaspa_peer::peer::fuzzing::Choices;
use kaspa_peer::wire::{Block, Command, Encode, EncodeError, Message, Transaction};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let mut choices = Choices::new(input);
    let (command, payload) = (choices.command(), choices.rest());
    let result = Message::decode(command, payload);
    assert_eq!(result, Message::decode_vec(command, payload.to_vec()));
    let message = match result {
        Ok(message) => message,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    use_message(&message);
    assert_eq!(message.command(), command);
    let again = match message.encode() {
        Ok(again) => again,
        Err(EncodeError::BuiltInGas { gas }) => {
            assert!(gas > 0 && matches!(message, Message::Tx(_) | Message::Block(_)));
            return;
        }
        // The message is too long for its command, which only happens with a payload that could not be received.
        Err(EncodeError::TypeLimit { length, max, .. }) => {
            assert!(length > max as usize && payload.len() >= length);
            return;
        }
        Err(error) => panic!("{error}"),
    };
    assert_eq!(again.len(), message.encoded_len());
    assert_eq!(Message::decode(command, &again).as_ref(), Ok(&message));
    // The bytes are the same, except for messages with flags that can be any number, or with fields of newer versions.
    match command {
        Command::Version | Command::Addr | Command::GetAddr => assert!(again.len() <= payload.len()),
        _ => assert_eq!(again, payload),
    }
});

fn use_message(message: &Message) {
    assert!(!format!("{message:?}").is_empty());
    match message {
        Message::Block(block) => {
            let fields = block.to_fields();
            assert_eq!(fields.header.hash(), block.hash());
            assert_eq!(block.transactions().len(), fields.transactions.len());
            let owned: Vec<Transaction> = block.transactions().map(|tx| tx.to_transaction()).collect();
            for (tx, fields) in owned.iter().zip(&fields.transactions) {
                assert_eq!(&tx.to_fields(), fields);
            }
            if let Ok(again) = Block::new(fields.header, &owned) {
                assert_eq!(&again, block);
            }
        }
        Message::Tx(tx) => {
            let fields = tx.to_fields();
            assert_eq!((tx.inputs().len(), tx.outputs().len()), (fields.inputs.len(), fields.outputs.len()));
            assert_eq!((tx.inputs().count(), tx.outputs().count()), (fields.inputs.len(), fields.outputs.len()));
            let unsigned = fields.inputs.iter().all(|input| input.signature_script.is_empty());
            assert!(tx.is_coinbase() || (tx.id() == tx.hash()) == unsigned);
            if let Ok(again) = Transaction::new(&fields) {
                assert_eq!(&again, tx);
            }
        }
        _ => {}
    }
}
