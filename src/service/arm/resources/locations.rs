//! The regions that a subscription can use (Microsoft.Resources, `locations`).

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::base::ids::{ArmId, SubscriptionId};
use crate::service::arm::error::ArmError;
use crate::service::arm::reply::Reply;
use crate::service::arm::request::call::Call;
use crate::service::directory::State;

const READ: &str = "Microsoft.Resources/subscriptions/locations/read";

/// Azure's public regions, by name. Terraform refuses a `location` that is not listed.
const REGIONS: [(&str, &str); 58] = [
    ("australiacentral2", "Australia Central 2"),
    ("australiacentral", "Australia Central"),
    ("australiaeast", "Australia East"),
    ("australiasoutheast", "Australia Southeast"),
    ("austriaeast", "Austria East"),
    ("belgiumcentral", "Belgium Central"),
    ("brazilsouth", "Brazil South"),
    ("brazilsoutheast", "Brazil Southeast"),
    ("canadacentral", "Canada Central"),
    ("canadaeast", "Canada East"),
    ("centralindia", "Central India"),
    ("centralus", "Central US"),
    ("chilecentral", "Chile Central"),
    ("denmarkeast", "Denmark East"),
    ("eastasia", "East Asia"),
    ("eastus2", "East US 2"),
    ("eastus", "East US"),
    ("francecentral", "France Central"),
    ("francesouth", "France South"),
    ("germanynorth", "Germany North"),
    ("germanywestcentral", "Germany West Central"),
    ("indonesiacentral", "Indonesia Central"),
    ("israelcentral", "Israel Central"),
    ("italynorth", "Italy North"),
    ("japaneast", "Japan East"),
    ("japanwest", "Japan West"),
    ("jioindiacentral", "Jio India Central"),
    ("jioindiawest", "Jio India West"),
    ("koreacentral", "Korea Central"),
    ("koreasouth", "Korea South"),
    ("malaysiawest", "Malaysia West"),
    ("mexicocentral", "Mexico Central"),
    ("newzealandnorth", "New Zealand North"),
    ("northcentralus", "North Central US"),
    ("northeurope", "North Europe"),
    ("norwayeast", "Norway East"),
    ("norwaywest", "Norway West"),
    ("polandcentral", "Poland Central"),
    ("qatarcentral", "Qatar Central"),
    ("southafricanorth", "South Africa North"),
    ("southafricawest", "South Africa West"),
    ("southcentralus", "South Central US"),
    ("southeastasia", "Southeast Asia"),
    ("southindia", "South India"),
    ("spaincentral", "Spain Central"),
    ("swedencentral", "Sweden Central"),
    ("switzerlandnorth", "Switzerland North"),
    ("switzerlandwest", "Switzerland West"),
    ("uaecentral", "UAE Central"),
    ("uaenorth", "UAE North"),
    ("uksouth", "UK South"),
    ("ukwest", "UK West"),
    ("westcentralus", "West Central US"),
    ("westeurope", "West Europe"),
    ("westindia", "West India"),
    ("westus2", "West US 2"),
    ("westus3", "West US 3"),
    ("westus", "West US"),
];

/// `GET /subscriptions/{id}/locations`: Azure's public regions, and the other locations that resource groups
/// of the subscription use.
pub(crate) fn list(
    call: &Call,
    state: &State,
    subscription: SubscriptionId,
) -> Result<Reply, ArmError> {
    let path = format!("/subscriptions/{subscription}");
    call.require(state, READ, &path)?;
    let scope: ArmId = path.parse().map_err(|_| ArmError::NoSuchPath)?;
    let used = state.groups(&scope, None).map(|group| (&*group.location, &*group.location));
    // A region's display name replaces the plain name of a used location.
    let all: BTreeMap<_, _> = used.chain(REGIONS).collect();
    let shown: Vec<_> = all.iter().map(|(name, display)| show(&path, name, display)).collect();
    Ok(Reply::ok(json!({"value": shown})))
}

fn show(subscription: &str, name: &str, display_name: &str) -> Value {
    json!({
        "id": format!("{subscription}/locations/{name}"),
        "name": name,
        "type": "Region",
        "displayName": display_name,
        "regionalDisplayName": display_name,
        "metadata": {"regionType": "Physical", "regionCategory": "Recommended"},
    })
}
