use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use clap::Parser;
use hyper::header::AUTHORIZATION;
use hyper::{Method, Request, Response};
use serde_json::{Value, json};

use super::client::{DataFolder, Endpoints, Operator, OperatorIds, Transport};
use super::resource::{IDENTITY, VM};
use super::*;
use crate::base::client::ClientError;
use crate::base::clock::{ManualClock, UnixSeconds};
use crate::base::files::GroupRead;
use crate::base::ids::{ClientId, PrincipalId, SubscriptionId, TenantId};
use crate::base::secret::Redacted;
use crate::base::x509::Certificate;
use crate::service::token::{Algorithm, KeyMaterial, verify_assertion};

const NOW: UnixSeconds = UnixSeconds(1_800_000_000);
const SUBSCRIPTION: &str = "5ab5c1de-0000-4000-8000-000000000001";
const IDS: OperatorIds = OperatorIds {
    tenant_id: TenantId::from_bytes([1; 16]),
    client_id: ClientId::from_bytes([2; 16]),
    object_id: PrincipalId::from_bytes([3; 16]),
};

/// Scripted answers: the first entry whose text occurs in `METHOD target` answers. Entries stay for further
/// requests.
#[derive(Clone, Debug, Default)]
struct Script(Rc<ScriptState>);

/// Part of a request, and its answer: status, body, headers.
type Scripted = (String, u16, Value, Vec<(&'static str, String)>);

#[derive(Debug, Default)]
struct ScriptState {
    answers: RefCell<Vec<Scripted>>,
    asked: RefCell<Vec<(String, Value)>>,
    bearers: RefCell<Vec<String>>,
    rests: RefCell<u32>,
}

impl Script {
    fn answer(self, asked: &str, status: u16, body: Value) -> Self {
        self.0.answers.borrow_mut().push((asked.to_owned(), status, body, Vec::new()));
        self
    }

    fn with_header(self, name: &'static str, value: &str) -> Self {
        self.0.answers.borrow_mut().last_mut().unwrap().3.push((name, value.to_owned()));
        self
    }

    /// Returns the requests after those for tokens, as `METHOD URL`.
    fn asked(&self) -> Vec<String> {
        self.0.asked.borrow().iter().map(|(asked, _)| asked.clone()).collect()
    }

    fn body_of(&self, part: &str) -> Value {
        let asked = self.0.asked.borrow();
        asked.iter().rfind(|(asked, _)| asked.contains(part)).unwrap().1.clone()
    }

    fn session(&self) -> Session {
        self.session_in(Some(SUBSCRIPTION.parse().unwrap()))
    }

    fn session_in(&self, subscription: Option<SubscriptionId>) -> Session {
        let url = |port| format!("https://127.0.0.1:{port}");
        let endpoints = Endpoints { imds: url(1), sts: url(2), arm: url(3), vault: url(4) };
        let clock = Box::new(ManualClock::new(NOW));
        Session::new(operator().0, endpoints, Box::new(self.clone()), clock, subscription)
    }
}

impl Transport for Script {
    fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, ClientError> {
        let asked = format!("{} {}", request.method(), request.uri());
        if asked.contains("/oauth2/v2.0/token") {
            self.0.bearers.borrow_mut().push(String::from_utf8(request.body().to_vec()).unwrap());
            return Ok(Response::new(json!({ "access_token": "t" }).to_string().into()));
        }
        assert_eq!(request.headers()[AUTHORIZATION], "Bearer t");
        let body = serde_json::from_slice(request.body()).unwrap_or_default();
        self.0.asked.borrow_mut().push((asked.clone(), body));
        let answers = self.0.answers.borrow();
        let answer = answers.iter().find(|(part, ..)| asked.contains(part.as_str()));
        let (_, status, body, headers) = answer.unwrap_or_else(|| panic!("not expected: {asked}"));
        let mut response = Response::builder().status(*status);
        for (name, value) in headers {
            response = response.header(*name, value);
        }
        Ok(response.body(body.to_string().into()).unwrap())
    }

    fn pause(&self, _: Duration) {
        *self.0.rests.borrow_mut() += 1;
        // The operation ends during the pause.
        self.0.answers.borrow_mut().retain(|(_, _, body, _)| body["status"] != "InProgress");
    }
}

/// Creates an operator, and the certificate that identifies them.
fn operator() -> (Operator, Certificate) {
    use base64::prelude::{BASE64_STANDARD, Engine as _};
    let made = KeyMaterial::generate(Algorithm::Rs256, NOW).unwrap();
    let block = |label: &str, der: &[u8]| {
        let base64 = BASE64_STANDARD.encode(der);
        let lines: Vec<&str> =
            base64.as_bytes().chunks(64).map(|it| str::from_utf8(it).unwrap()).collect();
        format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
    };
    let blocks =
        [block("PRIVATE KEY", made.pkcs8.expose()), block("CERTIFICATE", &made.certificate)];
    let pem = Redacted::new(blocks.concat().into_bytes());
    let operator = Operator::from_pem(IDS, &pem).unwrap();
    (operator, Certificate::from_der(&made.certificate).unwrap())
}

fn path(rest: &str) -> String {
    format!("/subscriptions/{SUBSCRIPTION}{rest}")
}

fn identity(group: &str, name: &str) -> Value {
    let id = path(&format!(
        "/resourceGroups/{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{name}"
    ));
    let properties =
        json!({ "principalId": "0b1ec700-0000-4000-8000-00000000000a", "clientId": "c" });
    json!({ "id": id, "name": name, "location": "local", "properties": properties })
}

fn vm(name: &str) -> Value {
    let id = path(&format!("/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/{name}"));
    let identity =
        json!({ "type": "SystemAssigned", "principalId": "0b1ec700-0000-4000-8000-00000000000b" });
    json!({ "id": id, "name": name, "identity": identity, "tags": { "mintbench-address": "127.0.0.9" } })
}

fn listed(items: &[Value]) -> Value {
    json!({ "value": items })
}

#[derive(Debug, Parser)]
struct Line {
    #[command(subcommand)]
    control: Control,
}

/// Runs a command line against a script.
fn run(script: &Script, line: &[&str]) -> Result<Output, ControlError> {
    let line = Line::try_parse_from([&["mintbench"], line].concat()).unwrap();
    let session = script.session();
    match &line.control {
        Control::Group(args) => args.run(&session),
        Control::Identity(args) => args.run(&session),
        Control::Role(args) => args.run(&session),
        Control::Secret(args) => args.run(&session),
        Control::Token(_) => panic!("not through a session"),
        Control::Vault(args) => args.run(&session),
        Control::Vm(args) => args.run(&session),
    }
}

#[test]
fn the_operator_signs_in_with_a_certificate_once_for_each_service() {
    let script = Script::default().answer("GET", 200, listed(&[]));
    let session = script.session();
    session.list("/a?api-version=1").unwrap();
    session.list("/b?api-version=1").unwrap();
    session.vault_list("kv", "/secrets?api-version=1").unwrap();
    let forms = script.0.bearers.borrow().clone();
    assert_eq!(forms.len(), 2);
    assert!(forms[0].contains("&scope=https://management.azure.com/.default&"), "{}", forms[0]);
    assert!(forms[1].contains("&scope=https://vault.azure.net/.default&"), "{}", forms[1]);
    let vault = "GET https://kv.vault.localhost:4/secrets?api-version=1";
    assert_eq!(script.asked().last().unwrap(), vault);
}

#[test]
fn the_assertion_is_one_that_the_token_service_accepts() {
    let (operator, certificate) = operator();
    let url = "https://127.0.0.1:2/t/oauth2/v2.0/token";
    let jwt = operator.assertion(url, NOW, uuid::Uuid::from_bytes([9; 16])).unwrap();
    let claims = verify_assertion(&jwt, &[certificate]).unwrap();
    assert_eq!(
        (claims.issuer, claims.subject),
        (IDS.client_id.to_string(), IDS.client_id.to_string())
    );
}

#[test]
fn a_link_to_the_next_page_takes_no_token_to_another_host() {
    let script = Script::default()
        .answer(
            "/first",
            200,
            json!({ "value": [1], "nextLink": "https://evil.example/second?x=1" }),
        )
        .answer("/second", 200, json!({ "value": [2] }));
    assert_eq!(script.session().list("/first").unwrap(), [json!(1), json!(2)]);
    assert_eq!(script.asked()[1], "GET https://127.0.0.1:3/second?x=1");
}

#[test]
fn without_a_choice_there_must_be_one_subscription() {
    let of = |ids: &[&str]| {
        let all: Vec<Value> = ids.iter().map(|id| json!({ "subscriptionId": id })).collect();
        Script::default()
            .answer("/subscriptions?", 200, listed(&all))
            .session_in(None)
            .subscription()
    };
    let other = "5ab5c1de-0000-4000-8000-000000000002";
    assert_eq!(of(&[SUBSCRIPTION]).unwrap().to_string(), SUBSCRIPTION);
    let error = of(&[SUBSCRIPTION, other]).unwrap_err();
    assert_eq!(error.to_string(), format!("there are 2 subscriptions: {SUBSCRIPTION}, {other}"));
    assert!(error.remedy().unwrap().contains("--subscription"));
    assert_eq!(error.exit(), Exit::Usage);
    assert_eq!(of(&[]).unwrap_err().exit(), Exit::Failed);
}

#[test]
fn a_name_that_two_things_have_lists_their_ids() {
    let two = [identity("a", "web"), identity("b", "Web"), identity("b", "other")];
    let script = Script::default().answer("userAssignedIdentities", 200, listed(&two));
    let session = script.session();
    let error = session.find(&IDENTITY, "web", None).unwrap_err().to_string();
    for id in two[..2].iter().map(|one| one["id"].as_str().unwrap()) {
        assert!(error.contains(id), "{error}");
    }
    assert!(!error.contains("other"), "{error}");
    assert_eq!(session.find(&IDENTITY, "OTHER", None).unwrap()["name"], "other");
    let missing = session.find(&IDENTITY, "none", None).unwrap_err();
    assert!(missing.remedy().unwrap().contains("mintbench identity list"));
    assert_eq!(missing.exit(), Exit::Failed);
}

#[test]
fn an_id_of_another_kind_is_refused_before_anything_is_asked() {
    let script = Script::default();
    let id = vm("v")["id"].as_str().unwrap().to_owned();
    assert_eq!(script.session().find(&IDENTITY, &id, None).unwrap_err().exit(), Exit::Usage);
    assert_eq!(script.session().id_of(&VM, &id, None).unwrap(), id);
    assert_eq!(script.asked(), Vec::<String>::new());
}

#[test]
fn an_identity_is_made_in_the_region_of_its_group() {
    let script = Script::default().answer("PUT", 201, identity("g", "web")).answer(
        "resourceGroups/g?",
        200,
        json!({ "location": "northeurope" }),
    );
    run(&script, &["identity", "create", "web", "--group", "g", "--tag", "team=a=b"]).unwrap();
    let body = script.body_of("PUT");
    assert_eq!(body, json!({ "location": "northeurope", "tags": { "team": "a=b" } }));
    let error = run(&script, &["identity", "create", "web"]).unwrap_err();
    assert!(error.remedy().unwrap().contains("--group"), "{error}");
}

#[test]
fn a_machine_that_exists_is_not_made_again() {
    let script = Script::default().answer("GET", 200, vm("v"));
    let error = run(&script, &["vm", "create", "v", "-g", "g"]).unwrap_err();
    assert_eq!(error.to_string(), "the virtual machine `v` exists already");
    assert!(error.remedy().unwrap().contains("mintbench vm assign v"));
}

#[test]
fn a_new_machine_has_its_address_as_a_tag() {
    let script = Script::default()
        .answer("GET https://127.0.0.1:3/subscriptions/5ab5c1de-0000-4000-8000-000000000001/resourceGroups/g/providers/Microsoft.Compute", 404, json!({ "error": { "code": "ResourceNotFound", "message": "m" } }))
        .answer("userAssignedIdentities", 200, listed(&[identity("other", "web")]))
        .answer("PUT", 201, vm("v"));
    let line = [
        "vm",
        "create",
        "v",
        "-g",
        "g",
        "-l",
        "local",
        "--address",
        "127.0.0.9",
        "--system-assigned",
        "--identity",
        "web",
    ];
    run(&script, &line).unwrap();
    let id = identity("other", "web")["id"].as_str().unwrap().to_owned();
    let expected = json!({
        "location": "local",
        "tags": { "mintbench-address": "127.0.0.9" },
        "identity": { "type": "SystemAssigned, UserAssigned", "userAssignedIdentities": { id: {} } },
        "properties": {},
    });
    assert_eq!(script.body_of("PUT"), expected);
}

#[test]
fn a_role_goes_to_a_principal_by_name_at_a_scope_by_short_name() {
    let vault = path("/resourceGroups/g/providers/Microsoft.KeyVault/vaults/kv");
    let role = "4633458b-17de-408a-b874-0445c86b69e6";
    let roles = [json!({ "name": role, "properties": { "roleName": "Key Vault Secrets User" } })];
    let script = Script::default()
        .answer("PUT", 201, json!({ "name": "n", "properties": {} }))
        .answer("userAssignedIdentities", 200, listed(&[identity("g", "web")]))
        .answer("virtualMachines", 200, listed(&[vm("v")]))
        .answer("/vaults?", 200, listed(&[json!({ "name": "kv", "id": vault })]))
        .answer("roleDefinitions", 200, listed(&roles));
    let line = [
        "role",
        "assign",
        "--principal",
        "V",
        "--role",
        "key vault secrets user",
        "--scope",
        "vault/kv/db",
    ];
    run(&script, &line).unwrap();
    let body = script.body_of("PUT");
    assert_eq!(body["properties"]["principalId"], "0b1ec700-0000-4000-8000-00000000000b");
    let definition = body["properties"]["roleDefinitionId"].as_str().unwrap();
    assert!(definition.ends_with(role), "{definition}");
    let put = script.asked().into_iter().find(|asked| asked.starts_with("PUT")).unwrap();
    let start = format!(
        "PUT https://127.0.0.1:3{vault}/secrets/db/providers/Microsoft.Authorization/roleAssignments/"
    );
    assert!(put.starts_with(&start), "{put}");
}

#[test]
fn a_role_goes_to_one_key_of_a_vault() {
    let vault = path("/resourceGroups/g/providers/Microsoft.KeyVault/vaults/kv");
    let script = Script::default()
        .answer("PUT", 201, json!({ "name": "n", "properties": {} }))
        .answer("/vaults?", 200, listed(&[json!({ "name": "kv", "id": vault })]));
    let role = "12338af0-0e69-4776-bea7-57ae8d297424";
    let line =
        ["role", "assign", "--principal", "me", "--role", role, "--scope", "vault/kv/keys/k"];
    run(&script, &line).unwrap();
    let put = script.asked().into_iter().find(|asked| asked.starts_with("PUT")).unwrap();
    let start = format!(
        "PUT https://127.0.0.1:3{vault}/keys/k/providers/Microsoft.Authorization/roleAssignments/"
    );
    assert!(put.starts_with(&start), "{put}");
}

#[test]
fn an_unknown_role_or_scope_says_where_the_known_ones_are() {
    let script = Script::default().answer("roleDefinitions", 200, listed(&[]));
    let line = ["role", "assign", "--principal", "me", "--role", "King", "--scope", "/"];
    let error = run(&script, &line).unwrap_err();
    assert_eq!(error.remedy().unwrap(), "see the roles with `mintbench role definitions`");
    let role = "4633458b-17de-408a-b874-0445c86b69e6";
    let line = ["role", "assign", "--principal", "me", "--role", role, "--scope", "kv"];
    let error = run(&script, &line).unwrap_err();
    assert!(error.to_string().contains("vault/NAME"), "{error}");
}

#[test]
fn a_role_that_is_held_already_is_shown_and_no_error() {
    let role = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635";
    let definition = format!("/providers/Microsoft.Authorization/roleDefinitions/{role}");
    let held = |name: &str, scope: &str| {
        let properties =
            json!({ "roleDefinitionId": definition, "scope": scope, "principalId": IDS.object_id });
        json!({ "name": name, "id": "i", "properties": properties })
    };
    let script = Script::default()
        .answer("PUT", 409, json!({ "error": { "code": "RoleAssignmentExists", "message": "m" } }))
        .answer("roleAssignments", 200, listed(&[held("above", "/"), held("here", &path(""))]))
        .answer("GET", 200, listed(&[]));
    let line = ["role", "assign", "--principal", "me", "--role", role, "--scope", "subscription"];
    assert!(format!("{:?}", run(&script, &line).unwrap()).contains("here"));
    let filter = format!("$filter=principalId%20eq%20%27{}%27", IDS.object_id);
    assert!(script.asked().iter().any(|asked| asked.contains(&filter)), "{:?}", script.asked());
}

#[test]
fn an_operation_is_waited_for_and_its_failure_told() {
    let deleted = |script: Script| script.session().arm(&Method::DELETE, "/x", None).map(|_| ());
    let pending = || {
        Script::default()
            .answer("DELETE", 202, Value::Null)
            .with_header("azure-asyncoperation", "https://management.azure.com/op")
            .answer("/op", 200, json!({ "status": "InProgress" }))
    };
    let script = pending().answer("/op", 200, json!({ "status": "Succeeded" }));
    deleted(script.clone()).unwrap();
    assert_eq!(*script.0.rests.borrow(), 1);
    let failure = json!({ "status": "Failed", "error": { "code": "Conflict", "message": "busy" } });
    let error = deleted(pending().answer("/op", 200, failure)).unwrap_err();
    assert_eq!(error.to_string(), "Conflict: busy");
}

#[test]
fn a_folder_without_a_server_says_how_to_start_one() {
    let folder = tempfile::tempdir().unwrap();
    let folder_of_none = DataFolder::open(folder.path(), GroupRead::Refused).unwrap();
    let error = Session::open(&folder_of_none, None).unwrap_err();
    assert_eq!(error.exit(), Exit::Usage);
    let expected = format!("mintbench serve --data {}", folder.path().display());
    assert!(error.remedy().unwrap().contains(&expected), "{error}");
}

#[test]
fn a_server_that_does_not_listen_is_asked_after() {
    let nobody: SocketAddr = "127.0.0.1:1".parse().unwrap();
    let source = std::net::TcpStream::connect(nobody).unwrap_err();
    let error =
        ControlError::Network(ClientError::Connect { origin: "https://x".to_owned(), source });
    assert!(error.remedy().unwrap().starts_with("is `mintbench serve` running"));
    assert_eq!(error.exit(), Exit::Failed);
}

#[test]
fn an_address_that_this_machine_does_not_have_leads_to_the_machines() {
    let address = "10.9.9.9".parse().unwrap();
    let source = std::net::TcpListener::bind((address, 0)).unwrap_err();
    let error = ControlError::SourceAddress { address, source };
    assert!(error.remedy().unwrap().starts_with("`mintbench vm list` shows"));
    assert_eq!(error.exit(), Exit::Usage);
}

#[test]
fn flags_may_stand_before_or_after_the_verb() {
    for line in [
        ["mintbench", "vm", "--json", "-g", "g", "list"],
        ["mintbench", "vm", "list", "--json", "-g", "g"],
    ] {
        let parsed = Line::try_parse_from(line).unwrap();
        assert!(parsed.control.connection().json);
    }
}

#[test]
fn a_secret_takes_its_value_from_one_place() {
    for value in [&[][..], &["--value", "a", "--value-file", "b"]] {
        let line = [&["mintbench", "secret", "set", "kv/db"], value].concat();
        assert!(Line::try_parse_from(line).is_err(), "{value:?}");
    }
}
