//! Resource of a token request: `resource` in version 1, `scope` in version 2.

use super::error::StsError;
use super::form::Form;
use super::route::Version;

/// Suffix of the resource in the scope of a client without a user.
const DEFAULT: &str = "/.default";

/// Scopes of OpenID Connect. Entra ignores them next to a resource's scope; MSAL for Go and Java send them
/// with every request.
const OF_OPENID_CONNECT: [&str; 4] = ["openid", "offline_access", "profile", "email"];

/// Entra's greatest length of an app id URI, in bytes. A longer resource cannot exist.
const RESOURCE_LEN_MAX: usize = 255;

/// Returns the resource that `form` asks for, exactly as written; it becomes the audience. The resource is
/// well-formed but may not exist.
pub(super) fn asked<'a>(form: &'a Form<'_>, version: Version) -> Result<&'a str, StsError> {
    let resource = match version {
        Version::V1 => form.require("resource")?,
        Version::V2 if form.get("resource").is_some() => return Err(StsError::ResourceOnV2),
        Version::V2 => in_scope(form.require("scope")?)?,
    };
    if is_well_formed(resource) {
        Ok(resource)
    } else {
        Err(StsError::ResourceMalformed(resource.chars().take(RESOURCE_LEN_MAX).collect()))
    }
}

/// Returns the one resource of a scope, without the scopes of OpenID Connect. The text before `/.default` is
/// not changed: `https://management.azure.com//.default` keeps one slash at its end.
fn in_scope(scope: &str) -> Result<&str, StsError> {
    let wrong = || StsError::ScopeSuffix(scope.to_owned());
    let is_passed_over =
        |one: &str| OF_OPENID_CONNECT.iter().any(|own| own.eq_ignore_ascii_case(one));
    let asked = scope.split_ascii_whitespace().filter(|one| !is_passed_over(one));
    let mut resources = asked.map(|one| one.strip_suffix(DEFAULT));
    let first = resources.next().flatten().filter(|first| !first.is_empty()).ok_or_else(wrong)?;
    for other in resources {
        if other.ok_or_else(wrong)? != first {
            return Err(StsError::ScopeResources(scope.to_owned()));
        }
    }
    Ok(first)
}

/// Returns true for a GUID, or a URI of printable ASCII characters without `"`, `\`, `<` and `>`.
fn is_well_formed(resource: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_graphic() && !b"\"\\<>".contains(&byte);
    let is_uri = || resource.split_once(':').is_some_and(|(_, rest)| !rest.is_empty());
    let is_guid = || uuid::Uuid::try_parse(resource).is_ok();
    resource.len() <= RESOURCE_LEN_MAX && resource.bytes().all(plain) && (is_uri() || is_guid())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_resource_of_a_scope_keeps_its_slash() {
        for (scope, resource) in [
            ("https://vault.azure.net/.default", "https://vault.azure.net"),
            ("https://management.azure.com//.default", "https://management.azure.com/"),
            ("api://a/.default  api://a/.default", "api://a"),
            (
                "cfa8b339-82a2-471a-a3c9-0fc0be7a4093/.default",
                "cfa8b339-82a2-471a-a3c9-0fc0be7a4093",
            ),
        ] {
            assert_eq!(in_scope(scope), Ok(resource), "{scope}");
            assert!(is_well_formed(resource));
        }
    }

    #[test]
    fn the_scopes_of_openid_connect_are_passed_over_and_are_no_resource() {
        for scope in [
            "api://a/.default openid offline_access profile",
            "openid profile offline_access api://a/.default",
            " email\tapi://a/.default  OpenID api://a/.default",
        ] {
            assert_eq!(in_scope(scope), Ok("api://a"), "{scope}");
        }
        for scope in ["openid", "openid profile email offline_access", "openid api://a", "openid x"]
        {
            assert_eq!(in_scope(scope), Err(StsError::ScopeSuffix(scope.to_owned())), "{scope}");
        }
        let two = "api://a/.default openid api://b/.default";
        assert_eq!(in_scope(two), Err(StsError::ScopeResources(two.to_owned())));
    }

    #[test]
    fn words_that_are_no_resource_are_refused() {
        for word in ["vault", "https:", "https://a b", "a:\"", "a:<b>", &"a:".repeat(128)] {
            assert!(!is_well_formed(word), "{word}");
        }
    }

    proptest! {
        #[test]
        fn a_scope_is_taken_apart_without_a_panic(scope in "([a:/. ]|/.default){0,12}") {
            if let Ok(resource) = in_scope(&scope) {
                let whole = format!("{resource}/.default");
                prop_assert!(scope.contains(&whole));
            }
        }
    }
}
