/** Streams of answers, taken apart while they come: lines of events, or Amazon's binary frames. */

export interface Pieces {
  /** The JSON values that are complete by now. */
  values: any[];
  /** What has come, to be read by people. */
  text: string;
}

/** Takes what comes of a stream; gives what is complete. */
export type Reader = (bytes: Uint8Array) => Pieces;

/** `data:` lines, as all but Bedrock send them. */
export function lines(): Reader {
  const decoder = new TextDecoder();
  let rest = '';
  return (bytes) => {
    const text = decoder.decode(bytes, { stream: true });
    const values: any[] = [];
    rest += text;
    for (let end = rest.match(/\r?\n\r?\n/); end; end = rest.match(/\r?\n\r?\n/)) {
      const at = end.index ?? 0;
      const data = rest.slice(0, at).split(/\r?\n/).filter((line) => line.startsWith('data:')).map((line) => line.slice(5).trim()).join('\n');
      rest = rest.slice(at + end[0].length);
      try {
        if (data && data !== '[DONE]') values.push(JSON.parse(data));
      } catch {
        // What is no JSON is shown as it came.
      }
    }
    return { values, text };
  };
}

/** The header of a frame that is a text (type 7); other types are passed over. */
function headers(view: DataView, from: number, to: number): Record<string, string> {
  const found: Record<string, string> = {};
  const text = (at: number, length: number) => new TextDecoder().decode(new Uint8Array(view.buffer, view.byteOffset + at, length));
  const sizes = [0, 0, 1, 2, 4, 8, -1, -1, 8, 16];
  for (let at = from; at < to; ) {
    const name = text(at + 1, view.getUint8(at));
    at += 1 + view.getUint8(at);
    const type = view.getUint8(at++);
    let size = sizes[type] ?? 0;
    if (size < 0) {
      size = view.getUint16(at);
      at += 2;
    }
    if (type === 7) found[name] = text(at, size);
    at += size;
  }
  return found;
}

/** Frames of `application/vnd.amazon.eventstream`: lengths, headers, payload. Each gives `{<kind of event>: payload}`. */
export function frames(): Reader {
  let rest = new Uint8Array(0);
  return (bytes) => {
    const joined = new Uint8Array(rest.length + bytes.length);
    joined.set(rest);
    joined.set(bytes, rest.length);
    rest = joined;
    const values: any[] = [];
    let text = '';
    for (;;) {
      if (rest.length < 16) break;
      const view = new DataView(rest.buffer, rest.byteOffset, rest.length);
      const [total, head] = [view.getUint32(0), view.getUint32(4)];
      if (total < 16 || head > total - 16) {
        text += '(this is no frame)\n';
        rest = new Uint8Array(0);
        break;
      }
      if (rest.length < total) break;
      const said = headers(view, 12, 12 + head);
      const payload = new TextDecoder().decode(rest.slice(12 + head, total - 4));
      const kind = said[':event-type'] ?? said[':exception-type'] ?? said[':error-code'] ?? 'frame';
      text += `${said[':message-type'] ?? 'event'} ${kind}\n${payload}\n\n`;
      rest = rest.slice(total);
      try {
        const value = JSON.parse(payload);
        values.push(said[':event-type'] ? { [kind]: value } : { error: { type: kind, ...value } });
      } catch {
        // What is no JSON is shown as it came.
      }
    }
    return { values, text };
  };
}
