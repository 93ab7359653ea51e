//! The embeddings of all-MiniLM-L6-v2, beside those of the model's own reference implementation.

use serde::Deserialize;

use crate::support::{registry, scope};

#[derive(Deserialize)]
struct Reference {
    sentences: Vec<String>,
    embeddings: Vec<Vec<f32>>,
}

fn reference() -> Reference {
    serde_json::from_str(include_str!("../data/minilm_reference_embeddings.json")).unwrap()
}

fn furthest(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[tokio::test]
async fn embeddings_are_those_of_the_reference() {
    let reference = reference();
    let minilm = registry().embedder("minilm").unwrap();
    let texts: Vec<_> = reference.sentences.iter().map(String::as_str).collect();
    let embedded = minilm.embed(&scope("acme"), &texts).await.unwrap();
    assert_eq!(embedded.vectors.len(), 5);
    for (text, (ours, theirs)) in texts.iter().zip(embedded.vectors.iter().zip(&reference.embeddings)) {
        let off = furthest(ours, theirs);
        assert!(off < 1e-5, "{text:?} is off by {off}");
    }
    assert!((cosine(&embedded.vectors[0], &embedded.vectors[1]) - 0.7553).abs() < 1e-3);
    assert!((cosine(&embedded.vectors[0], &embedded.vectors[2]) + 0.105).abs() < 1e-3);
}

#[tokio::test]
async fn a_text_embeds_alike_whatever_is_beside_it_and_in_whatever_order() {
    let minilm = registry().embedder("minilm").unwrap();
    let long = "a sentence that goes on ".repeat(20);
    let texts = ["short", long.as_str(), "", "a few words more", "short", "ünïcödé 漢字"];
    let together = minilm.embed(&scope("acme"), &texts).await.unwrap();
    for (text, vector) in texts.iter().zip(&together.vectors) {
        let alone = minilm.embed(&scope("globex"), &[text]).await.unwrap();
        assert!(furthest(vector, &alone.vectors[0]) < 1e-5, "{text:?}");
    }
    assert!(minilm.embed(&scope("acme"), &[]).await.unwrap().vectors.is_empty());
}

#[tokio::test]
async fn a_text_over_256_tokens_is_cut_there() {
    let minilm = registry().embedder("minilm").unwrap();
    let cut = minilm.embed(&scope("acme"), &["word ".repeat(254).as_str()]).await.unwrap();
    let longer = minilm.embed(&scope("acme"), &["word ".repeat(2_000).as_str()]).await.unwrap();
    assert_eq!((cut.tokens, longer.tokens), (256, 256));
    assert_eq!(cut.vectors, longer.vectors);
}
