//! `GET /metadata/endpoints`: the addresses of the services of this cloud. Clients that know only the control
//! plane (`az cloud register`, Terraform's `metadata_host`) ask this first, without a token.
//!
//! Control plane, token service and vaults are those of this server. All other services keep the addresses of
//! the public cloud. URLs are always `https`, which all of these listeners support.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::auth;
use super::call::Call;
use super::error::ArmError;
use super::reply::Reply;
use super::version::is_well_formed;

/// Addresses of the other listeners of this server.
#[derive(Clone, Debug)]
pub struct Neighbours {
    /// The control plane.
    pub arm: SocketAddr,
    /// The token service.
    pub sts: SocketAddr,
    /// Suffix of vault URIs, after the vault's name and a dot.
    pub vault_suffix: String,
    /// URL of the token service, without a slash at the end, for clients that do not reach it at
    /// [`sts`](Self::sts).
    pub authority_url: Option<String>,
}

impl Neighbours {
    /// Returns the URL of the token service for a client that calls the control plane `host`. The URL has no
    /// slash at the end, because clients append one.
    fn login_endpoint(&self, host: &str) -> String {
        if let Some(url) = &self.authority_url {
            return url.clone();
        }
        let (arm, sts) = (self.arm.ip(), self.sts.ip());
        if sts == arm || sts.is_unspecified() {
            return format!("https://{}", at_port(without_port(host), self.sts.port()));
        }
        format!("https://{}", self.sts)
    }
}

/// Layout of the document, which depends on the API version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    /// The gallery, the graph, the portal and the token service.
    Brief,
    /// A list of clouds with all their endpoints. Here it has one entry.
    List,
    /// All endpoints of this cloud.
    Object,
}

impl Layout {
    const LIST_SINCE: &str = "2019-05-01";
    const OBJECT_SINCE: &str = "2022-09-01";

    /// Returns the layout of a version. Azure does not document the versions, and clients ask for many, so
    /// every date is accepted.
    fn of(version: Option<&str>) -> Result<Self, ArmError> {
        match version.filter(|version| !version.is_empty()).ok_or(ArmError::MissingApiVersion)? {
            "1.0" => Ok(Self::Brief),
            other if !is_well_formed(other) => Err(ArmError::InvalidApiVersion {
                version: other.to_owned(),
                supported: format!("{},{},2015-01-01,1.0", Self::OBJECT_SINCE, Self::LIST_SINCE),
            }),
            date if date < Self::LIST_SINCE => Ok(Self::Brief),
            date if date < Self::OBJECT_SINCE => Ok(Self::List),
            _ => Ok(Self::Object),
        }
    }
}

/// Checks that the document exists in this version.
pub(super) fn require_version(version: Option<&str>) -> Result<(), ArmError> {
    Layout::of(version).map(drop)
}

/// `GET /metadata/endpoints`.
pub(super) fn get(call: &Call, neighbours: &Neighbours) -> Result<Reply, ArmError> {
    let host = call.base_url.split_once("://").map_or("", |(_, host)| host);
    Ok(Reply::ok(match Layout::of(call.query.get("api-version"))? {
        Layout::Brief => brief(host, neighbours),
        Layout::List => json!([full(host, neighbours)]),
        Layout::Object => full(host, neighbours),
    }))
}

fn brief(host: &str, neighbours: &Neighbours) -> Value {
    json!({
        "galleryEndpoint": "https://gallery.azure.com/",
        "graphEndpoint": "https://graph.windows.net/",
        "portalEndpoint": "https://portal.azure.com/",
        "authentication": {
            "loginEndpoint": neighbours.login_endpoint(host),
            "audiences": auth::AUDIENCES_OF_CLIENTS,
        },
    })
}

