//! `GET /metadata/identity/oauth2/token`.

use hyper::Response;
use uuid::Uuid;

use super::endpoint::Imds;
use super::error::ImdsError;
use super::parameters::Parameters;
use super::query::Query;
use super::reply::token_reply;
use crate::base::http::Payload;
use crate::service::broker::{Answer, TokenRequest};
use crate::service::directory::Caller;

impl Imds {
    pub(super) async fn token(
        &self,
        caller: &Caller,
        query: &Query<'_>,
        request_id: Uuid,
    ) -> Result<Response<Payload>, ImdsError> {
        let parameters = Parameters::read(query)?;
        let answer = self.obtain(caller, &parameters.request(), request_id).await?;
        let body = Payload::from(answer.token().body(answer.at));
        Ok(token_reply(answer.via, body.plain()))
    }

    /// Returns a token from the broker.
    pub(super) async fn obtain(
        &self,
        caller: &Caller,
        request: &TokenRequest<'_>,
        request_id: Uuid,
    ) -> Result<Answer, ImdsError> {
        let answer = self.broker.token(caller, request, &*self.clock).await;
        answer.map_err(|error| ImdsError::of_token(error, caller, request_id, self.clock.now()))
    }
}
