//! The binary is exchanged while it runs: what clients notice (nothing), what is kept (everything), and what happens when the
//! new one does not start.

mod clients;
mod refused;
mod rig;
mod spending;
mod state;
mod under_load;

use rig::Rig;
