//! Whether an instance can take calls: from what calls told about it (passive), and from asking it (active).
//!
//! State machines without clocks and sockets: times are passed in, in milliseconds since any fixed moment.

mod active;
mod passive;
mod window;

pub use active::{Active, Counters, Found, Rules, Standing};
pub use passive::{Change, Outcome, Passive, Reason, Settings, State, Ticket};
