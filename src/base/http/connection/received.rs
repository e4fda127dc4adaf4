//! Bytes of a connection that have arrived and wait to be looked at.

/// Size of the buffer while hyper does not have the connection, and longest head of a plain request.
pub(super) const RECEIVED_BYTES: usize = 4 * 1024;

/// A buffer whose memory is kept from request to request.
#[derive(Debug, Default)]
pub(super) struct Received {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Received {
    pub(super) fn unread(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    pub(super) fn unread_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.start..self.end).unwrap_or_default()
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Removes bytes from the front.
    pub(super) fn consume(&mut self, count: usize) {
        self.start += count;
        if self.start >= self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Returns the free part, which is not empty if fewer than [`RECEIVED_BYTES`] are unread.
    pub(super) fn free(&mut self) -> &mut [u8] {
        self.make_room(RECEIVED_BYTES);
        self.bytes.get_mut(self.end..).unwrap_or_default()
    }

    /// Adds bytes that were written to the free part.
    pub(super) const fn add(&mut self, count: usize) {
        self.end += count;
    }

    /// Adds a copy of bytes.
    pub(super) fn push(&mut self, more: &[u8]) {
        self.make_room(self.unread().len() + more.len());
        if let Some(free) = self.bytes.get_mut(self.end..self.end + more.len()) {
            free.copy_from_slice(more);
            self.end += more.len();
        }
    }

    /// Frees the memory if no bytes are unread.
    pub(super) fn release(&mut self) {
        if self.is_empty() {
            *self = Self::default();
        }
    }

    /// Moves the unread bytes to the front of a buffer of at least `size` bytes.
    fn make_room(&mut self, size: usize) {
        if self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.bytes.len() < size {
            self.bytes.resize(size, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn bytes_come_out_as_they_went_in(
            steps in proptest::collection::vec((0..3_u8, 0..3000_usize), 0..40),
        ) {
            let (mut received, mut model) = (Received::default(), Vec::new());
            for (number, (step, count)) in (0_u8..).zip(steps) {
                match step {
                    0 => {
                        let free = received.free();
                        let count = count.min(free.len());
                        prop_assert!(!free.is_empty() || model.len() >= RECEIVED_BYTES);
                        free[..count].fill(number);
                        received.add(count);
                        model.resize(model.len() + count, number);
                    }
                    1 => {
                        received.push(&vec![number; count]);
                        model.resize(model.len() + count, number);
                    }
                    _ => {
                        let count = count.min(model.len());
                        received.consume(count);
                        model.drain(..count);
                        received.release();
                    }
                }
                prop_assert_eq!(received.unread(), model.as_slice());
                prop_assert_eq!(received.is_empty(), model.is_empty());
            }
        }
    }
}
