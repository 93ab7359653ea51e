//! What Rego policies find under `input`, in process and at an OPA.

use serde_json::{Map, Value, json};

use super::PolicyRequest;

/// The request as `input`: flat for simple policies (`tenant_id`, `user_id`, `user_role`, `user_roles`,
/// `resource_type`, `resource_id`, `method` where it is known, `permitted`), and whole below `principal`,
/// `action`, `resource` and `context`.
pub(super) fn input(request: &PolicyRequest) -> Value {
    let (subject, access) = (&request.principal, &request.access);
    let mut input = Map::new();
    let mut put = |name: &str, value: Value| input.insert(name.to_owned(), value);
    put("tenant_id", json!(access.resource.tenant));
    put("user_id", json!(subject.id));
    put("user_roles", json!(subject.roles));
    if let Some(role) = request.leading_role() {
        put("user_role", json!(role));
    }
    put("resource_type", json!(access.resource.kind));
    put("resource_id", json!(access.resource.id));
    if let Some(method) = access.context.get("method") {
        put("method", method.clone());
    }
    put("permitted", json!(request.permitted()));
    put("principal", json!(subject));
    put("action", json!(access.action));
    put("resource", json!(access.resource));
    put("context", json!(access.context));
    Value::Object(input)
}
