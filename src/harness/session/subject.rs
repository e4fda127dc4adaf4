//! The target of a measurement: a broker of our own in a child process, or a foreign endpoint.

use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;

use super::changes::needs::Needs;
use super::changes::outage::Source;
use super::changes::{Admin, Endpoints};
use super::error::SessionError;
use super::serve_process::{ServeProcess, this_program};
use crate::base::synthetic::Synthetic;
use crate::harness::dialect::fetch;
use crate::harness::dialect::fetch::FetchError;
use crate::harness::dialect::target::Target;
use crate::harness::dialect::url::HttpUrl;
use crate::harness::judge::verify::keys::Keys;
use crate::harness::machine::stop::Stop;
use crate::harness::record::broker_counters::Counters;
use crate::harness::record::self_report::SelfReport;
use crate::harness::scenario::changes::Changes;
use crate::harness::scenario::run_plan::RunPlan;

/// The target of a measurement.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one for each run")]
pub enum Subject {
    /// Our own broker, in a child process.
    Broker {
        /// The process, which ends when this value is dropped.
        process: ServeProcess,
        /// The token endpoint.
        imds: HttpUrl,
        /// The token service that signs and publishes the keys: the broker's own, or that of
        /// `source`.
        sts: HttpUrl,
        /// The endpoint of the broker's counters.
        admin: HttpUrl,
        /// The control plane, if the run changes something there.
        arm: Option<HttpUrl>,
        /// The admin endpoint with its secret, if the run rotates keys.
        keys: Option<Admin>,
        /// The folder of the broker's world, kept until the end of the run.
        data: Option<TempDir>,
        /// The token service that the broker asks, if that is another process.
        source: Option<Source>,
    },
    /// Another token endpoint.
    Foreign {
        /// The URL and the protocol.
        target: Target,
        /// The URL of the published keys, if it is known.
        jwks: Option<HttpUrl>,
    },
}

impl Subject {
    /// Starts the broker for a plan. `extra` are further arguments of `serve`.
    ///
    /// # Errors
    /// Returns an error if the broker does not become ready.
    pub fn start(plan: &RunPlan, extra: &[String], stop: &Arc<Stop>) -> Result<Self, SessionError> {
        Self::start_program(&this_program(), plan, extra, stop)
    }

    /// Starts the broker like [`Self::start`], but from another build: `program` is the executable.
    ///
    /// # Errors
    /// Returns an error if the broker does not become ready.
    pub fn start_program(
        program: &Path,
        plan: &RunPlan,
        extra: &[String],
        stop: &Arc<Stop>,
    ) -> Result<Self, SessionError> {
        let Needs { args, data, source } =
            Needs::of(plan.changes).map_err(SessionError::Prepare)?;
        let (world, core) = (&plan.world, plan.cores.broker);
        let shared = [plan.workload.serve_args(), extra].concat();
        let args = [args, shared.clone()].concat();
        let process = ServeProcess::start(program, world, core, &args, stop)?;
        let [imds, sts, admin] = ["imds", "sts", "admin"].map(|name| process.endpoint(name));
        let (imds, mut sts, admin) = (imds?, sts?, admin?);
        let churned = matches!(plan.changes, Changes::Churn { .. });
        let arm = if churned { Some(process.endpoint("arm")?) } else { None };
        let rotated = matches!(plan.changes, Changes::Rotate { .. });
        let secret = rotated.then(|| process.admin_secret()).transpose()?;
        let keys = secret.map(|secret| Admin { url: admin.clone(), secret });
        // Starts after the broker, whose authority it must trust. Nobody asks for a token before
        // the load.
        let source = source.map(|(address, folder)| {
            let ca_pem = fetch::get(&admin, "/ca.pem").map_err(SessionError::Counters)?;
            let of = (world, core, shared.as_slice());
            Ok::<_, SessionError>(Source::start(address, &ca_pem, folder, of, stop)?)
        });
        let source = source.transpose()?;
        if let Some(source) = &source {
            sts = source.sts()?;
        }
        Ok(Self::Broker { imds, sts, admin, arm, keys, process, data, source })
    }

    /// Takes the token service beside our broker. The caller's drop of it ends the process.
    pub(super) fn take_source(&mut self) -> Option<Source> {
        match self {
            Self::Broker { source, .. } => source.take(),
            Self::Foreign { .. } => None,
        }
    }

    /// Returns the folder of our broker's world, if it has one.
    pub fn data(&self) -> Option<&Path> {
        match self {
            Self::Broker { data, .. } => data.as_ref().map(TempDir::path),
            Self::Foreign { .. } => None,
        }
    }

    /// Returns the process id of our broker.
    pub fn pid(&self) -> Option<u32> {
        match self {
            Self::Broker { process, .. } => Some(process.pid()),
            Self::Foreign { .. } => None,
        }
    }

    pub(super) const fn endpoints(&self) -> Option<Endpoints<'_>> {
        match self {
            Self::Broker { arm, sts, keys, .. } => {
                Some(Endpoints { arm: arm.as_ref(), sts, admin: keys.as_ref() })
            }
            Self::Foreign { .. } => None,
        }
    }

    /// Returns the URL and the protocol of the requests.
    pub fn target(&self) -> Target {
        match self {
            Self::Broker { imds, .. } => Target::imds(imds.clone()),
            Self::Foreign { target, .. } => target.clone(),
        }
    }

    pub(super) fn counters(&self) -> Result<Option<(Counters, SelfReport)>, SessionError> {
        match self {
            Self::Broker { admin, .. } => read(admin).map(Some).map_err(SessionError::Counters),
            Self::Foreign { .. } => Ok(None),
        }
    }

    /// Returns the exit status of our broker, if it has ended.
    pub(super) fn ended(&mut self) -> Option<String> {
        match self {
            Self::Broker { process, .. } => process.ended().map(|status| status.to_string()),
            Self::Foreign { .. } => None,
        }
    }

    pub(super) fn keys(&self, world: &Synthetic) -> Result<Option<Keys>, SessionError> {
        let keys = match self {
            Self::Broker { sts, .. } => Some(Keys::of_tenant(sts, world)),
            Self::Foreign { target, jwks } => {
                jwks.as_ref().map(|jwks| Keys::read_trusting(jwks, target.trusted.clone()))
            }
        };
        keys.transpose().map_err(SessionError::Keys)
    }
}

/// Reads the counters and the report in one request.
///
/// # Errors
/// Returns an error if the endpoint does not answer.
fn read(admin: &HttpUrl) -> Result<(Counters, SelfReport), FetchError> {
    let text = fetch::get(admin, "/metrics")?;
    Ok((Counters::parse(&text), SelfReport::parse(&text)))
}
