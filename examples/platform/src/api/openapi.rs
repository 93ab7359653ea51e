//! `/api/v1/openapi.json`: the OpenAPI 3.1 document of everything under `/api/v1`.
//!
//! Handlers describe what is their own, here and in the crates whose routes are served too; what all operations
//! have in common (problem documents, credentials, names, tags) is added here, from method and path.

use axum::{Router, extract::State, response::IntoResponse};
use bytes::Bytes;
use http::{StatusCode, header};
use mcp_core::{Error, Result, error::Problem, scope::TenantId};
use utoipa::{
    PartialSchema as _, ToSchema,
    openapi::{
        Components, Content, Info, OpenApi, OpenApiBuilder, PathItem, Ref, RefOr, Required, Response, Tag,
        path::{Operation, Parameter, ParameterBuilder, ParameterIn},
        security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
    },
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::OPERATOR_ROOT;

const ROOT: &str = "/api/v1/";
/// Names of the ways in, as the document knows them.
const TENANT_BEARER: &str = "tenant";
const TENANT_HEADER: &str = "tenant_api_key";
const OPERATOR_BEARER: &str = "operator";

/// The route of the document, for callers without credentials.
pub(crate) fn routes() -> Result<Router> {
    let text = document().to_json().map_err(|error| {
        Error::internal("api.openapi", "the OpenAPI document cannot be written").with_source(error)
    })?;
    Ok(Router::from(described()).with_state(Bytes::from(text)))
}

fn described() -> OpenApiRouter<Bytes> {
    OpenApiRouter::new().routes(routes!(show))
}

/// This document.
#[utoipa::path(
    get,
    path = "/api/v1/openapi.json",
    security(()),
    responses((status = 200, description = "The document.", body = serde_json::Value)),
)]
async fn show(State(document): State<Bytes>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], document)
}

/// What is served, part by part.
fn parts() -> [OpenApi; 6] {
    [
        described().into_openapi(),
        super::described().into_openapi(),
        super::operator::described().into_openapi(),
        mcp_tenancy::http_api::openapi(),
        mcp_context::http_api::openapi(),
        mcp_automation::http_api::openapi(),
    ]
}

/// The parts, merged, and what they have in common.
pub(crate) fn document() -> OpenApi {
    let mut info = Info::new("MCP platform", env!("CARGO_PKG_VERSION"));
    info.description = Some(
        "The REST API of an MCP platform: what a tenant sees and changes of itself, and, below \
         /api/v1/operator, what an operator does of all tenants. Errors are RFC 9457 problem documents."
            .to_owned(),
    );
    let mut api = OpenApiBuilder::new().info(info).build();
    parts().into_iter().for_each(|part| api.merge(part));
    let mut tags = Vec::new();
    for (path, item) in &mut api.paths.paths {
        for (method, operation) in operations(item) {
            complete(operation, method, path);
            tags.extend(operation.tags.iter().flatten().cloned());
        }
    }
    tags.sort();
    tags.dedup();
    api.tags = Some(tags.into_iter().map(Tag::new).collect());
    let components = api.components.get_or_insert_with(Components::new);
    let mut schemas = vec![("Problem".to_owned(), Problem::schema())];
    <Problem<'_> as ToSchema>::schemas(&mut schemas);
    components.schemas.extend(schemas);
    for (name, scheme) in ways_in() {
        components.add_security_scheme(name, scheme);
    }
    api
}

