//! The checks of the Rust SDK: one line for each, in the words that judge.py reads.

use std::env;
use std::error::Error;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use azure_core::credentials::TokenCredential;
use azure_identity::{
    ManagedIdentityCredential, ManagedIdentityCredentialOptions, UserAssignedId,
    WorkloadIdentityCredential, WorkloadIdentityCredentialOptions,
};
use azure_security_keyvault_secrets::SecretClient;

const ARM: &str = "https://management.azure.com";
const VAULT: &str = "https://vault.azure.net";

type Failure = Box<dyn Error>;

fn var(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("run.sh sets {name}"))
}

fn line(fields: &[&str]) {
    let flat: Vec<_> = fields.iter().map(|field| field.replace(['\t', '\r', '\n'], " ")).collect();
    println!("{}", flat.join("\t"));
}

/// Joins the error and its causes, because the SDK puts the broker's answer into a cause.
fn explain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}

fn credential(id: Option<UserAssignedId>) -> azure_core::Result<Arc<ManagedIdentityCredential>> {
    ManagedIdentityCredential::new(Some(ManagedIdentityCredentialOptions {
        user_assigned_id: id,
        ..Default::default()
    }))
}

async fn ask(audience: &str, id: Option<UserAssignedId>) -> Result<String, Failure> {
    let scope = format!("{audience}/.default");
    let token = credential(id)?.get_token(&[&scope], None).await?;
    Ok(token.token.secret().to_owned())
}

/// Logs in as the shared identity, which trusts the machine's own token. The token is in a file, as a platform
/// puts it there.
async fn exchange(audience: &str) -> Result<String, Failure> {
    let path = PathBuf::from(var("FEDERATED_TOKEN_FILE"));
    let own = ask("api://AzureADTokenExchange", None).await?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
    file.write_all(own.as_bytes())?;
    let credential = WorkloadIdentityCredential::new(Some(WorkloadIdentityCredentialOptions {
        client_id: Some(var("SHARED_CLIENT_ID")),
        tenant_id: Some(var("TENANT_ID")),
        token_file_path: Some(path.clone()),
        ..Default::default()
    }))?;
    let token = credential.get_token(&[&format!("{audience}/.default")], None).await;
    fs::remove_file(path)?;
    Ok(token?.token.secret().to_owned())
}

async fn federated(sentence: &str, who: &str, audience: &str) {
    match exchange(audience).await {
        Ok(token) => line(&["token", sentence, who, audience, &token]),
        Err(error) => line(&["failed", sentence, &explain(error.as_ref())]),
    }
}

async fn read(name: &str, id: Option<UserAssignedId>) -> Result<String, Failure> {
    let client = SecretClient::new(&var("VAULT_URL"), credential(id)?, None)?;
    Ok(client.get_secret(name, None).await?.into_model()?.value.unwrap_or_default())
}

async fn token(sentence: &str, who: &str, audience: &str, id: Option<UserAssignedId>) {
    match ask(audience, id).await {
        Ok(token) => line(&["token", sentence, who, audience, &token]),
        Err(error) => line(&["failed", sentence, &explain(error.as_ref())]),
    }
}

async fn no_token(sentence: &str, id: UserAssignedId) {
    match ask(VAULT, Some(id)).await {
        Ok(_) => line(&["failed", sentence, "it was given a token"]),
        // On a 400 the SDK shows its own sentence, not the answer.
        Err(error) => {
            line(&["refused", sentence, "has not been assigned", &explain(error.as_ref())]);
        }
    }
}

async fn secret(sentence: &str, name: &str, id: Option<UserAssignedId>) {
    match read(name, id).await {
        Ok(value) => line(&["secret", sentence, name, &value]),
        Err(error) => line(&["failed", sentence, &explain(error.as_ref())]),
    }
}

async fn no_secret(sentence: &str, name: &str, id: Option<UserAssignedId>) {
    match read(name, id).await {
        Ok(_) => line(&["failed", sentence, "it was given the secret"]),
        Err(error) => line(&["refused", sentence, "Forbidden", &explain(error.as_ref())]),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let by_client = |name: &str| UserAssignedId::ClientId(var(name));
    let by_object = |name: &str| UserAssignedId::ObjectId(var(name));
    let by_resource = |name: &str| UserAssignedId::ResourceId(var(name));

    token("a token of the system-assigned identity", "system", ARM, None).await;
    token("a token by client id", "own", VAULT, Some(by_client("OWN_CLIENT_ID"))).await;
    token("a token by object id", "own", VAULT, Some(by_object("OWN_OBJECT_ID"))).await;
    // At App Service the SDK refuses them itself.
    let takes_resource_ids = env::var_os("IDENTITY_ENDPOINT").is_none();
    if takes_resource_ids {
        token("a token by resource id", "own", VAULT, Some(by_resource("OWN_RESOURCE_ID"))).await;
    }
    token("a token of the shared identity", "shared", ARM, Some(by_client("SHARED_CLIENT_ID")))
        .await;
    no_token("no token by the other VM's client id", by_client("OTHER_CLIENT_ID")).await;
    no_token("no token by the other VM's object id", by_object("OTHER_OBJECT_ID")).await;
    if takes_resource_ids {
        no_token("no token by the other VM's resource id", by_resource("OTHER_RESOURCE_ID")).await;
    }

    if env::var_os("VAULT_URL").is_none() {
        return;
    }
    let (own, other) = (var("OWN_SECRET"), var("OTHER_SECRET"));
    let client = || Some(by_client("OWN_CLIENT_ID"));
    let shared = || Some(by_client("SHARED_CLIENT_ID"));
    secret("the system-assigned identity reads its secret", &own, None).await;
    secret("the user-assigned identity reads its secret", &own, client()).await;
    secret("the shared identity reads its secret", &var("SHARED_SECRET"), shared()).await;
    no_secret("the system-assigned identity is refused the other VM's secret", &other, None).await;
    no_secret("the user-assigned identity is refused the other VM's secret", &other, client())
        .await;
    no_secret("the shared identity is refused the VM's own secret", &own, shared()).await;
    federated("a token of the shared identity by a federated token", "shared", VAULT).await;
}
