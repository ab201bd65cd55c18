//! Requests of the program that wait for their answer.
//!
//! A question is removed when it is answered or when its caller stops waiting. A caller stops at the latest when the
//! connection ends. At most [`MAX`](Questions::MAX) questions exist, with at most one answer each.

use crate::peer::error::AskError;
use crate::peer::locks::Mutex;
use crate::wire::{Command, Encode, Hash, Inventory, Message, Reject};
use crossbeam_channel::{Receiver, Sender, bounded};
use std::{
    collections::HashSet,
    sync::atomic::{AtomicUsize, Ordering},
};

/// The questions of one peer, in the order in which they were asked.
#[derive(Debug, Default)]
pub(in crate::peer) struct Questions {
    list: Mutex<List>,
    /// The number of questions. It is outside the lock, because the reader thread reads it for every message.
    count: AtomicUsize,
}

#[derive(Debug, Default)]
struct List {
    questions: Vec<Question>,
    next_id: u64,
}

/// The message that answers a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::peer) enum Awaited {
    /// The next message of this type.
    Type(Command),
    /// The block with this hash.
    Block(Hash),
    /// The transaction with this id.
    Transaction(Hash),
}

#[derive(Debug)]
struct Question {
    id: u64,
    request: Command,
    awaited: Awaited,
    answer: Sender<Result<Message, AskError>>,
}

/// The answer that a message gives to a question.
enum Match {
    Answer,
    Error(AskError),
}

/// A registered question. Dropping it removes the question from the list.
pub(in crate::peer) struct Pending<'a> {
    questions: &'a Questions,
    id: u64,
    pub answer: Receiver<Result<Message, AskError>>,
}

impl Questions {
    /// How many questions of one peer may wait.
    pub const MAX: usize = 1024;

    /// Registers a question and sends its request with `queue`. Both happen under one lock, so that the questions are
    /// in the order in which their requests are queued. `queue` must not block.
    pub fn ask<E: Into<AskError>>(
        &self,
        request: Command,
        awaited: Awaited,
        queue: impl FnOnce() -> Result<(), E>,
    ) -> Result<Pending<'_>, AskError> {
        let mut list = self.list.lock();
        if list.questions.len() >= Self::MAX {
            return Err(AskError::TooMany { max: Self::MAX });
        }
        let (answer, answered) = bounded(1);
        let id = list.next_id;
        list.next_id += 1;
        // The question is registered before its request is queued, so that the answer cannot arrive first.
        list.questions.push(Question { id, request, awaited, answer });
        self.count.store(list.questions.len(), Ordering::Release);
        let pending = Pending { questions: self, id, answer: answered };
        let result = queue();
        drop(list);
        result.map(|()| pending).map_err(Into::into)
    }

    /// `true` if no question waits for an answer. The reader calls this for every message, so it takes no lock.
    pub fn is_empty(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    /// Answers the first question that `message` fits, with the message or with an error. A `notfound` answers every
    /// question that it fits.
    pub fn arrived(&self, message: &Message) {
        // Computed once, and before the lock is taken. The remote chooses the number of items and the program the
        // number of questions, and both can be large.
        let arrived = Arrived::of(message);
        let mut list = self.list.lock();
        let mut at = 0;
        while let Some(question) = list.questions.get(at) {
            let Some(result) = question.fits(&arrived) else {
                at += 1;
                continue;
            };
            let question = list.questions.remove(at);
            // Sending fails if the caller has stopped waiting, which is fine.
            let _ = question.answer.try_send(match result {
                Match::Answer => Ok(message.clone()),
                Match::Error(error) => Err(error),
            });
            if !matches!(arrived, Arrived::Missing(_)) {
                break;
            }
        }
        self.removed(&mut list);
    }

    fn forget(&self, id: u64) {
        let mut list = self.list.lock();
        list.questions.retain(|question| question.id != id);
        self.removed(&mut list);
    }

    /// Called after questions were removed from the list.
    fn removed(&self, list: &mut List) {
        if list.questions.is_empty() {
            // Frees the memory. A thousand questions at once take 80 KB, which the handles of an ended peer would keep.
            list.questions = Vec::new();
        }
        self.count.store(list.questions.len(), Ordering::Release);
    }
}

/// The part of a message that can answer a question.
enum Arrived<'a> {
    Block(Hash),
    Transaction(Hash),
    Missing(HashSet<Inventory>),
    Rejected(&'a Reject),
    Other(Command),
}

impl<'a> Arrived<'a> {
    fn of(message: &'a Message) -> Self {
        match message {
            Message::Block(block) => Self::Block(block.hash()),
            Message::Tx(transaction) => Self::Transaction(transaction.id()),
            Message::NotFound(missing) => Self::Missing(missing.items.iter().copied().collect()),
            Message::Reject(reject) => Self::Rejected(reject),
            other => Self::Other(other.command()),
        }
    }
}

impl Question {
    fn fits(&self, arrived: &Arrived<'_>) -> Option<Match> {
        match (self.awaited, arrived) {
            (_, Arrived::Rejected(reject)) if reject.command.as_bytes() == self.request.name().as_bytes() => {
                Some(Match::Error(AskError::Rejected(Box::new((*reject).clone()))))
            }
            (Awaited::Type(answer), Arrived::Other(command)) if *command == answer => Some(Match::Answer),
            (Awaited::Block(wanted), Arrived::Block(hash)) if *hash == wanted => Some(Match::Answer),
            (Awaited::Transaction(wanted), Arrived::Transaction(id)) if *id == wanted => Some(Match::Answer),
            (Awaited::Block(hash), Arrived::Missing(missing)) => not_found(Inventory::block(hash), missing),
            (Awaited::Transaction(id), Arrived::Missing(missing)) => not_found(Inventory::tx(id), missing),
            _ => None,
        }
    }
}

