//! Operations: the parsing of methods and paths.

use hyper::Method;

use super::error::VaultError;
use super::kind::Kind;
use crate::service::world::record::KeyOperation;

/// A requested operation. Names and versions are as in the path, which is never percent-decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation<'a> {
    /// An operation on keys only.
    Key {
        name: &'a str,
        verb: KeyVerb<'a>,
    },
    /// An operation that secrets and keys share.
    Object(Kind, Verb<'a>),
    SetSecret {
        name: &'a str,
    },
}

/// Operation on objects of any kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb<'a> {
    Backup {
        name: &'a str,
    },
    Delete {
        name: &'a str,
    },
    /// Reads the latest version if none is named.
    Get {
        name: &'a str,
        version: Option<&'a str>,
    },
    GetDeleted {
        name: &'a str,
    },
    List,
    ListDeleted,
    ListVersions {
        name: &'a str,
    },
    Purge {
        name: &'a str,
    },
    Recover {
        name: &'a str,
    },
    /// The backup in the body names the object.
    Restore,
    /// Changes the latest version if none is named.
    Update {
        name: &'a str,
        version: Option<&'a str>,
    },
}

/// Operation on keys only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyVerb<'a> {
    Create,
    GetPolicy,
    Import,
    Rotate,
    SetPolicy,
    /// Uses the latest version if none is named.
    Use {
        version: Option<&'a str>,
        operation: KeyOperation,
    },
}

/// Methods that at least one path allows. All others are refused before any other check, so that a browser's
/// preflight (`OPTIONS`) fails.
pub(super) const METHODS: &str = "GET, PUT, PATCH, POST, DELETE";

type Segment<'a> = Option<&'a str>;

fn only<T>(methods: &'static str) -> Result<T, VaultError> {
    Err(VaultError::MethodNotAllowed(methods))
}

impl<'a> Operation<'a> {
    /// Parses a method and a path. A trailing slash and a second leading slash are ignored because clients
    /// add them.
    pub(super) fn of(method: &Method, path: &'a str) -> Result<Self, VaultError> {
        let path = path.strip_prefix('/').unwrap_or(path);
        let path = path.strip_prefix('/').unwrap_or(path);
        let path = path.strip_suffix('/').unwrap_or(path);
        let mut segments = path.split('/');
        let root = segments.next().unwrap_or_default();
        let rest = [segments.next(), segments.next()];
        let last = segments.next();
        if segments.next().is_some() {
            return Err(VaultError::PathNotFound);
        }
        match (root, last) {
            ("keys", last) => Self::of_keys(method, rest, last),
            ("secrets", None) => Self::of_objects(Kind::Secret, method, rest),
            ("deletedkeys", None) => Self::of_deleted(Kind::Key, method, rest),
            ("deletedsecrets", None) => Self::of_deleted(Kind::Secret, method, rest),
            _ => Err(VaultError::PathNotFound),
        }
    }

