//! Shares by which a candidate is worse, as text.

/// Formats a share in per cent, without needless zeros.
pub(super) fn percent(share: f64) -> String {
    let rounded = (share * 1e4).round() / 1e2;
    format!("{rounded} %")
}

/// Formats the two ends of an interval.
pub(super) fn span([low, high]: [Option<f64>; 2]) -> String {
    format!("{} to {}", share(low), share(high))
}

/// Largest share that is shown: 1000 % worse. Anything above it is as bad.
const SHARE_MAX: f64 = 10.0;

/// Formats a share in per cent with its sign.
pub(super) fn share(share: Option<f64>) -> String {
    match share {
        None => "-".to_owned(),
        // With two or three noisy pairs, say, the digits of such a number mean nothing.
        Some(share) if share > SHARE_MAX => format!("> {:.0} %", SHARE_MAX * 100.0),
        Some(share) => format!("{:+.2} %", share * 100.0),
    }
}

/// Formats a share in words: its direction and its size.
pub(super) fn change(share: Option<f64>) -> String {
    let rounded = share.map(|share| (share * 1e4).round() / 1e2);
    match rounded {
        None => "unknown".to_owned(),
        Some(percent) if percent > SHARE_MAX * 100.0 => {
            format!("more than {:.0} % worse", SHARE_MAX * 100.0)
        }
        Some(percent) if percent > 0.0 => format!("{percent:.2} % worse"),
        Some(percent) if percent < 0.0 => format!("{:.2} % better", percent.abs()),
        Some(_) => "no change".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_improvement_is_called_better_and_a_slow_down_worse() {
        let said = [Some(-0.0322), Some(0.013), Some(0.000_04), Some(39.0), None].map(change);
        let expected =
            ["3.22 % better", "1.30 % worse", "no change", "more than 1000 % worse", "unknown"];
        assert_eq!(said, expected);
    }
}
