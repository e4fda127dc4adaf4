//! This build and this machine, for documents.

use crate::harness::document::extra::Extra;
use crate::harness::document::host::{Build, Host};
use crate::harness::machine::host as machine;
use crate::harness::machine::host::settings::HostSettings;
use crate::harness::machine::host::{available_bytes, load_average, resident_bytes};

/// Returns the build of this executable, as the build script recorded it.
pub(crate) fn build() -> Build {
    Build {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        git_commit: env!("MINTBENCH_BUILD_COMMIT").to_owned(),
        git_dirty: env!("MINTBENCH_BUILD_DIRTY").parse().ok(),
        profile: env!("MINTBENCH_BUILD_PROFILE").to_owned(),
        rustc: env!("MINTBENCH_BUILD_RUSTC").to_owned(),
        extra: Extra::new(),
    }
}

/// Reads the hardware and the settings of this machine.
pub(crate) fn host(steal_share: f64) -> Host {
    let (host, settings) = (machine::Host::read(), HostSettings::read());
    let fingerprint = host.fingerprint();
    Host {
        cpu_model: host.cpu_model,
        cores: host.cores as u64,
        kernel: host.kernel,
        governor: host.governor,
        memory_bytes: host.memory_bytes,
        fingerprint,
        steal_share,
        load_average: load_average(),
        smt: settings.smt,
        turbo: settings.turbo,
        idle_states: Some(settings.idle_states),
        numa_nodes: settings.numa_nodes.map(|nodes| nodes as u64),
        cpu_quota_cores: settings.quota_cores,
        clock_source: settings.clock_source,
        preemption: settings.preemption,
        virtualised: settings.virtualised,
        somaxconn: settings.somaxconn,
        port_range: settings.port_range,
        memory_available_bytes: available_bytes(),
        generator_rss_bytes: resident_bytes(),
        extra: Extra::new(),
    }
}