/// Returns all endpoints. Terraform treats a cloud with another name, tenant or identity provider as Azure
/// Stack. `az role` asks Microsoft Graph for the names of principals and continues without them after a 404,
/// as here.
fn full(host: &str, neighbours: &Neighbours) -> Value {
    let own = format!("https://{host}/");
    json!({
        "name": "AzureCloud",
        "portal": "https://portal.azure.com",
        "authentication": {
            "loginEndpoint": neighbours.login_endpoint(host),
            "audiences": auth::AUDIENCES_OF_CLIENTS,
            "tenant": "common",
            "identityProvider": "AAD",
        },
        "resourceManager": own,
        "gallery": "https://gallery.azure.com/",
        "graph": "https://graph.windows.net/",
        "graphAudience": "https://graph.windows.net/",
        "microsoftGraphResourceId": own,
        "activeDirectoryDataLake": "https://datalake.azure.net/",
        "appInsightsResourceId": "https://api.applicationinsights.io",
        "appInsightsTelemetryChannelResourceId": "https://dc.applicationinsights.azure.com/v2/track",
        "attestationResourceId": "https://attest.azure.net",
        "batch": "https://batch.core.windows.net/",
        "logAnalyticsResourceId": "https://api.loganalytics.io",
        "media": "https://rest.media.azure.net",
        "ossrdbmsResourceId": "https://ossrdbms-aad.database.windows.net",
        "sqlManagement": "https://management.core.windows.net:8443/",
        "synapseAnalyticsResourceId": "https://dev.azuresynapse.net",
        "vmImageAliasDoc": "https://raw.githubusercontent.com/Azure/azure-rest-api-specs/master/arm-compute/quickstart-templates/aliases.json",
        "suffixes": {
            "keyVaultDns": neighbours.vault_suffix,
            "acrLoginServer": "azurecr.io",
            "attestationEndpoint": "attest.azure.net",
            "azureDataLakeAnalyticsCatalogAndJob": "azuredatalakeanalytics.net",
            "azureDataLakeStoreFileSystem": "azuredatalakestore.net",
            "azureFrontDoorEndpointSuffix": "azurefd.net",
            "mariadbServerEndpoint": "mariadb.database.azure.com",
            "mhsmDns": "managedhsm.azure.net",
            "mysqlServerEndpoint": "mysql.database.azure.com",
            "postgresqlServerEndpoint": "postgres.database.azure.com",
            "sqlServerHostname": "database.windows.net",
            "storage": "core.windows.net",
            "storageSyncEndpointSuffix": "afs.azure.net",
            "synapseAnalytics": "dev.azuresynapse.net",
        },
    })
}

/// Appends the port to a name, unless it is 443, the default of `https`.
fn at_port(name: &str, port: u16) -> String {
    if port == 443 { name.to_owned() } else { format!("{name}:{port}") }
}

/// Returns the name in `name[:port]`. An IPv6 address keeps its brackets.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn neighbours(arm: &str, sts: &str) -> Neighbours {
        let [arm, sts] = [arm, sts].map(|addr| addr.parse().unwrap());
        Neighbours { arm, sts, vault_suffix: String::new(), authority_url: None }
    }

    #[test]
    fn the_token_service_is_at_the_name_of_the_control_plane_unless_it_listens_elsewhere() {
        for (arm, sts, host, expected) in [
            ("127.0.0.1:1", "127.0.0.1:2", "localhost:1", "https://localhost:2"),
            ("127.0.0.1:1", "127.0.0.1:443", "localhost:1", "https://localhost"),
            ("127.0.0.1:443", "127.0.0.1:2", "localhost", "https://localhost:2"),
            ("[::1]:1", "[::1]:2", "[::1]:1", "https://[::1]:2"),
            ("[::1]:443", "[::1]:2", "[::1]", "https://[::1]:2"),
            ("127.0.0.1:1", "0.0.0.0:2", "broker.example:1", "https://broker.example:2"),
            ("127.0.0.1:1", "127.0.0.3:2", "localhost:1", "https://127.0.0.3:2"),
        ] {
            assert_eq!(neighbours(arm, sts).login_endpoint(host), expected);
        }
        let url = Some("https://login.example".to_owned());
        let told = Neighbours { authority_url: url, ..neighbours("127.0.0.1:1", "127.0.0.1:2") };
        assert_eq!(told.login_endpoint("localhost:1"), "https://login.example");
    }

    #[test]
    fn every_date_is_a_version() {
        for (version, layout) in [
            ("1.0", Layout::Brief),
            ("2015-01-01", Layout::Brief),
            ("2018-05-01", Layout::Brief),
            ("2019-05-01", Layout::List),
            ("2020-06-01", Layout::List),
            ("2022-01-01", Layout::List),
            ("2022-09-01", Layout::Object),
            ("2023-11-01", Layout::Object),
        ] {
            assert_eq!(Layout::of(Some(version)).unwrap(), layout, "{version}");
        }
        for version in [None, Some(""), Some("latest"), Some("2.0"), Some("2022-09")] {
            assert!(Layout::of(version).is_err(), "{version:?}");
        }
    }
}
