//! Requests whose answer is exactly one message.

use super::address::{Addr, GetAddr};
use super::block_header::{GetHeaders, Headers};
use super::encode::Encode;
use super::inventory::Inv;
use super::locator::{GetBlockInvs, GetLocator, Locator, SelectedTip};
use super::message::Payload;
use super::message_table::for_each_request;
use super::small_messages::GetSelectedTip;

/// A request that the remote answers with one message of one type, for [`Peer::ask`](crate::Peer::ask). Sealed.
///
/// | request | answer |
/// |---|---|
/// | [`GetAddr`] | [`Addr`] |
/// | [`GetBlockInvs`] | [`Inv`] |
/// | [`GetHeaders`] | [`Headers`] |
/// | [`GetLocator`] | [`Locator`] |
/// | [`GetSelectedTip`] | [`SelectedTip`] |
///
/// The protocol has no number that connects an answer with its request, so only the type of the answer does. `getdata`
/// is not in the table, because each of its items has an answer of its own.
/// [`Peer::fetch_block`](crate::Peer::fetch_block) and [`Peer::fetch_transaction`](crate::Peer::fetch_transaction) send
/// it. `ping` is not in the table either, because its nonce connects it with its `pong`; see
/// [`Peer::ping`](crate::Peer::ping).
///
/// ```
/// use kaspa_peer::wire::{GetSelectedTip, Message, MessageReader, Network, Request, write_message};
/// use std::io::{self, Read, Write};
///
/// /// Asks over a stream, and skips the messages that come before the answer.
/// fn ask<R: Request>(stream: &mut (impl Read + Write), request: &R) -> io::Result<R::Answer> {
///     write_message(stream, request, Network::Simnet).map_err(io::Error::other)?;
///     MessageReader::new(stream, Network::Simnet)
///         .find_map(|message| R::Answer::try_from(message.ok()?).ok())
///         .ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
/// }
/// # use kaspa_peer::wire::{Hash, Ping, SelectedTip};
/// # struct Remote(Vec<u8>);
/// # impl Read for Remote {
/// #     fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
/// #         let count = self.0.as_slice().read(into)?;
/// #         self.0.drain(..count);
/// #         Ok(count)
/// #     }
/// # }
/// # impl Write for Remote {
/// #     fn write(&mut self, bytes: &[u8]) -> io::Result<usize> { Ok(bytes.len()) }
/// #     fn flush(&mut self) -> io::Result<()> { Ok(()) }
/// # }
/// # let mut bytes = Vec::new();
/// # let tip = SelectedTip { hash: Hash::of(b"tip") };
/// # write_message(&mut bytes, &Ping { nonce: 1 }, Network::Simnet)?;
/// # write_message(&mut bytes, &tip, Network::Simnet)?;
/// # let mut stream = Remote(bytes);
/// let answer = ask(&mut stream, &GetSelectedTip)?;
/// println!("the remote's selected tip is {}", answer.hash);
/// # assert_eq!(answer, tip);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a request that the remote answers with one message",
    note = "to request a block or a transaction, use `Peer::fetch_block` or `Peer::fetch_transaction`",
    note = "to send a ping and wait for its pong, use `Peer::ping`",
    note = "to send a request of your own, use `CustomMessage::from_payload` and `Peer::queue_message`"
)]
pub trait Request: Encode {
    /// The type of the answer.
    type Answer: Payload;
}

macro_rules! requests {
    ($($request:ident $answer:ident;)*) => {$(
        impl Request for $request {
            type Answer = $answer;
        }
    )*};
}

for_each_request!(requests);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Command;

    #[test]
    fn each_request_names_the_answer_of_the_protocol() {
        fn answer<R: Request>(request: R) -> (Command, Command) {
            (request.command(), R::Answer::COMMAND)
        }
        assert_eq!(answer(GetAddr::all()), (Command::GetAddr, Command::Addr));
        assert_eq!(answer(GetBlockInvs::default()), (Command::GetBlockInvs, Command::Inv));
        assert_eq!(answer(GetHeaders::default()), (Command::GetHeaders, Command::Headers));
        assert_eq!(answer(GetLocator::default()), (Command::GetLocator, Command::Locator));
        assert_eq!(answer(GetSelectedTip), (Command::GetSelectedTip, Command::SelectedTip));
    }
}
