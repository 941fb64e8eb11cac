//! Whose manners a route has: how its errors and answers look.

use tollgate_resources::model::Compat;

/// Whose manners a route has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Manners {
    /// Our own: every error in the client's dialect.
    #[default]
    Own,
    /// The NGINX demo's.
    NginxDemo,
    /// Routes written with APISIX's plugins: our own, with APISIX's key and text beside it.
    Apisix,
    /// As APISIX answers, to the letter.
    ApisixStrict,
}

impl Manners {
    /// Whether these are the NGINX demo's.
    pub fn is_demo(self) -> bool {
        self == Manners::NginxDemo
    }

    /// Whether the route was written with APISIX's plugins.
    pub fn is_apisix(self) -> bool {
        matches!(self, Manners::Apisix | Manners::ApisixStrict)
    }
}

impl From<Compat> for Manners {
    fn from(compat: Compat) -> Self {
        match compat {
            Compat::NginxDemo => Manners::NginxDemo,
            _ => Manners::Own,
        }
    }
}
