//! Values of flags that name one of a few types of the harness, with their help.

use clap::ValueEnum;
use clap::builder::PossibleValue;

use crate::harness::dialect::protocol::{ClientAuth, Protocol};
use crate::harness::report::merge::Align;
use crate::harness::scenario::phases::Arrivals;
use crate::harness::scenario::run_plan::Bounds;

impl ValueEnum for Align {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Index, Self::Time]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let help = match self {
            Self::Index => {
                "The first seconds of all parts, the second ones, and so on, whenever they were"
            }
            Self::Time => {
                "Seconds of the same time: the parts ran together, on machines with clocks that agree"
            }
        };
        Some(PossibleValue::new(self.as_str()).help(help))
    }
}

impl ValueEnum for Arrivals {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let help = match self {
            Self::Constant => "All gaps are equal",
            Self::Poisson => "Gaps are exponential: many independent callers",
        };
        Some(PossibleValue::new(self.as_str()).help(help))
    }
}

impl ValueEnum for Bounds {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Shift, Self::BusyPeriod]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(match self {
            Self::Shift => PossibleValue::new("shift").help(
                "Later requests delay answers by at most as much: targets that serve in order",
            ),
            Self::BusyPeriod => PossibleValue::new("busy-period").help(
                "While requests are outstanding, lateness may delay any answer: other targets",
            ),
        })
    }
}

impl ValueEnum for ClientAuth {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Basic, Self::Post]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(match self {
            Self::Basic => {
                PossibleValue::new("basic").help("By HTTP Basic: in the header `Authorization`")
            }
            Self::Post => PossibleValue::new("post").help("In the form that is posted"),
        })
    }
}

impl ValueEnum for Protocol {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let help = match self {
            Self::AppService => {
                "The managed-identity endpoint of Azure App Service, version 2019-08-01"
            }
            Self::Aws => {
                "The EC2 instance metadata service, version 2: a session by PUT, then the credentials of a role"
            }
            Self::Gce => "The Compute Engine metadata server",
            Self::Get => {
                "A plain request of the URL as it stands, a GET unless --method or --body say more; any 2xx is a success, unless --expect says more"
            }
            Self::Imds => "The Azure Instance Metadata Service",
            Self::OAuth2 => {
                "OAuth 2.0 client credentials with a secret or a certificate (RFC 6749 section 4.4, RFC 7523)"
            }
        };
        Some(PossibleValue::new(self.as_str()).help(help))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_protocol_goes_by_the_name_that_the_command_line_knows() {
        for protocol in Protocol::ALL {
            let value = protocol.to_possible_value().unwrap();
            assert_eq!(value.get_name(), protocol.as_str());
        }
    }
}
