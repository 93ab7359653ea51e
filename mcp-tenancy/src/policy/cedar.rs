//! Policies in Cedar.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    str::FromStr as _,
    sync::Arc,
};

use async_trait::async_trait;
use cedar_policy::{
    Authorizer, Context, Entities, Entity, EntityId, EntityTypeName, EntityUid, PolicyId, PolicySet, Request,
    RestrictedExpression, Schema, ValidationMode, Validator,
};
use mcp_core::{Result, access::Attributes, scope::PrincipalKind};
use miette::Diagnostic;
use serde_json::Value;

use super::{
    Bounded, Decision, Policy, PolicyRequest,
    language::{bad, place},
    shape::{self, Syntax},
};

/// The schema that is shipped; see the file for what it declares.
const SHIPPED: &str = include_str!("../../policies/schema.cedarschema");
/// Most policies in one text.
const MAX_POLICIES: usize = 500;
/// Most errors an error names.
const NAMED_ERRORS: usize = 5;

/// What Cedar policies may speak of: entity types, their attributes, actions.
///
/// The types are in the namespace `Mcp`; principals are `User` and `Service` with parents of type `Role`, the
/// resource `audit_log` is an `AuditLog`, and an action's name is its permission.
#[derive(Clone)]
pub struct CedarSchema(Arc<Declared>);

struct Declared {
    schema: Schema,
    /// By name: parsing one takes Cedar longer than to evaluate a policy.
    types: HashMap<String, EntityTypeName>,
}

impl CedarSchema {
    /// The schema that is shipped: everything the platform does.
    ///
    /// # Errors
    /// None in practice: a test parses it.
    pub fn shipped() -> Result<Self> {
        Self::parse(SHIPPED)
    }

    /// A schema of one's own, for a platform that does more.
    ///
    /// # Errors
    /// [`InvalidInput`](mcp_core::ErrorKind::InvalidInput) that names line and column.
    pub fn parse(text: &str) -> Result<Self> {
        match Schema::from_cedarschema_str(text) {
            Ok((schema, _)) => {
                let of_actions = schema.actions().map(EntityUid::type_name);
                let all = schema.entity_types().chain(of_actions);
                let types = all.map(|kind| (kind.to_string(), kind.clone())).collect();
                Ok(Self(Arc::new(Declared { schema, types })))
            }
            Err(error) => Err(bad("schema", located("the schema", text, &error))),
        }
    }

    fn uid(&self, kind: &str, id: &str) -> std::result::Result<EntityUid, String> {
        let name = format!("Mcp::{kind}");
        let kind = self.0.types.get(&name).ok_or_else(|| format!("the schema declares no `{name}`"))?;
        Ok(EntityUid::from_type_name_and_id(kind.clone(), EntityId::new(id)))
    }
}

impl fmt::Debug for CedarSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CedarSchema")
    }
}

/// Policies in Cedar, parsed and held to a schema.
///
/// An allowance takes a `permit` that applies and no `forbid` that does; a policy that fails while it is
/// evaluated denies, where Cedar alone would pass over it, a failing `forbid` included. Reasons are the
/// policies' `@id` annotations.
pub struct CedarPolicy {
    policies: PolicySet,
    schema: CedarSchema,
    authorizer: Authorizer,
}

impl CedarPolicy {
    /// Parses and validates policies, strictly.
    ///
    /// # Errors
    /// [`InvalidInput`](mcp_core::ErrorKind::InvalidInput) that names line and column.
    pub fn parse(text: &str, schema: &CedarSchema) -> Result<Self> {
        shape::check(Syntax::Cedar, text).map_err(|deep| bad("text", deep.to_string()))?;
        let policies = PolicySet::from_str(text).map_err(|errors| {
            let named: Vec<_> =
                errors.iter().take(NAMED_ERRORS).map(|error| located("the policy", text, error)).collect();
            bad("text", named.join("; "))
        })?;
        if policies.templates().next().is_some() {
            return Err(bad(
                "text",
                "templates (`?principal`, `?resource`) cannot be linked here; name the role",
            ));
        }
        let count = policies.num_of_policies();
        if count == 0 || count > MAX_POLICIES {
            return Err(bad(
                "text",
                format!("the text has {count} policies; it may have 1 to {MAX_POLICIES}"),
            ));
        }
        let validator = Validator::new(schema.0.schema.clone());
        let found = validator.validate(&policies, ValidationMode::Strict);
        let named: Vec<_> = found
            .validation_errors()
            .take(NAMED_ERRORS)
            .map(|error| located("the policy", text, error))
            .collect();
        if !named.is_empty() {
            return Err(bad("text", named.join("; ")));
        }
        Ok(Self { policies, schema: schema.clone(), authorizer: Authorizer::new() })
    }