    fn of_keys(
        method: &Method,
        rest: [Segment<'a>; 2],
        last: Segment<'a>,
    ) -> Result<Self, VaultError> {
        let verb = match (rest, last) {
            ([Some(_), Some(version)], Some(usage)) => {
                let operation = usage_of(usage).ok_or(VaultError::PathNotFound)?;
                // Some clients write two slashes for the latest version.
                let version = Some(version).filter(|version| !version.is_empty());
                Some((KeyVerb::Use { version, operation }, "POST"))
            }
            ([Some(_), Some(part)], None) => Self::of_key_part(part, method),
            _ => None,
        };
        match (verb, rest) {
            (Some((verb, methods)), [Some(name), _]) => {
                if methods.split(", ").any(|allowed| allowed == method.as_str()) {
                    Ok(Self::Key { name, verb })
                } else {
                    only(methods)
                }
            }
            _ => Self::of_objects(Kind::Key, method, rest),
        }
    }

    /// Returns the operation that a segment after the name of a key stands for, and the methods it takes.
    fn of_key_part(part: &str, method: &Method) -> Option<(KeyVerb<'a>, &'static str)> {
        Some(match part {
            "create" => (KeyVerb::Create, "POST"),
            "rotate" => (KeyVerb::Rotate, "POST"),
            "rotationpolicy" if method == Method::PUT => (KeyVerb::SetPolicy, "GET, PUT"),
            "rotationpolicy" => (KeyVerb::GetPolicy, "GET, PUT"),
            _ => (KeyVerb::Use { version: None, operation: usage_of(part)? }, "POST"),
        })
    }

    fn of_objects(kind: Kind, method: &Method, rest: [Segment<'a>; 2]) -> Result<Self, VaultError> {
        let verb = match (rest, method.as_str()) {
            ([None, _], "GET") => Verb::List,
            ([Some(name), Some("versions")], "GET") => Verb::ListVersions { name },
            ([None, _] | [_, Some("versions")], _) => return only("GET"),
            ([Some("restore"), None], "POST") => Verb::Restore,
            ([Some(name), Some("backup")], "POST") => Verb::Backup { name },
            ([_, Some("backup")], _) => return only("POST"),
            ([Some(name), version], "GET") => Verb::Get { name, version },
            ([Some(name), version], "PATCH") => Verb::Update { name, version },
            ([Some(name), None], "PUT") => {
                return Ok(match kind {
                    Kind::Key => Self::Key { name, verb: KeyVerb::Import },
                    Kind::Secret => Self::SetSecret { name },
                });
            }
            ([Some(name), None], "DELETE") => Verb::Delete { name },
            ([Some(_), None], _) => return only("GET, PUT, PATCH, DELETE"),
            ([Some(_), Some(_)], _) => return only("GET, PATCH"),
        };
        Ok(Self::Object(kind, verb))
    }

    fn of_deleted(kind: Kind, method: &Method, rest: [Segment<'a>; 2]) -> Result<Self, VaultError> {
        let verb = match (rest, method.as_str()) {
            ([None, _], "GET") => Verb::ListDeleted,
            ([None, _], _) => return only("GET"),
            ([Some(name), None], "GET") => Verb::GetDeleted { name },
            ([Some(name), None], "DELETE") => Verb::Purge { name },
            ([Some(_), None], _) => return only("GET, DELETE"),
            ([Some(name), Some("recover")], "POST") => Verb::Recover { name },
            ([Some(_), Some("recover")], _) => return only("POST"),
            ([Some(_), Some(_)], _) => return Err(VaultError::PathNotFound),
        };
        Ok(Self::Object(kind, verb))
    }

    /// Returns the kind of the objects that the operation is about.
    pub(super) const fn kind(&self) -> Kind {
        match self {
            Self::Key { .. } => Kind::Key,
            Self::Object(kind, _) => *kind,
            Self::SetSecret { .. } => Kind::Secret,
        }
    }

    /// Returns the name of the object. Without one, the operation is about the vault.
    pub(super) const fn name(&self) -> Option<&'a str> {
        match self {
            Self::Object(_, Verb::List | Verb::ListDeleted | Verb::Restore) => None,
            Self::Key { name, .. }
            | Self::SetSecret { name }
            | Self::Object(
                _,
                Verb::Backup { name }
                | Verb::Delete { name }
                | Verb::Get { name, .. }
                | Verb::GetDeleted { name }
                | Verb::ListVersions { name }
                | Verb::Purge { name }
                | Verb::Recover { name }
                | Verb::Update { name, .. },
            ) => Some(*name),
        }
    }

    /// Returns the data action that a role must permit (Azure permissions for Security,
    /// `Microsoft.KeyVault/vaults`).
    pub(super) const fn action(&self) -> &'static str {
        match self {
            Self::Key { verb, .. } => verb.action(),
            Self::Object(Kind::Key, verb) => verb.key_action(),
            Self::Object(Kind::Secret, verb) => verb.secret_action(),
            Self::SetSecret { .. } => "Microsoft.KeyVault/vaults/secrets/setSecret/action",
        }
    }

    /// Returns another data action that permits the operation as well. Whoever may read a key has its public
    /// half, and could use it elsewhere (Azure permissions for Security).
    pub(super) const fn other_action(&self) -> Option<&'static str> {
        use KeyOperation::{Encrypt, Verify, WrapKey};
        match self {
            Self::Key {
                verb: KeyVerb::Use { operation: Encrypt | Verify | WrapKey, .. }, ..
            } => Some(READ_KEY),
            _ => None,
        }
    }

