//! Models in process, on real ones: all-MiniLM-L6-v2 and Magika.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod bad_files;
mod conformance;
mod embeddings;
mod onnx;
mod support;
