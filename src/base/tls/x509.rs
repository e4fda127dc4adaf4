//! The minimum of X.509 that is needed to read back an authority's own certificate.

use std::time::SystemTime;

use crate::base::clock::UnixSeconds;

/// Returns the last second in which `certificate` is valid (RFC 5280 section 4.1.2.5).
pub(super) fn not_after(certificate: &[u8]) -> Option<UnixSeconds> {
    let (_, validity, _) = element(field(certificate, VALIDITY)?)?;
    let (_, _, rest) = element(validity)?;
    let (tag, text, _) = element(rest)?;
    let text = std::str::from_utf8(text).ok()?;
    let (century, text) = match (tag, text.split_at_checked(2)?) {
        (UTC_TIME, (year, _)) => (if year < "50" { "20" } else { "19" }, text),
        (GENERALIZED_TIME, (century, rest)) => (century, rest),
        _ => return None,
    };
    let digits = text.strip_suffix('Z').filter(|digits| digits.is_ascii())?;
    let mut pairs = digits.as_bytes().chunks_exact(2).map(std::str::from_utf8);
    let mut pair = || pairs.next()?.ok();
    let (year, month, day) = (pair()?, pair()?, pair()?);
    let (hour, minute, second) = (pair()?, pair()?, pair()?);
    let time = format!("{century}{year}-{month}-{day}T{hour}:{minute}:{second}Z");
    let since_epoch = humantime::parse_rfc3339(&time).ok()?.duration_since(SystemTime::UNIX_EPOCH);
    Some(UnixSeconds(since_epoch.ok()?.as_secs()))
}

/// Returns the subject of `certificate` if it consists of only a common name in UTF-8 (RFC 5280 section
/// 4.1.2.6), as in authorities of mintbench.
pub(super) fn common_name(certificate: &[u8]) -> Option<&str> {
    let (_, subject, _) = element(field(certificate, SUBJECT)?)?;
    // SET { SEQUENCE { OID 2.5.4.3, UTF8String } }, each shorter than 128 bytes.
    let [0x31, _, 0x30, _, 6, 3, 0x55, 4, 3, 0x0c, len, name @ ..] = subject else { return None };
    std::str::from_utf8(name).ok().filter(|name| name.len() == usize::from(*len))
}

/// Positions in `TBSCertificate` (RFC 5280 section 4.1) of a certificate that states its version.
const VALIDITY: usize = 4;
const SUBJECT: usize = 5;

const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// Returns the signed part from the given position on.
fn field(certificate: &[u8], place: usize) -> Option<&[u8]> {
    let (_, certificate, _) = element(certificate)?;
    let (_, signed, _) = element(certificate)?;
    (0..place).try_fold(signed, |rest, _| Some(element(rest)?.2))
}

/// Returns the first element of `der` (X.690 section 8.1): its tag, its content, and the bytes after it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (len, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        // No certificate here needs more than two bytes of length.
        0x81 | 0x82 => {
            let (len, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (len.iter().fold(0, |len, byte| len << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(len)?;
    Some((*tag, content, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::base::clock::Seconds;
    use crate::base::tls::Authority;

    #[test]
    fn name_and_end_are_read_back_before_and_after_2050() {
        for now in [1_700_000_000, 4_000_000_000] {
            let authority = Authority::create_named("Ümläut CA", UnixSeconds(now)).unwrap();
            let certificate = authority.certificate_der();
            assert_eq!(common_name(certificate), Some("Ümläut CA"));
            let ten_years = Seconds(10 * 365 * 86_400);
            assert_eq!(not_after(certificate), Some(UnixSeconds(now) + ten_years));
        }
    }

    proptest! {
        #[test]
        fn a_damaged_certificate_is_read_without_a_panic(at in 0..400_usize, byte: u8, len in 0..500_usize) {
            let authority = Authority::create(UnixSeconds(1_700_000_000)).unwrap();
            let mut certificate = authority.certificate_der().to_vec();
            certificate[at % 300] = byte;
            certificate.truncate(len);
            let _ = (common_name(&certificate), not_after(&certificate));
        }
    }
}
