//! `POST /identity-header`: the secret by which programs of a machine are known at the App Service endpoint.

use std::net::IpAddr;

use hyper::{Response, StatusCode};

use crate::base::clock::UnixSeconds;
use crate::base::http::{Payload, pairs, text_reply};
use crate::base::ids::VmId;
use crate::service::broker::CallerSecrets;
use crate::service::directory::Directory;

/// Answers the secret of the machine that `query` names: `vm=` and its name or resource id, or `address=` and the
/// address from which its programs call.
pub(super) fn answer(
    directory: &Directory,
    secrets: &CallerSecrets,
    query: Option<&str>,
    now: UnixSeconds,
) -> Response<Payload> {
    match named(directory, query.unwrap_or_default(), now) {
        Ok(vm_id) => text_reply(StatusCode::OK, [secrets.of(vm_id).expose(), b"\n"].concat()),
        Err((status, said)) => text_reply(status, said),
    }
}

fn named(
    directory: &Directory,
    query: &str,
    now: UnixSeconds,
) -> Result<VmId, (StatusCode, &'static str)> {
    let value = |wanted: &str| {
        let mut found = pairs(query).filter(|(name, _)| name.as_sent() == wanted);
        found.next().map(|(_, value)| value.decode_lossy())
    };
    if let Some(name) = value("vm") {
        let state = directory.read();
        return match state.vms_called(&name).as_slice() {
            [entry] => Ok(entry.vm.record.vm_id),
            [] => Err((StatusCode::NOT_FOUND, "there is no such virtual machine\n")),
            _ => Err((
                StatusCode::CONFLICT,
                "several virtual machines have this name; give the resource id\n",
            )),
        };
    }
    let unnamed = "name the virtual machine, as in ?vm=NAME or ?address=127.0.0.1\n";
    let address: Option<IpAddr> = value("address").and_then(|text| text.parse().ok());
    let caller = directory.caller(address.ok_or((StatusCode::BAD_REQUEST, unnamed))?);
    let found = caller.with_vm(directory, now, |vm| vm.record.vm_id);
    found.ok_or((StatusCode::NOT_FOUND, "no virtual machine calls from this address\n"))
}
