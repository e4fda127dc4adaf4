//! `boot`: a machine starts and requests its tokens as an SDK does.

use std::time::Duration;

use goose::prelude::*;

use super::{become_vm, variable};
use crate::ask::{self, ARM, Ask, Token, VAULT};

/// Returns the journey: a probe, one token per identity and service, and the first token again.
pub(crate) fn scenario() -> Result<Scenario, GooseError> {
    let steps = scenario!("boot")
        .set_wait_time(Duration::from_millis(50), Duration::from_millis(150))?
        .register_transaction(transaction!(become_vm).set_on_start())
        .register_transaction(transaction!(probe).set_name("probe").set_sequence(1))
        .register_transaction(transaction!(system).set_name("system-assigned").set_sequence(2))
        .register_transaction(transaction!(user_assigned).set_name("by client_id").set_sequence(3))
        .register_transaction(transaction!(vault).set_name("key vault").set_sequence(4))
        .register_transaction(transaction!(again).set_name("again").set_sequence(5));
    Ok(steps)
}

async fn probe(user: &mut GooseUser) -> TransactionResult {
    ask::probe(user).await
}

async fn system(user: &mut GooseUser) -> TransactionResult {
    let token = ask::token(user, Ask::new("system-assigned", ARM)).await?;
    user.set_session_data(token);
    Ok(())
}

/// Requests a token by client id. Skipped if the environment names no identity.
async fn user_assigned(user: &mut GooseUser) -> TransactionResult {
    if let Some(client_id) = variable("LOADTESTS_CLIENT_ID")? {
        let ask = Ask { client_id: Some(client_id), ..Ask::new("by client_id", ARM) };
        ask::token(user, ask).await?;
    }
    Ok(())
}

async fn vault(user: &mut GooseUser) -> TransactionResult {
    ask::token(user, Ask::new("key vault", VAULT)).await.map(drop)
}

async fn again(user: &mut GooseUser) -> TransactionResult {
    let earlier = user.get_session_data::<Token>().cloned();
    ask::token(user, Ask { earlier, ..Ask::new("again", ARM) }).await.map(drop)
}
