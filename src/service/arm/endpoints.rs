//! `GET /metadata/endpoints`: the addresses of the services of this cloud. Clients that know only the control
//! plane (`az cloud register`, Terraform's `metadata_host`) ask this first, without a token.
//!
//! Control plane, token service and vaults are those of this server. All other services keep the addresses of
//! the public cloud. URLs are always `https`, which all of these listeners support.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::error::ArmError;
use super::reply::Reply;
use super::request::auth;
use super::request::call::Call;
use super::version::EndpointsLayout;
use crate::base::http::Host;

/// Addresses of the other listeners of this server.
#[derive(Clone, Debug)]
pub(crate) struct ServiceAddresses {
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

impl ServiceAddresses {
    /// Returns the URL of the token service for a client that calls the control plane `host`. The URL has no
    /// slash at the end, because clients append one.
    fn login_endpoint(&self, host: &str) -> String {
        if let Some(url) = &self.authority_url {
            return url.clone();
        }
        let (arm, sts) = (self.arm.ip(), self.sts.ip());
        if sts == arm || sts.is_unspecified() {
            return format!("https://{}", at_port(Host::new(host).name(), self.sts.port()));
        }
        format!("https://{}", self.sts)
    }
}

/// `GET /metadata/endpoints`.
pub(super) fn get(call: &Call, service_addresses: &ServiceAddresses) -> Result<Reply, ArmError> {
    let host = call.base_url.split_once("://").map_or("", |(_, host)| host);
    Ok(Reply::ok(match EndpointsLayout::of(call.query.get("api-version"))? {
        EndpointsLayout::Brief => brief(host, service_addresses),
        EndpointsLayout::List => json!([full(host, service_addresses)]),
        EndpointsLayout::Object => full(host, service_addresses),
    }))
}

fn brief(host: &str, service_addresses: &ServiceAddresses) -> Value {
    json!({
        "galleryEndpoint": "https://gallery.azure.com/",
        "graphEndpoint": "https://graph.windows.net/",
        "portalEndpoint": "https://portal.azure.com/",
        "authentication": {
            "loginEndpoint": service_addresses.login_endpoint(host),
            "audiences": auth::AUDIENCES_OF_CLIENTS,
        },
    })
}

/// Returns all endpoints. Terraform treats a cloud with another name, tenant or identity provider as Azure
/// Stack. `az role` asks Microsoft Graph for the names of principals and continues without them after a 404,
/// as here.
fn full(host: &str, service_addresses: &ServiceAddresses) -> Value {
    let own = format!("https://{host}/");
    json!({
        "name": "AzureCloud",
        "portal": "https://portal.azure.com",
        "authentication": {
            "loginEndpoint": service_addresses.login_endpoint(host),
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
            "keyVaultDns": service_addresses.vault_suffix,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn service_addresses(arm: &str, sts: &str) -> ServiceAddresses {
        let [arm, sts] = [arm, sts].map(|addr| addr.parse().unwrap());
        ServiceAddresses { arm, sts, vault_suffix: String::new(), authority_url: None }
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
            assert_eq!(service_addresses(arm, sts).login_endpoint(host), expected);
        }
        let url = Some("https://login.example".to_owned());
        let told = ServiceAddresses {
            authority_url: url,
            ..service_addresses("127.0.0.1:1", "127.0.0.1:2")
        };
        assert_eq!(told.login_endpoint("localhost:1"), "https://login.example");
    }

    #[test]
    fn every_date_is_a_version() {
        for (version, layout) in [
            ("1.0", EndpointsLayout::Brief),
            ("2015-01-01", EndpointsLayout::Brief),
            ("2018-05-01", EndpointsLayout::Brief),
            ("2019-05-01", EndpointsLayout::List),
            ("2020-06-01", EndpointsLayout::List),
            ("2022-01-01", EndpointsLayout::List),
            ("2022-09-01", EndpointsLayout::Object),
            ("2023-11-01", EndpointsLayout::Object),
        ] {
            assert_eq!(EndpointsLayout::of(Some(version)).unwrap(), layout, "{version}");
        }
        for version in [None, Some(""), Some("latest"), Some("2.0"), Some("2022-09")] {
            assert!(EndpointsLayout::of(version).is_err(), "{version:?}");
        }
    }
}
