//! `/world` and `/reset`: the whole world out, in, and back to its state at the start.

use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};

use super::refusals::not_stored;
use crate::base::clock::UnixSeconds;
use crate::base::http::{BodyError, Payload, text_reply};
use crate::service::directory::{Directory, Losses, ReplaceError, Replaced};
use crate::service::world::archive;
use crate::service::world::archive::{Archive, Secrets};
use crate::service::world::record::Record;

/// Largest world that is taken, in bytes: as large as a world file.
pub(super) const BYTES_MAX: usize = 64 << 20;

/// Number of vaults and applications that an answer names, so that it stays a line to read.
const LOST_SHOWN: usize = 10;

/// Reads `secrets=true` of an export.
pub(super) fn secrets(query: Option<&str>) -> Result<Secrets, &'static str> {
    match query {
        None => Ok(Secrets::LeftOut),
        Some("secrets=true") => Ok(Secrets::Kept),
        Some(_) => Err("the only parameter is secrets=true\n"),
    }
}

/// Reads `replace=true` of an import.
pub(super) fn losses(query: Option<&str>) -> Result<Losses, &'static str> {
    match query {
        None => Ok(Losses::Refused),
        Some("replace=true") => Ok(Losses::Allowed),
        Some(_) => Err("the only parameter is replace=true\n"),
    }
}

/// Returns the world as a file.
pub(super) fn export(directory: &Directory, secrets: Secrets) -> Response<Payload> {
    let records = directory.read().records();
    match archive::render(records, secrets) {
        Ok(text) => {
            let mut response = text_reply(StatusCode::OK, text);
            let json = HeaderValue::from_static("application/json; charset=utf-8");
            response.headers_mut().insert(CONTENT_TYPE, json);
            response
        }
        Err(_) => {
            text_reply(StatusCode::INTERNAL_SERVER_ERROR, "the world cannot be written as JSON\n")
        }
    }
}

/// Answers for a body that was not read.
pub(super) fn unread(error: BodyError) -> Response<Payload> {
    let status = match error {
        BodyError::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
        BodyError::Broken => StatusCode::BAD_REQUEST,
    };
    text_reply(status, format!("{error}\n"))
}

/// Makes the world of a file the world of this server.
pub(super) fn import(
    directory: &Directory,
    text: &[u8],
    losses: Losses,
    now: UnixSeconds,
) -> Response<Payload> {
    let refused = |said: String| text_reply(StatusCode::BAD_REQUEST, format!("{said}\n"));
    let Ok(text) = std::str::from_utf8(text) else {
        return refused("the world is not UTF-8".to_owned());
    };
    let wanted = match archive::parse(text) {
        Ok(archive) => archive,
        Err(error) => return refused(error.to_string()),
    };
    if let Err(error) = Directory::verify(wanted.records.clone()) {
        return refused(error.to_string());
    }
    answer(directory.replace_world(wanted, losses, now))
}

/// Puts the world back to `start`.
pub(super) fn reset(
    directory: &Directory,
    start: Vec<Record>,
    now: UnixSeconds,
) -> Response<Payload> {
    let start = Archive { secrets: Secrets::Kept, records: start };
    answer(directory.replace_world(start, Losses::Allowed, now))
}

fn answer(replaced: Result<Replaced, ReplaceError>) -> Response<Payload> {
    match replaced {
        Ok(replaced) => text_reply(StatusCode::OK, said(&replaced)),
        Err(error @ ReplaceError::Occupied { .. }) => text_reply(
            StatusCode::CONFLICT,
            format!("{error}; --replace, or ?replace=true of the request, replaces the world\n"),
        ),
        Err(error @ ReplaceError::Store(_)) => {
            let error = &error as &dyn std::error::Error;
            tracing::error!(error, "the world was not replaced");
            not_stored("the world")
        }
    }
}

/// Returns the answer about a world that was replaced.
fn said(replaced: &Replaced) -> String {
    let later = match replaced.later.as_slice() {
        [] => String::new(),
        later => format!(
            "; from the next start of the server on there are tokens for {}",
            later.join(", ")
        ),
    };
    let secrets = match replaced.secrets.as_slice() {
        [] => String::new(),
        secrets => {
            let shown: Vec<_> = secrets.iter().take(LOST_SHOWN).map(String::as_str).collect();
            let more = match secrets.len().saturating_sub(LOST_SHOWN) {
                0 => String::new(),
                more => format!(" and those of {more} more items"),
            };
            format!("; secrets that went with their items: {}{more}", shown.join(", "))
        }
    };
    format!("{} changes{later}{secrets}\n", replaced.changes)
}
