//! The journeys and the setup that their users share: each user is a virtual machine.

pub(crate) mod boot;
pub(crate) mod steady;

use std::net::Ipv4Addr;
use std::num::NonZeroU32;
use std::time::Duration;

use goose::prelude::*;

/// The address of VM number 0 in a synthetic world (`src/base/synthetic.rs`).
const FIRST_VM: Ipv4Addr = Ipv4Addr::new(127, 1, 0, 1);

/// The timeout of a request. Only a hung broker takes this long.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Gives the user its own client, which calls from its own address if the world has many machines.
///
/// The broker tells machines apart by source address, so users that share an address share a
/// machine. All users share one if `LOADTESTS_VMS` is not set; some do if it is smaller than the
/// number of users.
async fn become_vm(user: &mut GooseUser) -> TransactionResult {
    let mut client = reqwest::Client::builder().timeout(TIMEOUT).no_proxy();
    if let Some(vms) = vms()? {
        let number = u32::try_from(user.weighted_users_index).unwrap_or(u32::MAX) % vms;
        let address = Ipv4Addr::from_bits(FIRST_VM.to_bits().saturating_add(number));
        client = client.local_address(Some(address.into()));
    }
    Ok(user.set_client_builder(client).await?)
}

/// Returns the number of machines in the world, if `LOADTESTS_VMS` is set.
pub(crate) fn vms() -> Result<Option<NonZeroU32>, TransactionError> {
    let wrong = |text| format!("LOADTESTS_VMS={text} is not a number above 0");
    variable("LOADTESTS_VMS")?
        .map(|text| text.parse().map_err(|_| TransactionError::Custom(wrong(text))))
        .transpose()
}

/// Returns the value of an environment variable. An empty one counts as not set.
fn variable(name: &str) -> Result<Option<String>, TransactionError> {
    match std::env::var(name) {
        Ok(text) => Ok(Some(text).filter(|text| !text.is_empty())),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(error) => Err(TransactionError::Custom(format!("{name}: {error}"))),
    }
}
