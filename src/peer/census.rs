//! How many peers a process has room for.
//!
//! Each thread takes four memory maps on Linux: its stack, the stack for signals, and a guard page for either. When
//! they run out it is often not the spawn that fails but the new thread, before it runs any code of ours, and then the
//! runtime aborts the process. So the last peers that could be started are refused.

use super::StartError;
use std::{
    fs,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicUsize, Ordering},
    },
};

/// How many maps the three threads of a peer take.
const MAPS: usize = 3 * 4;

/// The part of all maps that is left to the rest of the program.
const RESERVE: usize = 10;

/// The peers of this process.
pub(super) static CENSUS: LazyLock<Census> = LazyLock::new(|| {
    // Where there is no such file there is no such limit, or it is not known.
    Census::new(fs::read_to_string("/proc/sys/vm/max_map_count").ok().as_deref())
});

#[derive(Debug)]
pub(super) struct Census {
    peers: Arc<AtomicUsize>,
    limit: usize,
}

/// Counts as a peer until it is dropped.
#[derive(Debug)]
pub(super) struct Place(Arc<AtomicUsize>);

impl Census {
    fn new(max_map_count: Option<&str>) -> Self {
        let maps = max_map_count.and_then(|text| text.trim().parse::<usize>().ok());
        let limit = maps.map_or(usize::MAX, |maps| (maps - maps / RESERVE) / MAPS);
        Self { peers: Arc::default(), limit }
    }

    /// A place for one more.
    pub fn enter(&self) -> Result<Place, StartError> {
        let place = Place(Arc::clone(&self.peers));
        if self.peers.fetch_add(1, Ordering::Relaxed) >= self.limit {
            return Err(StartError::TooManyPeers { limit: self.limit });
        }
        Ok(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stock_settings_have_room_for_nearly_five_thousand() {
        assert_eq!(Census::new(Some("65530\n")).limit, 4914);
        assert_eq!(Census::new(Some("0")).limit, 0);
    }

    #[test]
    fn a_limit_that_is_not_known_is_none() {
        assert_eq!(Census::new(None).limit, usize::MAX);
        assert_eq!(Census::new(Some("many")).limit, usize::MAX);
    }

    #[test]
    fn who_leaves_makes_room() {
        let census = Census::new(Some("27"));
        let (first, second) = (census.enter().unwrap(), census.enter().unwrap());
        for _ in 0..2 {
            assert!(matches!(census.enter(), Err(StartError::TooManyPeers { limit: 2 })));
        }
        drop(first);
        let third = census.enter().unwrap();
        assert!(census.enter().is_err());
        drop((second, third));
        assert_eq!(census.peers.load(Ordering::Relaxed), 0);
    }
}
