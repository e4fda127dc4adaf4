//! One request and its answer on a blocking connection, before the load starts.

use std::io::{self, ErrorKind, Read, Write};

use crate::harness::dialect::response::{self, Answer, Rest};
use crate::harness::dialect::transport::Transport;

/// Sends `request` and waits for its answer. Returns the answer with the bytes that it was parsed
/// from.
///
/// # Errors
/// Returns the error of the connection, or `InvalidData` if the bytes that come are not an answer.
pub(super) fn exchange(stream: &mut Transport, request: &[u8]) -> io::Result<(Answer, Vec<u8>)> {
    stream.write_all(request)?;
    stream.flush()?;
    let (mut input, mut rest) = (Vec::new(), Rest::Open);
    loop {
        match response::parse(&input, rest).map_err(|error| invalid(&error.to_string()))? {
            Some(answer) => return Ok((answer, input)),
            None if rest == Rest::Ended => return Err(invalid("it ends early")),
            None => {}
        }
        let mut piece = [0; 8192];
        match stream.read(&mut piece) {
            Ok(0) => rest = Rest::Ended,
            Ok(count) => input.extend_from_slice(piece.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn invalid(reason: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, reason.to_owned())
}
