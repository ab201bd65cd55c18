//! The types and sizes of the frames in a batch, so that the writer need not parse the bytes again.

use crate::peer::stats::Count;
use crate::wire::Command;

/// The most entries for which a cleared list keeps memory. They are enough for a batch of transactions of many sizes,
/// and take a fifth of the memory of the batch's bytes.
const KEPT: usize = 512;

/// A list of frames in which consecutive frames of the same type and size are one entry.
#[derive(Debug, Default)]
pub(in crate::peer) struct FrameList(Vec<Group>);

#[derive(Debug, Clone, Copy)]
struct Group {
    command: Command,
    /// The size of each frame, in bytes.
    size: usize,
    count: usize,
}

impl FrameList {
    /// A list of one frame.
    pub fn of(command: Command, size: usize) -> Self {
        Self(vec![Group { command, size, count: 1 }])
    }

    /// Adds a frame at the end.
    pub fn add(&mut self, command: Command, size: usize) {
        match self.0.last_mut() {
            Some(last) if last.size == size && last.command == command => last.count += 1,
            _ => self.0.push(Group { command, size, count: 1 }),
        }
    }

    /// Removes all entries. Keeps memory for up to [`KEPT`] entries of a later batch.
    pub fn clear(&mut self) {
        self.0.clear();
        self.0.shrink_to(KEPT);
    }

    /// The command of each entry. A command can occur more than once.
    pub fn commands(&self) -> impl Iterator<Item = Command> {
        self.0.iter().map(|group| group.command)
    }

    /// The frames with their bytes. `bytes` are those of the whole batch.
    pub fn frames<'a>(&'a self, bytes: &'a [u8]) -> Frames<'a> {
        Frames { bytes, at: 0, until: bytes.len(), rest: &self.0, taken: 0 }
    }
}

/// Consecutive frames of a batch.
#[derive(Debug, Clone)]
pub(in crate::peer) struct Frames<'a> {
    bytes: &'a [u8],
    /// Where the next frame begins.
    at: usize,
    /// Frames that end after this are not included.
    until: usize,
    rest: &'a [Group],
    /// How many frames of the first entry of `rest` were returned already.
    taken: usize,
}

impl<'a> Frames<'a> {
    /// Splits off the frames that end within the first `until` bytes of the batch.
    pub fn take_within(&mut self, until: usize) -> Self {
        let taken = Self { until, ..self.clone() };
        let mut passed = taken.clone();
        while passed.next_group().is_some() {}
        *self = Self { until: self.until, ..passed };
        taken
    }

    /// The command and the numbers of messages and bytes of each entry.
    pub fn counts(mut self) -> impl Iterator<Item = (Command, Count)> {
        std::iter::from_fn(move || {
            let Group { command, size, count } = self.next_group()?;
            Some((command, Count { messages: count as u64, bytes: (size * count) as u64 }))
        })
    }

    /// Moves past the frames of the first entry that end within `until`, and returns them as one group.
    fn next_group(&mut self) -> Option<Group> {
        let (first, rest) = self.rest.split_first()?;
        let fitting = (self.until - self.at).checked_div(first.size).unwrap_or(usize::MAX);
        let count = fitting.min(first.count - self.taken);
        self.at += count * first.size;
        self.taken += count;
        if self.taken == first.count {
            (self.rest, self.taken) = (rest, 0);
        }
        (count > 0).then_some(Group { count, ..*first })
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = (Command, &'a [u8]);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let (first, rest) = self.rest.split_first()?;
        let end = self.at + first.size;
        if end > self.until {
            return None;
        }
        let frame = self.bytes.get(self.at..end)?;
        self.at = end;
        self.taken += 1;
        if self.taken == first.count {
            (self.rest, self.taken) = (rest, 0);
        }
        Some((first.command, frame))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, prelude::*};

    fn command() -> impl Strategy<Value = Command> {
        let unknown: Command = "hello".parse().unwrap();
        prop_oneof![Just(Command::Ping), Just(Command::Tx), Just(unknown)]
    }

    proptest! {
        #[test]
        fn the_list_returns_the_frames_that_were_added(
            groups in vec((command(), 1..4_usize, 1..6_usize), 0..8),
            cuts in vec(0..60_usize, 0..5),
        ) {
            let mut list = FrameList::default();
            let mut bytes = Vec::new();
            let mut expected = Vec::new();
            let repeated = |(command, size, count)| std::iter::repeat_n((command, size), count);
            for (number, (command, size)) in groups.into_iter().flat_map(repeated).enumerate() {
                list.add(command, size);
                let frame = vec![u8::try_from(number).unwrap(); size];
                bytes.extend_from_slice(&frame);
                expected.push((command, frame, bytes.len()));
            }
            let all: Vec<_> = list.frames(&bytes).map(|(command, frame)| (command, frame.to_vec())).collect();
            let whole = |from: usize, to: usize| {
                let within = expected.iter().filter(move |(_, _, end)| (from + 1..=to).contains(end));
                within.map(|(command, frame, _)| (*command, frame.clone())).collect::<Vec<_>>()
            };
            prop_assert_eq!(&all, &whole(0, bytes.len()));
            // The frames are taken in pieces, as the writer takes them.
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.sort_unstable();
            let mut rest = list.frames(&bytes);
            let mut from = 0;
            for to in cuts {
                let piece = rest.take_within(to);
                let returned: Vec<_> = piece.clone().map(|(command, frame)| (command, frame.to_vec())).collect();
                prop_assert_eq!(&returned, &whole(from, to));
                let (messages, bytes) = piece.counts().fold((0, 0), |(messages, bytes), (_, count)| {
                    (messages + count.messages, bytes + count.bytes)
                });
                prop_assert_eq!(messages, returned.len() as u64);
                prop_assert_eq!(bytes, returned.iter().map(|(_, frame)| frame.len() as u64).sum::<u64>());
                from = to;
            }
            let left: Vec<_> = rest.map(|(command, frame)| (command, frame.to_vec())).collect();
            prop_assert_eq!(left, whole(from, bytes.len()));
        }
    }

    #[test]
    fn consecutive_frames_of_one_command_and_size_are_one_entry() {
        let mut list = FrameList::of(Command::Tx, 274);
        for _ in 0..1000 {
            list.add(Command::Tx, 274);
        }
        assert_eq!(list.commands().collect::<Vec<_>>(), [Command::Tx]);
        list.add(Command::Tx, 275);
        list.add(Command::Ping, 275);
        assert_eq!(list.commands().collect::<Vec<_>>(), [Command::Tx, Command::Tx, Command::Ping]);
        list.clear();
        assert_eq!(list.commands().count(), 0);
    }
}
