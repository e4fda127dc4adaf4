//! Valid names of key vaults, secrets and keys (Azure naming rules, `Microsoft.KeyVault`).

/// Returns true if the name is valid for a key vault: 3 to 24 letters, digits and hyphens. A letter comes
/// first, no hyphen comes last, and no two hyphens are adjacent. The name is also a label of the vault's host
/// name.
pub fn is_vault_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (3..=24).contains(&text.len())
        && text.bytes().all(allowed)
        && text.starts_with(|first: char| first.is_ascii_alphabetic())
        && !text.ends_with('-')
        && !text.contains("--")
}

/// Returns true if the name is valid for a secret or a key: 1 to 127 letters, digits and hyphens.
pub fn is_object_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (1..=127).contains(&text.len()) && text.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vault_names_are_labels_of_a_host_name() {
        for name in ["abc", "demo-vault", "V4ult", &"a".repeat(24)] {
            assert!(is_vault_name(name), "{name}");
        }
        for name in ["", "ab", "1ab", "-ab", "ab-", "a--b", "a_b", "a.b", &"a".repeat(25)] {
            assert!(!is_vault_name(name), "{name}");
        }
    }

    #[test]
    fn secret_names_are_letters_digits_and_hyphens() {
        for name in ["a", "-", "0", "Db-Password-1", &"a".repeat(127)] {
            assert!(is_object_name(name), "{name}");
        }
        for name in ["", "a_b", "a.b", "a b", "a/b", "%41", "\u{e4}", &"a".repeat(128)] {
            assert!(!is_object_name(name), "{name}");
        }
    }
}
