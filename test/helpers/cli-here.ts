import { main } from '../../lib/cli/main.js'

/** The command line in this process: quicker than a process of its own, for commands that end by themselves. */
export async function runHere(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const before = [process.stdout.write, process.stderr.write] as const
  let [stdout, stderr] = ['', '']
  process.stdout.write = ((text: string) => {
    stdout += text
    return true
  }) as typeof process.stdout.write
  process.stderr.write = ((text: string) => {
    stderr += text
    return true
  }) as typeof process.stderr.write
  try {
    await main(['node', 'stratabert', ...args])
    return { code: Number(process.exitCode ?? 0), stdout, stderr }
  } finally {
    ;[process.stdout.write, process.stderr.write] = before
    process.exitCode = undefined
  }
}
