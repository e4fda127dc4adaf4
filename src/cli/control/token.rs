//! `mintbench token`: asks the identity endpoint as a virtual machine does.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use clap::Args;
use hyper::Request;
use hyper::header::HOST;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::{TcpSocket, TcpStream};

use super::Connection;
use super::data::DataFolder;
use super::error::ControlError;
use super::render::Output;
use super::resource::segment;
use crate::ids::ClientId;
