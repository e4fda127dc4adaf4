//! Role definitions and role assignments.

use super::*;

const READER: &str =
    "/providers/Microsoft.Authorization/roleDefinitions/acdd72a7-3385-48ef-bd42-f606fba81ae7";

fn wanted(role: &str, name: &str) -> Value {
    json!({"properties": {"roleDefinitionId": role, "principalId": principal(name).to_string()}})
}

#[test]
fn an_assignment_is_made_read_and_deleted() {
    let world = world();
    let path = assignment_path(GROUP, 1);
    let mut body = wanted(&format!("{SUB}{READER}"), "nobody");
    body["properties"]["principalType"] = json!("serviceprincipal");
    body["properties"]["description"] = json!("why");
    let made = world.put(&path, &body);
    assert_eq!(made.status, 201);
    assert_eq!(made.body["id"], path);
    let properties = &made.body["properties"];
    assert_eq!(properties["roleDefinitionId"], format!("{SUB}{READER}"));
    assert_eq!(
        (&properties["principalType"], &properties["scope"]),
        (&json!("ServicePrincipal"), &json!(GROUP))
    );
    assert_eq!(
        (&properties["createdOn"], &properties["description"]),
        (&json!("2027-01-15T08:00:00.0000000Z"), &json!("why"))
    );
    assert_eq!(properties["createdBy"], principal("owner").to_string());
    assert_eq!(world.get(&path).body, made.body);
    let again = world.put(&path, &body);
    assert_eq!((again.status, &again.body), (200, &made.body));
    let gone = world.delete(&path);
    assert_eq!((gone.status, gone.body), (200, made.body));
    assert_eq!(world.delete(&path).status, 204);
    let missing = world.get(&path);
    assert_eq!(missing.refusal(), (404, "RoleAssignmentNotFound"));
}

#[test]
fn an_assignment_is_not_made_twice_nor_changed() {
    let world = world();
    let path = world.grant(1, "nobody", "Reader", GROUP);
    let twin = world.put(&assignment_path(&GROUP.to_lowercase(), 2), &wanted(READER, "nobody"));
    assert_eq!(twin.refusal(), (409, "RoleAssignmentExists"));
    assert_eq!(
        twin.message(),
        "The role assignment already exists. The ID of the existing role assignment is 00000000000040008000090000000001."
    );
    let owner = READER
        .replace("acdd72a7-3385-48ef-bd42-f606fba81ae7", "8e3af657-a8ff-443c-a75c-2fe8c4bcb635");
    for (path, body) in [
        (path.clone(), wanted(&owner, "nobody")),
        (path.clone(), wanted(READER, "machinist")),
        (assignment_path(SUB, 1), wanted(READER, "nobody")),
    ] {
        let answer = world.put(&path, &body);
        assert_eq!(answer.refusal(), (400, "RoleAssignmentUpdateNotPermitted"));
        assert_eq!(
            answer.message(),
            "Tenant ID, application ID, principal ID, and scope are not allowed to be updated."
        );
    }
    let mut described = wanted(READER, "nobody");
    described["properties"]["description"] = json!("new");
    assert_eq!(world.put(&path, &described).body["properties"]["description"], "new");
    assert_eq!(world.put(&assignment_path(SUB, 2), &wanted(READER, "nobody")).status, 201);
}

