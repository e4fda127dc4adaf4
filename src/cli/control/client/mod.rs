//! Client of a running server: its data folder, its operator, requests and refusals.

mod data;
mod error;
mod operator;
mod refusal;
mod session;

pub(super) use self::data::DataFolder;
pub(super) use self::error::ControlError;
pub(super) use self::refusal::{Refusal, Service};
pub(super) use self::session::{Session, new_guid, text};

#[cfg(test)]
pub(super) use self::{
    data::Endpoints,
    operator::{Operator, OperatorIds},
    session::Transport,
};
