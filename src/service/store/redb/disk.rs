//! File of a store, as the engine sees it. Either all writes stay in memory, or every failure is recorded.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::File;
use std::io;
use std::ops::Bound;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use parking_lot::Mutex;
use redb::backends::FileBackend;
use redb::{BackendError, StorageBackend};

use crate::service::store::fault::Cause;

/// Bytes of a block in memory; equals a page of the engine.
const BLOCK_LEN: usize = 4096;
const BLOCK: u64 = BLOCK_LEN as u64;

/// Bytes that [`rewrite`] reads and writes in one step.
const STEP: usize = 1 << 20;

/// Failures of a file since it was opened.
#[derive(Clone, Debug, Default)]
pub(super) struct Failures(Arc<Mutex<Noted>>);

#[derive(Debug, Default)]
struct Noted {
    first: Option<Cause>,
    unsynced: bool,
    #[cfg(test)]
    injected: Option<io::ErrorKind>,
}

impl Failures {
    /// Makes every write and sync fail with this error, until the next call.
    #[cfg(test)]
    pub(super) fn inject(&self, error: Option<io::ErrorKind>) {
        self.0.lock().injected = error;
    }

    #[cfg(test)]
    fn injected(&self) -> io::Result<()> {
        self.0.lock().injected.map_or(Ok(()), |kind| Err(kind.into()))
    }

    /// Returns the first failure and forgets it.
    pub(super) fn take(&self) -> Option<Cause> {
        self.0.lock().first.take()
    }

    /// Returns true if a sync failed since the last call. Data written before it may never reach the disk.
    pub(super) fn take_unsynced(&self) -> bool {
        std::mem::take(&mut self.0.lock().unsynced)
    }

    /// Records that a sync failed.
    pub(super) fn note_unsynced(&self) {
        self.0.lock().unsynced = true;
    }

    /// Records a failure, unless one is recorded: later failures only follow from the first.
    pub(super) fn note(&self, error: &io::Error) {
        self.0.lock().first.get_or_insert_with(|| error.into());
    }
}

/// Storage backend of the engine: a file, or a file with writes kept in memory.
#[derive(Debug)]
pub(super) struct Disk {
    file: FileBackend,
    failures: Failures,
    /// Writes of the engine, if the file itself must not change.
    preview: Option<Mutex<Written>>,
    locks: Locks,
}

/// The engine's choice whether to lock the file against other programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Locks {
    Taken,
    /// No lock, for a file that is open for reading only.
    Omitted,
}

/// Writes of the engine over a file that must not change.
#[derive(Debug)]
struct Written {
    len: u64,
    /// Bytes of the file that are still valid. The engine has truncated the rest.
    kept: u64,
    blocks: HashMap<u64, Box<[u8]>>,
}

impl Disk {
    /// Opens the file itself, and records failures in `failures`.
    pub(super) fn new(file: &File, failures: Failures) -> Result<Self, redb::DatabaseError> {
        let file = FileBackend::new(file.try_clone()?)?;
        Ok(Self { file, failures, preview: None, locks: Locks::Taken })
    }

    /// Opens the file with all writes kept in memory: the engine cannot change any byte of it.
    pub(super) fn preview(file: &File, locks: Locks) -> Result<Self, redb::DatabaseError> {
        let len = file.metadata()?.len();
        let written = Written { len, kept: len, blocks: HashMap::new() };
        let disk = Self::new(file, Failures::default())?;
        Ok(Self { preview: Some(Mutex::new(written)), locks, ..disk })
    }

    fn noted<T>(&self, outcome: io::Result<T>) -> io::Result<T> {
        outcome.inspect_err(|error| self.failures.note(error))
    }

    /// Reads from the file itself. Only `kept` bytes of it are valid; bytes after them are zero.
    fn read_padded(&self, kept: u64, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let held = kept.saturating_sub(offset);
        let held = usize::try_from(held).unwrap_or(usize::MAX).min(out.len());
        let (inside, behind) = out.split_at_mut(held);
        behind.fill(0);
        if inside.is_empty() { Ok(()) } else { self.file.read(offset, inside) }
    }
}

/// Splits the range of `len` bytes at `offset` by blocks. Returns the number of each block, the first byte in
/// it, and the length.
fn parts(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize, usize)> {
    let end = offset + len as u64;
    (offset / BLOCK..end.div_ceil(BLOCK)).map(move |block| {
        let (from, to) = (offset.max(block * BLOCK), end.min((block + 1) * BLOCK));
        // Neither value exceeds the size of a block.
        let [start, len] = [from - block * BLOCK, to - from];
        (block, usize::try_from(start).unwrap_or(0), usize::try_from(len).unwrap_or(0))
    })
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        match &self.preview {
            Some(written) => Ok(written.lock().len),
            None => self.noted(self.file.len()),
        }
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let Some(written) = &self.preview else { return self.noted(self.file.read(offset, out)) };
        let written = written.lock();
        if offset.checked_add(out.len() as u64).is_none_or(|end| end > written.len) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.read_padded(written.kept, offset, out)?;
        let mut rest = out;
        for (block, start, len) in parts(offset, rest.len()) {
            let (part, after) = rest.split_at_mut(len);
            if let Some(held) =
                written.blocks.get(&block).and_then(|held| held.get(start..start + len))
            {
                part.copy_from_slice(held);
            }
            rest = after;
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let Some(written) = &self.preview else { return self.noted(self.file.set_len(len)) };
        let mut written = written.lock();
        (written.len, written.kept) = (len, written.kept.min(len));
        written.blocks.retain(|block, _| block * BLOCK < len);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        if self.preview.is_some() {
            return Ok(());
        }
        #[cfg(test)]
        self.noted(self.failures.injected()).inspect_err(|_| self.failures.note_unsynced())?;
        self.noted(self.file.sync_data()).inspect_err(|_| self.failures.note_unsynced())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let Some(written) = &self.preview else {
            #[cfg(test)]
            self.noted(self.failures.injected())?;
            return self.noted(self.file.write(offset, data));
        };
        let Written { kept, blocks, .. } = &mut *written.lock();
        let mut rest = data;
        for (block, start, len) in parts(offset, data.len()) {
            let (part, after) = rest.split_at(len);
            let held = match blocks.entry(block) {
                Entry::Occupied(held) => held.into_mut(),
                Entry::Vacant(place) => {
                    let mut held = vec![0; BLOCK_LEN].into_boxed_slice();
                    self.read_padded(*kept, block * BLOCK, &mut held)?;
                    place.insert(held)
                }
            };
            if let Some(held) = held.get_mut(start..start + len) {
                held.copy_from_slice(part);
            }
            rest = after;
        }
        Ok(())
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        if self.locks == Locks::Omitted {
            return Err(BackendError::Unsupported);
        }
        self.file.try_lock_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.query_lock_range(start, end)
    }
}

/// Writes a file over itself and syncs it. After a failed sync, the system treats pages as written that are
/// not on the disk, and a later sync skips them.
pub(super) fn rewrite(file: &File) -> io::Result<()> {
    let mut step = vec![0; STEP];
    let mut offset = 0;
    loop {
        let len = file.read_at(&mut step, offset)?;
        let Some(bytes) = step.get(..len).filter(|bytes| !bytes.is_empty()) else { break };
        file.write_all_at(bytes, offset)?;
        offset += len as u64;
    }
    file.sync_all()
}
