//! The part of a load that is left out of the record.

/// The pause without requests after which the next request begins a load.
const PAUSE_NS: u64 = 200_000_000;

/// The part of a load that is left out of the record.
#[derive(Debug, Default)]
#[expect(clippy::struct_field_names, reason = "units come last")]
pub(super) struct Warmup {
    /// The length of the part; none once it is over.
    pub(super) length_ns: Option<u64>,
    begun_ns: u64,
    last_ns: u64,
}

impl Warmup {
    /// Returns true if the part ends with this request.
    pub(super) fn ends(&mut self, now_ns: u64) -> bool {
        if now_ns - self.last_ns > PAUSE_NS {
            self.begun_ns = now_ns;
        }
        self.last_ns = now_ns;
        self.length_ns.take_if(|length_ns| now_ns - self.begun_ns >= *length_ns).is_some()
    }
}

/// Returns the milliseconds of a request `GET /forget/MS`.
pub(super) fn warmup_ms(request: &[u8]) -> Option<u64> {
    let rest = request.strip_prefix(b"GET /forget/")?;
    let digits = rest.split(|byte| *byte == b' ').next()?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn a_warmup_is_counted_from_the_first_request_after_a_pause_and_ends_once() {
        let mut warmup = Warmup::default();
        assert_eq!(warmup_ms(b"GET /forget/300 HTTP/1.1\r\n\r\n"), Some(300));
        warmup.length_ns = Some(300 * MS);
        // A probe, and the load a second later.
        assert!(!warmup.ends(50 * MS));
        assert!((1000..1300).step_by(100).all(|ms| !warmup.ends(ms * MS)));
        assert!(warmup.ends(1300 * MS) && !warmup.ends(1400 * MS));
    }

    #[test]
    fn what_is_no_length_is_no_warmup() {
        for path in ["/", "/forget", "/forget/", "/forget/soon"] {
            assert_eq!(warmup_ms(format!("GET {path} HTTP/1.1\r\n\r\n").as_bytes()), None);
        }
    }
}
