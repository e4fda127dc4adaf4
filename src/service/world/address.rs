//! Source addresses of virtual machines.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The source address of a virtual machine's requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Address {
    /// One IP address. An IPv4 address is never written as IPv6.
    Ip(IpAddr),
    /// Every address that does not belong to another machine, and did not last belong to one.
    Any,
}

/// Reason why a text is not the address of a virtual machine.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Neither an IP address nor `any`.
    #[error(
        "`{0}` is not an address; write the IP address that the VM calls from, or `any` for callers that no other VM has"
    )]
    Malformed(String),
    /// No request can come from this address.
    #[error("no request comes from `{0}`; write the address that the VM calls from")]
    Uncallable(IpAddr),
}

impl Address {
    const ANY: &'static str = "any";

    /// Returns the IP address, or `None` for [`Address::Any`].
    pub const fn ip(self) -> Option<IpAddr> {
        match self {
            Self::Ip(address) => Some(address),
            Self::Any => None,
        }
    }

    fn read(text: &str) -> Result<Self, AddressError> {
        if text.eq_ignore_ascii_case(Self::ANY) {
            return Ok(Self::Any);
        }
        text.parse::<IpAddr>().map(Self::from).map_err(|_| AddressError::Malformed(text.to_owned()))
    }
}

impl From<IpAddr> for Address {
    fn from(address: IpAddr) -> Self {
        Self::Ip(address.to_canonical())
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let address = Self::read(text)?;
        match address {
            Self::Ip(ip) if !is_callable(ip) => Err(AddressError::Uncallable(ip)),
            _ => Ok(address),
        }
    }
}

fn is_callable(address: IpAddr) -> bool {
    let is_broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
    !(address.is_unspecified() || address.is_multicast() || is_broadcast)
}

/// Parses a stored address. It was checked when it was written, but the rules may have changed since.
impl TryFrom<String> for Address {
    type Error = AddressError;

    fn try_from(text: String) -> Result<Self, AddressError> {
        Self::read(&text)
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.to_string()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Any => f.write_str(Self::ANY),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_an_ip_address_that_can_call_or_any() {
        for (text, shown) in [
            ("127.0.0.1", "127.0.0.1"),
            ("::ffff:10.0.0.4", "10.0.0.4"),
            ("::1", "::1"),
            ("ANY", "any"),
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), shown);
        }
        for text in ["", "all", "10.0.0.0/8", "127.0.0.1:80", "localhost"] {
            assert_eq!(text.parse::<Address>(), Err(AddressError::Malformed(text.to_owned())));
        }
        for text in [
            "0.0.0.0",
            "::",
            "224.0.0.1",
            "ff02::1",
            "255.255.255.255",
            "::ffff:0.0.0.0",
            "ff0e::1",
            "::ffff:224.0.0.1",
            "::ffff:255.255.255.255",
        ] {
            assert!(matches!(text.parse::<Address>(), Err(AddressError::Uncallable(_))), "{text}");
        }
    }

    #[test]
    fn an_address_that_an_older_build_took_can_still_be_read_from_a_store() {
        let stored: Address = serde_json::from_str("\"255.255.255.255\"").unwrap();
        assert_eq!(stored.to_string(), "255.255.255.255");
        assert_eq!(serde_json::to_string(&Address::Any).unwrap(), "\"any\"");
    }
}
