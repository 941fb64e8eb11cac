//! The `ai-auth` plugin: how the gateway finds out who is calling.

use serde::Serialize;

/// Headers in which a client may send its key, in the order they are looked at. `authorization` carries it as
/// `Bearer <key>` (OpenAI's, Cohere's and Amazon's SDKs), the others as the bare key (Anthropic's, Azure's and Google's).
pub const DEFAULT_KEY_HEADERS: [&str; 4] = ["authorization", "x-api-key", "api-key", "x-goog-api-key"];

/// Who is calling: the answer comes from a key, from a trusted header, or is not asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum AiAuth {
    /// The client proves who it is with a key of a consumer. No key or an unknown key is refused.
    Key {
        /// Lower-case names of the headers that may carry the key; see [`DEFAULT_KEY_HEADERS`].
        headers: Vec<String>,
    },
    /// A header names the consumer and nothing is verified: for use behind something that sets the header itself.
    Header {
        /// Lower-case name of the header, such as `x-user`.
        name: String,
    },
    /// Everybody may call every model.
    Anonymous,
}

impl AiAuth {
    /// Authentication by key in the usual headers.
    pub fn key() -> AiAuth {
        AiAuth::Key {
            headers: DEFAULT_KEY_HEADERS.map(str::to_owned).to_vec(),
        }
    }
}
