//! The callbacks of the program, without the peer that a listener gets with each of them.

use crate::peer::disconnect::DisconnectReason;
use crate::wire::{Command, FrameError, Message};
use std::io;

/// The callbacks of the program, as the threads of a connection call them. They are a part of
/// [`Program`](super::program::Program), which is dropped when the last thread exits.
///
/// The methods are those of `Listener`, which documents when they are called, on which thread, and in which order.
pub(in crate::peer) trait Callbacks: Send + Sync {
    /// Passes on a message. The listener calls its `on_message`, and its method for the type of the message.
    fn deliver(&self, message: Message);

    fn on_handshake(&self);

    fn on_read(&self, bytes: usize, frame: Result<Command, &FrameError>);

    fn on_write(&self, command: Command, bytes: usize, error: Option<&io::Error>);

    fn on_disconnect(&self, reason: &DisconnectReason);
}
