//! How one call becomes one line: nginx-style templates, or JSON lines.
//!
//! A line is one line whatever a client sends: every byte that could end it, quote out of it or confuse a terminal is
//! escaped. Credentials are masked wherever they are known to travel (headers and query parameters).

mod escape;
mod json;
pub(crate) mod mask;
mod suggest;
mod template;
pub(crate) mod time;
pub(crate) mod variables;

use crate::record::CallRecord;

pub use template::{FormatError, Template};
pub(crate) use time::since_epoch;
pub(crate) use variables::outcome;

/// nginx's `combined` format.
pub const COMBINED: &str = r#"$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent""#;

/// The format of NGINX's AI proxy demo: `combined`, the forwarded addresses and the tokens.
pub const NGINX_DEMO: &str = r#"$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent" "$http_x_forwarded_for" prompt_tokens=$ai_proxy_response_prompt_tokens completion_tokens=$ai_proxy_response_completion_tokens total_tokens=$ai_proxy_response_total_tokens"#;

/// The format used when none is configured: who, what, how it went, what it used and why it failed.
pub const DEFAULT: &str = r#"$remote_addr - $consumer_name [$time_local] "$request" $status $body_bytes_sent $request_time "$http_user_agent" $request_id route=$route_id type=$request_type model="$request_llm_model" attempts="$tollgate_attempts" first_token_ms=$llm_time_to_first_token tokens=$llm_prompt_tokens+$llm_completion_tokens outcome=$tollgate_outcome error=$tollgate_error_code losses="$tollgate_losses""#;

/// How a call is written: a template of variables, or JSON lines.
#[derive(Clone, Debug)]
pub enum Format {
    /// nginx-style text.
    Text(Template),
    /// One JSON object per line; fields without a value are left out.
    Json,
}

impl Format {
    /// Parses an nginx-style format: literal text, `$name` and `${name}`.
    pub fn parse(text: &str) -> Result<Format, FormatError> {
        Template::parse(text).map(Format::Text)
    }

    /// Appends the call's line to `out`, its line break included.
    pub fn write(&self, record: &CallRecord<'_>, out: &mut Vec<u8>) {
        match self {
            Format::Text(template) => template.write(record, out),
            Format::Json => json::write(record, out),
        }
        out.push(b'\n');
    }
}

#[cfg(test)]
mod tests;
