//! Where state lives: the objects of the Admin API in one crash-safe file, [`counters`] of limits, and conversations of
//! OpenAI's Responses API ([`responses`]).
//!
//! ```text
//! write -> plan (revisions, before and after) -> file (one durable transaction) -> index (what readers see)
//!          history (an entry of the log, a version)
//! ```
//!
//! [`Store`] keeps every object in memory, so that reading never touches the disk, and every acknowledged write in
//! `<directory>/tollgate.db`. It knows revisions, expiry and encryption; it refuses to know what a value means, who may
//! change it, and clocks: the time is passed in.
//!
//! What is encrypted: the value of each object, whole, with its revisions and its expiry (AES-256-GCM, see [`StoreKey`]).
//! What is not: the key of each object (its kind and id, such as `consumers/jack`), how many objects there are, how long
//! they are, and the count of revisions. Do not put secrets into ids. Somebody who can write to the file cannot make up,
//! change or swap objects, but can remove one or put back an older version of the same object.

mod cipher;
pub mod counters;
mod database;
mod disk;
mod error;
#[cfg(test)]
mod faulty;
mod file;
#[doc(hidden)]
pub mod fuzzing;
mod history;
mod index;
mod key;
mod past;
mod plan;
#[cfg(test)]
#[path = "../../../tests/servers/port.rs"]
mod port;
mod record;
pub mod responses;
#[cfg(test)]
#[path = "../../../tests/servers/redis.rs"]
mod servers;
mod store;

pub use error::StoreError;
pub use history::{Earlier, Hash, Logged, Notes, Place, Retention, Verified, Version};
pub use key::{KeyError, StoreKey};
pub use plan::{Applied, Change};
pub use store::Store;
