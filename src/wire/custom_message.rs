//! Messages with a command of your own, or of newer nodes.

use super::command::{Command, CustomCommand};
use super::encode::{Encode, sealed};
use super::error::EncodeError;
use super::parse_error::ParseError;
use std::fmt;

/// A message whose command is not one of the protocol's 25. Its payload can be any bytes.
///
/// For private networks whose nodes have message types of their own, and for the commands of newer nodes. Remotes that
/// do not know the command may disconnect: kaspad does.
///
/// Implement [`CustomPayload`] for a type of your own to send and receive it like this. A [`Peer`](crate::Peer) queues
/// a `CustomMessage` like any other message, and passes those that it receives to
/// [`Listener::on_custom`](crate::Listener::on_custom). [`Peer::queue_custom`](crate::Peer::queue_custom) queues such a
/// type directly, and [`Inbox::wait_for_custom`](crate::Inbox::wait_for_custom) waits for one.
///
/// ```
/// use kaspa_peer::wire::{CustomMessage, CustomPayload, Message, Network, read_message, write_message};
/// use std::string::FromUtf8Error;
///
/// #[derive(Debug, PartialEq)]
/// struct Chat {
///     text: String,
/// }
///
/// impl CustomPayload for Chat {
///     const COMMAND: &'static str = "chat";
///     type Error = FromUtf8Error;
///
///     fn write(&self, payload: &mut Vec<u8>) {
///         payload.extend_from_slice(self.text.as_bytes());
///     }
///
///     fn read(payload: &[u8]) -> Result<Self, FromUtf8Error> {
///         Ok(Self { text: String::from_utf8(payload.to_vec())? })
///     }
/// }
///
/// let chat = Chat { text: "hello".to_owned() };
/// let mut stream = Vec::new();
/// write_message(&mut stream, &CustomMessage::from_payload(&chat)?, Network::Simnet)?;
///
/// if let Message::Custom(message) = read_message(&mut stream.as_slice(), Network::Simnet)? {
///     match message.decode_as::<Chat>() {
///         Some(Ok(received)) => assert_eq!(received, chat),
///         Some(Err(error)) => println!("not a chat message: {error}"),
///         None => println!("another command: {}", message.command),
///     }
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct CustomMessage {
    /// The command.
    pub command: CustomCommand,
    /// The payload, at most [`MAX_PAYLOAD`](super::MAX_PAYLOAD) bytes. A peer accepts 1 MiB unless its
    /// [configuration](crate::ConfigBuilder::max_custom_payload) says otherwise.
    #[cfg_attr(feature = "serde", serde(with = "super::serde_with::bytes"))]
    pub payload: Vec<u8>,
}

impl CustomMessage {
    /// A message with a command of your own.
    ///
    /// # Errors
    ///
    /// If `command` is not 1 to 12 printable ASCII characters, or is one of the protocol's 25.
    pub fn new(command: &str, payload: impl Into<Vec<u8>>) -> Result<Self, ParseError> {
        Ok(Self { command: command.parse()?, payload: payload.into() })
    }

    /// The message that carries `payload`.
    ///
    /// # Errors
    ///
    /// If [`T::COMMAND`](CustomPayload::COMMAND) is not 1 to 12 printable ASCII characters, or is one of the protocol's
    /// 25.
    pub fn from_payload<T: CustomPayload>(payload: &T) -> Result<Self, ParseError> {
        let mut message = Self::new(T::COMMAND, Vec::new())?;
        payload.write(&mut message.payload);
        Ok(message)
    }

    /// Decodes the payload as a `T`. `None` if the message has another command than
    /// [`T::COMMAND`](CustomPayload::COMMAND).
    pub fn decode_as<T: CustomPayload>(&self) -> Option<Result<T, T::Error>> {
        (self.command.name() == T::COMMAND).then(|| T::read(&self.payload))
    }
}

/// A payload type of your own, see the example at [`CustomMessage`].
pub trait CustomPayload: Sized {
    /// The command: 1 to 12 printable ASCII characters, and none of the protocol's 25 commands.
    const COMMAND: &'static str;

    /// The error of [`read`](Self::read) for a payload that does not decode. Its text says what is wrong with it.
    type Error: fmt::Display;

    /// Appends the payload's bytes to `payload`, which is empty. At most 32 MiB can be sent.
    fn write(&self, payload: &mut Vec<u8>);

    /// Decodes a whole payload. The bytes come from the remote, so check them before you trust any length in them.
    ///
    /// # Errors
    ///
    /// As the type defines them.
    fn read(payload: &[u8]) -> Result<Self, Self::Error>;
}

impl sealed::Sealed for CustomMessage {}

impl Encode for CustomMessage {
    fn command(&self) -> Command {
        Command::Custom(self.command)
    }

    fn encoded_len(&self) -> usize {
        self.payload.len()
    }

    fn check_parts(&self) -> Result<(), EncodeError> {
        Ok(())
    }

    fn write_payload(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.payload);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq)]
    struct Height(u32);

    impl CustomPayload for Height {
        const COMMAND: &'static str = "height";
        type Error = usize;

        fn write(&self, payload: &mut Vec<u8>) {
            payload.extend_from_slice(&self.0.to_le_bytes());
        }

        fn read(payload: &[u8]) -> Result<Self, usize> {
            payload.try_into().map(|bytes| Self(u32::from_le_bytes(bytes))).map_err(|_| payload.len())
        }
    }

    #[test]
    fn a_payload_is_decoded_as_it_was_encoded() {
        let message = CustomMessage::from_payload(&Height(0x0102)).unwrap();
        assert_eq!((message.command.name(), message.payload.as_slice()), ("height", [2, 1, 0, 0].as_slice()));
        assert_eq!(message.decode_as::<Height>(), Some(Ok(Height(0x0102))));
    }

    #[test]
    fn another_command_is_none_and_a_bad_payload_an_error() {
        assert_eq!(CustomMessage::new("heights", [2, 1, 0, 0]).unwrap().decode_as::<Height>(), None);
        assert_eq!(CustomMessage::new("height", [2, 1, 0]).unwrap().decode_as::<Height>(), Some(Err(3)));
    }

    #[test]
    fn a_command_of_the_protocol_is_refused() {
        struct Fake;

        impl CustomPayload for Fake {
            const COMMAND: &'static str = "block";
            type Error = String;

            fn write(&self, _: &mut Vec<u8>) {}

            fn read(_: &[u8]) -> Result<Self, String> {
                Ok(Self)
            }
        }

        let error = CustomMessage::from_payload(&Fake).unwrap_err();
        assert!(error.to_string().starts_with("\"block\" is not a custom command"), "{error}");
    }
}
