//! Captures in memory.
#![allow(dead_code)]

use kaspa_peer::peer::{CaptureReader, Captured};
use kaspa_peer::wire::Network;
use parking_lot::Mutex;
use std::io::{self, Write};
use std::sync::Arc;

/// A file in memory.
#[derive(Clone, Default)]
pub struct File(pub Arc<Mutex<Vec<u8>>>);

impl Write for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What was recorded in it.
pub fn records(file: &File) -> Vec<Captured> {
    let bytes = file.0.lock().clone();
    let reader = CaptureReader::new(bytes.as_slice()).unwrap();
    assert_eq!(reader.network(), Network::Simnet);
    reader.map(|record| record.unwrap().what).collect()
}