    fn decide(&self, request: &PolicyRequest) -> std::result::Result<Decision, String> {
        let (query, entities) = self.ask(request)?;
        let response = self.authorizer.is_authorized(&query, &self.policies, &entities);
        let diagnostics = response.diagnostics();
        let errors: Vec<_> = diagnostics.errors().map(ToString::to_string).collect();
        if !errors.is_empty() {
            return Ok(Decision::failed(errors));
        }
        let mut reasons: Vec<_> = diagnostics.reason().map(|id| self.name(id)).collect();
        reasons.sort_unstable();
        Ok(match response.decision() {
            cedar_policy::Decision::Allow => Decision::allow(reasons),
            cedar_policy::Decision::Deny => Decision::deny(reasons),
        })
    }

    /// The request in Cedar's terms; what it is not made of is denied, never left out.
    fn ask(&self, request: &PolicyRequest) -> std::result::Result<(Request, Entities), String> {
        let (subject, access) = (&request.principal, &request.access);
        let kind = match subject.kind {
            PrincipalKind::User => "User",
            _ => "Service",
        };
        let principal = self.schema.uid(kind, subject.id.as_str())?;
        let action = self.schema.uid("Action", access.action.as_str())?;
        let resource = self.schema.uid(&type_name(access.resource.kind.as_str()), &access.resource.id)?;

        let roles = subject.roles.iter().map(|role| self.schema.uid("Role", role.as_str()));
        let permissions = subject.permissions.iter().map(|held| text(held.as_str()));
        let of_principal = HashMap::from([
            ("id".to_owned(), text(subject.id.as_str())),
            ("permissions".to_owned(), RestrictedExpression::new_set(permissions)),
        ]);
        let mut of_resource = attributes(&access.resource.attributes)?;
        of_resource.insert("id".to_owned(), text(&access.resource.id));
        of_resource.insert("tenant".to_owned(), text(access.resource.tenant.as_str()));
        let roles = roles.collect::<std::result::Result<HashSet<_>, _>>()?;
        let entities = [
            Entity::new(principal.clone(), of_principal, roles).map_err(|error| error.to_string())?,
            Entity::new(resource.clone(), of_resource, HashSet::new()).map_err(|error| error.to_string())?,
        ];
        let entities =
            Entities::from_entities(entities, Some(&self.schema.0.schema)).map_err(|error| chain(&error))?;

        let mut context = attributes(&access.context)?;
        context.insert("permitted".to_owned(), RestrictedExpression::new_bool(request.permitted()));
        let context = Context::from_pairs(context).map_err(|error| error.to_string())?;
        let query = Request::new(principal, action, resource, context, Some(&self.schema.0.schema));
        Ok((query.map_err(|error| chain(&error))?, entities))
    }

    fn name(&self, id: &PolicyId) -> String {
        self.policies.annotation(id, "id").filter(|name| !name.is_empty()).unwrap_or(id.as_ref()).to_owned()
    }
}

#[async_trait]
impl Policy for CedarPolicy {
    async fn evaluate(&self, asked: Bounded<'_>) -> Result<Decision> {
        // Cedar has no loops: this takes microseconds, as long as text and request are bounded.
        Ok(self.decide(asked.request()).unwrap_or_else(|error| Decision::failed([error])))
    }
}

impl fmt::Debug for CedarPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CedarPolicy({} policies)", self.policies.num_of_policies())
    }
}

/// `audit_log` is an `AuditLog`.
fn type_name(kind: &str) -> String {
    kind.split('_')
        .flat_map(|word| {
            let mut letters = word.chars();
            letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters)
        })
        .collect()
}

