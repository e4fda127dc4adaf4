//! Behaviour of real clients: when they ask for tokens, and what they do after a refusal.
//!
//! Each row is taken from the client's source; `docs/planning.md` lists the places. Retries apply to
//! status 503. The client's own delay and the broker's `Retry-After` are not added: a client that reads
//! `Retry-After` waits for the longer one.

use std::time::Duration;

/// Software development kit (SDK).
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize, serde::Serialize,
)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Sdk {
    /// `az login --identity` and later commands: MSAL Python without retries.
    AzureCli,
    /// `Azure.Identity` and MSAL.NET.
    Dotnet,
    /// `azidentity`.
    Go,
    /// `@azure/identity`.
    Javascript,
    /// MSAL Go.
    MsalGo,
    /// msal-node, used directly.
    MsalNode,
    /// MSAL Python, used directly.
    MsalPython,
    /// azure-identity for Python.
    Python,
    /// `azure_identity` for Rust.
    Rust,
}

/// Rule for refreshing a cached token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refresh {
    /// Refresh at half of the remaining lifetime if at least two hours remained, otherwise five minutes
    /// before expiry.
    HalfLife,
    /// Refresh five minutes before expiry.
    BeforeExpiry,
}

impl Sdk {
    /// All SDKs, in the order of their names.
    #[cfg(test)]
    pub(crate) const ALL: [Self; 9] = [
        Self::AzureCli,
        Self::Dotnet,
        Self::Go,
        Self::Javascript,
        Self::MsalGo,
        Self::MsalNode,
        Self::MsalPython,
        Self::Python,
        Self::Rust,
    ];

    /// Returns the delay before retry number `attempt` (from 1) after a refusal, or none if the client
    /// gives up.
    pub(crate) fn retry(self, attempt: u32, retry_after: Duration) -> Option<Duration> {
        let delays: &[u64] = match self {
            // These clients cache the refusal, so the application must ask again.
            Self::AzureCli | Self::MsalPython => &[],
            Self::Dotnet | Self::MsalNode => &[1000, 2000, 4000],
            Self::Go => &[2000, 4000, 8000, 16_000, 32_000],
            // The pipeline retries three times and waits for the broker's `Retry-After`.
            Self::Javascript => &[0, 0, 0],
            // Three attempts, a second apart.
            Self::MsalGo => &[1000, 1000],
            Self::Python => &[0, 1600, 3200, 6400, 12_800],
            // Six retries: the delay starts at 1.34 s and doubles; 72 s in total.
            Self::Rust => &[1340, 2680, 5360, 10_720, 21_440, 30_460],
        };
        let index = usize::try_from(attempt.checked_sub(1)?).ok()?;
        let own = Duration::from_millis(*delays.get(index)?);
        Some(if self == Self::Javascript { own.max(retry_after) } else { own })
    }

    /// Returns the refresh rule of the SDK.
    pub(crate) const fn refresh(self) -> Refresh {
        match self {
            Self::AzureCli | Self::MsalPython | Self::Rust => Refresh::BeforeExpiry,
            Self::Dotnet
            | Self::Go
            | Self::Javascript
            | Self::MsalGo
            | Self::MsalNode
            | Self::Python => Refresh::HalfLife,
        }
    }
}

impl Refresh {
    /// Returns the seconds until the client asks again for a token that is valid for `left` seconds.
    pub(crate) fn after(self, left: f64) -> f64 {
        const HALF_FROM: f64 = 7200.0;
        const MARGIN: f64 = 300.0;
        match self {
            Self::HalfLife if left >= HALF_FROM => left / 2.0,
            // A token that is shorter than the margin is used up before the next request.
            Self::HalfLife | Self::BeforeExpiry if left > MARGIN => left - MARGIN,
            Self::HalfLife | Self::BeforeExpiry => left.max(1.0),
        }
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "exact by construction")]
mod tests {
    use super::*;

    #[test]
    fn every_kit_gives_up_and_none_waits_longer_than_its_source_says() {
        for sdk in Sdk::ALL {
            let delays = (1..).map_while(|attempt| sdk.retry(attempt, Duration::from_secs(1)));
            let total: Duration = delays.take(100).sum();
            assert!(total <= Duration::from_secs(72), "{sdk:?}: {total:?}");
        }
        assert_eq!(Sdk::MsalPython.retry(1, Duration::from_secs(1)), None);
        assert_eq!(Sdk::Python.retry(1, Duration::from_secs(1)), Some(Duration::ZERO));
        assert_eq!(Sdk::Javascript.retry(3, Duration::from_secs(1)), Some(Duration::from_secs(1)));
        assert_eq!(Sdk::Javascript.retry(4, Duration::from_secs(1)), None);
        assert_eq!(Sdk::Go.retry(0, Duration::ZERO), None);
    }

    #[test]
    fn half_life_begins_at_two_hours() {
        assert_eq!(Refresh::HalfLife.after(86_400.0), 43_200.0);
        assert_eq!(Refresh::HalfLife.after(7199.0), 6899.0);
        assert_eq!(Refresh::BeforeExpiry.after(86_400.0), 86_100.0);
        assert_eq!(Refresh::BeforeExpiry.after(60.0), 60.0);
    }
}
