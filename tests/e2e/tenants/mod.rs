//! Keys, secrets and what belongs to whom: nobody gets in with a wrong key, nothing that proves who calls is passed on, the
//! gateway connects only to where it may, and what one consumer has said is no other's.

mod egress;
mod headers;
mod keys;
mod stores;
