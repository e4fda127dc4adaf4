//! Asks for one token as most programs do, and prints what came of it as one line of JSON.

use std::time::Instant;

use azure_core::credentials::TokenCredential;
use azure_identity::ManagedIdentityCredential;

async fn ask() -> azure_core::Result<()> {
    let credential = ManagedIdentityCredential::new(None)?;
    credential.get_token(&["https://vault.azure.net/.default"], None).await?;
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let began = Instant::now();
    let error = ask().await.err().map(|error| format!("{:?}: {error}", error.kind()));
    let quoted = |text: String| format!("{:?}", text.replace(|char: char| !(' '..='~').contains(&char), " "));
    let error = error.map_or_else(|| "null".to_owned(), quoted);
    println!(r#"{{"error": {error}, "seconds": {}}}"#, began.elapsed().as_secs_f64());
}
