//! The counts of a soak so far.

use parking_lot::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// More complaints than this are counted and not kept.
const MAX_COMPLAINTS: usize = 20;

/// A way in which a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// `disconnect`.
    Disconnect,
    /// `close`, which waits for what is queued.
    Close,
    /// The last handle is dropped.
    Drop,
    /// The socket is shut down by other code.
    Shutdown,
    /// The same in the middle of a frame.
    MidFrame,
    /// The connection is reset.
    Reset,
    /// A callback rejects a message with `disconnect_with`.
    Reject,
    /// The remote stops reading while much is sent to it.
    Stall,
    /// The remote does not answer a question.
    Silence,
}

impl End {
    pub const ALL: [Self; 9] = [
        Self::Disconnect,
        Self::Close,
        Self::Drop,
        Self::Shutdown,
        Self::MidFrame,
        Self::Reset,
        Self::Reject,
        Self::Stall,
        Self::Silence,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Disconnect => "disconnect",
            Self::Close => "close",
            Self::Drop => "drop",
            Self::Shutdown => "shutdown",
            Self::MidFrame => "mid_frame",
            Self::Reset => "reset",
            Self::Reject => "reject",
            Self::Stall => "stall",
            Self::Silence => "silence",
        }
    }
}

/// The counts that several threads change.
#[derive(Default)]
pub struct Counts {
    /// Questions that were sent.
    pub asked: AtomicU64,
    /// Questions that the remote answered.
    pub answered: AtomicU64,
    /// Questions whose connection ended first.
    pub ended: AtomicU64,
    /// Questions that could not be sent, because a queue was full.
    pub refused: AtomicU64,
    /// Calls of `close` that wrote everything.
    pub closed: AtomicU64,
    /// Calls of `close` that could not.
    pub closed_short: AtomicU64,
    /// Rejects that arrived.
    pub rejects: AtomicU64,
    complaints: Mutex<Complaints>,
}

#[derive(Default)]
struct Complaints {
    kept: Vec<String>,
    more: usize,
}

impl Counts {
    /// Notes something that is wrong.
    pub fn complain(&self, complaint: String) {
        let mut complaints = self.complaints.lock();
        if complaints.kept.len() < MAX_COMPLAINTS {
            complaints.kept.push(complaint);
        } else {
            complaints.more += 1;
        }
    }

    /// Everything that is wrong.
    pub fn complaints(&self) -> Vec<String> {
        let complaints = self.complaints.lock();
        let more = (complaints.more > 0).then(|| format!("{} more complaints", complaints.more));
        complaints.kept.iter().cloned().chain(more).collect()
    }
}

pub fn one_more(count: &AtomicU64) {
    count.fetch_add(1, Ordering::Relaxed);
}

/// All counts at one moment.
#[derive(Clone, Copy, Default)]
pub struct Tally {
    /// Connections that are open.
    pub alive: usize,
    /// Connections that were made.
    pub made: u64,
    pub messages: u64,
    /// How many connections were ended, in the order of [`End::ALL`].
    pub ends: [u64; End::ALL.len()],
    /// Connections that ended although nothing had ended them, after the handshake.
    pub lost: u64,
    /// The same during the handshake, whose timeout a pause of the process does not extend.
    pub lost_handshakes: u64,
    /// Receipts that were taken.
    pub receipts: u64,
    pub written: u64,
    pub not_written: u64,
    pub asked: u64,
    pub answered: u64,
    pub ended: u64,
    pub refused: u64,
    pub closed: u64,
    pub closed_short: u64,
    pub rejects: u64,
    /// Bytes that wait to be written.
    pub queued: usize,
}

impl Tally {
    /// Adds the counts that several threads change.
    pub fn with(self, counts: &Counts) -> Self {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Self {
            asked: load(&counts.asked),
            answered: load(&counts.answered),
            ended: load(&counts.ended),
            refused: load(&counts.refused),
            closed: load(&counts.closed),
            closed_short: load(&counts.closed_short),
            rejects: load(&counts.rejects),
            ..self
        }
    }

    /// `true` if each counted event has happened at least once.
    pub fn is_complete(&self) -> bool {
        let happened = [self.written, self.not_written, self.answered, self.ended, self.closed, self.rejects];
        !self.ends.contains(&0) && !happened.contains(&0)
    }

    /// The receipts and questions that did not resolve, when all connections have ended.
    pub fn unresolved(&self) -> Vec<String> {
        let Self { receipts, written, not_written, asked, answered, ended, .. } = self;
        let mut complaints = Vec::new();
        if *receipts != written + not_written {
            complaints.push(format!("{receipts} receipts taken, {written} written, {not_written} not written"));
        }
        if *asked != answered + ended {
            complaints.push(format!("{asked} questions asked, {answered} answered, {ended} ended"));
        }
        complaints
    }
}
