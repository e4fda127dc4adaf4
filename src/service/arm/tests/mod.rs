//! Requests to a control plane in memory.

mod access;
mod bounds;
mod endpoints;
mod federated_credentials;
mod identities;
mod machines;
mod refusals;
mod resources;
mod roles;
mod threats;
mod tools;
mod vaults;

use http_body_util::BodyExt as _;
use hyper::HeaderMap;
use serde_json::{Value, json};

use super::*;
use crate::base::clock::{ManualClock, Seconds};
use crate::base::http::HostNames;
use crate::base::ids::{ClientId, PrincipalId, TenantId};
use crate::service::directory::tests::{NOW, of};
use crate::service::token::{ClientProof, Issuer, Subject, TokenSource as _};
use crate::service::world::record::{
    Application, Change, Record, ResourceGroup, RoleAssignment, Subscription, Tags, Tenant,
};
use crate::service::world::roles::by_name;
use crate::service::world::vault::VaultUris;

const TENANT: &str = "00000000-0000-4000-8000-0000000000a1";
const SUB: &str = "/subscriptions/00000000-0000-4000-8000-0000000000b1";
const GROUP: &str = "/subscriptions/00000000-0000-4000-8000-0000000000b1/resourceGroups/rg";
const FOREIGN_TENANT: &str = "00000000-0000-4000-8000-0000000000a2";
const FOREIGN_SUB: &str = "/subscriptions/00000000-0000-4000-8000-0000000000b2";
const ARM: &str = "https://management.azure.com/";

/// A name, a tenant, and the role that it holds at a scope.
type Registered = (&'static str, &'static str, Option<(&'static str, &'static str)>);

/// The applications of the world.
const APPLICATIONS: [Registered; 6] = [
    ("owner", TENANT, Some(("Owner", "/"))),
    ("reader", TENANT, Some(("Reader", SUB))),
    ("group-reader", TENANT, Some(("Reader", GROUP))),
    ("machinist", TENANT, Some(("Virtual Machine Contributor", GROUP))),
    ("nobody", TENANT, None),
    ("foreigner", FOREIGN_TENANT, Some(("Owner", "/"))),
];

struct World {
    arm: Arm,
    directory: Arc<Directory>,
    clock: Arc<ManualClock>,
    issuer: Issuer,
}

struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Value,
}

impl Answer {
    fn code(&self) -> &str {
        self.body["error"]["code"].as_str().unwrap_or_default()
    }

    fn message(&self) -> &str {
        self.body["error"]["message"].as_str().unwrap_or_default()
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Status and code of a refusal.
    fn refusal(&self) -> (u16, &str) {
        (self.status, self.code())
    }
}

fn guid<T: std::str::FromStr<Err: std::fmt::Debug>>(kind: u8, number: usize) -> T {
    format!("00000000-0000-4000-8000-{kind:02x}{number:010x}").parse().unwrap()
}

fn principal(name: &str) -> PrincipalId {
    guid(2, APPLICATIONS.iter().position(|own| own.0 == name).unwrap())
}

fn client(name: &str) -> ClientId {
    guid(1, APPLICATIONS.iter().position(|own| own.0 == name).unwrap())
}

fn records() -> Vec<Record> {
    let mut records = Vec::new();
    let groups = vec!["leaf".to_owned(), "top".to_owned()];
    for (tenant, sub, management_groups) in
        [(TENANT, SUB, groups), (FOREIGN_TENANT, FOREIGN_SUB, Vec::new())]
    {
        records.push(Record::Tenant(Tenant { id: tenant.parse().unwrap(), created: NOW }));
        records.push(Record::Subscription(Subscription {
            id: sub.trim_start_matches("/subscriptions/").parse().unwrap(),
            tenant: tenant.parse().unwrap(),
            display_name: "Test".to_owned(),
            management_groups,
        }));
        records.push(Record::ResourceGroup(ResourceGroup {
            id: format!("{sub}/resourceGroups/rg").parse().unwrap(),
            location: "westus".to_owned(),
            tags: Tags::new(),
        }));
    }
    for (number, (name, tenant, grant)) in APPLICATIONS.into_iter().enumerate() {
        records.push(Record::Application(Application {
            client_id: client(name),
            principal_id: principal(name),
            tenant: tenant.parse().unwrap(),
            display_name: name.to_owned(),
            secret_digests: Vec::new(),
        }));
        records.extend(grant.map(|(role, scope)| {
            Record::RoleAssignment(RoleAssignment {
                name: guid(3, number),
                scope: scope.parse().unwrap(),
                role: by_name(role).unwrap().id,
                principal_id: principal(name),
                principal_type: "ServicePrincipal".to_owned(),
                description: None,
                created: NOW,
                created_by: None,
            })
        }));
    }
    records
}

fn world_with(auth: ArmAuth, page_size: usize) -> World {
    let directory = Arc::new(of(records(), Seconds(0)));
    let clock = Arc::new(ManualClock::new(NOW));
    let at = |port: u16| (std::net::Ipv4Addr::LOCALHOST, port).into();
    let vault_suffix = "vault.example:8190".to_owned();
    let service_addresses =
        ServiceAddresses { arm: at(8_180), sts: at(8_170), vault_suffix, authority_url: None };
    let options = ArmOptions {
        auth,
        names: HostNames::default(),
        page_size,
        seed: 7,
        service_addresses,
        vault_uris: VaultUris::Addresses(8173),
    };
    let own: Arc<dyn Clock> = Arc::<ManualClock>::clone(&clock);
    let arm = Arm::new(Arc::clone(&directory), own, options);
    let issuer = Issuer::new(directory.ring(), Seconds(3600));
    World { arm, directory, clock, issuer }
}

fn world() -> World {
    world_with(ArmAuth::Bearer, 100)
}

/// Adds an API version of the path's type.
fn versioned(path: &str) -> String {
    let versions = [
        ("Microsoft.Authorization", "2022-04-01"),
        ("Microsoft.ManagedIdentity", "2024-11-30"),
        ("Microsoft.KeyVault", "2023-07-01"),
        ("Microsoft.Compute", "2024-07-01"),
    ];
    let at = |namespace: &str| path.to_lowercase().rfind(&namespace.to_lowercase());
    let last = versions.iter().max_by_key(|(namespace, _)| at(namespace));
    let found = last.filter(|(namespace, _)| at(namespace).is_some());
    let version = found.map_or("2021-04-01", |(_, version)| version);
    let joint = if path.contains('?') { '&' } else { '?' };
    format!("{path}{joint}api-version={version}")
}

impl World {
    fn token_for(&self, name: &str, audience: &str) -> String {
        let tenant = APPLICATIONS.iter().find(|own| own.0 == name).unwrap().1;
        let subject = Subject {
            tenant_id: tenant.parse::<TenantId>().unwrap(),
            tenant_created: NOW,
            client_id: client(name),
            principal_id: principal(name),
            resource_id: None,
            caller_id: None,
            proof: ClientProof::Certificate,
        };
        self.issuer.mint(&subject, audience, NOW, &[1; 48]).unwrap().jwt().to_owned()
    }