fn ways_in() -> [(&'static str, SecurityScheme); 3] {
    let bearer = |what: &str| {
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(what));
        SecurityScheme::Http(bearer.build())
    };
    let header = ApiKeyValue::with_description("X-API-Key", "A tenant's API key.");
    [
        (TENANT_BEARER, bearer("A tenant's API key (`mcpk_…`) or token.")),
        (TENANT_HEADER, SecurityScheme::ApiKey(ApiKey::Header(header))),
        (OPERATOR_BEARER, bearer("An operator's key (`mcpo_…`).")),
    ]
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (&'static str, &mut Operation)> {
    let PathItem { get, put, post, delete, patch, .. } = item;
    [("get", get), ("put", put), ("post", post), ("delete", delete), ("patch", patch)]
        .into_iter()
        .filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

/// Adds what method and path say of an operation.
fn complete(operation: &mut Operation, method: &str, path: &str) {
    let of_operators = path.starts_with(OPERATOR_ROOT);
    let words: Vec<&str> = path.trim_start_matches(ROOT).split('/').collect();
    let id: Vec<String> = std::iter::once(method)
        .chain(words.iter().copied())
        .map(|word| word.replace(|c: char| !c.is_ascii_alphanumeric(), "_").trim_matches('_').to_owned())
        .collect();
    operation.operation_id = Some(id.join("_"));
    operation.tags = words.first().map(|word| vec![(*word).to_owned()]);
    let schemes: &[&str] = if of_operators { &[OPERATOR_BEARER] } else { &[TENANT_BEARER, TENANT_HEADER] };
    if path.contains("/{tenant}/") {
        name_tenant(operation);
    }
    let required = |name: &&str| SecurityRequirement::new(*name, Vec::<String>::new());
    let security = operation.security.get_or_insert_with(|| schemes.iter().map(required).collect());
    // Nobody is refused where nothing is asked for.
    if *security != [SecurityRequirement::default()] {
        for status in refusals(operation, method, path) {
            let entry = operation.responses.responses.entry(status.as_str().to_owned());
            entry.or_insert_with(|| problem(status));
        }
        for (status, response) in &mut operation.responses.responses {
            if let RefOr::T(response) = response
                && status.starts_with('4')
                && response.content.is_empty()
            {
                response.content.insert(Problem::CONTENT_TYPE.to_owned(), described_problem());
            }
        }
    }
}

/// Routes that tenants and operators share do not know themselves that a tenant is named before them.
fn name_tenant(operation: &mut Operation) {
    let parameters = operation.parameters.get_or_insert_with(Vec::new);
    let is_tenant = |known: &RefOr<Parameter>| matches!(known, RefOr::T(known) if known.name == "tenant");
    if !parameters.iter().any(is_tenant) {
        let tenant = ParameterBuilder::new()
            .name("tenant")
            .parameter_in(ParameterIn::Path)
            .required(Required::True)
            .schema(Some(TenantId::schema()));
        parameters.insert(0, tenant.build().into());
    }
}

/// The statuses with which the layers, and every handler of this method and path, may refuse.
fn refusals(operation: &Operation, method: &str, path: &str) -> Vec<StatusCode> {
    let mut statuses = vec![
        StatusCode::BAD_REQUEST,
        StatusCode::UNAUTHORIZED,
        StatusCode::FORBIDDEN,
        StatusCode::TOO_MANY_REQUESTS,
        StatusCode::SERVICE_UNAVAILABLE,
        StatusCode::GATEWAY_TIMEOUT,
    ];
    if path.contains('{') {
        statuses.push(StatusCode::NOT_FOUND);
    }
    if method != "get" {
        statuses.push(StatusCode::CONFLICT);
    }
    if operation.request_body.is_some() {
        statuses.push(StatusCode::PAYLOAD_TOO_LARGE);
    }
    statuses
}

fn problem(status: StatusCode) -> RefOr<Response> {
    let mut response = Response::new(status.canonical_reason().unwrap_or("Refused"));
    response.content.insert(Problem::CONTENT_TYPE.to_owned(), described_problem());
    response.into()
}

fn described_problem() -> RefOr<Content> {
    Content::new(Some(Ref::from_schema_name("Problem"))).into()
}

#[cfg(test)]
mod tests {
    use std::{
        collections::{BTreeMap, BTreeSet},
        sync::Arc,
    };

    use axum::{body::Body, extract::Request};
    use mcp_core::telemetry::Metrics;
    use tower::ServiceExt as _;

    use super::*;
    use crate::{Platform, app, config::Config};

    /// The paths under `/api/` of a router. axum lists them nowhere else.
    fn paths(router: &Router) -> BTreeSet<String> {
        let text = format!("{router:?}");
        text.split('"').filter(|part| part.starts_with("/api/")).map(str::to_owned).collect()
    }

    /// What is routed there: where a method is not, its path answers 405.
    async fn routed(router: Router) -> BTreeSet<(String, &'static str)> {
        let mut found = BTreeSet::new();
        for path in paths(&router) {
            for method in ["get", "put", "post", "delete", "patch"] {
                // Nobody has made a scope, without which no handler does anything.
                let request = Request::builder().uri(&path).method(method.to_uppercase().as_str());
                let answer = router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
                if answer.status() != StatusCode::METHOD_NOT_ALLOWED {
                    found.insert((path.clone(), method));
                }
            }
        }
        found
    }

    #[tokio::test]
    async fn what_is_served_is_what_is_described() {
        let directory = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.data.dir = directory.path().to_owned();
        let platform = Arc::new(Platform::start(config, Metrics::install().unwrap()).await.unwrap());
        // All that `app` serves: what is beside the two stacks, and what is in them.
        let routers = [
            app::app(&platform).unwrap(),
            mcp_tenancy::http_api::routes(platform.token_routes()),
            app::tenant_routes(&platform),
            app::operator_routes(&platform),
        ];
        let mut served = BTreeSet::new();
        for router in routers {
            served.append(&mut routed(router).await);
        }
        platform.close().await;

        let mut api = document();
        let mut described = BTreeSet::new();
        for (path, item) in &mut api.paths.paths {
            described.extend(operations(item).map(|(method, _)| (path.clone(), method)));
        }
        assert_eq!(described, served);
        for one in [
            ("/api/v1/openapi.json", "get"),
            ("/api/v1/contexts/{id}", "patch"),
            ("/api/v1/operator/servers", "get"),
            ("/api/v1/operator/servers", "post"),
            ("/api/v1/auth/token", "post"),
            ("/api/v1/issuers/{issuer}", "put"),
            ("/api/v1/principals/{principal}/credentials", "delete"),
            ("/api/v1/operator/tenants/{tenant}/principals/{principal}/credentials", "delete"),
            ("/api/v1/operator/tenants/{tenant}/policies/{version}", "get"),
        ] {
            assert!(served.contains(&(one.0.to_owned(), one.1)), "{one:?} was not found: {served:?}");
        }
    }

    #[test]
    fn no_two_parts_mean_different_things_by_one_name() {
        // Of two schemas with one name, merging would keep the first without a word.
        let mut known = BTreeMap::new();
        for part in parts() {
            for (name, schema) in part.components.map(|all| all.schemas).unwrap_or_default() {
                let schema = serde_json::to_value(schema).unwrap();
                let other = known.entry(name.clone()).or_insert_with(|| schema.clone());
                assert_eq!(*other, schema, "{name}");
            }
        }
        assert!(known.contains_key("Server") && known.contains_key("AddedServer"), "{:?}", known.keys());
    }

    #[test]
    fn ids_of_operations_are_unique_and_references_resolve() {
        let mut api = document();
        let mut ids = BTreeSet::new();
        for item in api.paths.paths.values_mut() {
            for (_, operation) in operations(item) {
                assert!(ids.insert(operation.operation_id.clone()), "{:?} twice", operation.operation_id);
            }
        }
        let document = serde_json::to_value(&api).unwrap();
        assert_eq!(document["openapi"], "3.1.0");
        let text = document.to_string();
        let references = text.split("\"#/components/schemas/").skip(1);
        for name in references.filter_map(|rest| rest.split('"').next()) {
            assert!(document["components"]["schemas"].get(name).is_some(), "there is no schema {name}");
        }
    }
}
