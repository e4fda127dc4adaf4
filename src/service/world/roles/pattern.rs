//! Matching an operation against a permission string such as `Microsoft.KeyVault/vaults/*/read`.

/// Returns true if the operation `name` matches `pattern`, without regard to ASCII case.
///
/// `*` stands for any run of characters, including slashes and the empty run. Alone between two slashes it
/// may also stand for no segment at all, slash included. Azure checks `userAssignedIdentities/assign/action`,
/// and its built-in operator role grants it as `userAssignedIdentities/*/assign/action`. In the same way Key
/// Vault Reader reads a vault through `vaults/*/read`.
///
/// Each stretch between stars is searched for once, from left to right. The cost is at most the length of
/// `name` times the longest stretch, for any number of stars.
pub(super) fn matches(pattern: &str, name: &str) -> bool {
    let name = name.as_bytes();
    let Some((head, rest)) = pattern.split_once('*') else {
        return name.eq_ignore_ascii_case(pattern.as_bytes());
    };
    if !name.get(..head.len()).is_some_and(|start| start.eq_ignore_ascii_case(head.as_bytes())) {
        return false;
    }
    let (middle, tail) = match rest.rsplit_once('*') {
        Some((middle, tail)) => (Some(middle), tail),
        None => (None, rest),
    };
    let mut reached = Reached { end: head.len(), stretch: head };
    for stretch in middle.into_iter().flat_map(|middle| middle.split('*')) {
        let Some(next) = reached.advance(name, stretch) else { return false };
        reached = next;
    }
    reached.ends(name, tail)
}

/// Progress of a match: the end of the matched part of the name, and the last matched stretch of the pattern.
struct Reached<'p> {
    /// The first unmatched byte.
    end: usize,
    stretch: &'p str,
}

impl<'p> Reached<'p> {
    /// Returns the first byte where `next` may start. The last slash counts for both sides of `/*/`.
    fn earliest(&self, next: &str) -> usize {
        let shared = self.stretch.ends_with('/') && next.starts_with('/');
        self.end.saturating_sub(usize::from(shared))
    }

    /// Finds the leftmost match of `next`. An earlier end allows every match that a later end allows.
    fn advance(&self, name: &[u8], next: &'p str) -> Option<Self> {
        let start = self.earliest(next);
        let found = match next.len() {
            0 => 0,
            len => name
                .get(start..)?
                .windows(len)
                .position(|window| window.eq_ignore_ascii_case(next.as_bytes()))?,
        };
        Some(Self { end: start + found + next.len(), stretch: next })
    }

    /// Returns true if the unmatched part of `name` ends with `tail`.
    fn ends(&self, name: &[u8], tail: &str) -> bool {
        let unmatched = name.get(self.earliest(tail)..).unwrap_or_default();
        let start = unmatched.len().checked_sub(tail.len());
        let end = start.and_then(|start| unmatched.get(start..));
        end.is_some_and(|end| end.eq_ignore_ascii_case(tail.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Matches by trying everything: exponential, and short enough to be obviously right.
    fn naive(pattern: &[u8], name: &[u8]) -> bool {
        match (pattern, name) {
            ([b'*', rest @ ..], _) => (0..=name.len()).any(|skip| naive(rest, &name[skip..])),
            ([b'/', b'*', b'/', ..], _) if naive(&pattern[2..], name) => true,
            ([expected, pattern @ ..], [found, name @ ..]) => {
                expected.eq_ignore_ascii_case(found) && naive(pattern, name)
            }
            ([], []) => true,
            _ => false,
        }
    }

    #[test]
    fn a_star_stands_for_any_run_of_characters() {
        for (pattern, name) in [
            ("*", ""),
            ("*", "Microsoft.Compute/virtualMachines/write"),
            ("*/read", "Microsoft.KeyVault/vaults/read"),
            ("Microsoft.KeyVault/*", "Microsoft.KeyVault/vaults/secrets/read"),
            ("Microsoft.Authorization/*/read", "microsoft.authorization/roleAssignments/READ"),
            ("Microsoft.KeyVault/vaults/sec*s/read", "Microsoft.KeyVault/vaults/secrets/read"),
            ("a**c", "abc"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn what_stands_around_a_star_must_be_there_once_each() {
        for (pattern, name) in [
            ("", "a"),
            ("*/read", "read"),
            ("*/read", "Microsoft.KeyVault/vaults/readMetadata"),
            ("Microsoft.KeyVault/*", "Microsoft.KeyVaults/vaults/read"),
            ("ab*ba", "aba"),
            ("a*b*b", "ab"),
            ("Microsoft.KeyVault/vaults/*/read", "Microsoft.KeyVault/vaultsread"),
        ] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn a_star_alone_between_slashes_stands_for_no_segment_too() {
        assert!(matches("a/*/assign/action", "a/assign/action"));
        assert!(matches("a/*/assign/action", "a/b/c/assign/action"));
        assert!(matches("a/*/*/c", "a/c"));
        assert!(!matches("a/b*/c", "a/c"));
        assert!(!matches("a/**/c", "a/c") && matches("a/**/c", "a//c"));
    }

    #[test]
    fn many_stars_do_not_multiply() {
        let pattern = "*a".repeat(200) + "*b";
        assert!(!matches(&pattern, &"a".repeat(2_000)));
    }

    proptest! {
        #[test]
        fn matching_agrees_with_trying_everything(
            pattern in "[aB/*]{0,10}",
            name in "[Ab/]{0,12}",
        ) {
            prop_assert_eq!(
                matches(&pattern, &name),
                naive(pattern.as_bytes(), name.as_bytes()),
            );
        }

        #[test]
        fn a_name_matches_any_pattern_made_from_it(
            pieces in proptest::collection::vec(("[a-z/]{0,5}", "[A-Z/*.]{0,5}"), 0..6),
            last in "[a-z/]{0,5}",
        ) {
            let (mut pattern, mut name) = (String::new(), String::new());
            for (kept, replaced) in &pieces {
                pattern.extend([kept, "*"]);
                name.extend([kept.as_str(), replaced]);
            }
            prop_assert!(matches(&(pattern + &last), &(name + &last)));
        }

        #[test]
        fn matching_never_panics(pattern in "\\PC{0,30}", name in "\\PC{0,30}") {
            let _ = matches(&pattern, &name);
        }
    }
}
