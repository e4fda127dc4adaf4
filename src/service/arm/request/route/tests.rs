//! Tests of the parsing of paths into routes.

use super::*;
use proptest::prelude::*;

const SUB: &str = "/subscriptions/00000000-0000-0000-0000-00000000000a";

fn route(path: &str) -> Result<Route, ArmError> {
    Route::of(path, "2024-11-30")
}

#[test]
fn keywords_ignore_case_and_names_keep_theirs() {
    let id = format!(
        "{SUB}/resourceGroups/Rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/Ab-1"
    );
    let expected = Route::Resource { kind: Kind::UserAssigned, id: id.parse().unwrap() };
    for path in [
        id.clone(),
        format!("{id}/"),
        format!("/{id}"),
        format!(
            "{SUB}/RESOURCEGROUPS/Rg/Providers/MICROSOFT.managedidentity/userassignedIDENTITIES/Ab%2D1"
        ),
    ] {
        let found = route(&path).unwrap();
        let Route::Resource { id: found_id, .. } = &found else { panic!("{found:?}") };
        assert_eq!((found_id.as_str(), &found), (id.as_str(), &expected));
        assert_eq!(Kind::of(found_id), Some(Kind::UserAssigned));
    }
}

#[test]
fn lists_scopes_and_fixed_paths_are_found() {
    let group = format!("{SUB}/resourceGroups/g");
    let vms = "providers/Microsoft.Compute/virtualMachines";
    assert!(matches!(route(&format!("{SUB}/{vms}")), Ok(Route::List { .. })));
    assert!(matches!(route(&format!("{group}/{vms}")), Ok(Route::List { .. })));
    assert!(matches!(route(&group), Ok(Route::Group(_))));
    assert!(matches!(route(&format!("{SUB}/resourceGroups")), Ok(Route::Groups(_))));
    assert_eq!(route("/Subscriptions").unwrap(), Route::Subscriptions);
    assert_eq!(route("/tenants").unwrap(), Route::Tenants);
    let assignments = "/providers/Microsoft.Authorization/roleAssignments";
    for scope in [
        "/".to_owned(),
        SUB.to_owned(),
        group.clone(),
        format!("{group}/{vms}/v"),
        "/providers/Microsoft.Management/managementGroups/m".to_owned(),
    ] {
        let path = format!("{}{assignments}", scope.trim_end_matches('/'));
        assert_eq!(route(&path).unwrap(), Route::RoleAssignments(scope.parse().unwrap()));
        let path = format!("/{path}/x");
        assert!(matches!(route(&path), Ok(Route::RoleAssignment { .. })), "{path}");
    }
    let identity =
        format!("{group}/{vms}/v/providers/Microsoft.ManagedIdentity/identities/default");
    assert!(matches!(route(&identity), Ok(Route::SystemAssigned(_))));
    let operation = format!("{SUB}/providers/Microsoft.Compute/locations/westus/operations/x");
    assert!(matches!(route(&operation), Ok(Route::Operation { .. })));
    let register = format!("{SUB}/providers/Microsoft.Compute/register");
    assert!(matches!(route(&register), Ok(Route::Register { .. })));
}

#[test]
fn what_leads_nowhere_says_why() {
    let code =
        |path: &str| route(path).unwrap_err().body()["error"]["code"].as_str().unwrap().to_owned();
    let group = format!("{SUB}/resourceGroups/g");
    for (path, expected) in [
        ("/".to_owned(), "NotFound"),
        ("/x/y".to_owned(), "NotFound"),
        (format!("{SUB}/x"), "NotFound"),
        (format!("{SUB}//resourceGroups"), "NotFound"),
        (format!("{group}/../g"), "NotFound"),
        (format!("{group}%2Fx"), "NotFound"),
        ("/subscriptions/nope".to_owned(), "InvalidSubscriptionId"),
        (format!("{SUB}/resourceGroups/g."), "InvalidResourceGroup"),
        (format!("{group}/providers/Contoso.Foo/bars/b"), "InvalidResourceNamespace"),
        (format!("{group}/providers/Microsoft.Compute/galleries/g"), "InvalidResourceType"),
        (format!("{group}/providers/Microsoft.Network/other/o"), "InvalidResourceType"),
        (
            format!("{group}/providers/Microsoft.Compute/virtualMachines/v/extensions/e"),
            "InvalidResourceType",
        ),
        ("/providers/Microsoft.Compute/virtualMachines/v".to_owned(), "NotFound"),
    ] {
        assert_eq!(code(&path), expected, "{path}");
    }
}

proptest! {
    #[test]
    fn no_path_panics(path in "(/|subscriptions|providers|%2F|\\.\\.|Microsoft.Compute|[a-z%]{0,4}|\\PC{0,3}){0,20}") {
        let _ = route(&path);
    }
}
