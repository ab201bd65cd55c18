//! The locks and condition variables of a connection. They are those of `parking_lot`.
//!
//! With `--cfg shuttle` the unit tests use those of `shuttle` instead. Its scheduler decides at every lock, wait and
//! notification which thread runs next, see `interleavings`. Channels are not replaced, because those tests never wait
//! on one.

#[cfg(not(all(test, shuttle)))]
pub(super) use parking_lot::{Condvar, Mutex, MutexGuard};
#[cfg(all(test, shuttle))]
pub(super) use scheduled::{Condvar, Mutex, MutexGuard};

#[cfg(all(test, shuttle))]
pub(super) use shuttle::thread::yield_now;
#[cfg(not(all(test, shuttle)))]
pub(super) use std::thread::yield_now;

/// Unlocks. If another thread waits for the lock, that thread gets the lock next.
#[cfg(not(all(test, shuttle)))]
pub(super) fn unlock_fair<T>(guard: MutexGuard<'_, T>) {
    MutexGuard::unlock_fair(guard);
}

/// Unlocks. The scheduler decides which thread runs next.
#[cfg(all(test, shuttle))]
pub(super) fn unlock_fair<T>(guard: MutexGuard<'_, T>) {
    drop(guard);
}

/// The part of parking_lot's API that this crate uses, on top of shuttle.
#[cfg(all(test, shuttle))]
mod scheduled {
    use shuttle::{rand::Rng, sync};
    use std::ops::{Deref, DerefMut};
    use std::time::Instant;

    #[derive(Debug, Default)]
    pub struct Mutex<T>(sync::Mutex<T>);

    /// `None` only during [`Condvar::wait`].
    pub struct MutexGuard<'a, T>(Option<sync::MutexGuard<'a, T>>);

    impl<T> Mutex<T> {
        pub fn new(value: T) -> Self {
            Self(sync::Mutex::new(value))
        }

        pub fn lock(&self) -> MutexGuard<'_, T> {
            MutexGuard(Some(self.0.lock().unwrap()))
        }
    }

    /// Another thread may go on between the release of a lock and what the thread does next. The scheduler alone would
    /// switch only where a lock is taken.
    impl<T> Drop for MutexGuard<'_, T> {
        fn drop(&mut self) {
            if self.0.take().is_some() && !std::thread::panicking() {
                shuttle::thread::yield_now();
            }
        }
    }

    impl<T> Deref for MutexGuard<'_, T> {
        type Target = T;

        fn deref(&self) -> &T {
            self.0.as_ref().unwrap()
        }
    }

    impl<T> DerefMut for MutexGuard<'_, T> {
        fn deref_mut(&mut self) -> &mut T {
            self.0.as_mut().unwrap()
        }
    }

    #[derive(Debug, Default)]
    pub struct Condvar(sync::Condvar);

    pub struct TimedOut(bool);

    impl TimedOut {
        pub fn timed_out(&self) -> bool {
            self.0
        }
    }

    impl Condvar {
        pub fn new() -> Self {
            Self::default()
        }

        pub fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
            guard.0 = guard.0.take().map(|held| self.0.wait(held).unwrap());
        }

        /// Ignores the deadline. At random, it times out at once or waits without a deadline.
        pub fn wait_until<T>(&self, guard: &mut MutexGuard<'_, T>, _: Instant) -> TimedOut {
            let out_of_time = shuttle::rand::thread_rng().gen_bool(0.3);
            if !out_of_time {
                self.wait(guard);
            }
            TimedOut(out_of_time)
        }

        pub fn notify_all(&self) {
            self.0.notify_all();
        }
    }
}
