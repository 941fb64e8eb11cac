//! How one call becomes one line.

use crate::record::CallRecord;

/// nginx's `combined` format.
pub const COMBINED: &str = r#"$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent""#;

/// The format of NGINX's AI proxy demo: `combined`, the forwarded addresses and the tokens.
pub const NGINX_DEMO: &str = r#"$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent" "$http_x_forwarded_for" prompt_tokens=$ai_proxy_response_prompt_tokens completion_tokens=$ai_proxy_response_completion_tokens total_tokens=$ai_proxy_response_total_tokens"#;

/// The format used when none is configured.
pub const DEFAULT: &str = r#"$remote_addr - $consumer_name [$time_local] "$request" $status $body_bytes_sent "$http_user_agent" $request_id $request_time"#;

/// How a call is written: a template of variables, or JSON lines.
#[derive(Clone, Debug)]
pub enum Format {
    /// nginx-style text.
    Text(Template),
    /// One JSON object per line.
    Json,
}

/// A parsed nginx-style format.
#[derive(Clone, Debug)]
pub struct Template {}

/// Why a format was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text} at position {position}")]
pub struct FormatError {
    /// The byte offset in the format's text.
    pub position: usize,
    /// What is wrong and, where one is near, what may have been meant.
    pub text: String,
}

impl Format {
    /// Parses an nginx-style format: literal text, `$name` and `${name}`.
    pub fn parse(_text: &str) -> Result<Format, FormatError> {
        Ok(Format::Text(Template {}))
    }

    /// Appends the call's line to `out`, its line break included.
    pub fn write(&self, _record: &CallRecord<'_>, _out: &mut Vec<u8>) {}
}
