//! The Admin API from outside: requests in, statuses, texts and headers out, and what the data plane is told.

mod access;
mod common;
mod consumers;
mod documents;
mod lists;
mod objects;
mod patches;
mod plugins;
mod served;
