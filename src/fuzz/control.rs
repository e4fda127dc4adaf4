//! Requests to the control plane and to the token service.
//!
//! An input has requests, with a line `~` between two. A request is a line with method and target, more header
//! lines, an empty line, and the body.

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::sync::{Arc, LazyLock};

use super::connections::{NOW, demo, directory, exchange, statuses};
use crate::base::clock::{ManualClock, Seconds};
use crate::base::http::HostNames;
use crate::base::ids::{ClientId, PrincipalId};
use crate::base::secret::Redacted;
use crate::service::arm::{Arm, ArmAuth, ArmOptions, ServiceAddresses};
use crate::service::directory::Directory;
use crate::service::sts::{Federation, FederationOptions, Sts, StsOptions};
use crate::service::token::Issuer;
use crate::service::world::archive;
use crate::service::world::archive::Secrets;
use crate::service::world::record::{Application, Record};
use crate::service::world::vault::VaultUris;

/// The most requests of an input.
const REQUESTS_MAX: usize = 8;

/// Returns the bytes of the requests that `input` describes.
fn requests(input: &str, content_type: &str) -> Vec<u8> {
    let mut bytes = String::new();
    for request in input.split("\n~\n").take(REQUESTS_MAX) {
        let (head, body) = request.split_once("\n\n").unwrap_or((request, ""));
        let (line, headers) = head.split_once('\n').unwrap_or((head, ""));
        let headers: String = headers.lines().flat_map(|line| [line, "\r\n"]).collect();
        let len = body.len();
        let _ = write!(
            bytes,
            "{line} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {content_type}\r\n{headers}Content-Length: {len}\r\n\r\n{body}"
        );
    }
    bytes.into_bytes()
}

/// Requests of any caller to the control plane of the demo world, one after the other. The world that results can
/// be loaded, and can be exported and imported without a change.
pub(super) fn arm(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    let Ok(directory) = directory(demo()).map(Arc::new) else { panic!("no demo world") };
    let at = |port: u16| (Ipv4Addr::LOCALHOST, port).into();
    let vault_suffix = "vault.example:8190".to_owned();
    let service_addresses =
        ServiceAddresses { arm: at(8180), sts: at(8170), vault_suffix, authority_url: None };
    let options = ArmOptions {
        auth: ArmAuth::Off,
        names: HostNames::default(),
        page_size: 3,
        seed: 7,
        service_addresses,
        vault_uris: VaultUris::Addresses(8173),
    };
    let arm = Arm::new(Arc::clone(&directory), Arc::new(ManualClock::new(NOW)), options);
    let answers = exchange(arm, &requests(text, "application/json"));
    assert!(!statuses(&answers).contains(&500), "{}", answers.escape_ascii());
    can_be_moved(directory.read().records());
}

/// Checks that a world can be loaded, exported and imported.
fn can_be_moved(records: Vec<Record>) {
    if let Err(error) = Directory::verify(records.clone()) {
        panic!("the world cannot be loaded: {error}");
    }
    let Ok(text) = archive::render(records, Secrets::Kept) else { panic!("no export") };
    match archive::parse(&text) {
        Err(error) => panic!("the export cannot be read: {error}\n{text}"),
        Ok(read) => match archive::render(read.records, read.secrets) {
            Ok(again) => assert_eq!(again, text),
            Err(error) => panic!("no second export: {error}"),
        },
    }
}

/// Id of an application of the token service's world. Its secret is `secret`.
const CLIENT: ClientId = ClientId::from_bytes([0xa0; 16]);

/// Directory of the token service, which changes nothing in it.
static DIRECTORY: LazyLock<Option<Arc<Directory>>> = LazyLock::new(|| {
    let mut records = demo();
    let tenant = records.iter().find_map(|record| match record {
        Record::Tenant(tenant) => Some(tenant.id),
        _ => None,
    })?;
    records.push(Record::Application(Application {
        client_id: CLIENT,
        principal_id: PrincipalId::from_bytes([0xa1; 16]),
        tenant,
        display_name: "app".to_owned(),
        secret_digests: vec![Redacted::new(b"secret".to_vec()).digest()],
    }));
    directory(records).ok().map(Arc::new)
});

/// Requests to the token service. A token follows only from the secret of the application.
pub(super) fn sts(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    let Some(directory) = &*DIRECTORY else { panic!("no demo world") };
    let Ok(federation) = Federation::new(FederationOptions::default()) else {
        panic!("no federation")
    };
    let options = StsOptions {
        names: vec!["127.0.0.1".to_owned()],
        base_url: "http://127.0.0.1:1".to_owned(),
        application_token_lifetime: Seconds(3_600),
        max_assertion_lifetime: None,
        trusted_issuers: Vec::new(),
        federation: Arc::new(federation),
        seed: [3; 32],
    };
    let managed = Arc::new(Issuer::new(directory.ring(), Seconds(86_400)));
    let clock = Arc::new(ManualClock::new(NOW));
    let sts = Sts::new(Arc::clone(directory), managed, clock, options);
    let answers = exchange(sts, &requests(text, "application/x-www-form-urlencoded"));
    assert!(!statuses(&answers).contains(&500), "{}", answers.escape_ascii());
    let has_token = answers.windows(14).any(|part| part == b"\"access_token\"");
    assert!(!has_token || may_hold_secret(text), "{}", answers.escape_ascii());
}

/// Returns true if the text may have the secret in some encoding, besides the name of its parameter.
fn may_hold_secret(text: &str) -> bool {
    let named = text.matches("client_secret").count();
    text.contains('%') || text.matches("secret").count() > named
}
