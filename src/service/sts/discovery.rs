//! Discovery documents for clients and verifiers: `OpenID` discovery, instance discovery, and the published
//! keys.

use hyper::header::{
    ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, HeaderValue,
};
use hyper::{Response, StatusCode, Uri};
use serde_json::{Value, json};

use super::Sts;
use super::error::StsError;
use super::form::Form;
use super::route::{Realm, Version};
use crate::base::http::{Payload, json_reply};
use crate::service::token::SigningKey;

/// Hosts of the public cloud. Tokens of one are valid for all, so libraries treat them as one host.
const PUBLIC_CLOUD: [&str; 4] =
    ["login.microsoftonline.com", "login.windows.net", "login.microsoft.com", "sts.windows.net"];

impl Sts {
    /// Returns the published keys (RFC 7517). In version 2 each key also names its issuer.
    pub(super) fn keys(&self, realm: Realm, version: Version) -> Response<Payload> {
        let issuer = realm.issuer(Version::V2);
        let keys = self.managed.keys();
        let keys = keys.published().map(SigningKey::jwk).map(|jwk| {
            let mut key = json!(jwk);
            if let (Version::V2, Some(fields)) = (version, key.as_object_mut()) {
                fields.insert("issuer".to_owned(), issuer.as_str().into());
            }
            key
        });
        published(&json!({ "keys": keys.collect::<Vec<_>>() }))
    }

    /// Returns the document of OpenID Connect Discovery 1.0 section 3, with the issuers of Entra. `segment`
    /// is the realm in the client's spelling. Of the endpoints in the document, only those for tokens and
    /// keys exist here.
    pub(super) fn configuration(
        &self,
        realm: Realm,
        segment: &str,
        version: Version,
        base_url: &str,
    ) -> Response<Payload> {
        let own = format!("{base_url}/{}", segment.to_ascii_lowercase());
        let path = match version {
            Version::V1 => "oauth2",
            Version::V2 => "oauth2/v2.0",
        };
        let keys = match version {
            Version::V1 => "discovery/keys",
            Version::V2 => "discovery/v2.0/keys",
        };
        let mut document = json!({
            "token_endpoint": format!("{own}/{path}/token"),
            "token_endpoint_auth_methods_supported":
                ["client_secret_post", "private_key_jwt", "client_secret_basic"],
            "jwks_uri": format!("{own}/{keys}"),
            "response_modes_supported": ["query", "fragment", "form_post"],
            "subject_types_supported": ["pairwise"],
            "id_token_signing_alg_values_supported": [self.managed.keys().current.jwk().alg],
            "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
            "scopes_supported": ["openid", "profile", "email", "offline_access"],
            "issuer": realm.issuer(version),
            "request_uri_parameter_supported": false,
            "userinfo_endpoint": "https://graph.microsoft.com/oidc/userinfo",
            "authorization_endpoint": format!("{own}/{path}/authorize"),
            "device_authorization_endpoint": format!("{own}/{path}/devicecode"),
            "http_logout_supported": true,
            "frontchannel_logout_supported": true,
            "end_session_endpoint": format!("{own}/{path}/logout"),
            "claims_supported": [
                "sub", "iss", "cloud_instance_name", "cloud_instance_host_name",
                "cloud_graph_host_name", "msgraph_host", "aud", "exp", "iat", "auth_time", "acr",
                "nonce", "preferred_username", "name", "tid", "ver", "at_hash", "c_hash", "email",
            ],
            "kerberos_endpoint": format!("{own}/kerberos"),
            "tenant_region_scope": Value::Null,
            "cloud_instance_name": "microsoftonline.com",
            "cloud_graph_host_name": "graph.windows.net",
            "msgraph_host": "graph.microsoft.com",
            "rbac_url": "https://pas.windows.net",
        });
        if let (Version::V1, Some(fields)) = (version, document.as_object_mut()) {
            fields.insert("microsoft_multi_refresh_token".to_owned(), true.into());
            fields.insert(
                "check_session_iframe".to_owned(),
                format!("{own}/oauth2/checksession").into(),
            );
        }
        published(&document)
    }

    /// Answers instance discovery, by which MSAL learns which hosts are aliases. The requested host is its
    /// own only alias, unless it belongs to the public cloud. A library that also uses the real cloud must
    /// not mix the tokens of the two.
    pub(super) fn instance(
        query: Option<&str>,
        base_url: &str,
    ) -> Result<Response<Payload>, StsError> {
        let form = Form::parse(query.unwrap_or_default().as_bytes())?;
        let endpoint = form.require("authorization_endpoint")?;
        let uri: Uri = endpoint.parse().map_err(|_| StsError::InstanceUnknown)?;
        // The parser reads a single word as an authority (RFC 9112 section 3.2.3), but it is no URL.
        let authority = uri.authority().filter(|_| uri.scheme().is_some());
        let authority = authority.ok_or(StsError::InstanceUnknown)?.as_str();
        let mut segments = uri.path().split('/').skip(1);
        let tenant = segments.next().filter(|tenant| !tenant.is_empty()).unwrap_or("common");
        let discovery = format!("{base_url}/{tenant}/v2.0/.well-known/openid-configuration");
        let mut document = json!({ "tenant_discovery_endpoint": discovery });
        if let (Some("1.1"), Some(fields)) = (form.get("api-version"), document.as_object_mut()) {
            let aliases: &[&str] =
                if PUBLIC_CLOUD.contains(&authority) { &PUBLIC_CLOUD } else { &[authority] };
            let metadata = json!([{
                "preferred_network": authority,
                "preferred_cache": authority,
                "aliases": aliases,
            }]);
            fields.insert("api-version".to_owned(), "1.1".into());
            fields.insert("metadata".to_owned(), metadata);
        }
        Ok(published(&document))
    }
}

fn published(document: &Value) -> Response<Payload> {
    let mut response = json_reply(StatusCode::OK, document.to_string());
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("max-age=86400, private"));
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, OPTIONS"));
    response
}
