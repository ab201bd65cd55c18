//! The reader thread: reads bytes, decodes frames, applies each message to the state of the peer, and calls the
//! listener.

use super::counters::Stamp;
use super::outbound::MessageKind;
use super::program::Program;
use super::shared::{LAST_REJECT, Shared};
use crate::peer::capture::Entry;
use crate::peer::disconnect::{DisconnectReason, HandshakeError, IoOperation};
use crate::peer::logging::{self, LIFE, RECEIVED, SENT};
use crate::peer::panic::{catch_panic, take_error};
use crate::peer::rules::handshake::Step;
use crate::peer::rules::rate_limit::{Pace, Pacer};
use crate::peer::settings::{CustomCommands, OversizeFrames};
use crate::peer::stream::{self, ReadHalf};
use crate::wire::{
    Command, Encode, FrameDecoder, FrameError, HEADER_SIZE, Message, Network, Pong, Reject, RejectCode, SelectedTip,
    Services,
};
use crossbeam_channel::RecvTimeoutError;
use log::{debug, info, warn};
use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

/// The largest payload that is accepted until the handshake is done, in bytes. It limits the memory that a remote can
/// occupy before the handshake is done.
const HANDSHAKE_PAYLOAD: u32 = 64 * 1024;

/// The pause before the next attempt to read. It keeps a stream that returns at once, instead of blocking, from
/// occupying a core.
const RETRY_PAUSE: Duration = Duration::from_millis(1);

/// Reads until the stream ends or fails, or the connection must end. Then ends the connection.
pub(in crate::peer) fn run(shared: &Arc<Shared>, program: &Program, source: ReadHalf) {
    let mut reader = Reader {
        shared,
        program,
        decoder: FrameDecoder::new(shared.settings().network())
            .with_limits(shared.settings().payload_limits().clone().at_most(HANDSHAKE_PAYLOAD)),
        source,
        pacer: shared.settings().rate_limit().map(|limit| Pacer::new(limit, Instant::now())),
        has_version: false,
        handshake_done: false,
        skipped: None,
        now: Instant::now(),
    };
    let reason = catch_panic(|| {
        let reason = reader.read();
        reader.report_skipped();
        reason
    });
    if shared.outbound().last_is_queued() {
        let _ = shared.lifecycle().quit_channel().recv_timeout(LAST_REJECT);
    }
    shared.end(reason.unwrap_or_else(|message| DisconnectReason::CallbackPanicked { message }));
}

struct Reader<'a> {
    shared: &'a Arc<Shared>,
    program: &'a Program,
    decoder: FrameDecoder,
    source: ReadHalf,
    pacer: Option<Pacer>,
    /// `true` if the remote's `version` was accepted.
    has_version: bool,
    /// `true` if the handshake is done.
    handshake_done: bool,
    /// The refused frame whose payload is being skipped: its error, and how many of its bytes have been read.
    skipped: Option<(FrameError, usize)>,
    /// The time at which the bytes that are being handled arrived.
    now: Instant,
}

/// The steps that are left for a message after the reader has updated the state.
enum Then {
    Deliver,
    /// Deliver it, then answer the remote's `version`.
    AnswerVersion {
        send_version: bool,
    },
    Ignore,
}

/// `Err` holds the reason for which the connection must end.
type ReadResult<T = ()> = Result<T, DisconnectReason>;

