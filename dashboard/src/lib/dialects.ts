/** How a chat is said in each dialect, and what its answers say. */

export interface Turn { role: 'user' | 'assistant'; text: string }
export interface Tool { name: string; description?: string; parameters?: unknown }
export interface Chat { model: string; system: string; turns: Turn[]; tools: Tool[]; stream: boolean; maxTokens: number; temperature: number | null }
export interface Said { path: string; body: Record<string, unknown>; headers: Record<string, string> }
export interface Heard { text: string; calls: string[] }

export interface Dialect {
  id: string;
  name: string;
  streams: boolean;
  say(chat: Chat): Said;
  /** Takes one JSON value of an answer, whole or a piece of a stream. */
  hear(value: any, heard: Heard): void;
}

const tune = (chat: Chat, names: [string, string]) => ({
  ...(chat.maxTokens ? { [names[0]]: chat.maxTokens } : {}),
  ...(chat.temperature != null ? { [names[1]]: chat.temperature } : {}),
});
const call = (heard: Heard, name: unknown, input: unknown) => {
  heard.calls.push(`${String(name)}(${typeof input === 'string' ? input : JSON.stringify(input ?? {})})`);
};
/** Arguments of a call that come piece by piece are put behind its name. */
const more = (heard: Heard, piece: unknown) => {
  const last = heard.calls.length - 1;
  if (last >= 0 && typeof piece === 'string') heard.calls[last] = heard.calls[last].replace(/\)$/, '') + piece + ')';
};

