//! Files of users: reading with a limit, writing whole or not at all, and reading secrets that only their
//! owner can read.
//!
//! A path comes from outside. It may lead to a device without an end, through a link to another user's file,
//! or to a key that everybody can read.

mod limits;
mod private;
mod read;
mod secret;
mod write;

pub(crate) use limits::{
    CREDENTIAL_BYTES_MAX, REQUEST_BODY_BYTES_MAX, RESULT_BYTES_MAX, SERIES_BYTES_MAX,
    SETTINGS_BYTES_MAX, TRACE_BYTES_MAX, WORLD_BYTES_MAX,
};
pub(crate) use private::{CLIENT_BUNDLE, Clients, private_folder, private_folders};
pub(crate) use read::{ReadError, open, read, read_text};
pub(crate) use secret::{
    GroupRead, SecretFileError, check_folder, check_secret, read_given_secret, read_secret,
};
pub(crate) use write::{Draft, PLAIN, is_direct, lock, replace, write};
