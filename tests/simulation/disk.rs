//! A store whose disk fails, is slow, and loses power. It outlives the processes that use it.

use std::collections::BTreeMap;
use std::sync::Arc;

use mintbench::service::store::{Cause, Fault, Format, Revision, Store, StoreError};
use mintbench::service::world::record::{Change, Record};
use parking_lot::Mutex;

use crate::actors::{self, Stop};
use crate::clock::{Dice, VirtualClock};

/// State of the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DiskMode {
    /// Every commit fails. Whether it is stored is a matter of luck.
    Failing,
    /// Commits take no time.
    Healthy,
    /// A commit takes so many seconds.
    Slow(u64),
}

#[derive(Debug)]
struct Content {
    revision: Revision,
    /// Records by key text, as JSON, with the revision that wrote them.
    kept: BTreeMap<String, (Revision, String)>,
    mode: DiskMode,
    /// Changes of the last commit that has not been looked at.
    offered: Option<Vec<Change>>,
    /// True if the last failed commit was stored.
    is_stored: bool,
}

/// The disk.
#[derive(Debug)]
pub(crate) struct Disk {
    content: Mutex<Content>,
    clock: Arc<VirtualClock>,
    dice: Arc<Dice>,
}

impl Disk {
    pub(crate) fn new(clock: &Arc<VirtualClock>, dice: &Arc<Dice>) -> Arc<Self> {
        let content = Content {
            revision: Revision(0),
            kept: BTreeMap::new(),
            mode: DiskMode::Healthy,
            offered: None,
            is_stored: false,
        };
        let (clock, dice) = (Arc::clone(clock), Arc::clone(dice));
        Arc::new(Self { content: Mutex::new(content), clock, dice })
    }

    pub(crate) fn set(&self, mode: DiskMode) {
        self.content.lock().mode = mode;
    }

    pub(crate) fn is_failing(&self) -> bool {
        self.content.lock().mode == DiskMode::Failing
    }

    /// Returns the changes of the last commit, unless they were returned before.
    pub(crate) fn take_offered(&self) -> Option<Vec<Change>> {
        self.content.lock().offered.take()
    }

    /// Returns whether the last failed commit is stored all the same.
    pub(crate) fn stored_in_doubt(&self) -> bool {
        self.content.lock().is_stored
    }

    /// Returns every record, in the order in which they were written.
    pub(crate) fn records(&self) -> Vec<Record> {
        let content = self.content.lock();
        let mut kept: Vec<_> = content.kept.values().collect();
        kept.sort_unstable_by_key(|(revision, _)| *revision);
        kept.into_iter().map(|(_, json)| serde_json::from_str(json).unwrap()).collect()
    }

    /// Waits as long as the disk takes. Returns false if the power goes meanwhile.
    fn wait(&self) -> bool {
        let mode = self.content.lock().mode;
        match mode {
            DiskMode::Slow(seconds) => actors::stop(Stop::Until(self.clock.second() + seconds)),
            _ if actors::can_stop() && self.dice.one_in(2) => actors::stop(Stop::Ready),
            _ => true,
        }
    }

    fn fault() -> StoreError {
        StoreError::Unwritable(Fault { folder: "/simulated".into(), cause: Cause::Full })
    }
}

impl Content {
    fn keep(&mut self, changes: &[Change]) {
        for change in changes {
            self.revision.0 += 1;
            let key = change.key().to_string();
            match change {
                Change::Put(record) => {
                    let json = serde_json::to_string(record).unwrap();
                    self.kept.insert(key, (self.revision, json));
                }
                Change::Remove(_) => drop(self.kept.remove(&key)),
            }
        }
    }
}

/// A process's handle of the disk.
#[derive(Debug)]
pub(crate) struct Handle(pub(crate) Arc<Disk>);

impl Store for Handle {
    fn commit(&self, expected: Revision, changes: &[Change]) -> Result<Revision, StoreError> {
        let disk = &*self.0;
        {
            let mut content = disk.content.lock();
            if content.revision != expected {
                return Err(StoreError::Conflict { expected, found: content.revision });
            }
            content.offered = Some(changes.to_vec());
        }
        let is_alive = disk.wait();
        let mut content = disk.content.lock();
        if !is_alive || content.mode == DiskMode::Failing {
            content.is_stored = disk.dice.one_in(2);
            if content.is_stored {
                content.keep(changes);
            }
            return Err(Disk::fault());
        }
        content.keep(changes);
        content.is_stored = true;
        let revision = content.revision;
        drop(content);
        // Power may also go when the change is stored and nobody knows it yet.
        if actors::can_stop() && disk.dice.one_in(4) && !actors::stop(Stop::Ready) {
            return Err(Disk::fault());
        }
        Ok(revision)
    }

    fn replay(&self, each: &mut dyn FnMut(Record)) -> Result<Revision, StoreError> {
        self.0.records().into_iter().for_each(each);
        Ok(self.0.content.lock().revision)
    }

    fn format(&self) -> Format {
        Format::CURRENT
    }

    fn health(&self) -> Result<(), Fault> {
        match Disk::fault() {
            StoreError::Unwritable(fault) if self.0.is_failing() => Err(fault),
            _ => Ok(()),
        }
    }

    fn recover(&self) -> Result<Revision, StoreError> {
        if self.0.is_failing() {
            return Err(Disk::fault());
        }
        Ok(self.0.content.lock().revision)
    }
}
