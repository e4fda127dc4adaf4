//! Operations: the parsing of methods and paths.

use hyper::Method;

use super::error::VaultError;

/// A requested operation. Names and versions are as in the path, which is never percent-decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation<'a> {
    BackupSecret {
        name: &'a str,
    },
    DeleteSecret {
        name: &'a str,
    },
    GetDeletedSecret {
        name: &'a str,
    },
    /// Reads the latest version if none is named.
    GetSecret {
        name: &'a str,
        version: Option<&'a str>,
    },
    ListDeletedSecrets,
    ListSecretVersions {
        name: &'a str,
    },
    ListSecrets,
    PurgeDeletedSecret {
        name: &'a str,
    },
    RecoverDeletedSecret {
        name: &'a str,
    },
    /// The backup in the body names the secret.
    RestoreSecret,
    SetSecret {
        name: &'a str,
    },
    /// Changes the latest version if none is named.
    UpdateSecret {
        name: &'a str,
        version: Option<&'a str>,
    },
}

/// Methods that at least one path allows. All others are refused before any other check, so that a browser's
/// preflight (`OPTIONS`) fails.
pub(super) const METHODS: &str = "GET, PUT, PATCH, POST, DELETE";

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
        if segments.next().is_some() {
            return Err(VaultError::PathNotFound);
        }
        match root {
            "secrets" => Self::of_secrets(method, rest),
            "deletedsecrets" => Self::of_deleted_secrets(method, rest),
            _ => Err(VaultError::PathNotFound),
        }
    }

    fn of_secrets(method: &Method, rest: [Option<&'a str>; 2]) -> Result<Self, VaultError> {
        let only = |methods| Err(VaultError::MethodNotAllowed(methods));
        match (rest, method.as_str()) {
            ([None, _], "GET") => Ok(Self::ListSecrets),
            ([Some(name), Some("versions")], "GET") => Ok(Self::ListSecretVersions { name }),
            ([None, _] | [_, Some("versions")], _) => only("GET"),
            ([Some("restore"), None], "POST") => Ok(Self::RestoreSecret),
            ([Some(name), Some("backup")], "POST") => Ok(Self::BackupSecret { name }),
            ([_, Some("backup")], _) => only("POST"),
            ([Some(name), version], "GET") => Ok(Self::GetSecret { name, version }),
            ([Some(name), version], "PATCH") => Ok(Self::UpdateSecret { name, version }),
            ([Some(name), None], "PUT") => Ok(Self::SetSecret { name }),
            ([Some(name), None], "DELETE") => Ok(Self::DeleteSecret { name }),
            ([Some(_), None], _) => only("GET, PUT, PATCH, DELETE"),
            ([Some(_), Some(_)], _) => only("GET, PATCH"),
        }
    }

    fn of_deleted_secrets(method: &Method, rest: [Option<&'a str>; 2]) -> Result<Self, VaultError> {
        let only = |methods| Err(VaultError::MethodNotAllowed(methods));
        match (rest, method.as_str()) {
            ([None, _], "GET") => Ok(Self::ListDeletedSecrets),
            ([None, _], _) => only("GET"),
            ([Some(name), None], "GET") => Ok(Self::GetDeletedSecret { name }),
            ([Some(name), None], "DELETE") => Ok(Self::PurgeDeletedSecret { name }),
            ([Some(_), None], _) => only("GET, DELETE"),
            ([Some(name), Some("recover")], "POST") => Ok(Self::RecoverDeletedSecret { name }),
            ([Some(_), Some("recover")], _) => only("POST"),
            ([Some(_), Some(_)], _) => Err(VaultError::PathNotFound),
        }
    }

    /// Returns the name of the secret. Without one, the operation is about the vault.
    pub(super) const fn secret(&self) -> Option<&'a str> {
        match self {
            Self::ListDeletedSecrets | Self::ListSecrets | Self::RestoreSecret => None,
            Self::BackupSecret { name }
            | Self::DeleteSecret { name }
            | Self::GetDeletedSecret { name }
            | Self::GetSecret { name, .. }
            | Self::ListSecretVersions { name }
            | Self::PurgeDeletedSecret { name }
            | Self::RecoverDeletedSecret { name }
            | Self::SetSecret { name }
            | Self::UpdateSecret { name, .. } => Some(*name),
        }
    }

    /// Returns the data action that a role must permit (Azure permissions for Security,
    /// `Microsoft.KeyVault/vaults/secrets`).
    pub(super) const fn action(&self) -> &'static str {
        match self {
            Self::BackupSecret { .. } => "Microsoft.KeyVault/vaults/secrets/backup/action",
            Self::DeleteSecret { .. } => "Microsoft.KeyVault/vaults/secrets/delete",
            Self::GetSecret { .. } => "Microsoft.KeyVault/vaults/secrets/getSecret/action",
            Self::GetDeletedSecret { .. }
            | Self::ListDeletedSecrets
            | Self::ListSecretVersions { .. }
            | Self::ListSecrets => "Microsoft.KeyVault/vaults/secrets/readMetadata/action",
            Self::PurgeDeletedSecret { .. } => "Microsoft.KeyVault/vaults/secrets/purge/action",
            Self::RecoverDeletedSecret { .. } => "Microsoft.KeyVault/vaults/secrets/recover/action",
            Self::RestoreSecret => "Microsoft.KeyVault/vaults/secrets/restore/action",
            Self::SetSecret { .. } => "Microsoft.KeyVault/vaults/secrets/setSecret/action",
            Self::UpdateSecret { .. } => "Microsoft.KeyVault/vaults/secrets/update/action",
        }
    }

    /// Returns true if the operation needs a body.
    pub(super) const fn takes_body(&self) -> bool {
        matches!(self, Self::RestoreSecret | Self::SetSecret { .. } | Self::UpdateSecret { .. })
    }
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
        let latest = Operation::GetSecret { name: "a", version: None };
        for path in ["/secrets/a", "/secrets/a/", "//secrets/a", "//secrets/a/"] {
            assert_eq!(of("GET", path), Some(latest), "{path}");
        }
        let version = Operation::GetSecret { name: "a", version: Some("b") };
        assert_eq!(of("GET", "/secrets/a/b/"), Some(version));
        assert_eq!(of("GET", "/secrets/"), Some(Operation::ListSecrets));
        for path in
            ["/", "", "/Secrets/a", "/secrets/a/b/c", "/secrets//a/b", "/keys/a", "/%73ecrets"]
        {
            assert_eq!(of("GET", path), None, "{path}");
        }
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
        ] {
            let refused = Operation::of(&Method::from_bytes(method.as_bytes()).unwrap(), path);
            let Err(VaultError::MethodNotAllowed(found)) = refused else { panic!("{path}") };
            assert_eq!(found, allowed, "{method} {path}");
        }
    }

    proptest! {
        #[test]
        fn no_path_makes_the_router_panic(path in "(/|secrets|deletedsecrets|versions|recover|\\PC){0,12}") {
            for method in ["GET", "PUT", "PATCH", "POST", "DELETE"] {
                let _ = of(method, &path);
            }
        }
    }
}
