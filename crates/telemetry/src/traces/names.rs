//! Our names of things in the words of OpenTelemetry's conventions for generative AI.
//! <https://github.com/open-telemetry/semantic-conventions-genai>

/// A provider by its well-known name, if it has one.
pub(super) fn provider(name: &str) -> &str {
    match name {
        "azure" | "azure-openai" => "azure.ai.openai",
        "bedrock" => "aws.bedrock",
        "gemini" => "gcp.gemini",
        "mistral" => "mistral_ai",
        "vertex" | "vertex-ai" => "gcp.vertex_ai",
        "xai" => "x_ai",
        // Those that have one have ours.
        other => other,
    }
}

/// The version of HTTP, of the protocol as nginx writes it.
pub(super) fn http_version(protocol: &str) -> &str {
    match protocol.strip_prefix("HTTP/").unwrap_or(protocol) {
        "2.0" => "2",
        version => version,
    }
}

/// Host and port of `host:port`, with or without brackets and port.
pub(super) fn host_and_port(authority: &str) -> (&str, Option<u16>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
            let host = host.trim_start_matches('[').trim_end_matches(']');
            (host, port.parse().ok())
        }
        _ => (authority.trim_start_matches('[').trim_end_matches(']'), None),
    }
}

/// The path of a path with a query. The query is left out: some dialects have keys there.
pub(super) fn path(uri: &str) -> &str {
    uri.split_once('?').map_or(uri, |(path, _)| path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_told_from_ports() {
        assert_eq!(host_and_port("api.openai.com:443"), ("api.openai.com", Some(443)));
        assert_eq!(host_and_port("api.openai.com"), ("api.openai.com", None));
        assert_eq!(host_and_port("[::1]:8080"), ("::1", Some(8080)));
        assert_eq!(host_and_port("[::1]"), ("::1", None));
        assert_eq!(host_and_port("::1"), ("::1", None));
    }

    #[test]
    fn a_key_in_a_query_is_not_part_of_the_path() {
        assert_eq!(
            path("/v1beta/models/m:generateContent?key=secret"),
            "/v1beta/models/m:generateContent"
        );
        assert_eq!(path("/v1"), "/v1");
    }
}
