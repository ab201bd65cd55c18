//! Captures in memory.

use kaspa_peer::peer::{CaptureReader, Captured};
use kaspa_peer::wire::Network;
use parking_lot::Mutex;
use std::io::{self, Write};
use std::sync::Arc;

/// A file in memory. Clones are the same file.
#[derive(Clone, Default)]
pub struct MemoryFile(pub Arc<Mutex<Vec<u8>>>);

impl Write for MemoryFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The records of a capture.
pub fn records(file: &MemoryFile) -> Vec<Captured> {
    let bytes = file.0.lock().clone();
    let reader = CaptureReader::new(bytes.as_slice()).unwrap();
    assert_eq!(reader.network(), Network::Simnet);
    reader.map(|record| record.unwrap().what).collect()
}