impl Reader<'_> {
    fn read(&mut self) -> DisconnectReason {
        loop {
            let before = self.decoder.arrived();
            match self.source.with(|source| self.decoder.read_from(source)) {
                Ok(0) => {
                    let closed = DisconnectReason::remote_closed(self.decoder.is_mid_frame(), self.handshake_done);
                    return self.rejected().unwrap_or(closed);
                }
                Ok(_) => {}
                // The read timed out or was interrupted. During the pause this thread notices the end of the
                // connection. That is necessary for streams whose shutdown does not wake a thread that reads.
                Err(error) if stream::can_be_repeated(&error, self.waited(), stream::READ_TIMEOUT) => {
                    if self.shared.lifecycle().quit_channel().recv_timeout(RETRY_PAUSE)
                        == Err(RecvTimeoutError::Disconnected)
                    {
                        return self.shared.end_reason();
                    }
                    if self.decoder.arrived() == before {
                        self.now = Instant::now();
                        continue;
                    }
                }
                Err(error) => {
                    let failed = DisconnectReason::io(IoOperation::Read, take_error(error));
                    return self.rejected().unwrap_or(failed);
                }
            }
            self.now = Instant::now();
            self.shared.with_deadlines(|deadlines| deadlines.reader_busy(self.now));
            let mut completed = false;
            let arrived = self.decoder.arrived() - before;
            let result = self.handle_frames(&mut completed);
            let now = Instant::now();
            let number = self.decoder.frame_under_way();
            let arriving = self.decoder.announced().map(|(command, _)| command);
            self.shared.with_deadlines(|deadlines| {
                deadlines.reader_waits(now, completed);
                deadlines.frame_arriving(number, arriving, now);
            });
            // The pause comes after the deadlines are updated, because it must not extend them.
            if let Err(reason) = result.and_then(|messages| self.pace(messages, arrived)) {
                return reason;
            }
        }
    }

    /// The reason of the end if the remote has rejected the handshake.
    fn rejected(&self) -> Option<DisconnectReason> {
        self.shared.state.lock().handshake.rejected()
    }

    /// An upper bound of how long the last read took.
    fn waited(&self) -> Duration {
        self.now.elapsed()
    }

    /// Pauses reading if the remote is over its rate limit.
    fn pace(&mut self, messages: u64, bytes: u64) -> ReadResult {
        let Some(pacer) = &mut self.pacer else { return Ok(()) };
        let (pause, then) = match pacer.arrived(messages, bytes, Instant::now()) {
            Pace::Free => return Ok(()),
            Pace::Pause(pause) => (pause, Ok(())),
            Pace::End { after, limit } => (after, Err(DisconnectReason::RateExceeded { limit })),
        };
        debug!(target: RECEIVED, "{}: over its rate limit, not read for {pause:?}", self.shared);
        // Nothing is ever sent on this channel. The end of the connection disconnects it and so ends the pause.
        match self.shared.lifecycle().quit_channel().recv_timeout(pause) {
            Err(RecvTimeoutError::Timeout) => then,
            _ => Err(self.shared.end_reason()),
        }
    }

    /// Handles all frames that have arrived completely, and returns their number. Sets `completed` if there was at
    /// least one.
    fn handle_frames(&mut self, completed: &mut bool) -> ReadResult<u64> {
        let clock = Stamp::of(SystemTime::now());
        let mut frames = 0;
        loop {
            if let Some(reason) = self.shared.ended() {
                return Err(reason.clone());
            }
            if self.shared.outbound().last_is_queued() {
                return Err(self.shared.end_reason());
            }
            self.check_announced(clock)?;
            let before = self.decoder.position();
            let to_skip = self.decoder.left_to_skip();
            match self.decoder.next_frame() {
                Ok(None) => {
                    self.count_skipped(before, to_skip);
                    return Ok(frames);
                }
                Ok(Some(frame)) => {
                    *completed = true;
                    frames += 1;
                    let (command, size) = (frame.command(), frame.size());
                    if let Some(capture) = &self.program.capture {
                        let header = frame.header(self.shared.settings().network());
                        capture.record(self.shared.id, Entry::Received(&header, frame.payload()));
                    }
                    let decoded = frame.decode();
                    self.count_skipped(before, to_skip);
                    // `handle` borrows the message instead of moving it. Moving it here costs more than everything else
                    // that the reader does for a small message.
                    let then = match &decoded {
                        Ok(message) => self.handle(size, command, message, clock)?,
                        Err(_) => Then::Ignore,
                    };
                    match (then, decoded) {
                        (_, Err(error)) => self.refuse(size, error, clock)?,
                        (Then::Deliver, Ok(message)) => {
                            let is_verack = matches!(message, Message::VerAck(_));
                            self.program.callbacks.deliver(message);
                            // A second `verack` ends the connection, so this runs once.
                            if is_verack {
                                self.program.callbacks.on_handshake();
                            }
                        }
                        (Then::AnswerVersion { send_version }, Ok(message)) => {
                            self.program.callbacks.deliver(message);
                            self.shared.answer_version(send_version, self.program)?;
                        }
                        (Then::Ignore, Ok(_)) => {}
                    }
                }
                Err(error) => {
                    *completed = true;
                    frames += 1;
                    let size = self.count_skipped(before, to_skip);
                    self.refuse(size, error, clock)?;
                }
            }
        }
    }

    /// Refuses a frame as soon as its header has arrived, if the handshake does not allow its command yet. The payload
    /// is then never read.
    #[inline]
    fn check_announced(&self, clock: Stamp) -> ReadResult {
        if self.has_version {
            return Ok(());
        }
        let Some((command, _)) = self.decoder.announced() else { return Ok(()) };
        let Some((reject, reason)) = self.shared.state.lock().handshake.refuses(command) else { return Ok(()) };
        self.shared.received.add(command, HEADER_SIZE, clock);
        self.program.record(self.shared.id, Entry::Refused(&reason.to_string()));
        self.program.callbacks.on_read(HEADER_SIZE, Ok(command));
        self.last_reject(&reject, &reason);
        Err(reason)
    }

    /// Counts the bytes of a refused frame that the last call of `next_frame` skipped. Reports the frame to the
    /// listener when all of its bytes are skipped.
    ///
    /// `before` and `to_skip` are the position of the decoder and the number of bytes to skip before that call. Returns
    /// the number of bytes that the decoder has advanced after the skipped ones.
    fn count_skipped(&mut self, before: u64, to_skip: usize) -> usize {
        let passed = usize::try_from(self.decoder.position() - before).unwrap_or(usize::MAX);
        if to_skip == 0 {
            return passed;
        }
        let count = passed.min(to_skip);
        self.shared.received.add_skipped(count);
        if let Some((_, bytes)) = &mut self.skipped {
            *bytes += count;
        }
        if count == to_skip {
            self.report_skipped();
        }
        passed - count
    }

    /// Reports the refused frame that was skipped, or the part of it that has arrived, to the listener.
    fn report_skipped(&mut self) {
        if let Some((error, bytes)) = self.skipped.take() {
            self.program.callbacks.on_read(bytes, Err(&error));
        }
    }

    /// Applies a message to the state of the peer. Returns what is left to do with it.
    #[inline]
    fn handle(&mut self, size: usize, command: Command, message: &Message, clock: Stamp) -> ReadResult<Then> {
        if logging::messages() {
            logging::received(&**self.shared, command, size, message);
        }
        if self.shared.is_awaited(command) {
            self.shared.answered(command);
        }
        let mut step = self.note(size, command, message, clock);
        if step == Step::Finished {
            self.decoder.set_limits(self.shared.settings().payload_limits().clone());
            // The deadlines are updated before any callback runs, because the time in a callback must not count towards
            // the handshake timeout.
            match self.shared.with_deadlines(|deadlines| deadlines.handshake_done(self.now)) {
                Some(reason) => step = Step::End(None, reason),
                None => self.shared.lifecycle().set_handshake_done(),
            }
        }
        self.program.callbacks.on_read(size, Ok(command));
        match step {
            Step::Deliver => self.deliver(message),
            Step::Skip => self.deliver(message).map(|_| Then::Ignore),
            Step::VersionAccepted { negotiated, send_version } => {
                debug!(target: LIFE, "{}: speaks version {negotiated}", self.shared);
                Ok(Then::AnswerVersion { send_version })
            }
            Step::Finished => {
                info!(target: LIFE, "{}: handshake done", self.shared);
                self.deliver(message)
            }
            Step::End(reject, reason) => {
                if let Some(reject) = reject {
                    self.last_reject(&reject, &reason);
                }
                Err(reason)
            }
        }
    }

    /// Counts a message and updates the state. For most messages this changes no state and takes no lock.
    #[inline]
    fn note(&mut self, size: usize, command: Command, message: &Message, clock: Stamp) -> Step {
        if !self.handshake_done || matches!(message, Message::Version(_) | Message::VerAck(_)) {
            let step = self.shake_hands(size, command, message, clock);
            if step != Step::Deliver {
                return step;
            }
        } else {
            self.shared.received.add(command, size, clock);
        }
        match message {
            Message::Pong(pong) => self.shared.state.lock().pings.answered(pong.nonce, self.now),
            Message::SendHeaders(_) => self.shared.state.lock().wants_headers = true,
            Message::SelectedTip(tip) => self.shared.set_selected_tip(tip.hash),
            _ => {}
        }
        Step::Deliver
    }

    #[cold]
    fn shake_hands(&mut self, size: usize, command: Command, message: &Message, clock: Stamp) -> Step {
        let overdue = self.shared.with_deadlines(|deadlines| deadlines.handshake_overdue(self.now));
        let mut state = self.shared.state.lock();
        // The message is counted under the lock of the handshake state. A snapshot of the statistics then shows either
        // both the message and the new state, or neither.
        self.shared.received.add(command, size, clock);
        if let Some(reason) = overdue {
            return Step::End(None, reason);
        }
        let step = state.handshake.step(message, |nonce| self.shared.settings().node().sent_nonce(nonce));
        if let (Step::VersionAccepted { negotiated, .. }, Message::Version(version)) = (&step, message) {
            Shared::store_version(&mut state, version, *negotiated);
            self.has_version = true;
        }
        self.handshake_done = state.handshake.is_done();
        step
    }

    /// Handles a message that the library itself reacts to, such as a ping. Returns whether the listener gets the
    /// message.
    #[inline]
    fn deliver(&mut self, message: &Message) -> ReadResult<Then> {
        if !self.shared.questions.is_empty() {
            self.shared.questions.arrived(message);
        }
        match message {
            Message::Ping(ping) if self.shared.settings().automatic_pongs() => {
                self.shared.answer(MessageKind::Answer, &Pong { nonce: ping.nonce })?;
            }
            Message::GetSelectedTip(_)
                if self.program.dag.is_some() && self.shared.settings().answer_selected_tip() =>
            {
                let hash = self.program.selected_tip();
                self.shared.answer(MessageKind::Answer, &SelectedTip { hash })?;
            }
            Message::Inv(inv) => self.shared.note_announced(&inv.items),
            Message::FilterLoad(_) | Message::FilterAdd(_) | Message::FilterClear(_)
                if !self.shared.offers(Services::BLOOM) =>
            {
                let command = message.command();
                let negotiated = self.shared.negotiated_version().unwrap_or_default();
                if negotiated >= self.shared.settings().bloom_version() {
                    return Err(DisconnectReason::BloomNotOffered { command });
                }
                debug!(target: RECEIVED, "{}: {command} ignored", self.shared);
                return Ok(Then::Ignore);
            }
            Message::Custom(custom) if self.shared.settings().custom_commands() == CustomCommands::Disconnect => {
                let command = custom.command();
                let reason = DisconnectReason::CustomCommand(command);
                self.last_reject(&self.malformed(&format!("unknown command {command}")), &reason);
                return Err(reason);
            }
            _ => {}
        }
        Ok(Then::Deliver)
    }

    /// Handles a frame that could not be decoded. `size` is the number of its bytes that have been read.
    fn refuse(&mut self, size: usize, error: FrameError, clock: Stamp) -> ReadResult {
        self.shared.received.add_malformed(size, clock);
        self.program.record(self.shared.id, Entry::Refused(&error.to_string()));
        if self.handshake_done && self.tolerates(&error) {
            self.skipped = Some((error, size));
            if self.decoder.left_to_skip() == 0 {
                self.report_skipped();
            }
            return Ok(());
        }
        self.program.callbacks.on_read(size, Err(&error));
        if !self.handshake_done {
            return Err(DisconnectReason::Handshake(HandshakeError::Malformed(error)));
        }
        let text = error.to_string();
        let reason = DisconnectReason::Malformed(error);
        self.last_reject(&self.malformed(&text), &reason);
        Err(reason)
    }

    /// `true` if the connection continues after a frame with this error.
    fn tolerates(&self, error: &FrameError) -> bool {
        if matches!(error, FrameError::OverLimit { .. })
            && self.shared.settings().oversize_frames() == OversizeFrames::Skip
        {
            debug!(target: RECEIVED, "{}: skipped: {error}", self.shared);
            return true;
        }
        let local = self.shared.settings().network() == Network::Regtest && self.shared.address.is_loopback();
        if local && error.in_step() {
            warn!(target: RECEIVED, "{}: malformed message tolerated: {error}", self.shared);
            return true;
        }
        false
    }

    fn malformed(&self, error: &str) -> Reject {
        let text = format!("Can't read message from {}: {error}", self.shared);
        Reject::new("malformed", RejectCode::MALFORMED, text)
    }

    /// Queues a `reject` as the last message. [`run`] waits until it is written. It waits at most [`LAST_REJECT`],
    /// because the remote may not read.
    fn last_reject(&self, reject: &Reject, reason: &DisconnectReason) {
        if let Err(error) = self.shared.end_with(reject, reason.clone()) {
            debug!(target: SENT, "{}: the reject was not queued: {error}", self.shared);
        }
    }
}
