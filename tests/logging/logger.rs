//! The one logger of this process.

use log::{Level, LevelFilter};
use parking_lot::{Mutex, MutexGuard};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

/// One line of the log.
#[derive(Debug, Clone)]
pub struct Line {
    pub level: Level,
    pub target: String,
    pub text: String,
}

static SESSION: Mutex<()> = Mutex::new(());
static LINES: Mutex<Vec<Line>> = Mutex::new(Vec::new());
static PANICS: AtomicBool = AtomicBool::new(false);

struct Logger;

impl log::Log for Logger {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        assert!(!PANICS.load(Ordering::SeqCst), "cannot print: {}", record.args());
        let (target, text) = (record.target().to_owned(), record.args().to_string());
        LINES.lock().push(Line { level: record.level(), target, text });
    }

    fn flush(&self) {}
}

/// Exclusive use of the logger. Dropping it turns logging off.
pub struct Session(#[allow(dead_code)] MutexGuard<'static, ()>);

/// Waits until no other test uses the logger, and logs at `level` from then on.
pub fn start(level: LevelFilter) -> Session {
    static SET: Once = Once::new();
    let session = Session(SESSION.lock());
    SET.call_once(|| log::set_logger(&Logger).unwrap());
    session.set_level(level);
    session
}

impl Session {
    /// Changes the level, and forgets all lines so far.
    pub fn set_level(&self, level: LevelFilter) {
        log::set_max_level(level);
        LINES.lock().clear();
    }

    /// All lines since the level was set.
    pub fn lines(&self) -> Vec<Line> {
        LINES.lock().clone()
    }

    /// Runs something while every attempt to log panics.
    pub fn while_logging_panics<T>(&self, run: impl FnOnce() -> T) -> T {
        PANICS.store(true, Ordering::SeqCst);
        let result = run();
        PANICS.store(false, Ordering::SeqCst);
        result
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        PANICS.store(false, Ordering::SeqCst);
        log::set_max_level(LevelFilter::Off);
        LINES.lock().clear();
    }
}
