//! Parts that are broken on purpose, in front of the real platform: what the property must find out.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    middleware::{self, Next},
    response::Response,
};
use http::{HeaderValue, Method, StatusCode};
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

/// A memory that ranks by how rare words are among the memories of more than one tenant, as one index of words for
/// all does: of the two that remembered last, so that each case begins anew.
pub(crate) fn ranking_without_tenant(router: Router) -> Router {
    type Held = HashMap<HeaderValue, Vec<String>>;
    async fn rank(State(held): State<Arc<Mutex<Held>>>, request: Request, next: Next) -> Response {
        let (path, who) = (request.uri().path().to_owned(), request.headers()["authorization"].clone());
        let (parts, asked) = request.into_parts();
        let asked = to_bytes(asked, MOST).await.unwrap();
        let response = next.run(Request::from_parts(parts, Body::from(asked.clone()))).await;
        if !path.starts_with("/api/v1/memories") || !response.status().is_success() {
            return response;
        }
        let (mut head, body) = response.into_parts();
        let body = to_bytes(body, MOST).await.unwrap();
        let Ok(mut body) = serde_json::from_slice::<Value>(&body) else {
            return Response::from_parts(head, Body::from(body));
        };
        let mut held = held.lock().unwrap();
        if head.status == StatusCode::CREATED {
            if held.len() == 2 && !held.contains_key(&who) {
                held.clear();
            }
            held.entry(who).or_default().push(body["text"].as_str().unwrap().to_lowercase());
        } else if let Some(items) = body["items"].as_array_mut() {
            let asked: Value = serde_json::from_slice(&asked).unwrap();
            let words = asked["query"].as_str().unwrap().split(|c: char| !c.is_alphanumeric());
            let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
            let holders = |word: &str| held.values().flatten().filter(|text| text.contains(word)).count();
            // Whose rarest word the fewest have comes first.
            items.sort_by_key(|item| {
                let text = item["text"].as_str().unwrap().to_lowercase();
                words.iter().filter(|word| text.contains(**word)).map(|word| holders(word)).min()
            });
        }
        head.headers.remove("content-length");
        Response::from_parts(head, Body::from(body.to_string()))
    }
    router.layer(middleware::from_fn_with_state(Arc::default(), rank))
}
