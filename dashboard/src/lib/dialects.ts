/** How a chat is said in each dialect, and what its answers say. */

export interface Call {
  id: string;
  name: string;
  /** JSON, as far as it has come. */
  input: string;
  /** What the model wants back beside its call. */
  extra?: Record<string, unknown>;
}
export type Turn =
  | { role: 'user'; text: string }
  | { role: 'assistant'; text: string; calls: Call[] }
  | { role: 'tool'; results: { id: string; name: string; text: string }[] };
export interface Tool { name: string; description?: string; parameters?: unknown }
export interface Chat { model: string; system: string; turns: Turn[]; tools: Tool[]; stream: boolean; maxTokens: number; temperature: number | null }
export interface Said { path: string; body: Record<string, unknown>; headers: Record<string, string> }
export interface Heard { text: string; calls: Call[]; wrong: string }

export interface Dialect {
  id: string;
  name: string;
  say(chat: Chat): Said;
  /** Takes one JSON value of an answer, whole or a piece of a stream. */
  hear(value: any, heard: Heard): void;
}

const tune = (chat: Chat, names: [string, string]) => ({
  ...(chat.maxTokens ? { [names[0]]: chat.maxTokens } : {}),
  ...(chat.temperature != null ? { [names[1]]: chat.temperature } : {}),
});
const text = (input: unknown) => (typeof input === 'string' ? input : JSON.stringify(input ?? {}));
/** A call's input as an object, for dialects that have it so. */
function object(input: string): unknown {
  try {
    return JSON.parse(input || '{}');
  } catch {
    return { input };
  }
}
function call(heard: Heard, id: unknown, name: unknown, input: unknown, extra?: Record<string, unknown>) {
  heard.calls.push({ id: String(id ?? `call_${heard.calls.length + 1}`), name: String(name), input: text(input ?? ''), extra });
}
/** Input that comes piece by piece belongs to the last call, or to the one that is named. */
function more(heard: Heard, piece: unknown, at = heard.calls.length - 1) {
  if (heard.calls[at] && typeof piece === 'string') heard.calls[at].input += piece;
}
/** Some providers say what went wrong in the middle of an answer. */
export function wrong(value: any): string {
  const error = value?.error ?? value?.response?.error;
  if (!error) return '';
  return typeof error === 'string' ? error : String(error.message ?? JSON.stringify(error));
}
const functions = (chat: Chat) => (chat.tools.length ? { tools: chat.tools.map((tool) => ({ type: 'function', function: tool })) } : {});
const chatCalls = (calls: Call[]) => (calls.length ? { tool_calls: calls.map((one) => ({ id: one.id, type: 'function', function: { name: one.name, arguments: one.input || '{}' } })) } : {});

