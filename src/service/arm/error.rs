//! Refusals with the status, the code and the text of Azure Resource Manager.
//!
//! Codes and texts come from captures or from Azure's documentation. Where neither has a text, it follows
//! their style (`docs/protocol.md`).

use hyper::StatusCode;
use serde_json::{Value, json};

use crate::service::directory::{Fault, StoreError};

/// Reason for a refusal. `Display` is the message for the client.
#[derive(Debug, thiserror::Error)]
pub(super) enum ArmError {
    /// The caller is not authenticated: code, message and challenge.
    #[error("{message}")]
    Unauthenticated { code: &'static str, message: String, challenge: Challenge },
    #[error(
        "The client '{client}' with object id '{object}' does not have authorization to perform action '{action}' over scope '{scope}' or the scope is invalid. If access was recently granted, please refresh your credentials."
    )]
    AuthorizationFailed { client: String, object: String, action: String, scope: String },
    #[error(
        "The client '{client}' with object id '{object}' has permission to perform action '{action}' on scope '{scope}'; however, it does not have permission to perform action(s) '{linked_action}' on the linked scope(s) '{linked_scope}' (respectively) or the linked scope(s) are invalid.",
        client = .0.client, object = .0.object, action = .0.action, scope = .0.scope,
        linked_action = .0.action_there, linked_scope = .0.scope_there
    )]
    LinkedAuthorizationFailed(Box<Linked>),
    #[error(
        "The client has permission to perform action '{action}' on scope '{scope}', however the current tenant '{tenant}' is not authorized to access linked subscription '{subscription}'."
    )]
    LinkedTenant { action: &'static str, scope: String, tenant: String, subscription: String },
    #[error("The api-version query parameter (?api-version=) is required for all requests.")]
    MissingApiVersion,
    #[error("The api-version '{version}' is invalid. The supported versions are '{supported}'.")]
    InvalidApiVersion { version: String, supported: String },
    #[error(
        "No registered resource provider found for location '{location}' and API version '{version}' for type '{kind}'. The supported api-versions are '{supported}'."
    )]
    NoRegisteredProvider {
        location: String,
        version: String,
        kind: &'static str,
        supported: String,
    },
    #[error("The resource namespace '{0}' is invalid.")]
    InvalidNamespace(String),
    #[error(
        "The resource type '{kind}' could not be found in the namespace '{namespace}' for api version '{version}'."
    )]
    InvalidResourceType { kind: String, namespace: String, version: String },
    #[error("No HTTP resource was found that matches the request URI.")]
    NoSuchPath,
    #[error("The requested resource does not support http method '{method}'.")]
    MethodNotAllowed { method: String, allowed: &'static str },
    #[error("The 'Host' header is missing, repeated or not a name of this service.")]
    Host,
    #[error("The subscription '{0}' could not be found.")]
    SubscriptionNotFound(String),
    #[error("Resource group '{0}' could not be found.")]
    ResourceGroupNotFound(String),
    #[error(
        "The Resource '{resource}' under resource group '{group}' was not found. For more details please go to https://aka.ms/ARMResourceNotFoundFix"
    )]
    ResourceNotFound { resource: String, group: String },
    #[error(
        "Can not perform requested operation on nested resource. Parent resource '{0}' not found."
    )]
    ParentResourceNotFound(String),
    #[error("{0}")]
    InvalidContent(String),
    #[error("The request content length exceeds the limit of '{0}' bytes.")]
    ContentTooLarge(usize),
    #[error("The request content ended early.")]
    ContentBroken,
    #[error("The location property is required for this definition.")]
    LocationRequired,
    #[error("The provided location '{location}' is not available for resource type '{kind}'.")]
    LocationNotAvailable { location: String, kind: &'static str },
    #[error(
        "The resource '{name}' already exists in location '{existing}' in resource group '{group}'. A resource with the same name cannot be created in location '{location}'. Please select a new resource name."
    )]
    ResourceLocation { name: String, existing: String, group: String, location: String },
    #[error(
        "Invalid resource group location '{location}'. The Resource group already exists in location '{existing}'."
    )]
    GroupLocation { location: String, existing: String },
    #[error("{message}")]
    InvalidName { code: &'static str, message: String },
    #[error("{message}")]
    InvalidParameter { message: String, target: String },
    #[error("{0}")]
    InvalidQuery(String),
    #[error("The filter '{0}' is not supported for this resource type.")]
    InvalidFilter(String),
    #[error(
        "Identity operation for resource '{vm}' failed with error 'Failed to perform resource identity operation. Status: 'BadRequest'. Response: '{{\"error\":{{\"code\":\"BadRequest\",\"message\":\"Resource '{identity}' was not found.\"}}}}'.'."
    )]
    FailedIdentityOperation { vm: String, identity: String },
    #[error("{0}")]
    Conflict(String),
    #[error("The condition '{0}' evaluated to false.")]
    PreconditionFailed(&'static str),
    #[error(
        "The vault name '{0}' is already in use. Vault names are globally unique so it is possible that the name is already taken."
    )]
    VaultAlreadyExists(String),
    #[error(
        "A vault with the same name already exists in deleted state. You need to either recover or purge existing key vault. Follow this link https://go.microsoft.com/fwlink/?linkid=2149745 for more information on soft delete."
    )] // (seen)
    VaultIsDeleted,
    #[error("The specified deleted vault '{0}' does not exist.")]
    DeletedVaultNotFound(String),
    #[error(
        "Operation 'DeletedVaultPurge' is not allowed. Purge protection is enabled for the vault, which is purged on {0}."
    )] // (the first sentence seen)
    PurgeProtected(String),
    #[error("{0}")]
    BadRequest(String),
    #[error("The role assignment already exists. The ID of the existing role assignment is {0}.")]
    RoleAssignmentExists(String),
    #[error("Tenant ID, application ID, principal ID, and scope are not allowed to be updated.")]
    RoleAssignmentUpdateNotPermitted,
    #[error("The role assignment ID '{0}' is not valid. The role assignment ID must be a GUID.")]
    InvalidRoleAssignmentId(String),
    #[error("The role assignment '{0}' is not found.")]
    RoleAssignmentNotFound(String),
    #[error("The specified role definition with ID '{id}' does not exist.")]
    RoleDefinitionDoesNotExist { id: String, status: StatusCode },
    #[error(
        "Principal {principal} does not exist in the directory {tenant}. Check that you have the correct principal ID. If you are creating this principal and then immediately assigning a role, this error might be related to a replication delay. In this case, set the role assignment principalType property to a value, such as ServicePrincipal, User, or Group.  See https://aka.ms/docs-principaltype"
    )]
    PrincipalNotFound { principal: String, tenant: String },
    #[error(
        "The PrincipalId '{principal}' has type 'ServicePrincipal' , which is different from specified PrinciaplType '{given}'."
    )]
    UnmatchedPrincipalType { principal: String, given: String },
    #[error("The server encountered an internal error. Please retry the request.")]
    Store(#[source] StoreError),
    #[error("The change cannot be confirmed: {0}.")]
    Unwritable(Fault),
    #[error("The server encountered an internal error. Please retry the request.")]
    Interrupted,
}

