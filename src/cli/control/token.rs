//! `mintbench token`: requests a token from the identity endpoint, as a virtual machine does.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use clap::Args;
use hyper::StatusCode;
use serde_json::Value;
use socket2::{Domain, Protocol, Socket, Type};

use super::args::Connection;
use super::client::{ControlError, Refusal, Service};
use super::render::Output;
use super::resource::segment;
use crate::base::client::ClientError;
use crate::base::ids::ClientId;
use crate::base::printable::json;

/// Timeout of the identity endpoint.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Largest answer, in bytes. A token has about 2 kB.
const ANSWER_BYTES_MAX: u64 = 1024 * 1024;

/// Request a token from the identity endpoint.
#[derive(Debug, Args)]
pub(crate) struct TokenArgs {
    #[command(flatten)]
    pub(super) connection: Connection,
    /// Audience of the token, such as <https://vault.azure.net>
    #[arg(long, value_name = "URI")]
    resource: String,
    /// Print only the access token
    #[arg(long)]
    bare: bool,
    /// Address that the machine calls from, such as 127.0.0.5 [default: the system's choice]
    #[arg(long, value_name = "IP")]
    vm_address: Option<IpAddr>,
    /// Client id of the identity, for a machine with several
    #[arg(long, value_name = "CLIENT_ID")]
    identity: Option<ClientId>,
}

impl TokenArgs {
    pub(super) fn run(&self) -> Result<Output, ControlError> {
        let imds = self.connection.folder()?.endpoints()?.imds;
        let lost = |source| ClientError::Connect { origin: imds.clone(), source };
        let authority = imds.trim_start_matches("http://");
        let to: SocketAddr = authority.parse().map_err(|_| lost(ErrorKind::InvalidInput.into()))?;
        let socket = self.socket(to)?;
        let (head, body) = self.ask(socket, to, authority).map_err(lost)?;
        let answer =
            |reason: &str| ControlError::Answer { url: imds.clone(), reason: reason.to_owned() };
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status: StatusCode = status
            .and_then(|code: u16| StatusCode::from_u16(code).ok())
            .ok_or_else(|| answer("no status line"))?;
        let body: Value =
            serde_json::from_str(&body).map_err(|error| answer(&error.to_string()))?;
        if status.is_success() {
            let token = body.get("access_token").and_then(Value::as_str);
            let text = match token.filter(|_| self.bare) {
                Some(token) => format!("{token}\n"),
                None => json(&body).unwrap_or_default(),
            };
            return Ok(Output::verbatim(body, text));
        }
        let refusal = Box::new(Refusal::new(Service::Imds, status, &body));
        let remedy = Some(remedy(&refusal.code).to_owned());
        Err(ControlError::Refused { refusal, remedy })
    }

    fn target(&self) -> String {
        let identity = self.identity.map_or_else(String::new, |id| format!("&client_id={id}"));
        let resource = segment(&self.resource);
        format!(
            "/metadata/identity/oauth2/token?api-version=2018-02-01&resource={resource}{identity}"
        )
    }

    /// Opens a socket with the source address of the machine. The address identifies the caller, so the
    /// connection is made by hand.
    fn socket(&self, to: SocketAddr) -> Result<Socket, ControlError> {
        let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))
            .map_err(ControlError::Runtime)?;
        if let Some(address) = self.vm_address {
            let bound = socket.bind(&SocketAddr::new(address, 0).into());
            bound.map_err(|source| ControlError::SourceAddress { address, source })?;
        }
        Ok(socket)
    }

    /// Sends the request and reads the answer.
    fn ask(&self, socket: Socket, to: SocketAddr, authority: &str) -> io::Result<(String, String)> {
        socket.connect_timeout(&to.into(), TIMEOUT)?;
        let mut stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(TIMEOUT))?;
        let target = self.target();
        write!(
            stream,
            "GET {target} HTTP/1.1\r\nHost: {authority}\r\nMetadata: true\r\nConnection: close\r\n\r\n"
        )?;
        let mut answer = String::new();
        stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        Ok((head.to_owned(), body.to_owned()))
    }
}

/// Returns the remedy for an error code of the identity endpoint.
fn remedy(code: &str) -> &'static str {
    match code {
        "invalid_resource" => {
            "take a resource of Azure's services, or name yours in `resources` or `[[applications]]` of the world file"
        }
        "server_error" => {
            "start `mintbench serve` with MINTBENCH_LOG=info; standard error then names the reason"
        }
        _ => {
            "`mintbench vm list` shows the machines with their addresses and identities; take an address with --vm-address, and for a machine with several identities --identity CLIENT_ID"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::remedy;

    #[test]
    fn the_remedy_fits_the_error() {
        assert!(remedy("invalid_resource").contains("`resources`"));
        assert!(remedy("server_error").contains("MINTBENCH_LOG=info"));
        for code in ["invalid_request", "forbidden"] {
            assert!(remedy(code).contains("mintbench vm list"), "{code}");
        }
    }
}