#[test]
fn the_principal_is_to_be_in_the_directory_of_the_scope() {
    let world = world();
    let put = |number: usize, principal: &str, kind: Value| {
        let body = json!({"properties": {"roleDefinitionId": READER, "principalId": principal, "principalType": kind}});
        world.put(&assignment_path(GROUP, number), &body)
    };
    let unknown = "00000000-0000-4000-8000-0000000000cc";
    let answer = put(1, unknown, Value::Null);
    assert_eq!(answer.refusal(), (400, "PrincipalNotFound"));
    assert!(answer.message().starts_with(&format!("Principal 000000000000400080000000000000cc does not exist in the directory {TENANT}. Check that you have the correct principal ID. If you are creating this principal and then immediately assigning a role, this error might be related to a replication delay.")));
    assert_eq!(put(1, unknown, json!("User")).body["properties"]["principalType"], "User");
    let own = principal("nobody").to_string();
    assert_eq!(put(2, &own, json!("Group")).refusal(), (400, "UnmatchedPrincipalType"));
    assert_eq!(put(2, &own, json!("Robot")).refusal(), (400, "InvalidRequestContent"));
    let foreign = principal("foreigner").to_string();
    for kind in [Value::Null, json!("ServicePrincipal")] {
        assert_eq!(put(2, &foreign, kind).refusal(), (400, "PrincipalNotFound"));
    }
}

#[test]
fn what_cannot_be_granted_is_refused() {
    let world = world();
    let path = assignment_path(GROUP, 1);
    let unknown = READER.replace("acdd72a7", "00000000");
    assert_eq!(
        world.put(&path, &wanted(&unknown, "nobody")).refusal(),
        (400, "RoleDefinitionDoesNotExist")
    );
    assert_eq!(
        world.put(&path, &wanted("Reader", "nobody")).refusal(),
        (400, "InvalidRequestContent")
    );
    assert_eq!(world.put(&path, &json!({})).refusal(), (400, "InvalidRequestContent"));
    let named = path.replace("00000000-0000-4000-8000-090000000001", "one");
    assert_eq!(
        world.put(&named, &wanted(READER, "nobody")).refusal(),
        (400, "InvalidRoleAssignmentId")
    );
    let mut conditional = wanted(READER, "nobody");
    conditional["properties"]["condition"] = json!("@Resource[x] StringEquals 'y'");
    assert_eq!(world.put(&path, &conditional).refusal(), (400, "BadRequest"));
    for (scope, code) in [
        (machine_id("none"), "ResourceNotFound"),
        (format!("{SUB}/resourceGroups/none"), "ResourceGroupNotFound"),
    ] {
        let answer = world.put(&assignment_path(&scope, 1), &wanted(READER, "nobody"));
        assert_eq!(answer.refusal(), (404, code));
    }
}

#[test]
fn nobody_grants_what_is_not_theirs_to_grant() {
    let world = world();
    world.grant(1, "nobody", "Contributor", SUB);
    let answer = world.send("nobody", "PUT", &assignment_path(GROUP, 2), &wanted(READER, "nobody"));
    assert_eq!(answer.refusal(), (403, "AuthorizationFailed"));
    world.grant(3, "nobody", "User Access Administrator", GROUP);
    assert_eq!(
        world.send("nobody", "PUT", &assignment_path(GROUP, 2), &wanted(READER, "nobody")).status,
        201
    );
    assert_eq!(
        world.send("nobody", "PUT", &assignment_path(SUB, 4), &wanted(READER, "nobody")).status,
        403
    );
}

fn scopes(world: &World, name: &str, scope: &str, filter: &str) -> Vec<String> {
    let query = filter.replace(' ', "%20");
    let path = format!(
        "{}/providers/Microsoft.Authorization/roleAssignments?$filter={query}",
        scope.trim_end_matches('/')
    );
    let answer = world.send(name, "GET", &path, &Value::Null);
    assert_eq!(answer.status, 200, "{path} {}", answer.body);
    let value = answer.body["value"].as_array().unwrap();
    let scope = |one: &Value| one["properties"]["scope"].as_str().unwrap().to_owned();
    value
        .iter()
        .filter(|one| one["properties"]["principalId"] == principal("nobody").to_string())
        .map(scope)
        .collect()
}

