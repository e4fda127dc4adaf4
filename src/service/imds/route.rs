//! Paths of the identity endpoint.

use hyper::Method;

use super::error::ImdsError;

/// Target of a path. The first segment ignores case, as in Azure; the others do not. Paths are never decoded,
/// so each has one spelling, except for slashes: an SDK appends one to the token path, and empty segments of
/// instance paths are ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route<'a> {
    Events,
    Info,
    Instance(&'a str),
    Token,
    Versions,
}

impl<'a> Route<'a> {
    pub(super) fn of(path: &'a str) -> Option<Self> {
        const ROOT: &str = "/metadata";
        let (root, rest) = path.split_at_checked(ROOT.len())?;
        if !root.eq_ignore_ascii_case(ROOT) {
            return None;
        }
        match rest {
            // MSAL for JavaScript appends a slash to the URL of every token endpoint.
            "/identity/oauth2/token" | "/identity/oauth2/token/" => Some(Self::Token),
            "/identity/info" => Some(Self::Info),
            "/scheduledevents" => Some(Self::Events),
            "/versions" => Some(Self::Versions),
            _ => {
                let leaf = rest.strip_prefix("/instance")?;
                (leaf.is_empty() || leaf.starts_with('/')).then_some(Self::Instance(leaf))
            }
        }
    }
}

impl Route<'_> {
    /// Refuses a method that the path does not support. `HEAD` is refused too: Azure documents only `GET`.
    pub(super) fn admit(self, method: &Method) -> Result<(), ImdsError> {
        match (self, method) {
            (_, &Method::GET) | (Self::Events, &Method::POST) => Ok(()),
            (Self::Events, _) => Err(ImdsError::MethodNotAllowed("GET, POST")),
            _ => Err(ImdsError::MethodNotAllowed("GET")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_first_path_segment_alone_ignores_case() {
        assert_eq!(Route::of("/metadata/identity/oauth2/token"), Some(Route::Token));
        assert_eq!(Route::of("/Metadata/identity/oauth2/token"), Some(Route::Token));
        assert_eq!(Route::of("/metadata/identity/oauth2/token/"), Some(Route::Token));
        assert_eq!(Route::of("/metadata/instance/compute"), Some(Route::Instance("/compute")));
        assert_eq!(Route::of("/metadata/identity/info"), Some(Route::Info));
        assert_eq!(Route::of("/metadata/scheduledevents"), Some(Route::Events));
        assert_eq!(Route::of("/metadata/versions"), Some(Route::Versions));
        for path in [
            "/",
            "/metadata",
            "/metadata/identity",
            "/metadata/Identity/oauth2/token",
            "/metadata/identity/oauth2/token//",
            "/metadata/identity/getplatformmetadata",
            "/metadata/instances",
            "/metadata%2Fidentity/oauth2/token",
        ] {
            assert_eq!(Route::of(path), None, "{path}");
        }
    }

    #[test]
    fn only_events_take_another_method_than_get_and_a_refusal_names_those_that_are_taken() {
        let refusal = |route: Route<'_>, method| match route.admit(method) {
            Err(ImdsError::MethodNotAllowed(allowed)) => Some(allowed),
            _ => None,
        };
        assert_eq!(refusal(Route::Events, &Method::POST), None);
        assert_eq!(refusal(Route::Events, &Method::PUT), Some("GET, POST"));
        for route in [Route::Token, Route::Info, Route::Versions, Route::Instance("")] {
            assert_eq!(refusal(route, &Method::GET), None);
            assert_eq!(refusal(route, &Method::POST), Some("GET"));
            assert_eq!(refusal(route, &Method::HEAD), Some("GET"));
        }
    }

    proptest! {
        #[test]
        fn no_path_makes_the_route_panic(text in "\\PC{0,60}") {
            let _ = Route::of(&text);
        }
    }
}
