//! Reading and writing JSON without a tree: objects as lists of raw members, and raw values that stay byte-identical.

mod object;
mod raw;
mod walk;
mod writer;

pub use object::Object;
pub(crate) use object::kind_of;
pub use raw::{Raw, RawJson};
pub use writer::{Writer, write_string};
