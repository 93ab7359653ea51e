//! Parts that are broken on purpose, in front of the real platform: what the property must find out.

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    middleware::{self, Next},
    response::Response,
};
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::observed::Bucket;

const MOST: usize = 1 << 20;

/// A limiter that forgot the tenant in its keys: one bucket for all.
pub(crate) fn limiter_without_tenant(router: Router) -> Router {
    async fn count(State(used): State<Arc<Mutex<u64>>>, request: Request, next: Next) -> Response {
        let mut response = next.run(request).await;
        if let Some(remaining) = response.headers_mut().get_mut("ratelimit-remaining") {
            let mut used = used.lock().unwrap();
            *used += 1;
            *remaining = u64::from(Bucket::OF_THE_OBSERVED).saturating_sub(*used).into();
        }
        response
    }
    router.layer(middleware::from_fn_with_state(Arc::default(), count))
}

/// A store of contexts that lists those of every tenant.
pub(crate) fn list_without_tenant(router: Router) -> Router {
    async fn list(State(made): State<Arc<Mutex<Vec<Value>>>>, request: Request, next: Next) -> Response {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let response = next.run(request).await;
        if path != "/api/v1/contexts" || !response.status().is_success() {
            return response;
        }
        let (mut head, body) = response.into_parts();
        let mut body: Value = serde_json::from_slice(&to_bytes(body, MOST).await.unwrap()).unwrap();
        let mut made = made.lock().unwrap();
        if method == Method::POST && head.status == StatusCode::CREATED {
            if !made.contains(&body) {
                made.push(body.clone());
            }
        } else if method == Method::GET {
            body = json!({ "items": *made });
        }
        head.headers.remove("content-length");
        Response::from_parts(head, Body::from(body.to_string()))
    }
    router.layer(middleware::from_fn_with_state(Arc::default(), list))
}
