// Parsing an event stream (WHATWG HTML, 9.2.6). The browser's own EventSource
// hides the status of an answer, and with it 401 and Retry-After, and
// reconnects when it likes. So we fetch the stream and parse it here.

export interface ServerEvent {
  name: string;
  data: string;
  /**
   * The last id in the stream, from this event or an earlier one; empty if
   * there was no id.
   */
  id: string;
}

/** SseParser turns chunks of text, cut at any place, into events. */
export class SseParser {
  /** Milliseconds to wait before reconnecting, if the stream said so. */
  retry: number | null = null;
  private rest = "";
  private id = "";
  private name = "";
  private data: string[] = [];
  private cr = false;

  push(chunk: string): ServerEvent[] {
    // A line ends in \n, \r or \r\n. The \n of the last line may come with the
    // next chunk.
    if (this.cr && chunk.startsWith("\n")) chunk = chunk.slice(1);
    if (chunk === "") return [];
    this.cr = chunk.endsWith("\r");
    const lines = (this.rest + chunk).split(/\r\n|\n|\r/);
    this.rest = lines.pop() ?? "";
    const events: ServerEvent[] = [];
    for (const line of lines) this.line(line, events);
    return events;
  }

  private line(line: string, events: ServerEvent[]): void {
    if (line === "") {
      if (this.data.length > 0) events.push({ name: this.name || "message", data: this.data.join("\n"), id: this.id });
      this.name = "";
      this.data = [];
      return;
    }
    const colon = line.indexOf(":");
    if (colon === 0) return; // a comment
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1);
    if (field === "event") this.name = value;
    else if (field === "data") this.data.push(value);
    else if (field === "id" && !value.includes("\0")) this.id = value;
    else if (field === "retry" && /^\d+$/.test(value)) this.retry = Number(value);
  }
}