fn text(value: &str) -> RestrictedExpression {
    RestrictedExpression::new_string(value.to_owned())
}

fn attributes(values: &Attributes) -> std::result::Result<HashMap<String, RestrictedExpression>, String> {
    let named = |(name, value): (&String, &Value)| {
        let value = expression(value).map_err(|what| format!("the attribute `{name}` is {what}"))?;
        Ok(value.map(|value| (name.clone(), value)))
    };
    values.iter().filter_map(|pair| named(pair).transpose()).collect()
}

/// A value in Cedar's terms; `None` for null, which is what is not there.
fn expression(value: &Value) -> std::result::Result<Option<RestrictedExpression>, &'static str> {
    Ok(Some(match value {
        Value::Null => return Ok(None),
        Value::Bool(value) => RestrictedExpression::new_bool(*value),
        Value::String(value) => text(value),
        Value::Number(value) => {
            RestrictedExpression::new_long(value.as_i64().ok_or("a number that is no 64-bit integer")?)
        }
        Value::Array(values) => {
            let values = values.iter().filter_map(|value| expression(value).transpose());
            RestrictedExpression::new_set(values.collect::<std::result::Result<Vec<_>, _>>()?)
        }
        Value::Object(fields) => {
            let fields = fields.iter().filter_map(|(name, value)| {
                expression(value).map(|value| value.map(|value| (name.clone(), value))).transpose()
            });
            let fields = fields.collect::<std::result::Result<Vec<_>, _>>()?;
            RestrictedExpression::new_record(fields).map_err(|_| "a record that names a field twice")?
        }
    }))
}

/// What is wrong, and where: `the policy, line 3, column 5: …`.
fn located(what: &str, text: &str, error: &(impl Diagnostic + ?Sized)) -> String {
    let offset = error.labels().and_then(|mut labels| labels.next()).map(|label| label.offset());
    let help = error.help().map(|help| format!(" ({help})")).unwrap_or_default();
    match offset {
        Some(offset) => {
            let (line, column) = place(text, offset);
            format!("{what}, line {line}, column {column}: {error}{help}")
        }
        None => format!("{what}: {error}{help}"),
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        let error = CedarPolicy::parse(text, &CedarSchema::shipped().unwrap()).unwrap_err();
        assert_eq!(error.kind(), mcp_core::ErrorKind::InvalidInput, "{text}");
        error.message().to_owned()
    }

    #[test]
    fn what_is_shipped_is_valid() {
        let schema = CedarSchema::shipped().unwrap();
        for text in [
            include_str!("../../policies/by_permission.cedar"),
            include_str!("../../policies/roles.cedar"),
            include_str!("../../policies/owners.cedar"),
        ] {
            CedarPolicy::parse(text, &schema).unwrap();
        }
    }

    #[test]
    fn errors_name_line_and_column() {
        let syntax = refused("permit (principal, action, resource)\nwhen { context.permitted }\nforbid");
        assert!(syntax.contains("line 3, column"), "{syntax}");
        let unknown = refused("permit (principal, action, resource)\nwhen { context.permited };");
        assert!(unknown.contains("line 2, column 8") && unknown.contains("permited"), "{unknown}");
        let action = refused("permit (principal, action == Mcp::Action::\"tools:cal\", resource);");
        assert!(action.contains("tools:cal"), "{action}");
        refused("permit (principal == ?principal, action, resource);");
        refused("// nothing");
        // What is just not too deep is parsed and validated, whatever it says.
        for (open, close) in
            [("(", ")"), ("!", ""), ("-", ""), ("true && ", ""), ("if true then true else ", ""), ("[", "]")]
        {
            for count in [20, 290, 20_000] {
                let text = format!(
                    "permit (principal, action, resource) when {{ {}true{} }};",
                    open.repeat(count),
                    close.repeat(count)
                );
                let parsed = CedarPolicy::parse(&text, &CedarSchema::shipped().unwrap());
                assert!(count < 20_000 || parsed.is_err(), "{open}");
            }
        }
    }

    #[test]
    fn kinds_become_types() {
        assert_eq!(type_name("audit_log"), "AuditLog");
        assert_eq!(type_name("tool"), "Tool");
    }
}
