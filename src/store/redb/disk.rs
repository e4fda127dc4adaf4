//! The file of a store as the engine sees it: with what it writes kept in memory, or with every failure
//! noted.

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

use super::super::fault::Cause;

/// Bytes of a block that is kept in memory; a page of the engine.
const BLOCK_LEN: usize = 4096;
const BLOCK: u64 = BLOCK_LEN as u64;

/// Bytes that are read and written at once by [`rewrite`].
const STEP: usize = 1 << 20;

/// The failures of a file since it was opened.
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
    /// Makes every write and sync fail in this way, until there is another.
    #[cfg(test)]
    pub(super) fn inject(&self, error: Option<io::ErrorKind>) {
        self.0.lock().injected = error;
    }

    #[cfg(test)]
    fn injected(&self) -> io::Result<()> {
        self.0.lock().injected.map_or(Ok(()), |kind| Err(kind.into()))
    }

    /// Takes the first failure.
    pub(super) fn take(&self) -> Option<Cause> {
        self.0.lock().first.take()
    }

    /// Whether a sync failed since the last call: what was written before it may never reach the disk.
    pub(super) fn take_unsynced(&self) -> bool {
        std::mem::take(&mut self.0.lock().unsynced)
    }

    /// Notes that a sync failed.
    pub(super) fn note_unsynced(&self) {
        self.0.lock().unsynced = true;
    }

    /// Notes a failure, unless there was one before: later ones only follow from it.
    pub(super) fn note(&self, error: &io::Error) {
        self.0.lock().first.get_or_insert_with(|| error.into());
    }
}

/// The file behind the engine.
#[derive(Debug)]
pub(super) struct Disk {
    file: FileBackend,
    failures: Failures,
    /// What the engine has written, if the file itself is to stay as it is.
    preview: Option<Mutex<Written>>,
    locks: Locks,
}

/// Whether the engine locks the file against other programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Locks {
    Taken,
    /// For a file that is open for reading only.
    Omitted,
}

/// What the engine has written over a file that stays as it is.
#[derive(Debug)]
struct Written {
    len: u64,
    /// Bytes of the file that are still valid; the engine has cut off the rest.
    kept: u64,
    blocks: HashMap<u64, Box<[u8]>>,
}

impl Disk {
    /// The file itself. Notes what fails in `failures`.
    pub(super) fn new(file: &File, failures: Failures) -> Result<Self, redb::DatabaseError> {
        let file = FileBackend::new(file.try_clone()?)?;
        Ok(Self { file, failures, preview: None, locks: Locks::Taken })
    }

    /// The file with all writes kept in memory: whatever the engine does, no byte of the file changes.
    pub(super) fn preview(file: &File, locks: Locks) -> Result<Self, redb::DatabaseError> {
        let len = file.metadata()?.len();
        let written = Written { len, kept: len, blocks: HashMap::new() };
        let disk = Self::new(file, Failures::default())?;
        Ok(Self { preview: Some(Mutex::new(written)), locks, ..disk })
    }

    fn noted<T>(&self, outcome: io::Result<T>) -> io::Result<T> {
        outcome.inspect_err(|error| self.failures.note(error))
    }

    /// Reads from the file itself, of which `kept` bytes are valid; what lies behind them is zero.
    fn read_padded(&self, kept: u64, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let held = kept.saturating_sub(offset);
        let held = usize::try_from(held).unwrap_or(usize::MAX).min(out.len());
        let (inside, behind) = out.split_at_mut(held);
        behind.fill(0);
        if inside.is_empty() { Ok(()) } else { self.file.read(offset, inside) }
    }
}

/// The parts of the blocks that `len` bytes at `offset` touch: number of the block, first byte in it, and
/// length.
fn parts(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize, usize)> {
    let end = offset + len as u64;
    (offset / BLOCK..end.div_ceil(BLOCK)).map(move |block| {
        let (from, to) = (offset.max(block * BLOCK), end.min((block + 1) * BLOCK));
        // Both are at most the size of a block.
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

/// Writes a file over itself and syncs it. After a failed sync the system holds pages for written that are
/// not on the disk, and a later sync passes over them.
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
