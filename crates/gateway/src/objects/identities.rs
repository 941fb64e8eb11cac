//! Who holds which identity: the key of `key-auth`, the user name of `basic-auth`, the `key` claim of `jwt-auth`.
//!
//! Several objects may claim one identity: written as references to secrets, their values are not compared when they are
//! written. The oldest object then has it until it gives it up, so that neither a later object nor the order of changes
//! takes somebody's key over. What an identity looks like, and what proves it, is not known here.

use std::collections::HashMap;
use std::sync::Arc;

use tollgate_resources::objects::{Object, ObjectKey};

use crate::who::{Credential, Directory};

/// A plugin, and the text by which it knows a caller.
type Identity = (&'static str, String);

/// All claims, of which the directory shows the first of each identity.
#[derive(Default)]
pub struct Identities {
    claims: HashMap<Identity, Vec<Claim>>,
    by_object: HashMap<ObjectKey, Vec<Identity>>,
}

struct Claim {
    /// When the object was created.
    created: u64,
    object: ObjectKey,
    credential: Arc<Credential>,
}

impl Claim {
    /// Lower goes first.
    fn order(&self) -> (u64, &ObjectKey) {
        (self.created, &self.object)
    }
}

impl Identities {
    /// Notes that an object claims an identity. It must not claim the same one twice.
    pub fn claim(
        &mut self,
        object: &Object,
        identity: Identity,
        credential: Arc<Credential>,
        directory: &mut Directory,
    ) {
        let claim = Claim {
            created: object.created_index,
            object: object.key.clone(),
            credential,
        };
        let claims = self.claims.entry(identity.clone()).or_default();
        let position = claims.partition_point(|other| other.order() < claim.order());
        if position == 0 {
            directory.insert_credential(identity.0, &identity.1, claim.credential.clone());
        }
        if let Some(first) = claims.first() {
            tracing::error!(
                plugin = identity.0,
                older = %if position == 0 { &claim.object } else { &first.object },
                other = %if position == 0 { &first.object } else { &claim.object },
                "two objects claim the same key; it leads to the older one"
            );
        }
        // Of a hundred thousand consumers hardly any claims a second identity, or one of another's: no room for more than there are.
        claims.reserve_exact(1);
        claims.insert(position, claim);
        let of_object = self.by_object.entry(object.key.clone()).or_default();
        of_object.reserve_exact(1);
        of_object.push(identity);
    }

    /// Gives up what an object claims; what others claim too is theirs from here on.
    pub fn release(&mut self, object: &ObjectKey, directory: &mut Directory) {
        for identity in self.by_object.remove(object).unwrap_or_default() {
            let Some(claims) = self.claims.get_mut(&identity) else {
                continue;
            };
            claims.retain(|claim| claim.object != *object);
            match claims.first() {
                Some(next) => {
                    directory.insert_credential(identity.0, &identity.1, next.credential.clone());
                }
                None => {
                    directory.remove_credential(identity.0, &identity.1);
                    self.claims.remove(&identity);
                }
            }
        }
    }
}