    /// Returns true if the operation needs a body.
    pub(super) const fn takes_body(&self) -> bool {
        match self {
            Self::Key { verb: KeyVerb::GetPolicy | KeyVerb::Rotate, .. } => false,
            Self::Object(_, verb) => matches!(verb, Verb::Restore | Verb::Update { .. }),
            Self::Key { .. } | Self::SetSecret { .. } => true,
        }
    }
}

const READ_KEY: &str = "Microsoft.KeyVault/vaults/keys/read";

impl Verb<'_> {
    const fn key_action(self) -> &'static str {
        match self {
            Self::Backup { .. } => "Microsoft.KeyVault/vaults/keys/backup/action",
            Self::Delete { .. } => "Microsoft.KeyVault/vaults/keys/delete",
            Self::Get { .. }
            | Self::GetDeleted { .. }
            | Self::List
            | Self::ListDeleted
            | Self::ListVersions { .. } => READ_KEY,
            Self::Purge { .. } => "Microsoft.KeyVault/vaults/keys/purge/action",
            Self::Recover { .. } => "Microsoft.KeyVault/vaults/keys/recover/action",
            Self::Restore => "Microsoft.KeyVault/vaults/keys/restore/action",
            Self::Update { .. } => "Microsoft.KeyVault/vaults/keys/update/action",
        }
    }

    const fn secret_action(self) -> &'static str {
        match self {
            Self::Backup { .. } => "Microsoft.KeyVault/vaults/secrets/backup/action",
            Self::Delete { .. } => "Microsoft.KeyVault/vaults/secrets/delete",
            Self::Get { .. } => "Microsoft.KeyVault/vaults/secrets/getSecret/action",
            Self::GetDeleted { .. }
            | Self::List
            | Self::ListDeleted
            | Self::ListVersions { .. } => "Microsoft.KeyVault/vaults/secrets/readMetadata/action",
            Self::Purge { .. } => "Microsoft.KeyVault/vaults/secrets/purge/action",
            Self::Recover { .. } => "Microsoft.KeyVault/vaults/secrets/recover/action",
            Self::Restore => "Microsoft.KeyVault/vaults/secrets/restore/action",
            Self::Update { .. } => "Microsoft.KeyVault/vaults/secrets/update/action",
        }
    }
}

impl KeyVerb<'_> {
    const fn action(self) -> &'static str {
        match self {
            Self::Create => "Microsoft.KeyVault/vaults/keys/create/action",
            Self::GetPolicy => "Microsoft.KeyVault/vaults/keyrotationpolicies/read",
            Self::Import => "Microsoft.KeyVault/vaults/keys/import/action",
            Self::Rotate => "Microsoft.KeyVault/vaults/keys/rotate/action",
            Self::SetPolicy => "Microsoft.KeyVault/vaults/keyrotationpolicies/write",
            Self::Use { operation, .. } => match operation {
                KeyOperation::Encrypt => "Microsoft.KeyVault/vaults/keys/encrypt/action",
                KeyOperation::Decrypt => "Microsoft.KeyVault/vaults/keys/decrypt/action",
                KeyOperation::Sign => "Microsoft.KeyVault/vaults/keys/sign/action",
                KeyOperation::Verify => "Microsoft.KeyVault/vaults/keys/verify/action",
                KeyOperation::WrapKey => "Microsoft.KeyVault/vaults/keys/wrap/action",
                KeyOperation::UnwrapKey => "Microsoft.KeyVault/vaults/keys/unwrap/action",
            },
        }
    }
}

