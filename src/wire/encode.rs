//! The trait of everything that can be sent.

use super::command::Command;
use super::error::EncodeError;

/// Prevents implementations outside this crate.
pub(super) mod sealed {
    pub trait Sealed {}
}

/// A message that can be sent: every payload type, [`Message`](super::Message), [`TxFields`](super::TxFields) and
/// [`BlockFields`](super::BlockFields). Sealed.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a message that can be sent",
    note = "to send a `CustomPayload`, use `Peer::queue_custom` or `Peer::send_custom`, or `CustomMessage::from_payload`"
)]
pub trait Encode: sealed::Sealed {
    /// The type of message.
    #[must_use]
    fn command(&self) -> Command;

    /// The length of the payload, in bytes.
    #[must_use]
    fn encoded_len(&self) -> usize;

    #[doc(hidden)]
    fn check_parts(&self) -> Result<(), EncodeError>;

    #[doc(hidden)]
    fn write_payload(&self, out: &mut Vec<u8>);

    /// Checks that the protocol can carry the message. Everything that sends calls this before it writes anything.
    ///
    /// # Errors
    ///
    /// The reason that the protocol cannot carry the message, see [`EncodeError`].
    fn validate(&self) -> Result<(), EncodeError> {
        self.validate_sized(self.encoded_len())
    }

    #[doc(hidden)]
    fn validate_sized(&self, length: usize) -> Result<(), EncodeError> {
        self.check_parts()?;
        check_length(self.command(), length)
    }

    /// Encodes the payload.
    ///
    /// # Errors
    ///
    /// The reason that the protocol cannot carry the message, see [`EncodeError`].
    fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        let length = self.encoded_len();
        self.validate_sized(length)?;
        let mut payload = Vec::with_capacity(length);
        self.write_payload(&mut payload);
        Ok(payload)
    }
}

/// Checks the length of a payload against the protocol's limit for its type.
pub(super) fn check_length(command: Command, length: usize) -> Result<(), EncodeError> {
    let max = command.payload_limit();
    if length > max as usize { Err(EncodeError::TypeLimit { command, length, max }) } else { Ok(()) }
}
