//! Sending and waiting for the program's own payload types.

use crate::peer::error::{QueueError, WaitError, WaitedFor};
use crate::peer::handle::Peer;
use crate::peer::inbox::Inbox;
use crate::peer::receipt::Receipt;
use crate::wire::{Command, CustomCommand, CustomMessage, CustomPayload, Message};
use std::time::Duration;

impl Peer {
    /// Queues a payload of a type of your own, see [`CustomPayload`]. Never waits.
    ///
    /// ```
    /// use kaspa_peer::testing::connect_peers;
    /// use kaspa_peer::wire::{CustomPayload, Network};
    /// use kaspa_peer::{Config, Inbox};
    /// use std::string::FromUtf8Error;
    /// use std::time::Duration;
    ///
    /// #[derive(Debug, PartialEq)]
    /// struct Chat(String);
    ///
    /// impl CustomPayload for Chat {
    ///     const COMMAND: &'static str = "chat";
    ///     type Error = FromUtf8Error;
    ///
    ///     fn write(&self, payload: &mut Vec<u8>) {
    ///         payload.extend_from_slice(self.0.as_bytes());
    ///     }
    ///
    ///     fn read(payload: &[u8]) -> Result<Self, FromUtf8Error> {
    ///         String::from_utf8(payload.to_vec()).map(Self)
    ///     }
    /// }
    ///
    /// let network = Network::Custom(0xcafe_0001);
    /// let inbox = Inbox::new();
    /// let alice = Config::builder(network).build()?;
    /// let bob = Config::builder(network).listener(inbox.clone()).build()?;
    /// let (to_bob, to_alice) = connect_peers(&alice, &bob)?;
    /// to_bob.queue_custom(&Chat("hello".to_owned()))?;
    /// assert_eq!(inbox.wait_for_custom::<Chat>(Duration::from_secs(10))?, Chat("hello".to_owned()));
    /// # drop(to_alice);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`queue_message`](Self::queue_message), and [`QueueError::CustomCommand`] if
    /// [`T::COMMAND`](CustomPayload::COMMAND) is not a custom command.
    pub fn queue_custom<T: CustomPayload>(&self, payload: &T) -> Result<Receipt, QueueError> {
        self.queue_message(&CustomMessage::from_payload(payload).map_err(QueueError::CustomCommand)?)
    }

    /// Like [`queue_custom`](Self::queue_custom), but waits up to `timeout` for room in the outbound queue, as
    /// [`send_message`](Self::send_message) does.
    ///
    /// # Errors
    ///
    /// As [`send_message`](Self::send_message) and [`queue_custom`](Self::queue_custom).
    pub fn send_custom<T: CustomPayload>(&self, payload: &T, timeout: Duration) -> Result<Receipt, QueueError> {
        self.send_message(&CustomMessage::from_payload(payload).map_err(QueueError::CustomCommand)?, timeout)
    }
}

impl Inbox {
    /// Like [`wait_for`](Self::wait_for), for a payload of a type of your own. See the example at
    /// [`Peer::queue_custom`].
    ///
    /// # Errors
    ///
    /// As [`wait_for`](Self::wait_for). [`WaitError::CustomPayload`] if the payload does not decode. The inbox no
    /// longer has the message after this error. [`WaitError::CustomCommand`] if [`T::COMMAND`](CustomPayload::COMMAND)
    /// is not a custom command.
    pub fn wait_for_custom<T: CustomPayload>(&self, timeout: Duration) -> Result<T, WaitError> {
        let command: CustomCommand = T::COMMAND.parse().map_err(WaitError::CustomCommand)?;
        let message = self.wait_for_command(Command::Custom(command), timeout)?;
        let decoded = match &*message {
            Message::Custom(message) => message.decode_as(),
            _ => None,
        };
        match decoded {
            Some(payload) => {
                payload.map_err(|error: T::Error| WaitError::CustomPayload { command, error: error.to_string() })
            }
            // The message has this command, so this does not occur.
            None => Err(WaitError::Timeout { what: WaitedFor::Message(Command::Custom(command)), waited: timeout }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use crate::testing::connect_peers;
    use crate::wire::{Encode, Network, ParseError};

    const DEADLINE: Duration = Duration::from_secs(20);

    #[derive(Debug, PartialEq)]
    struct Height(u32);

    impl CustomPayload for Height {
        const COMMAND: &'static str = "height";
        type Error = String;

        fn write(&self, payload: &mut Vec<u8>) {
            payload.extend_from_slice(&self.0.to_le_bytes());
        }

        fn read(payload: &[u8]) -> Result<Self, String> {
            let bytes = payload.try_into().map_err(|_| format!("{} bytes instead of 4", payload.len()))?;
            Ok(Self(u32::from_le_bytes(bytes)))
        }
    }

    #[derive(Debug)]
    struct Misnamed;

    impl CustomPayload for Misnamed {
        const COMMAND: &'static str = "block";
        type Error = String;

        fn write(&self, _: &mut Vec<u8>) {}

        fn read(_: &[u8]) -> Result<Self, String> {
            Ok(Self)
        }
    }

    #[test]
    fn payloads_are_taken_in_order_and_a_malformed_one_is_an_error() {
        let inbox = Inbox::new();
        let node = Config::builder(Network::Simnet).build().unwrap();
        let other = Config::builder(Network::Simnet).listener(inbox.clone()).build().unwrap();
        let (peer, _remote) = connect_peers(&node, &other).unwrap();
        peer.queue_message(&CustomMessage::new("heights", [1]).unwrap()).unwrap();
        peer.queue_custom(&Height(7)).unwrap();
        peer.queue_message(&CustomMessage::new("height", [1]).unwrap()).unwrap();
        peer.send_custom(&Height(8), DEADLINE).unwrap();
        let wait = || inbox.wait_for_custom::<Height>(DEADLINE);
        assert_eq!(wait(), Ok(Height(7)));
        assert_eq!(wait().unwrap_err().to_string(), "malformed height: 1 bytes instead of 4");
        assert_eq!(wait(), Ok(Height(8)));
        let late = inbox.wait_for_custom::<Height>(Duration::ZERO).unwrap_err();
        assert_eq!(late.to_string(), "no height arrived within 0ns");
        assert_eq!(inbox.take_all().iter().map(Encode::command).filter(|command| !command.is_known()).count(), 1);
    }

    #[test]
    fn the_name_of_another_message_is_refused() {
        let inbox = Inbox::new();
        let node = Config::builder(Network::Simnet).build().unwrap();
        let other = Config::builder(Network::Simnet).build().unwrap();
        let (peer, _remote) = connect_peers(&node, &other).unwrap();
        let error: ParseError = CustomMessage::from_payload(&Misnamed).unwrap_err();
        assert_eq!(peer.queue_custom(&Misnamed), Err(QueueError::CustomCommand(error.clone())));
        assert_eq!(peer.send_custom(&Misnamed, DEADLINE), Err(QueueError::CustomCommand(error.clone())));
        assert_eq!(inbox.wait_for_custom::<Misnamed>(DEADLINE).unwrap_err(), WaitError::CustomCommand(error));
    }
}