/// Returns the operation that the last segment of a path names. Paths are in lower case.
fn usage_of(segment: &str) -> Option<KeyOperation> {
    let is_named = |operation: &KeyOperation| operation.name().to_ascii_lowercase() == segment;
    KeyOperation::ALL.into_iter().find(is_named)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of<'a>(method: &str, path: &'a str) -> Option<Operation<'a>> {
        Operation::of(&Method::from_bytes(method.as_bytes()).unwrap(), path).ok()
    }

    #[test]
    fn slashes_that_clients_add_change_nothing() {
        let get = |kind, version| Operation::Object(kind, Verb::Get { name: "a", version });
        for path in ["/secrets/a", "/secrets/a/", "//secrets/a", "//secrets/a/"] {
            assert_eq!(of("GET", path), Some(get(Kind::Secret, None)), "{path}");
        }
        assert_eq!(of("GET", "/secrets/a/b/"), Some(get(Kind::Secret, Some("b"))));
        assert_eq!(of("GET", "/keys/a/b/"), Some(get(Kind::Key, Some("b"))));
        let list = Operation::Object(Kind::Secret, Verb::List);
        assert_eq!(of("GET", "/secrets/"), Some(list));
        for path in [
            "/",
            "",
            "/Secrets/a",
            "/secrets/a/b/c",
            "/secrets//a/b",
            "/certificates/a",
            "/keys/a/b/c",
            "/%73ecrets",
        ] {
            assert_eq!(of("GET", path), None, "{path}");
        }
    }

    #[test]
    fn a_key_is_used_by_its_version_or_by_its_last_one() {
        let use_of = |version, operation| {
            Some(Operation::Key { name: "a", verb: KeyVerb::Use { version, operation } })
        };
        for operation in KeyOperation::ALL {
            let usage = operation.name().to_ascii_lowercase();
            let path = |version: &str| format!("/keys/a{version}/{usage}");
            assert_eq!(of("POST", &path("/b")), use_of(Some("b"), operation));
            assert_eq!(of("POST", &path("/")), use_of(None, operation));
            assert_eq!(of("POST", &path("")), use_of(None, operation));
            assert_eq!(of("GET", &path("/b")), None);
        }
        assert_eq!(of("POST", "/keys/a/b/wrapKey"), None);
    }

    #[test]
    fn a_method_that_a_path_does_not_take_is_refused() {
        for (method, path, allowed) in [
            ("POST", "/secrets", "GET"),
            ("PUT", "/secrets/a/versions", "GET"),
            ("POST", "/secrets/a", "GET, PUT, PATCH, DELETE"),
            ("DELETE", "/secrets/a/b", "GET, PATCH"),
            ("GET", "/secrets/a/backup", "POST"),
            ("PUT", "/deletedsecrets/a", "GET, DELETE"),
            ("GET", "/deletedsecrets/a/recover", "POST"),
            ("GET", "/keys/a/create", "POST"),
            ("POST", "/keys/a/rotationpolicy", "GET, PUT"),
            ("GET", "/keys/a/b/sign", "POST"),
            ("PUT", "/deletedkeys/a", "GET, DELETE"),
        ] {
            let refused = Operation::of(&Method::from_bytes(method.as_bytes()).unwrap(), path);
            let Err(VaultError::MethodNotAllowed(found)) = refused else { panic!("{path}") };
            assert_eq!(found, allowed, "{method} {path}");
        }
    }

    proptest! {
        #[test]
        fn no_path_makes_the_router_panic(
            path in "(/|secrets|deletedsecrets|keys|deletedkeys|versions|recover|sign|create|\\PC){0,12}",
        ) {
            for method in ["GET", "PUT", "PATCH", "POST", "DELETE"] {
                let _ = of(method, &path);
            }
        }
    }
}
