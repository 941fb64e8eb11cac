//! The kinds of objects, with the words and paths that APISIX uses for them.

use std::fmt;

/// A kind of object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Which calls are served, and how.
    Route,
    /// What several routes share.
    Service,
    /// Servers that calls are passed to.
    Upstream,
    /// Somebody who calls. Its id is the username.
    Consumer,
    /// A credential of a consumer. Its id is `<username>/credentials/<id>`.
    Credential,
    /// Plugins that several consumers share.
    ConsumerGroup,
    /// Plugins that several routes share.
    PluginConfig,
    /// Plugins that run for every call.
    GlobalRule,
    /// Settings of a plugin for all its uses. Its id is the plugin's name.
    PluginMetadata,
    /// A manager of secrets. Its id is `<manager>/<id>`.
    Secret,
    /// Certificates for listeners.
    Ssl,
    /// A protocol buffers definition; kept for tools that write them, not used.
    Proto,
    /// A route of TCP streams; only listed (always empty), because tools ask for it.
    StreamRoute,
    /// Several consumers that share models, budgets and limits. Not a kind of APISIX's, as those below.
    Team,
    /// A virtual key.
    VirtualKey,
    /// What may be spent in a time.
    Budget,
    /// How often, how much or how many at once.
    Limit,
}

/// Where a kind stands in the Admin API's paths and in a standalone document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The collection, such as `plugin_configs`: the path below `/apisix/admin/` and the key of a standalone document.
    pub collection: &'static str,
    /// The word in messages, such as `plugin config`.
    pub word: &'static str,
    /// The name under `/apisix/admin/schema/`, such as `plugin_config`.
    pub schema: &'static str,
}

impl Kind {
    /// The kinds that APISIX does not have. They are kept in the same store, and are no part of its API or documents.
    pub const OWN: [Kind; 4] = [Kind::Team, Kind::VirtualKey, Kind::Budget, Kind::Limit];

    /// Whether APISIX does not have it.
    pub fn is_own(self) -> bool {
        Kind::OWN.contains(&self)
    }

    /// All kinds of APISIX's, in the order in which a whole configuration lists and compiles them: what is referred to comes first.
    pub const ALL: [Kind; 13] = [
        Kind::Secret,
        Kind::PluginMetadata,
        Kind::Proto,
        Kind::Ssl,
        Kind::Upstream,
        Kind::PluginConfig,
        Kind::Service,
        Kind::ConsumerGroup,
        Kind::Consumer,
        Kind::Credential,
        Kind::GlobalRule,
        Kind::Route,
        Kind::StreamRoute,
    ];

    /// Its words and paths.
    pub const fn place(self) -> Place {
        let (collection, word, schema) = match self {
            Kind::Route => ("routes", "route", "route"),
            Kind::Service => ("services", "service", "service"),
            Kind::Upstream => ("upstreams", "upstream", "upstream"),
            Kind::Consumer => ("consumers", "consumer", "consumer"),
            Kind::Credential => ("credentials", "credential", "credential"),
            Kind::ConsumerGroup => ("consumer_groups", "consumer group", "consumer_group"),
            Kind::PluginConfig => ("plugin_configs", "plugin config", "plugin_config"),
            Kind::GlobalRule => ("global_rules", "global rule", "global_rule"),
            Kind::PluginMetadata => ("plugin_metadata", "plugin_metadata", "plugin_metadata"),
            Kind::Secret => ("secrets", "secret", "secret"),
            Kind::Ssl => ("ssls", "ssl", "ssl"),
            Kind::Proto => ("protos", "proto", "proto"),
            Kind::StreamRoute => ("stream_routes", "stream route", "stream_route"),
            Kind::Team => ("teams", "team", "team"),
            Kind::VirtualKey => ("keys", "key", "key"),
            Kind::Budget => ("budgets", "budget", "budget"),
            Kind::Limit => ("limits", "limit", "limit"),
        };
        Place {
            collection,
            word,
            schema,
        }
    }

    /// The path segment of the collection.
    pub const fn collection(self) -> &'static str {
        self.place().collection
    }

    /// The kind of a collection, `None` for an unknown word. Credentials have no collection of their own.
    pub fn of_collection(collection: &str) -> Option<Kind> {
        Kind::ALL
            .into_iter()
            .find(|kind| *kind != Kind::Credential && kind.collection() == collection)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.place().word)
    }
}
