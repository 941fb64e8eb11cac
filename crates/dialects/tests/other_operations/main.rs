//! The operations beside chat: embeddings, reranking, legacy completions, lists of models, counts of tokens.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::needless_pass_by_value,
    reason = "tests fail by panicking, and json! values read best in place"
)]

mod completions;
mod count_tokens;
mod embeddings;
mod models;
mod page;
mod rerank;
mod vectors;

#[path = "../support/mod.rs"]
mod support;