#[test]
fn lists_reach_up_and_down_as_the_filter_says() {
    let world = world();
    let group = "/providers/Microsoft.Management/managementGroups/leaf";
    let one = world.identity("one");
    for (number, scope) in ["/", group, SUB, GROUP, &one].into_iter().enumerate() {
        world.grant(number, "nobody", "Reader", scope);
    }
    let own = principal("nobody");
    let all = ["/", group, SUB, GROUP, &one];
    let at_group = ["/", group, SUB, GROUP];
    assert_eq!(scopes(&world, "reader", GROUP, ""), all);
    assert_eq!(scopes(&world, "reader", GROUP, "atScope()"), at_group);
    assert_eq!(scopes(&world, "reader", SUB, "atScope()"), ["/", group, SUB]);
    assert_eq!(scopes(&world, "reader", SUB, &format!("principalId eq '{own}'")), all);
    assert_eq!(
        scopes(&world, "reader", GROUP, &format!("atScope() and assignedTo('{own}')")),
        at_group
    );
    assert_eq!(scopes(&world, "owner", "/", "atScope()"), ["/"]);
    assert_eq!(scopes(&world, "owner", group, ""), all);
    let other = principal("owner");
    assert!(scopes(&world, "reader", SUB, &format!("principalId eq '{other}'")).is_empty());
    let path = format!("{SUB}/providers/Microsoft.Authorization/roleAssignments?$filter=x");
    assert_eq!(world.get(&path).refusal(), (400, "InvalidFilterInQueryString"));
}

#[test]
fn an_owner_of_everything_sees_no_assignment_of_another_tenant() {
    let world = world();
    let list = world.get("/providers/Microsoft.Authorization/roleAssignments");
    let principals: Vec<_> = list.body["value"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["properties"]["principalId"].as_str().unwrap().to_owned())
        .collect();
    assert!(principals.contains(&principal("owner").to_string()));
    assert!(!principals.contains(&principal("foreigner").to_string()));
    let foreign: PrincipalId = guid(3, 5);
    let path = format!("/providers/Microsoft.Authorization/roleAssignments/{foreign}");
    assert_eq!(world.get(&path).refusal(), (404, "RoleAssignmentNotFound"));
    assert_eq!(world.delete(&path).status, 204);
}

#[test]
fn the_assignments_of_a_deleted_principal_stay() {
    let world = world();
    let one = world.identity("one");
    let id = world.get(&one).body["properties"]["principalId"].clone();
    let path = assignment_path(SUB, 1);
    let made =
        world.put(&path, &json!({"properties": {"roleDefinitionId": READER, "principalId": id}}));
    assert_eq!(made.status, 201);
    world.delete(&one);
    assert_eq!(world.get(&path).body["properties"]["principalId"], id);
}

#[test]
fn definitions_are_listed_filtered_and_read() {
    let world = world();
    let list = format!("{SUB}/providers/Microsoft.Authorization/roleDefinitions");
    let found = |filter: &str| world.get(&format!("{list}?$filter={}", filter.replace(' ', "%20")));
    let reader = found("roleName eq 'reader'");
    assert_eq!(reader.body["value"].as_array().unwrap().len(), 1);
    let shown = &reader.body["value"][0];
    assert_eq!(shown["id"], format!("{SUB}{READER}"));
    assert_eq!(
        (&shown["properties"]["roleName"], &shown["properties"]["type"]),
        (&json!("Reader"), &json!("BuiltInRole"))
    );
    assert_eq!(found("type eq 'CustomRole'").body["value"], json!([]));
    assert!(found("atScopeAndBelow()").body["value"].as_array().unwrap().len() > 10);
    assert_eq!(found("principalId eq 'x'").refusal(), (400, "InvalidFilterInQueryString"));
    assert_eq!(&world.get(&format!("{SUB}{READER}")).body, shown);
    assert_eq!(world.send("nobody", "GET", READER, &Value::Null).status, 200);
    let missing = world.get(&READER.replace("acdd72a7", "00000000"));
    assert_eq!(missing.refusal(), (404, "RoleDefinitionDoesNotExist"));
}