fn not_found(item: Inventory, missing: &HashSet<Inventory>) -> Option<Match> {
    missing.contains(&item).then_some(Match::Error(AskError::NotFound { item }))
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        self.questions.forget(self.id);
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;
    use crate::peer::QueueError;
    use crate::wire::{MAX_INVENTORY, NotFound, Reject, RejectCode, SelectedTip};
    use std::thread;
    use std::time::Duration;

    fn ask(questions: &Questions, awaited: Awaited) -> Pending<'_> {
        let request = match awaited {
            Awaited::Type(_) => Command::GetSelectedTip,
            _ => Command::GetData,
        };
        questions.ask(request, awaited, || Ok::<(), QueueError>(())).unwrap()
    }

    fn tip(byte: u8) -> Message {
        SelectedTip { hash: Hash::from_bytes([byte; 32]) }.into()
    }

    #[test]
    fn answers_of_one_type_go_to_the_questions_in_their_order() {
        let questions = Questions::default();
        let [first, second] = [(); 2].map(|()| ask(&questions, Awaited::Type(Command::SelectedTip)));
        questions.arrived(&tip(1));
        assert!(second.answer.is_empty());
        questions.arrived(&tip(2));
        questions.arrived(&tip(3));
        assert_eq!((first.answer.try_recv(), second.answer.try_recv()), (Ok(Ok(tip(1))), Ok(Ok(tip(2)))));
        assert!(questions.is_empty());
    }

    #[test]
    fn a_missing_block_ends_every_question_for_it_and_no_other() {
        let questions = Questions::default();
        let hash = Hash::from_bytes([7; 32]);
        let [first, second] = [(); 2].map(|()| ask(&questions, Awaited::Block(hash)));
        let other = ask(&questions, Awaited::Block(Hash::ZERO));
        let transaction = ask(&questions, Awaited::Transaction(hash));
        questions.arrived(&NotFound::from(vec![Inventory::block(hash)]).into());
        let expected = Ok(Err(AskError::NotFound { item: Inventory::block(hash) }));
        assert_eq!((first.answer.try_recv(), second.answer.try_recv()), (expected.clone(), expected));
        assert!(other.answer.is_empty() && transaction.answer.is_empty());
    }

    #[test]
    fn a_reject_that_names_the_request_ends_the_first_question() {
        let questions = Questions::default();
        let pending = ask(&questions, Awaited::Type(Command::SelectedTip));
        questions.arrived(&Reject::new("tx", RejectCode::DUST, "too small").into());
        assert!(pending.answer.is_empty());
        let reject = Reject::new("getseltip", RejectCode::INVALID, "no");
        questions.arrived(&reject.clone().into());
        assert_eq!(pending.answer.try_recv(), Ok(Err(AskError::Rejected(Box::new(reject)))));
    }

    #[test]
    fn the_largest_notfound_ends_the_maximum_number_of_questions() {
        let questions = Questions::default();
        let hash = |number: usize| Hash::of(&number.to_le_bytes());
        let pending: Vec<_> = (0..Questions::MAX).map(|number| ask(&questions, Awaited::Block(hash(number)))).collect();
        let items: Vec<Inventory> = (0..MAX_INVENTORY).rev().map(|number| Inventory::block(hash(number))).collect();
        questions.arrived(&NotFound::from(items).into());
        for (number, pending) in pending.iter().enumerate() {
            let item = Inventory::block(hash(number));
            assert_eq!(pending.answer.try_recv(), Ok(Err(AskError::NotFound { item })));
        }
    }

    #[test]
    fn an_answer_that_arrives_while_the_request_is_queued_is_not_missed() {
        let questions = Questions::default();
        let (queued, reads) = bounded(0);
        let (looked, has_looked) = bounded(0);
        thread::scope(|scope| {
            // As the reader thread does for each message.
            scope.spawn(|| {
                reads.recv().unwrap();
                let waits = !questions.is_empty();
                looked.send(()).unwrap();
                if waits {
                    questions.arrived(&tip(1));
                }
            });
            let queue = || {
                queued.send(()).unwrap();
                has_looked.recv().unwrap();
                Ok::<(), QueueError>(())
            };
            let awaited = Awaited::Type(Command::SelectedTip);
            let pending = questions.ask(Command::GetSelectedTip, awaited, queue).unwrap();
            assert_eq!(pending.answer.recv_timeout(Duration::from_secs(60)), Ok(Ok(tip(1))));
        });
    }

    #[test]
    fn a_question_whose_caller_stopped_waiting_is_removed() {
        let questions = Questions::default();
        drop(ask(&questions, Awaited::Type(Command::SelectedTip)));
        assert!(questions.is_empty());
        questions.arrived(&tip(1));
    }

    #[test]
    fn the_number_of_questions_is_bounded() {
        let questions = Questions::default();
        let pending: Vec<_> =
            (0..Questions::MAX).map(|_| ask(&questions, Awaited::Type(Command::SelectedTip))).collect();
        let refused = questions.ask(Command::GetAddr, Awaited::Type(Command::Addr), || Ok::<(), QueueError>(())).err();
        assert_eq!(refused, Some(AskError::TooMany { max: Questions::MAX }));
        drop(pending);
        assert!(questions.is_empty());
    }
}
