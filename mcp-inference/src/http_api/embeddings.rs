//! `/v1/embeddings`.

use axum::{Extension, extract::State};
use base64::Engine as _;
use mcp_core::{
    Error, Result, Scope,
    error::Detail,
    http_api::{ApiError, Body, Json},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    InferenceApi,
    counted::counted,
    spending::{EMBEDDING_TOKENS, of_bytes},
};

/// Most texts of one request.
const MAX_INPUTS: usize = 2048;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EmbeddingsRequest {
    model: String,
    input: Value,
    #[serde(default)]
    encoding_format: EncodingFormat,
    dimensions: Option<usize>,
    /// Who the caller's user is; not used.
    #[serde(rename = "user")]
    _user: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum EncodingFormat {
    #[default]
    Float,
    /// Little-endian 32-bit floats.
    Base64,
}

#[derive(Debug, Serialize)]
pub(super) struct EmbeddingsAnswer {
    object: &'static str,
    data: Vec<Embedding>,
    model: String,
    usage: Usage,
}

#[derive(Debug, Serialize)]
struct Embedding {
    object: &'static str,
    index: usize,
    embedding: Vector,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Vector {
    Float(Vec<f32>),
    Base64(String),
}

#[derive(Debug, Serialize)]
struct Usage {
    prompt_tokens: u64,
    total_tokens: u64,
}

/// The vectors of one text or several.
pub(super) async fn create(
    State(api): State<InferenceApi>,
    Extension(scope): Extension<Scope>,
    Body(request): Body<EmbeddingsRequest>,
) -> Result<Json<EmbeddingsAnswer>, ApiError> {
    api.require(&scope, &format!("model/{}", request.model))?;
    let embedder = api.models.embedder(&request.model)?;
    if let Some(wanted) = request.dimensions.filter(|wanted| *wanted != embedder.dimensions()) {
        let given = embedder.dimensions();
        let message = format!("model `{}` gives {given} dimensions, not {wanted}", request.model);
        return Err(refuse("dimensions", message).into());
    }
    let texts = texts(&request.input)?;
    let estimate = of_bytes(texts.iter().map(|text| text.len()).sum());
    let spending = api.spend(&scope, &request.model, EMBEDDING_TOKENS, estimate).await?;
    let embedded = counted("embed", &request.model, embedder.embed(&scope, &texts)).await;
    if let Some(spending) = spending {
        match &embedded {
            Ok(embedded) => spending.answered(Some(embedded.tokens)).await,
            Err(_) => spending.unanswered().await,
        }
    }
    let embedded = embedded?;
    let data = embedded.vectors.into_iter().enumerate().map(|(index, vector)| Embedding {
        object: "embedding",
        index,
        embedding: request.encoding_format.encode(vector),
    });
    let usage = Usage { prompt_tokens: embedded.tokens, total_tokens: embedded.tokens };
    Ok(Json(EmbeddingsAnswer { object: "list", data: data.collect(), model: request.model, usage }))
}

impl EncodingFormat {
    fn encode(self, vector: Vec<f32>) -> Vector {
        match self {
            Self::Float => Vector::Float(vector),
            Self::Base64 => {
                let bytes: Vec<u8> = vector.iter().flat_map(|value| value.to_le_bytes()).collect();
                Vector::Base64(base64::engine::general_purpose::STANDARD.encode(bytes))
            }
        }
    }
}

/// The texts of `input`: one, or an array of them.
fn texts(input: &Value) -> Result<Vec<&str>> {
    let texts: Option<Vec<&str>> = match input {
        Value::String(text) => Some(vec![text]),
        Value::Array(items) => items.iter().map(Value::as_str).collect(),
        _ => None,
    };
    let texts = texts.ok_or_else(|| {
        refuse("input", "`input` is neither a text nor an array of texts; tokens are not taken".to_owned())
    })?;
    match texts.len() {
        1..=MAX_INPUTS => Ok(texts),
        count => Err(refuse("input", format!("`input` has {count} texts; 1 to {MAX_INPUTS} are taken"))),
    }
}

fn refuse(field: &str, message: String) -> Error {
    Error::invalid_input("embeddings.create", message)
        .with_detail(Detail::Field { path: field.to_owned(), nearest: None })
}