/// An action that the caller may do, and the action elsewhere that it may not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Linked {
    pub(super) client: String,
    pub(super) object: String,
    pub(super) action: &'static str,
    pub(super) scope: String,
    pub(super) action_there: &'static str,
    pub(super) scope_there: String,
}

/// Parameters of `WWW-Authenticate` with a 401 (RFC 6750 section 3). Tools learn the tenant from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Challenge {
    /// The tenant to get a token from, or `common`.
    pub(super) tenant: String,
    /// `error_description`.
    pub(super) description: String,
}

impl Challenge {
    /// Returns the header's value. Characters that would end the quotes are left out.
    pub(super) fn header(&self) -> String {
        let plain = |char: &char| char.is_ascii() && !char.is_ascii_control() && *char != '"';
        let description: String = self.description.chars().filter(plain).collect();
        let tenant = &self.tenant;
        format!(
            r#"Bearer authorization_uri="https://login.windows.net/{tenant}", error="invalid_token", error_description="{description}""#
        )
    }
}

impl From<StoreError> for ArmError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unwritable(fault) => Self::Unwritable(fault),
            other => Self::Store(other),
        }
    }
}

impl ArmError {
    /// Returns the status of the answer.
    pub(super) const fn status(&self) -> StatusCode {
        match self {
            Self::Unauthenticated { .. } => StatusCode::UNAUTHORIZED,
            Self::AuthorizationFailed { .. }
            | Self::LinkedAuthorizationFailed(_)
            | Self::LinkedTenant { .. } => StatusCode::FORBIDDEN,
            Self::InvalidNamespace(_)
            | Self::InvalidResourceType { .. }
            | Self::NoSuchPath
            | Self::SubscriptionNotFound(_)
            | Self::ResourceGroupNotFound(_)
            | Self::ResourceNotFound { .. }
            | Self::ParentResourceNotFound(_)
            | Self::DeletedVaultNotFound(_)
            | Self::RoleAssignmentNotFound(_) => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed { .. } | Self::PurgeProtected(_) => {
                StatusCode::METHOD_NOT_ALLOWED
            }
            Self::ContentTooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::ResourceLocation { .. }
            | Self::GroupLocation { .. }
            | Self::Conflict(_)
            | Self::VaultAlreadyExists(_)
            | Self::VaultIsDeleted
            | Self::RoleAssignmentExists(_) => StatusCode::CONFLICT,
            Self::PreconditionFailed(_) => StatusCode::PRECONDITION_FAILED,
            Self::RoleDefinitionDoesNotExist { status, .. } => *status,
            Self::Store(_) | Self::Interrupted => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Unwritable(_) => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    const fn code(&self) -> &'static str {
        match self {
            Self::Unauthenticated { code, .. } | Self::InvalidName { code, .. } => code,
            Self::AuthorizationFailed { .. } => "AuthorizationFailed",
            Self::LinkedAuthorizationFailed(_) | Self::LinkedTenant { .. } => {
                "LinkedAuthorizationFailed"
            }
            Self::MissingApiVersion => "MissingApiVersionParameter",
            Self::InvalidApiVersion { .. } => "InvalidApiVersionParameter",
            Self::NoRegisteredProvider { .. } => "NoRegisteredProviderFound",
            Self::InvalidNamespace(_) => "InvalidResourceNamespace",
            Self::InvalidResourceType { .. } => "InvalidResourceType",
            Self::NoSuchPath => "NotFound",
            Self::MethodNotAllowed { .. } => "HttpMethodNotAllowed",
            Self::Host => "InvalidHostHeader",
            Self::SubscriptionNotFound(_) => "SubscriptionNotFound",
            Self::ResourceGroupNotFound(_) => "ResourceGroupNotFound",
            Self::ResourceNotFound { .. } => "ResourceNotFound",
            Self::ParentResourceNotFound(_) => "ParentResourceNotFound",
            Self::InvalidContent(_) | Self::ContentBroken => "InvalidRequestContent",
            Self::ContentTooLarge(_) => "RequestContentTooLarge",
            Self::LocationRequired => "LocationRequired",
            Self::LocationNotAvailable { .. } => "LocationNotAvailableForResourceType",
            Self::ResourceLocation { .. } => "InvalidResourceLocation",
            Self::GroupLocation { .. } => "InvalidResourceGroupLocation",
            Self::InvalidParameter { .. } => "InvalidParameter",
            Self::InvalidQuery(_) => "InvalidQueryParameterValue",
            Self::InvalidFilter(_) => "InvalidFilterInQueryString",
            Self::FailedIdentityOperation { .. } => "FailedIdentityOperation",
            Self::Conflict(_) => "Conflict",
            Self::PreconditionFailed(_) => "PreconditionFailed",
            Self::VaultAlreadyExists(_) => "VaultAlreadyExists",
            Self::VaultIsDeleted => "ConflictError",
            Self::DeletedVaultNotFound(_) => "DeletedVaultNotFound",
            Self::PurgeProtected(_) => "MethodNotAllowed",
            Self::BadRequest(_) => "BadRequest",
            Self::RoleAssignmentExists(_) => "RoleAssignmentExists",
            Self::RoleAssignmentUpdateNotPermitted => "RoleAssignmentUpdateNotPermitted",
            Self::InvalidRoleAssignmentId(_) => "InvalidRoleAssignmentId",
            Self::RoleAssignmentNotFound(_) => "RoleAssignmentNotFound",
            Self::RoleDefinitionDoesNotExist { .. } => "RoleDefinitionDoesNotExist",
            Self::PrincipalNotFound { .. } => "PrincipalNotFound",
            Self::UnmatchedPrincipalType { .. } => "UnmatchedPrincipalType",
            Self::Store(_) | Self::Interrupted => "InternalServerError",
            Self::Unwritable(_) => "ServiceUnavailable",
        }
    }

    /// Returns true if Resource Manager itself refuses, not a provider behind it. `x-ms-failure-cause`
    /// reports this.
    pub(super) const fn is_of_gateway(&self) -> bool {
        !matches!(
            self,
            Self::InvalidParameter { .. }
                | Self::FailedIdentityOperation { .. }
                | Self::Conflict(_)
                | Self::PreconditionFailed(_)
                | Self::VaultAlreadyExists(_)
                | Self::VaultIsDeleted
                | Self::DeletedVaultNotFound(_)
                | Self::PurgeProtected(_)
                | Self::BadRequest(_)
                | Self::RoleAssignmentExists(_)
                | Self::RoleAssignmentUpdateNotPermitted
                | Self::InvalidRoleAssignmentId(_)
                | Self::RoleAssignmentNotFound(_)
                | Self::RoleDefinitionDoesNotExist { .. }
                | Self::PrincipalNotFound { .. }
                | Self::UnmatchedPrincipalType { .. }
        )
    }

    /// Returns the body of the answer.
    pub(super) fn body(&self) -> Value {
        let (code, message) = (self.code(), self.to_string());
        match self {
            Self::InvalidParameter { target, .. } => {
                json!({"error": {"code": code, "message": message, "target": target}})
            }
            _ => json!({"error": {"code": code, "message": message}}),
        }
    }
}
