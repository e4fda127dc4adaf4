//! `steady`: a running machine requests its token repeatedly, and gets the same one each time.

use std::time::Duration;

use goose::prelude::*;

use super::become_vm;
use crate::ask::{self, ARM, Ask, Token};

/// Returns the journey: one request, repeated for ever.
pub(crate) fn scenario() -> Result<Scenario, GooseError> {
    let steps = scenario!("steady")
        .set_wait_time(Duration::from_millis(50), Duration::from_millis(150))?
        .register_transaction(transaction!(become_vm).set_on_start())
        .register_transaction(transaction!(keep_asking).set_name("keep asking"));
    Ok(steps)
}

async fn keep_asking(user: &mut GooseUser) -> TransactionResult {
    let earlier = user.get_session_data::<Token>().cloned();
    let token = ask::token(user, Ask { earlier, ..Ask::new("keep asking", ARM) }).await?;
    user.set_session_data(token);
    Ok(())
}