export const dialects: Dialect[] = [
  {
    id: 'openai_chat',
    name: 'OpenAI Chat',
    say: (chat) => ({
      path: '/v1/chat/completions',
      headers: {},
      body: {
        model: chat.model,
        messages: [
          ...(chat.system ? [{ role: 'system', content: chat.system }] : []),
          ...chat.turns.flatMap((turn): unknown[] => {
            if (turn.role === 'tool') return turn.results.map((one) => ({ role: 'tool', tool_call_id: one.id, content: one.text }));
            if (turn.role === 'assistant') return [{ role: 'assistant', content: turn.text || null, ...chatCalls(turn.calls) }];
            return [{ role: 'user', content: turn.text }];
          }),
        ],
        ...(chat.stream ? { stream: true, stream_options: { include_usage: true } } : {}),
        ...functions(chat),
        ...tune(chat, ['max_completion_tokens', 'temperature']),
      },
    }),
    hear(value, heard) {
      for (const choice of value.choices ?? []) {
        const part = choice.delta ?? choice.message ?? {};
        if (typeof part.content === 'string') heard.text += part.content;
        for (const one of part.tool_calls ?? []) {
          if (one.function?.name) call(heard, one.id, one.function.name, one.function.arguments ?? '');
          else more(heard, one.function?.arguments, one.index);
        }
      }
    },
  },
  {
    id: 'openai_responses',
    name: 'OpenAI Responses',
    say: (chat) => ({
      path: '/v1/responses',
      headers: {},
      body: {
        model: chat.model,
        ...(chat.system ? { instructions: chat.system } : {}),
        input: chat.turns.flatMap((turn): unknown[] => {
          if (turn.role === 'tool') return turn.results.map((one) => ({ type: 'function_call_output', call_id: one.id, output: one.text }));
          if (turn.role === 'user') return [{ role: 'user', content: turn.text }];
          return [...(turn.text ? [{ role: 'assistant', content: turn.text }] : []), ...turn.calls.map((one) => ({ type: 'function_call', call_id: one.id, name: one.name, arguments: one.input || '{}' }))];
        }),
        store: false,
        ...(chat.stream ? { stream: true } : {}),
        ...(chat.tools.length ? { tools: chat.tools.map((tool) => ({ type: 'function', ...tool })) } : {}),
        ...tune(chat, ['max_output_tokens', 'temperature']),
      },
    }),
    hear(value, heard) {
      const item = value.item;
      if (value.type === 'response.output_text.delta') heard.text += value.delta ?? '';
      else if (value.type === 'response.output_item.added' && item?.type === 'function_call') call(heard, item.call_id, item.name, '');
      else if (value.type === 'response.function_call_arguments.delta') more(heard, value.delta);
      else if (value.type === 'response.output_item.done' && item?.type === 'function_call') {
        const known = heard.calls.find((one) => one.id === item.call_id);
        if (known) known.input = text(item.arguments);
        else call(heard, item.call_id, item.name, item.arguments);
      } else if (value.object === 'response') {
        for (const one of value.output ?? []) {
          if (one.type === 'function_call') call(heard, one.call_id, one.name, one.arguments);
          for (const part of one.content ?? []) if (part.type === 'output_text') heard.text += part.text;
        }
      }
    },
  },
  {
    id: 'anthropic_messages',
    name: 'Anthropic',
    say: (chat) => ({
      path: '/v1/messages',
      headers: { 'anthropic-version': '2023-06-01' },
      body: {
        model: chat.model,
        max_tokens: chat.maxTokens || 1024,
        ...(chat.system ? { system: chat.system } : {}),
        messages: chat.turns.map((turn) => {
          if (turn.role === 'tool') return { role: 'user', content: turn.results.map((one) => ({ type: 'tool_result', tool_use_id: one.id, content: one.text })) };
          if (turn.role === 'user' || !turn.calls.length) return { role: turn.role, content: turn.text };
          return { role: 'assistant', content: [...(turn.text ? [{ type: 'text', text: turn.text }] : []), ...turn.calls.map((one) => ({ type: 'tool_use', id: one.id, name: one.name, input: object(one.input) }))] };
        }),
        ...(chat.stream ? { stream: true } : {}),
        ...(chat.tools.length ? { tools: chat.tools.map((tool) => ({ name: tool.name, description: tool.description, input_schema: tool.parameters ?? { type: 'object' } })) } : {}),
        ...(chat.temperature != null ? { temperature: chat.temperature } : {}),
      },
    }),
    hear(value, heard) {
      if (value.type === 'content_block_delta') {
        if (value.delta?.text) heard.text += value.delta.text;
        more(heard, value.delta?.partial_json);
      } else if (value.type === 'content_block_start' && value.content_block?.type === 'tool_use') call(heard, value.content_block.id, value.content_block.name, '');
      else if (value.type === 'message') {
        for (const part of value.content ?? []) {
          if (part.type === 'text') heard.text += part.text;
          if (part.type === 'tool_use') call(heard, part.id, part.name, part.input);
        }
      }
    },
  },
  {
    id: 'gemini_generate',
    name: 'Gemini',
    say: (chat) => ({
      path: `/v1beta/models/${encodeURIComponent(chat.model)}:${chat.stream ? 'streamGenerateContent?alt=sse' : 'generateContent'}`,
      headers: {},
      body: {
        ...(chat.system ? { systemInstruction: { parts: [{ text: chat.system }] } } : {}),
        contents: chat.turns.map((turn) => {
          if (turn.role === 'tool') return { role: 'user', parts: turn.results.map((one) => ({ functionResponse: { name: one.name, response: { result: one.text } } })) };
          if (turn.role === 'user') return { role: 'user', parts: [{ text: turn.text }] };
          return { role: 'model', parts: [...(turn.text ? [{ text: turn.text }] : []), ...turn.calls.map((one) => ({ functionCall: { name: one.name, args: object(one.input) }, ...one.extra }))] };
        }),
        ...(chat.tools.length ? { tools: [{ functionDeclarations: chat.tools }] } : {}),
        ...(chat.maxTokens || chat.temperature != null ? { generationConfig: tune(chat, ['maxOutputTokens', 'temperature']) } : {}),
      },
    }),
    hear(value, heard) {
      for (const part of value.candidates?.[0]?.content?.parts ?? []) {
        if (typeof part.text === 'string' && !part.thought) heard.text += part.text;
        if (part.functionCall) call(heard, part.functionCall.id, part.functionCall.name, part.functionCall.args, part.thoughtSignature ? { thoughtSignature: part.thoughtSignature } : undefined);
      }
    },
  },
  {
    id: 'bedrock_converse',
    name: 'Bedrock Converse',
    say: (chat) => ({
      path: `/model/${encodeURIComponent(chat.model)}/converse${chat.stream ? '-stream' : ''}`,
      headers: {},
      body: {
        ...(chat.system ? { system: [{ text: chat.system }] } : {}),
        messages: chat.turns.map((turn) => {
          if (turn.role === 'tool') return { role: 'user', content: turn.results.map((one) => ({ toolResult: { toolUseId: one.id, content: [{ text: one.text }] } })) };
          if (turn.role === 'user') return { role: 'user', content: [{ text: turn.text }] };
          return { role: 'assistant', content: [...(turn.text ? [{ text: turn.text }] : []), ...turn.calls.map((one) => ({ toolUse: { toolUseId: one.id, name: one.name, input: object(one.input) } }))] };
        }),
        ...(chat.tools.length ? { toolConfig: { tools: chat.tools.map((tool) => ({ toolSpec: { name: tool.name, description: tool.description, inputSchema: { json: tool.parameters ?? { type: 'object' } } } })) } } : {}),
        ...(chat.maxTokens || chat.temperature != null ? { inferenceConfig: tune(chat, ['maxTokens', 'temperature']) } : {}),
      },
    }),
    hear(value, heard) {
      for (const part of value.output?.message?.content ?? []) {
        if (part.text) heard.text += part.text;
        if (part.toolUse) call(heard, part.toolUse.toolUseId, part.toolUse.name, part.toolUse.input);
      }
      const begun = value.contentBlockStart?.start?.toolUse;
      if (begun) call(heard, begun.toolUseId, begun.name, '');
      const delta = value.contentBlockDelta?.delta;
      if (delta?.text) heard.text += delta.text;
      more(heard, delta?.toolUse?.input);
    },
  },
  {
    id: 'cohere_chat',
    name: 'Cohere',
    say: (chat) => ({
      path: '/v2/chat',
      headers: {},
      body: {
        model: chat.model,
        messages: [
          ...(chat.system ? [{ role: 'system', content: chat.system }] : []),
          ...chat.turns.flatMap((turn): unknown[] => {
            if (turn.role === 'tool') return turn.results.map((one) => ({ role: 'tool', tool_call_id: one.id, content: one.text }));
            if (turn.role === 'user') return [{ role: 'user', content: turn.text }];
            return [{ role: 'assistant', ...(turn.text || !turn.calls.length ? { content: turn.text } : {}), ...chatCalls(turn.calls) }];
          }),
        ],
        ...(chat.stream ? { stream: true } : {}),
        ...functions(chat),
        ...tune(chat, ['max_tokens', 'temperature']),
      },
    }),
    hear(value, heard) {
      const one = value.delta?.message?.tool_calls;
      if (value.type === 'content-delta') heard.text += value.delta?.message?.content?.text ?? '';
      else if (value.type === 'tool-call-start') call(heard, one?.id, one?.function?.name, one?.function?.arguments ?? '');
      else if (value.type === 'tool-call-delta') more(heard, one?.function?.arguments);
      else if (value.message && value.finish_reason) {
        for (const part of value.message.content ?? []) if (part.type === 'text') heard.text += part.text;
        for (const part of value.message.tool_calls ?? []) call(heard, part.id, part.function?.name, part.function?.arguments);
      }
    },
  },
];
