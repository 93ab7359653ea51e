//! Texts as vectors: the port between what makes embeddings and what searches them.

use std::fmt;

use async_trait::async_trait;

use crate::{
    error::{Error, Result},
    scope::Scope,
};

/// Most texts one [`embed`](Embedder::embed) takes.
pub const MAX_TEXTS: usize = 256;

/// Turns texts into vectors, so that texts of like meaning lie close to each other.
///
/// Promises:
/// - **One vector a text**, in the order of the texts, each with [`dimensions`](Self::dimensions) finite
///   numbers and of length one (its Euclidean norm is 1 within 1e-3), so that the dot product is the cosine.
/// - **The same text, the same vector**, whatever other texts are embedded with it (within 1e-5).
/// - **[`model`](Self::model) names the space**: vectors are comparable if and only if their model's name is
///   the same. Another file or another way of cutting texts is another name.
/// - **No text is kept**, logged or seen by another tenant.
///
/// Whoever calls it holds no transaction and no lock meanwhile: it may take seconds.
///
/// # Cancellation
/// Dropping the future drops the result; work that has begun may be finished in vain.
#[async_trait]
pub trait Embedder: Send + Sync + fmt::Debug {
    /// The vectors of `texts` (at most [`MAX_TEXTS`]); none for none.
    ///
    /// A text longer than the model reads is cut as the model's documentation says.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for too many texts;
    /// [`DeadlineExceeded`](crate::ErrorKind::DeadlineExceeded) by the scope's deadline;
    /// [`RateLimited`](crate::ErrorKind::RateLimited) or [`Unavailable`](crate::ErrorKind::Unavailable) while
    /// it is busy or away; [`Upstream`](crate::ErrorKind::Upstream) where a provider answers nonsense.
    async fn embed(&self, scope: &Scope, texts: &[&str]) -> Result<Vec<Vec<f32>>>;

    /// The name of the model, as it is stored beside each vector: 1 to 128 characters.
    fn model(&self) -> &str;

    /// Numbers in each vector, at least 1.
    fn dimensions(&self) -> usize;
}

/// Checks what an embedder answered to `texts` texts, before anything is stored or compared.
///
/// # Errors
/// [`Upstream`](crate::ErrorKind::Upstream) if vectors are missing, of another length, or hold what is no
/// finite number.
pub fn check_vectors(embedder: &dyn Embedder, texts: usize, vectors: &[Vec<f32>]) -> Result<()> {
    let complaint = if vectors.len() != texts {
        format!("answered {} vectors to {texts} texts", vectors.len())
    } else if let Some(odd) = vectors.iter().find(|vector| vector.len() != embedder.dimensions()) {
        format!("answered a vector of {} numbers instead of {}", odd.len(), embedder.dimensions())
    } else if vectors.iter().flatten().any(|number| !number.is_finite()) {
        "answered a number that is not finite".to_owned()
    } else {
        return Ok(());
    };
    Err(Error::upstream("embed.check", format!("the embedding model `{}` {complaint}", embedder.model())))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::scope::{Permissions, Principal, PrincipalId, PrincipalKind, TenantId};

    #[derive(Debug)]
    struct Fixed(Vec<Vec<f32>>);

    #[async_trait]
    impl Embedder for Fixed {
        async fn embed(&self, _: &Scope, _: &[&str]) -> Result<Vec<Vec<f32>>> {
            Ok(self.0.clone())
        }
        fn model(&self) -> &str {
            "fixed"
        }
        fn dimensions(&self) -> usize {
            2
        }
    }

    #[tokio::test]
    async fn nonsense_is_refused_with_the_models_name() {
        let principal = Principal {
            id: PrincipalId::parse("u1").unwrap(),
            kind: PrincipalKind::User,
            permissions: Permissions::default(),
        };
        let scope = Scope::new(TenantId::parse("acme").unwrap(), Arc::new(principal));
        for (vectors, fault) in [
            (vec![vec![1.0, 0.0]], None),
            (vec![], Some("0 vectors")),
            (vec![vec![1.0]], Some("1 numbers instead of 2")),
            (vec![vec![f32::NAN, 0.0]], Some("not finite")),
        ] {
            let embedder: &dyn Embedder = &Fixed(vectors);
            let answer = embedder.embed(&scope, &["hello"]).await.unwrap();
            match (check_vectors(embedder, 1, &answer), fault) {
                (Ok(()), None) => {}
                (Err(error), Some(fault)) => assert!(error.message().contains(fault), "{error}"),
                (other, fault) => panic!("{other:?} instead of {fault:?}"),
            }
        }
    }
}
