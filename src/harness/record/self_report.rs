//! The broker's report on itself, beside its counters: its build, and how late its host wakes a
//! thread that only sleeps.

/// The broker's report at one moment, or the difference of two.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SelfReport {
    /// Wake-ups of the broker's probe.
    pub wakeups: WakeUps,
    /// Page faults of the process that waited for a disk.
    pub major_faults: u64,
    /// The broker's build, if it reports one.
    pub build: Option<BrokerBuild>,
}

/// The build of a broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerBuild {
    /// Version of the package.
    pub version: String,
    /// Commit of the source.
    pub commit: String,
    /// True if the source differed from the commit; none if that is unknown.
    pub dirty: Option<bool>,
    /// Profile of the compilation.
    pub profile: String,
}

/// Cumulative counts of wake-ups by lateness: (upper bound in seconds, count), by ascending bounds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WakeUps(Vec<(f64, u64)>);

impl SelfReport {
    /// Parses the report. It stays empty for brokers that report nothing, such as older builds.
    pub(crate) fn parse(text: &str) -> Self {
        let mut report = Self::default();
        for line in text.lines() {
            let Some((name, value)) = line.rsplit_once(' ') else { continue };
            if let Some(labels) = name.strip_prefix("mintbench_build_info") {
                report.build = BrokerBuild::parse(labels);
            } else if let Some(labels) = name.strip_prefix("mintbench_hiccup_seconds_bucket") {
                let bound = label(labels, "le").map(|bound| match bound {
                    "+Inf" => Some(f64::INFINITY),
                    bound => bound.parse().ok(),
                });
                report.wakeups.0.extend(bound.flatten().zip(value.parse().ok()));
            } else if name == "process_major_faults_total" {
                report.major_faults = value.parse().unwrap_or(0);
            }
        }
        report
    }

    /// Returns the counts since `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let before = |index: usize| earlier.wakeups.0.get(index).map_or(0, |(_, count)| *count);
        let counts = self.wakeups.0.iter().enumerate();
        let wakeups = counts.map(|(at, (bound, count))| (*bound, count.saturating_sub(before(at))));
        Self {
            wakeups: WakeUps(wakeups.collect()),
            major_faults: self.major_faults.saturating_sub(earlier.major_faults),
            build: self.build.clone(),
        }
    }
}

impl BrokerBuild {
    fn parse(labels: &str) -> Option<Self> {
        let text = |name| label(labels, name).map(str::to_owned);
        Some(Self {
            version: text("version")?,
            commit: text("commit")?,
            dirty: text("dirty").and_then(|text| text.parse().ok()),
            profile: text("profile")?,
        })
    }
}

/// Returns the value of a label. Values of mintbench hold no quotes.
fn label<'a>(labels: &'a str, name: &str) -> Option<&'a str> {
    let inside = labels.trim_start_matches('{').trim_end_matches('}');
    let mut pairs = inside.split(',').filter_map(|pair| pair.split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value.trim_matches('"'))
}

impl WakeUps {
    /// Returns the number of wake-ups.
    pub fn count(&self) -> u64 {
        self.0.last().map_or(0, |(_, count)| *count)
    }

    /// Returns the bound in nanoseconds below which this share of the wake-ups lies. Returns `None`
    /// if there were none, or if the bound is not known.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "bounds are of microseconds to a second"
    )]
    pub fn quantile_ns(&self, quantile: f64) -> Option<u64> {
        let rank = (quantile * self.count() as f64).max(1.0);
        let (bound, _) = self.0.iter().find(|(_, count)| *count as f64 >= rank)?;
        // Beyond the last finite bound the lateness is at least that bound.
        let finite = if bound.is_finite() { Some(bound) } else { self.last_bound() };
        finite.map(|seconds| (seconds * 1e9).round() as u64)
    }

    fn last_bound(&self) -> Option<&f64> {
        self.0.iter().map(|(bound, _)| bound).rfind(|bound| bound.is_finite())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# TYPE mintbench_build_info gauge\n\
        mintbench_build_info{version=\"0.1.0\",commit=\"ab12\",dirty=\"false\",profile=\"release\"} 1\n\
        process_major_faults_total 7\n\
        mintbench_hiccup_seconds_sum 0.5\n\
        mintbench_hiccup_seconds_count 1000\n\
        mintbench_hiccup_seconds_bucket{le=\"0.00005\"} 990\n\
        mintbench_hiccup_seconds_bucket{le=\"0.001\"} 999\n\
        mintbench_hiccup_seconds_bucket{le=\"+Inf\"} 1000\n\
        mintbench_cache_hits_total 3\n";

    #[test]
    fn a_report_is_read_from_the_metrics() {
        let report = SelfReport::parse(TEXT);
        let build = report.build.unwrap();
        assert_eq!((build.commit.as_str(), build.profile.as_str()), ("ab12", "release"));
        assert_eq!(build.dirty, Some(false));
        assert_eq!((report.wakeups.count(), report.major_faults), (1000, 7));
        assert_eq!(report.wakeups.quantile_ns(0.99), Some(50_000));
        assert_eq!(report.wakeups.quantile_ns(0.999), Some(1_000_000));
        assert_eq!(report.wakeups.quantile_ns(1.0), Some(1_000_000));
    }

    #[test]
    fn what_was_before_does_not_count() {
        let later = SelfReport::parse(TEXT);
        let before = TEXT.replace("} 990", "} 900").replace("} 999", "} 905");
        let earlier = SelfReport::parse(&before.replace("} 1000", "} 906"));
        let since = later.since(&earlier);
        assert_eq!(since.wakeups.count(), 94);
        assert_eq!(since.wakeups.quantile_ns(0.5), Some(50_000));
        assert_eq!(later.since(&later).wakeups.quantile_ns(0.5), None);
    }

    #[test]
    fn a_broker_that_says_nothing_leaves_it_empty() {
        let report = SelfReport::parse("mintbench_cache_hits_total 3\n");
        assert_eq!(report, SelfReport::default());
        assert_eq!(report.wakeups.quantile_ns(0.99), None);
    }
}
