//! How the handlers of every REST API of the SDK read requests, refuse, and answer.
//!
//! Handlers are axum's; every error of theirs, a malformed body or query included, goes to
//! [`RescueLayer`](crate::layer::RescueLayer) by way of [`ApiError`], and becomes a response there. Handlers
//! expect the caller's [`Scope`] as an extension, put there by the layers that authenticated it.

mod denial;
mod listing;
pub mod schema;

pub use denial::{deny, require};
pub use listing::{Listing, default_limit, page_limit};

use axum::{
    extract::{FromRequest, FromRequestParts},
    response::{IntoResponse, Response},
};
use serde::Serialize;

#[cfg(doc)]
use crate::Scope;
use crate::{Error, ErrorKind, layer::Failed};

/// An error on its way to the rescue layer.
#[derive(Debug)]
pub struct ApiError(Error);

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        Failed::response(self.0)
    }
}

/// A JSON answer.
#[derive(Debug)]
pub struct Json<T>(pub T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

/// A JSON body; what is wrong with it is named.
#[derive(Debug, FromRequest)]
#[from_request(via(axum::Json), rejection(ApiError))]
pub struct Body<T>(pub T);

/// The variables of the path.
#[derive(Debug, FromRequestParts)]
#[from_request(via(axum::extract::Path), rejection(ApiError))]
pub struct Path<T>(pub T);

/// The query string; what is wrong with it is named.
#[derive(Debug, FromRequestParts)]
#[from_request(via(axum::extract::Query), rejection(ApiError))]
pub struct Query<T>(pub T);

impl From<axum::extract::rejection::JsonRejection> for ApiError {
    fn from(rejection: axum::extract::rejection::JsonRejection) -> Self {
        let kind = if rejection.status() == http::StatusCode::PAYLOAD_TOO_LARGE {
            ErrorKind::TooLarge
        } else {
            ErrorKind::InvalidInput
        };
        Self(Error::new(kind, "api.body", rejection.body_text()))
    }
}

impl From<axum::extract::rejection::PathRejection> for ApiError {
    fn from(rejection: axum::extract::rejection::PathRejection) -> Self {
        Self(Error::invalid_input("api.path", rejection.body_text()))
    }
}

impl From<axum::extract::rejection::QueryRejection> for ApiError {
    fn from(rejection: axum::extract::rejection::QueryRejection) -> Self {
        Self(Error::invalid_input("api.query", rejection.body_text()))
    }
}
