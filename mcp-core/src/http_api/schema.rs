//! How the vocabulary looks in an OpenAPI document.
//!
//! What is text on the wire is described by hand here, so that the vocabulary itself stays free of it.

use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        KnownFormat, ObjectBuilder, Ref, RefOr, SchemaFormat,
        schema::{ArrayBuilder, Schema, Type},
    },
};

#[cfg(feature = "sql")]
use crate::audit::{ChainReport, Problem, ProblemKind, VerifyReport};
use crate::{
    access::{Action, ResourceKind},
    clock::Timestamp,
    limit::Meter,
    scope::{Permission, Permissions, PrincipalId, PrincipalKind, RequestId, SchemaName, TenantId},
};

/// Describes a type that is text on the wire: its name, what it is, and what its text matches.
#[macro_export]
#[doc(hidden)]
macro_rules! text_schema {
    ($($type:ident: $pattern:literal, $max:literal, $example:literal, $description:literal;)*) => {$(
        impl utoipa::PartialSchema for $type {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                utoipa::openapi::ObjectBuilder::new()
                    .schema_type(utoipa::openapi::schema::Type::String)
                    .description(Some($description))
                    .pattern(Some($pattern))
                    .max_length(Some($max))
                    .examples([serde_json::Value::from($example)])
                    .into()
            }
        }
        impl utoipa::ToSchema for $type {}
    )*};
}

text_schema! {
    TenantId: "^[a-z0-9]([a-z0-9-]{0,46}[a-z0-9])?$", 48, "acme", "A tenant's id.";
    PrincipalId: "^[!-~]+$", 128, "user-789", "A principal's id, unique within its tenant.";
    RequestId: "^[A-Za-z0-9_-]+$", 64, "0199c6b5", "The id of a request, as in its X-Request-Id.";
    Permission: r"^(\*|([a-z0-9_-]{1,32}|\*):([a-z0-9_-]{1,32}|\*))$", 65, "tools:call", "`area:verb`, or `*` for everything within the tenant.";
    Action: "^[a-z0-9_-]{1,32}:[a-z0-9_-]{1,32}$", 65, "tools:call", "What is to be done, `area:verb`.";
    ResourceKind: "^[a-z][a-z0-9_]{0,31}$", 32, "tool", "What kind of thing a resource is.";
    Meter: "^[a-z0-9._-]+$", 64, "tools.calls", "What a quota counts.";
    SchemaName: "^[a-z_][a-z0-9_]*$", 63, "acme", "The name of a tenant's database schema.";
}

impl PartialSchema for Permissions {
    fn schema() -> RefOr<Schema> {
        ArrayBuilder::new().items(Permission::schema()).unique_items(true).into()
    }
}
impl ToSchema for Permissions {}

impl PartialSchema for PrincipalKind {
    fn schema() -> RefOr<Schema> {
        let kinds = [Self::User, Self::Service].map(Self::as_str);
        ObjectBuilder::new().schema_type(Type::String).enum_values(Some(kinds)).into()
    }
}
impl ToSchema for PrincipalKind {}

impl PartialSchema for Timestamp {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
            .examples([serde_json::Value::from("2026-11-23T12:00:00.123456Z")])
            .into()
    }
}
impl ToSchema for Timestamp {}

#[cfg(feature = "sql")]
impl PartialSchema for VerifyReport {
    fn schema() -> RefOr<Schema> {
        let count = || ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0));
        let list = |of| ArrayBuilder::new().items(Ref::from_schema_name(of));
        let mut report = ObjectBuilder::new()
            .description(Some("What verification of the audit log found."))
            .property("intact", ObjectBuilder::new().schema_type(Type::Boolean))
            .property("chains", list("ChainReport"))
            .property("problems", list("AuditProblem"));
        for name in ["sealed", "unsealed", "checkpoints", "omitted"] {
            report = report.property(name, count());
        }
        for name in ["intact", "sealed", "unsealed", "checkpoints", "chains", "problems", "omitted"] {
            report = report.required(name);
        }
        report.into()
    }
}
#[cfg(feature = "sql")]
impl ToSchema for VerifyReport {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push(("ChainReport".to_owned(), ChainReport::schema()));
        schemas.push(("AuditProblem".to_owned(), Problem::schema()));
        schemas.push(("ProblemKind".to_owned(), ProblemKind::schema()));
    }
}
