//! The types of the document, from which its schema is generated.

use std::num::{NonZeroU64, NonZeroUsize};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::fields;
use super::fields::Span;
use crate::service::token::Flaw;

/// Name and version of the format.
pub(crate) const SCHEMA: &str = "mintbench/faults/1";

/// Faults that `mintbench serve` injects on purpose. The first rule that hits a request decides.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FaultPlan {
    /// Name and version of this format.
    #[serde(default = "schema_name")]
    pub schema: String,
    /// Seed of the draws. The same seed and the same order of the requests of a caller give the same faults.
    #[serde(default)]
    pub seed: u64,
    /// Rules, at most 100.
    pub rules: Vec<Rule>,
}

/// A rule: which requests it hits, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rule {
    /// Endpoint whose requests the rule applies to.
    pub endpoint: Endpoint,
    /// Names or resource ids of the virtual machines that call; empty for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vms: Vec<String>,
    /// Names, resource ids, client ids or object ids of the identities; empty for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub identities: Vec<String>,
    /// Resources of the tokens, names of vaults, or paths of the control plane and what is below them; empty for
    /// all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<String>,
    /// Share of the requests that is hit, above 0 and up to 1.
    #[serde(default = "fields::all")]
    #[schemars(range(max = 1.0), extend("exclusiveMinimum" = 0.0))]
    pub share: f64,
    /// Greatest number of requests of one caller that are hit; null for no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<NonZeroU64>,
    /// Time at which the rule begins, such as `10s`, from the start of the server or from the request that set the
    /// rules; null for at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Span>,
    /// Time at which the rule ends, measured like `from`; null for never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Span>,
    /// What happens to a request that is hit.
    pub fault: Fault,
}

/// An endpoint of the server, or the source of its tokens.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Endpoint {
    /// The identity endpoint.
    Imds,
    /// The endpoint of the VM extension.
    VmExtension,
    /// The endpoint of App Service.
    AppService,
    /// The token service.
    Sts,
    /// The control plane.
    Arm,
    /// The key vaults.
    Vault,
    /// The source from which the identity endpoint gets its tokens.
    TokenSource,
}

impl Endpoint {
    /// Returns the name, as in the log and in metrics.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Imds => "imds",
            Self::VmExtension => "vm-extension",
            Self::AppService => "app-service",
            Self::Sts => "sts",
            Self::Arm => "arm",
            Self::Vault => "vault",
            Self::TokenSource => "token-source",
        }
    }
}

/// What happens to a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Fault {
    /// A refusal in the form of the endpoint. The request is not carried out.
    Status {
        /// Status code, 400 to 599.
        #[schemars(range(min = 400, max = 599))]
        status: u16,
        /// Seconds in the header `Retry-After`; null for no such header.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after: Option<u32>,
    },
    /// The right answer, later.
    Slow {
        /// Time before the request is carried out, up to `1h`.
        delay: Span,
    },
    /// The right answer in small pieces.
    Trickle {
        /// Time between two pieces, up to `1m`.
        #[serde(default = "fields::every")]
        every: Span,
        /// Bytes of a piece.
        #[serde(default = "fields::piece")]
        bytes: NonZeroUsize,
    },
    /// No answer, while the connection stays open. The request is not carried out.
    Hang {},
    /// No answer: the connection is reset. The request is not carried out.
    Reset {},
    /// Half of the body, of which the head announces the whole, and then the end of the connection. The request is
    /// carried out.
    Truncated {},
    /// Half of the body as if it were the whole, which is no JSON. The request is carried out.
    WrongJson {},
    /// The right body as `text/html`. The request is carried out.
    WrongContentType {},
    /// The right answer with a broken token in it. Needs `serve --test-tools`.
    Token {
        /// Flaw of the token.
        flaw: Flaw,
    },
}

impl Fault {
    /// Returns the name, as in the document.
    pub(in crate::service::faults) const fn kind(&self) -> &'static str {
        match self {
            Self::Status { .. } => "status",
            Self::Slow { .. } => "slow",
            Self::Trickle { .. } => "trickle",
            Self::Hang {} => "hang",
            Self::Reset {} => "reset",
            Self::Truncated {} => "truncated",
            Self::WrongJson {} => "wrong-json",
            Self::WrongContentType {} => "wrong-content-type",
            Self::Token { .. } => "token",
        }
    }
}

fn schema_name() -> String {
    SCHEMA.to_owned()
}
