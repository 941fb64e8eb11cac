//! Whether instances can take calls: what calls tell about them (passive), and what asking them tells (active).
//!
//! [`InstanceHealth`] is what is known of one instance. It outlives configurations. [`Roster`] knows which instances are
//! in service; from it the [`Agent`] learns whom to ask, on a thread of its own, and the status page what to show. The
//! decisions are in `tollgate_policy::health`.

mod agent;
mod check;
mod companions;
mod instance;
mod meters;
mod probe;
mod roster;
mod status;

pub use agent::{Agent, Names};
pub use check::{Check, CheckTarget, Credentials, Sent};
pub use companions::introduce;
pub use instance::{InstanceHealth, Signal, UnderWay, until};
pub use roster::{Duty, OnDuty, Roster};
pub use status::{ForOwner, status};