export const dialects: Dialect[] = [
  {
    id: 'openai_chat',
    name: 'OpenAI Chat',
    streams: true,
    say: (chat) => ({
      path: '/v1/chat/completions',
      headers: {},
      body: {
        model: chat.model,
        messages: [...(chat.system ? [{ role: 'system', content: chat.system }] : []), ...chat.turns.map((turn) => ({ role: turn.role, content: turn.text }))],
        ...(chat.stream ? { stream: true, stream_options: { include_usage: true } } : {}),
        ...(chat.tools.length ? { tools: chat.tools.map((tool) => ({ type: 'function', function: tool })) } : {}),
        ...tune(chat, ['max_completion_tokens', 'temperature']),
      },
    }),
    hear(value, heard) {
      for (const choice of value.choices ?? []) {
        const part = choice.delta ?? choice.message ?? {};
        if (typeof part.content === 'string') heard.text += part.content;
        for (const one of part.tool_calls ?? []) {
          if (one.function?.name) call(heard, one.function.name, one.function.arguments ?? '');
          else more(heard, one.function?.arguments);
        }
      }
    },
  },
  {
    id: 'openai_responses',
    name: 'OpenAI Responses',
    streams: true,
    say: (chat) => ({
      path: '/v1/responses',
      headers: {},
      body: {
        model: chat.model,
        ...(chat.system ? { instructions: chat.system } : {}),
        input: chat.turns.map((turn) => ({ role: turn.role, content: turn.text })),
        store: false,
        ...(chat.stream ? { stream: true } : {}),
        ...(chat.tools.length ? { tools: chat.tools.map((tool) => ({ type: 'function', ...tool })) } : {}),
        ...tune(chat, ['max_output_tokens', 'temperature']),
      },
    }),
    hear(value, heard) {
      if (value.type === 'response.output_text.delta') heard.text += value.delta ?? '';
      else if (value.type === 'response.output_item.done' && value.item?.type === 'function_call') call(heard, value.item.name, value.item.arguments);
      else if (value.object === 'response') {
        for (const item of value.output ?? []) {
          if (item.type === 'function_call') call(heard, item.name, item.arguments);
          for (const part of item.content ?? []) if (part.type === 'output_text') heard.text += part.text;
        }
      }
    },
  },
  {
    id: 'anthropic_messages',
    name: 'Anthropic',
    streams: true,
    say: (chat) => ({
      path: '/v1/messages',
      headers: { 'anthropic-version': '2023-06-01' },
      body: {
        model: chat.model,
        max_tokens: chat.maxTokens || 1024,
        ...(chat.system ? { system: chat.system } : {}),
        messages: chat.turns.map((turn) => ({ role: turn.role, content: turn.text })),
        ...(chat.stream ? { stream: true } : {}),
        ...(chat.tools.length ? { tools: chat.tools.map((tool) => ({ name: tool.name, description: tool.description, input_schema: tool.parameters ?? { type: 'object' } })) } : {}),
        ...(chat.temperature != null ? { temperature: chat.temperature } : {}),
      },
    }),
    hear(value, heard) {
      if (value.type === 'content_block_delta') {
        if (value.delta?.text) heard.text += value.delta.text;
        more(heard, value.delta?.partial_json);
      } else if (value.type === 'content_block_start' && value.content_block?.type === 'tool_use') call(heard, value.content_block.name, '');
      else if (value.type === 'message') {
        for (const part of value.content ?? []) {
          if (part.type === 'text') heard.text += part.text;
          if (part.type === 'tool_use') call(heard, part.name, part.input);
        }
      }
    },
  },
  {
    id: 'gemini_generate',
    name: 'Gemini',
    streams: true,
    say: (chat) => ({
      path: `/v1beta/models/${encodeURIComponent(chat.model)}:${chat.stream ? 'streamGenerateContent?alt=sse' : 'generateContent'}`,
      headers: {},
      body: {
        ...(chat.system ? { systemInstruction: { parts: [{ text: chat.system }] } } : {}),
        contents: chat.turns.map((turn) => ({ role: turn.role === 'assistant' ? 'model' : 'user', parts: [{ text: turn.text }] })),
        ...(chat.tools.length ? { tools: [{ functionDeclarations: chat.tools }] } : {}),
        ...(chat.maxTokens || chat.temperature != null ? { generationConfig: tune(chat, ['maxOutputTokens', 'temperature']) } : {}),
      },
    }),
    hear(value, heard) {
      for (const part of value.candidates?.[0]?.content?.parts ?? []) {
        if (typeof part.text === 'string' && !part.thought) heard.text += part.text;
        if (part.functionCall) call(heard, part.functionCall.name, part.functionCall.args);
      }
    },
  },
  {
    id: 'bedrock_converse',
    name: 'Bedrock Converse',
    streams: false,
    say: (chat) => ({
      path: `/model/${encodeURIComponent(chat.model)}/converse`,
      headers: {},
      body: {
        ...(chat.system ? { system: [{ text: chat.system }] } : {}),
        messages: chat.turns.map((turn) => ({ role: turn.role, content: [{ text: turn.text }] })),
        ...(chat.tools.length ? { toolConfig: { tools: chat.tools.map((tool) => ({ toolSpec: { name: tool.name, description: tool.description, inputSchema: { json: tool.parameters ?? { type: 'object' } } } })) } } : {}),
        ...(chat.maxTokens || chat.temperature != null ? { inferenceConfig: tune(chat, ['maxTokens', 'temperature']) } : {}),
      },
    }),
    hear(value, heard) {
      for (const part of value.output?.message?.content ?? []) {
        if (part.text) heard.text += part.text;
        if (part.toolUse) call(heard, part.toolUse.name, part.toolUse.input);
      }
    },
  },
  {
    id: 'cohere_chat',
    name: 'Cohere',
    streams: true,
    say: (chat) => ({
      path: '/v2/chat',
      headers: {},
      body: {
        model: chat.model,
        messages: [...(chat.system ? [{ role: 'system', content: chat.system }] : []), ...chat.turns.map((turn) => ({ role: turn.role, content: turn.text }))],
        ...(chat.stream ? { stream: true } : {}),
        ...(chat.tools.length ? { tools: chat.tools.map((tool) => ({ type: 'function', function: tool })) } : {}),
        ...tune(chat, ['max_tokens', 'temperature']),
      },
    }),
    hear(value, heard) {
      if (value.type === 'content-delta') heard.text += value.delta?.message?.content?.text ?? '';
      else if (value.type === 'tool-call-start') call(heard, value.delta?.message?.tool_calls?.function?.name, value.delta?.message?.tool_calls?.function?.arguments ?? '');
      else if (value.type === 'tool-call-delta') more(heard, value.delta?.message?.tool_calls?.function?.arguments);
      else if (value.message?.content) {
        for (const part of value.message.content) if (part.type === 'text') heard.text += part.text;
        for (const one of value.message.tool_calls ?? []) call(heard, one.function?.name, one.function?.arguments);
      }
    },
  },
];

/** Takes whole events out of what has come of a stream; gives what is left. */
export function events(text: string, on: (value: any) => void): string {
  let rest = text;
  for (;;) {
    const end = rest.match(/\r?\n\r?\n/);
    if (!end || end.index === undefined) return rest;
    const data = rest.slice(0, end.index).split(/\r?\n/).filter((line) => line.startsWith('data:')).map((line) => line.slice(5).trim()).join('\n');
    rest = rest.slice(end.index + end[0].length);
    if (data && data !== '[DONE]') {
      try {
        on(JSON.parse(data));
      } catch {
        // What is no JSON is shown as it came.
      }
    }
  }
}
