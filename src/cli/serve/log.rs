//! The log of a server, which a thread of its own writes.
//!
//! A pipe that nobody reads is full after 64 KiB, and a paused terminal takes nothing. No request may wait for
//! that. So events go into a queue. Those that find it full are left out and counted.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::error::{LOG, ServeError};
use crate::cli::sources::variables::variable;
use crate::cli::terminal::{Log, Stream};

/// Maximum number of events that wait to be written.
const EVENTS_MAX: usize = 1000;

/// Time to write the rest at the end of the process.
const REST_WITHIN: Duration = Duration::from_secs(1);

/// The events that wait to be written.
#[derive(Debug, Default)]
pub(super) struct LogQueue {
    waiting: Mutex<Waiting>,
    has_changed: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    events: VecDeque<Vec<u8>>,
    left_out: u64,
    /// True while events that were taken from here are being written.
    is_writing: bool,
}

/// Starts the log on standard error, with the events that `MINTBENCH_LOG` chooses.
///
/// # Errors
/// Returns an error if the variable is wrong, or if there is no thread for the log.
pub(super) fn start() -> Result<Arc<LogQueue>, ServeError> {
    let filter = filter()?;
    let colours = Stream::Error.is_terminal();
    let queue = Arc::new(LogQueue::default());
    let written = Arc::clone(&queue);
    let thread = std::thread::Builder::new().name("log".to_owned());
    thread.spawn(move || written.write_to(&mut Log { colours })).map_err(ServeError::LogThread)?;
    let events = Arc::clone(&queue);
    let lines = tracing_subscriber::fmt::layer().with_ansi(colours);
    let lines = lines.with_writer(move || Event(Arc::clone(&events)));
    tracing_subscriber::registry().with(filter).with(lines).init();
    Ok(queue)
}

/// Parses `MINTBENCH_LOG`: a level, or a list such as `mintbench::base::http=debug,info`.
fn filter() -> Result<Targets, ServeError> {
    let text = variable(LOG).unwrap_or_else(|| "warn".into());
    let text = text.to_string_lossy();
    let refused = || ServeError::Log(text.clone().into_owned());
    // A single word that is not a level would be parsed as the name of a module, and there is no such module.
    let is_word = text.chars().all(|char| char.is_ascii_alphanumeric());
    if is_word && text.parse::<LevelFilter>().is_err() {
        return Err(refused());
    }
    text.parse().map_err(|_| refused())
}

/// The writer of one event.
struct Event(Arc<LogQueue>);

impl Write for Event {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        self.0.push(event);
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl LogQueue {
    fn push(&self, event: &[u8]) {
        let mut waiting = self.waiting.lock();
        if waiting.events.len() < EVENTS_MAX {
            waiting.events.push_back(event.to_owned());
            self.has_changed.notify_all();
        } else {
            waiting.left_out += 1;
        }
    }

    /// Writes events to `log`, for ever. An event that cannot be written is lost.
    fn write_to(&self, log: &mut impl Write) {
        loop {
            let (events, left_out) = self.take();
            for event in events {
                let _ = log.write_all(&event);
            }
            if left_out > 0 {
                let _ = writeln!(
                    log,
                    "{left_out} lines of the log were left out: they came faster than they were read"
                );
            }
        }
    }

    /// Waits for events and takes them, with the number of those that were left out after them.
    fn take(&self) -> (VecDeque<Vec<u8>>, u64) {
        let mut waiting = self.waiting.lock();
        waiting.is_writing = false;
        self.has_changed.notify_all();
        self.has_changed.wait_while(&mut waiting, |waiting| waiting.events.is_empty());
        waiting.is_writing = true;
        (std::mem::take(&mut waiting.events), std::mem::take(&mut waiting.left_out))
    }

    /// Waits until everything is written. Gives up after a second: perhaps nobody reads.
    pub(super) fn finish(&self) {
        let mut waiting = self.waiting.lock();
        let is_left = |waiting: &mut Waiting| !waiting.events.is_empty() || waiting.is_writing;
        self.has_changed.wait_while_for(&mut waiting, is_left, REST_WITHIN);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

    use super::*;

    /// A log that takes each write only when it is read.
    struct Unread(SyncSender<String>);

    impl Write for Unread {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let sent = self.0.send(String::from_utf8_lossy(bytes).into_owned());
            sent.map_err(io::Error::other)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn unread_queue() -> (Arc<LogQueue>, Receiver<String>) {
        let (log, read) = sync_channel(0);
        let queue = Arc::new(LogQueue::default());
        let written = Arc::clone(&queue);
        std::thread::spawn(move || written.write_to(&mut Unread(log)));
        (queue, read)
    }

    #[test]
    fn events_that_nobody_reads_hold_nobody_up_and_are_counted() {
        let (queue, read) = unread_queue();
        queue.push(b"first");
        // It is being written now: the queue is empty, and everything else waits for it.
        while !queue.waiting.lock().events.is_empty() {
            std::thread::yield_now();
        }
        for number in 0..EVENTS_MAX + 7 {
            queue.push(number.to_string().as_bytes());
        }
        let lines: Vec<String> = read.iter().take(EVENTS_MAX + 1).collect();
        assert_eq!((&*lines[0], &*lines[EVENTS_MAX]), ("first", &*(EVENTS_MAX - 1).to_string()));
        assert_eq!(read.recv().unwrap().chars().next(), Some('7'));
    }

    /// A log that takes its time.
    #[derive(Clone, Default)]
    struct Slow(Arc<Mutex<Vec<u8>>>);

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            for _ in 0..1000 {
                std::thread::yield_now();
            }
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_end_waits_for_the_last_words() {
        let (queue, log) = (Arc::new(LogQueue::default()), Slow::default());
        let (written, mut slow) = (Arc::clone(&queue), log.clone());
        std::thread::spawn(move || written.write_to(&mut slow));
        queue.push(b"last ");
        queue.push(b"words");
        queue.finish();
        assert_eq!(*log.0.lock(), b"last words");
    }
}
