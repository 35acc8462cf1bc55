export interface ProgramArguments {
  texts: string
  threads: number
  folder: string
}
export function programArguments(list?: readonly string[]): ProgramArguments
export function serve<Setting>(
  open: (setting: Setting) => Promise<(texts: string[]) => Promise<Float32Array[]>>,
  options: { texts: string; facts?: Record<string, unknown> },
): Promise<void>
