//! The locks and atomics of the concurrent core, in one place. The `shuttle` model checker can replace them:
//! `MINTBENCH_SHUTTLE=1 cargo test --lib shuttle`.

#[cfg(not(all(test, mintbench_shuttle)))]
mod imp {
    pub(crate) use parking_lot::{Mutex, RwLock};
    pub(crate) use std::sync::atomic::{AtomicBool, AtomicU64};
}

#[cfg(all(test, mintbench_shuttle))]
mod imp {
    pub(crate) use shuttle::sync::atomic::{AtomicBool, AtomicU64};
    use shuttle::sync::{MutexGuard, RwLockReadGuard, RwLockWriteGuard};

    /// `parking_lot`'s interface (no poisoning) over shuttle's lock.
    #[derive(Debug, Default)]
    pub(crate) struct Mutex<T>(shuttle::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(shuttle::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().unwrap()
        }
    }

    /// `parking_lot`'s interface over shuttle's lock, as in `Mutex`.
    #[derive(Debug, Default)]
    pub(crate) struct RwLock<T>(shuttle::sync::RwLock<T>);

    impl<T> RwLock<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(shuttle::sync::RwLock::new(value))
        }

        pub(crate) fn read(&self) -> RwLockReadGuard<'_, T> {
            self.0.read().unwrap()
        }

        pub(crate) fn write(&self) -> RwLockWriteGuard<'_, T> {
            self.0.write().unwrap()
        }
    }
}

pub(crate) use imp::*;
