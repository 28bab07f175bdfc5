/** What the renderer asks of its host: the model of anywidget's front-end modules, and of the JupyterLab panel. */
export interface IModel {
  get(name: string): unknown;
  set(name: string, value: unknown): void;
  save_changes(): void;
  on(event: string, callback: () => void): void;
  off(event: string, callback: () => void): void;
  send(content: unknown): void;
}
