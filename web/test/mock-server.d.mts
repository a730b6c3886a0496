export interface Mock {
  url: string;
  cut(): void;
  close(): void;
}
export function startMock(port?: number): Promise<Mock>;
/** The WebSocket of the `ws` package: Node has none of its own before version 22. */
export const WebSocket: unknown;
