//! A decision of Cedar's as one would ask for it with `cedar-policy` alone: entities, request, answer.

use std::{
    collections::{HashMap, HashSet},
    str::FromStr as _,
};

use cedar_policy::{
    Authorizer, Context, Decision, Entities, Entity, EntityId, EntityTypeName, EntityUid, PolicySet, Request,
    RestrictedExpression, Schema,
};

use crate::Failure;

/// The policy that is measured, ours and bare.
pub(super) const POLICY: &str = include_str!("../../../mcp-tenancy/policies/by_permission.cedar");
const SCHEMA: &str = include_str!("../../../mcp-tenancy/policies/schema.cedarschema");

/// Cedar with one policy, held to the schema.
pub(super) struct Bare {
    schema: Schema,
    policies: PolicySet,
    authorizer: Authorizer,
}

impl Bare {
    /// # Errors
    /// None: what is shipped is valid.
    pub(super) fn new() -> Result<Self, Failure> {
        let (schema, _) = Schema::from_cedarschema_str(SCHEMA)?;
        Ok(Self { schema, policies: PolicySet::from_str(POLICY)?, authorizer: Authorizer::new() })
    }

    /// Whether a service with these permissions may call the endpoint at `path`.
    ///
    /// # Errors
    /// When it may not.
    pub(super) fn decide(&self, tenant: &str, permissions: &[&str], path: &str) -> Result<(), Failure> {
        let text = |value: &str| RestrictedExpression::new_string(value.to_owned());
        let principal = uid("Service", "bench")?;
        let action = uid("Action", "endpoints:call")?;
        let resource = uid("Endpoint", path)?;
        let held = RestrictedExpression::new_set(permissions.iter().map(|held| text(held)));
        let of_principal =
            HashMap::from([("id".to_owned(), text("bench")), ("permissions".to_owned(), held)]);
        let of_resource = HashMap::from([("id".to_owned(), text(path)), ("tenant".to_owned(), text(tenant))]);
        let entities = [
            Entity::new(principal.clone(), of_principal, HashSet::new())?,
            Entity::new(resource.clone(), of_resource, HashSet::new())?,
        ];
        let entities = Entities::from_entities(entities, Some(&self.schema))?;
        let context = Context::from_pairs([
            ("permitted".to_owned(), RestrictedExpression::new_bool(permissions.contains(&"endpoints:call"))),
            ("method".to_owned(), text("POST")),
            ("path".to_owned(), text(path)),
        ])?;
        let request = Request::new(principal, action, resource, context, Some(&self.schema))?;
        let answer = self.authorizer.is_authorized(&request, &self.policies, &entities);
        match answer.decision() {
            Decision::Allow => Ok(()),
            Decision::Deny => Err(format!("Cedar denies: {answer:?}").into()),
        }
    }
}

fn uid(kind: &str, id: &str) -> Result<EntityUid, Failure> {
    let kind = EntityTypeName::from_str(&format!("Mcp::{kind}"))?;
    Ok(EntityUid::from_type_name_and_id(kind, EntityId::new(id)))
}
