//! Floods of connections, and the memory and the work that they cost.

use super::*;
use kaspa_peer::wire::{Frame, Ping};
use std::cell::Cell;

thread_local! {
    /// How often a connection of this thread was asked how much it holds.
    pub static MEASURED: Cell<usize> = const { Cell::new(0) };
}

/// A segment without bytes between one of many diallers and a listener.
fn segment(number: usize, syn: bool, acknowledged: Option<u32>, rst: bool) -> Segment {
    let number = u32::try_from(number).unwrap();
    let [dialler, listener] = [SocketAddr::from((number.to_be_bytes(), 50_000)), ([11, 0, 0, 1], 16111).into()];
    let (source, destination) = if acknowledged.is_some() { (listener, dialler) } else { (dialler, listener) };
    let (time, payload) = (SystemTime::UNIX_EPOCH, Vec::new());
    let (direction, sequence, fin) = (None, 7, false);
    Segment { time, direction, source, destination, sequence, acknowledged, syn, fin, rst, payload }
}

fn connections() -> Connections {
    let mut header = vec![0; 24];
    header[..4].copy_from_slice(&0xa1b2_c3d4_u32.to_le_bytes());
    Connections::new(Segments::new(&header, io::empty()).unwrap(), None)
}

#[test]
fn a_flood_of_connections_is_counted_and_costs_no_search() {
    let mut flooded = connections();
    for number in 0..MAX_OPEN + 1000 {
        flooded.add(segment(number, true, None, false));
        flooded.add(segment(number, true, Some(8), false));
    }
    assert_eq!((flooded.connections.len(), flooded.summary.ignored, flooded.searches), (MAX_OPEN, 1000, 0));
}

#[test]
fn connections_that_end_make_room_and_are_searched_for_rarely() {
    let mut flooded = connections();
    // One connection fewer than may be open.
    (1..MAX_OPEN).for_each(|number| flooded.add(segment(number, true, None, false)));
    for number in 0..3 * MAX_ENDED {
        flooded.add(segment(MAX_OPEN + number, true, None, false));
        flooded.add(segment(MAX_OPEN + number, false, Some(8), true));
    }
    assert_eq!((flooded.summary.ignored, flooded.summary.others), (0, 3 * MAX_ENDED as u64));
    assert_eq!(flooded.searches, 2);
    assert!(flooded.connections.len() < MAX_OPEN + MAX_ENDED);
    // The same ports again.
    let number = 4 * MAX_OPEN;
    for sequence in 0..3 {
        flooded.add(Segment { sequence, ..segment(number, true, None, false) });
        flooded.add(segment(number, false, Some(8), true));
    }
    assert_eq!(flooded.summary.others, 3 * MAX_ENDED as u64 + 3);
    let ended = flooded.connections.values().filter(|connection| connection.is_over).count();
    assert_eq!(flooded.ended, ended);
}

/// A segment with bytes of the dialler of a connection. The stream begins at 8, so bytes are missing before the segment
/// if `sequence` is higher.
fn payload(number: usize, sequence: u32, payload: Vec<u8>) -> Segment {
    Segment { sequence, payload, ..segment(number, false, None, false) }
}

#[test]
fn giving_up_bytes_looks_at_one_connection() {
    const OPEN: usize = 2000;
    let mut flooded = connections();
    for number in 0..OPEN {
        flooded.add(segment(number, true, None, false));
        flooded.add(payload(number, 1000, vec![1; 100]));
    }
    flooded.max_held = flooded.held.total();
    MEASURED.set(0);
    for number in 0..OPEN {
        flooded.add(payload(number, 9000, vec![1; 100]));
        assert!(flooded.held.total() <= flooded.max_held);
    }
    // Before and after each segment, and when it ends or is given up.
    assert!(MEASURED.get() <= 4 * OPEN, "{} for {OPEN} segments", MEASURED.get());
    let sizes = flooded.connections.values().map(Connection::held);
    assert_eq!(flooded.held.total(), sizes.sum::<usize>());
}

#[test]
fn connections_that_end_with_the_file_are_shown_one_by_one() {
    const OPEN: usize = 50;
    const FRAMES: usize = 40;
    let frame = Frame::encode(&Ping { nonce: 1 }, Network::Simnet).unwrap();
    let mut open = connections();
    for number in 0..OPEN {
        open.add(segment(number, true, None, false));
        open.add(payload(number, 1000, frame.as_bytes().repeat(FRAMES)));
    }
    let mut shown = 0;
    while let Some(record) = open.next_record().unwrap() {
        shown += usize::from(matches!(record.what, What::Sent(_)));
        // Those of one connection, and some about its begin, its gap and its end.
        assert!(open.records.len() < FRAMES + 5, "{} records wait", open.records.len());
    }
    assert_eq!((shown, open.held.total()), (OPEN * FRAMES, 0));
}
