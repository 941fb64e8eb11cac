//! Names of Anthropic Messages.

use super::Member;

pub(super) fn option(name: &'static str) -> &'static str {
    match name {
        "stop" => "stop_sequences",
        "response_format" => "output_config.format",
        "response_format.json_schema.schema" => "output_config.format.schema",
        "reasoning_effort" => "output_config.effort",
        "user" => "metadata.user_id",
        "parallel_tool_calls" => "tool_choice.disable_parallel_tool_use",
        name => name,
    }
}

pub(super) const fn member(member: Member) -> &'static str {
    match member {
        Member::ToolName | Member::CallName => "name",
        Member::ToolSchema => "input_schema",
        Member::CallArguments => "input",
        Member::ResultId => "tool_use_id",
        Member::ResultFailed => "is_error",
        Member::MediaSource => "source",
        Member::MediaName => "title",
        Member::MediaDetail => "detail",
    }
}
