//! The data plane: takes calls from clients, finds who may do what, calls providers, and relays their answers.
//!
//! It is the only crate that serves client sockets. It runs an immutable [`Snapshot`] and never reads configuration on
//! the way of a request; a new snapshot is swapped in as a whole, and calls in flight finish on the one they started on.
//! The way of a request is the list of files in `pipeline`.

pub mod ai;
pub mod certificates;
pub mod clock;
mod error;
mod forwarding;
#[doc(hidden)]
pub mod fuzzing;
mod gateway;
pub mod governance;
pub mod health;
mod http1;
mod manners;
mod objects;
pub mod overload;
mod pipeline;
pub mod plugins;
pub mod pool;
mod prices;
pub mod providers;
pub mod proxy;
pub mod responses;
pub mod secret_managers;
mod secrets;
pub mod server;
mod snapshot;
pub mod tokens;
pub mod upstream;
pub mod who;
mod wrong_keys;

pub use certificates::check_ssl;
pub use error::{AttemptError, CallError, Fault};
pub use forwarding::{Forwarding, ForwardingError};
pub use gateway::{Gateway, Setting};
pub use objects::{Change, check_expression, check_places};
pub use pipeline::Guest;
pub use pipeline::explain::{ExplainError, Question, QuestionError};
pub use prices::price_terms;
pub use snapshot::{CompileError, Snapshot};
pub use wrong_keys::WrongKeys;
