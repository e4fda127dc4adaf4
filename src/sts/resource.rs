//! What a token is asked for: `resource` in version 1, `scope` in version 2.

use super::Version;
use super::error::StsError;
use super::form::Form;

/// What stands behind the resource in the scope of a client that acts for itself.
const DEFAULT: &str = "/.default";

/// The scopes of OpenID Connect, which Entra passes over beside that of a resource: MSAL for Go and Java
/// send them with every request.
const OF_OPENID_CONNECT: [&str; 4] = ["openid", "offline_access", "profile", "email"];

/// Entra's bound on an app id URI; a resource that is longer cannot be one.
const RESOURCE_LEN_MAX: usize = 255;

/// The resource that `form` asks for, which becomes the audience exactly as it stands there. It is
/// well-formed; whether there is one of that name is not said.
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

/// The one resource of a scope, beside those of OpenID Connect. What stands before `/.default` is taken as it is: of
/// `https://management.azure.com//.default` a slash remains.
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

/// An app id, or a URI of printable characters without quotes.
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
