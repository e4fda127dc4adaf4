//! Secrets that cannot be printed by accident.

use std::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

/// Secret bytes: no `Display`, a placeholder in `Debug`, wiped from memory on drop.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Redacted(Vec<u8>);

impl Redacted {
    /// Takes the bytes over.
    pub const fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes, for the code that must use them; never for a log or an error.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Redacted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Redacted(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_holds_no_secret() {
        let secret = Redacted::new(b"hunter2".to_vec());
        assert_eq!(format!("{secret:?}"), "Redacted(..)");
        assert_eq!(secret.expose(), b"hunter2");
    }
}