    /// Sends a request by `name` to `path`, as changed by `alter`.
    fn raw(
        &self,
        (name, method, path): (&str, &str, &str),
        body: &[u8],
        alter: impl FnOnce(&mut HeaderMap),
    ) -> Answer {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "127.0.0.1:8180")
            .header("authorization", format!("Bearer {}", self.token_for(name, ARM)))
            .body(())
            .unwrap();
        alter(request.headers_mut());
        let (parts, ()) = request.into_parts();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let body = Ok(Bytes::copy_from_slice(body));
            let response = self.arm.answer(parts, "http", async { body }).await;
            let (parts, body) = response.into_parts();
            let bytes = body.collect().await.unwrap().to_bytes();
            let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
            Answer { status: parts.status.as_u16(), headers: parts.headers, body }
        })
    }

    fn send(&self, name: &str, method: &str, path: &str, body: &Value) -> Answer {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.raw((name, method, &versioned(path)), body.as_bytes(), |_| {})
    }

    fn get(&self, path: &str) -> Answer {
        self.send("owner", "GET", path, &Value::Null)
    }

    fn delete(&self, path: &str) -> Answer {
        self.send("owner", "DELETE", path, &Value::Null)
    }

    fn put(&self, path: &str, body: &Value) -> Answer {
        self.send("owner", "PUT", path, body)
    }

    fn patch(&self, path: &str, body: &Value) -> Answer {
        self.send("owner", "PATCH", path, body)
    }

    /// Creates an identity in the group and returns its resource id.
    fn identity(&self, name: &str) -> String {
        let path = identity_id(name);
        let made = self.put(&path, &json!({"location": "westus"}));
        assert_eq!(made.status, 201, "{}", made.body);
        path
    }

    /// Creates a machine with this identity property and returns its resource id.
    fn machine(&self, name: &str, identity: &Value) -> String {
        let path = machine_id(name);
        let made = self.put(&path, &json!({"location": "westus", "identity": identity}));
        assert_eq!(made.status, 201, "{}", made.body);
        path
    }

    /// Assigns a role to `name` and returns the path of the assignment.
    fn grant(&self, number: usize, name: &str, role: &str, scope: &str) -> String {
        let path = assignment_path(scope, number);
        let made = self.put(
            &path,
            &json!({"properties": {
                "roleDefinitionId": by_name(role).unwrap().resource_id(None),
                "principalId": principal(name).to_string(),
            }}),
        );
        assert_eq!(made.status, 201, "{}", made.body);
        path
    }
}

fn identity_id(name: &str) -> String {
    format!("{GROUP}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{name}")
}

fn machine_id(name: &str) -> String {
    format!("{GROUP}/providers/Microsoft.Compute/virtualMachines/{name}")
}

fn vault_id(name: &str) -> String {
    format!("{GROUP}/providers/Microsoft.KeyVault/vaults/{name}")
}

fn assignment_path(scope: &str, number: usize) -> String {
    let name: PrincipalId = guid(9, number);
    let scope = scope.trim_end_matches('/');
    format!("{scope}/providers/Microsoft.Authorization/roleAssignments/{name}")
}
