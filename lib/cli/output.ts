import { StrataError } from '../errors.js'

/** One JSON document on stdout. Numbers that JSON lacks (NaN, Infinity) become null; typed arrays become lists. */
export function printJson(value: unknown): void {
  process.stdout.write(plainJson(value))
}

/** As {@link printJson} prints it. */
export function plainJson(value: unknown): string {
  const plain = (_: string, inner: unknown) => (ArrayBuffer.isView(inner) ? [...(inner as Float32Array)] : inner)
  return `${JSON.stringify(value, plain, 2)}\n`
}

export function printLines(lines: readonly string[]): void {
  process.stdout.write(`${lines.join('\n')}\n`)
}

/** For the person at the terminal; stdout stays free for results. */
export function note(text: string): void {
  process.stderr.write(`note: ${text}\n`)
}

/** Tells what is going on: one line rewritten on a terminal, else a line every few seconds. Silent during the first second. */
export function progressNotes(): { say: (line: string) => void; done: () => void } {
  const inPlace = process.stderr.isTTY === true
  const started = Date.now()
  let last = 0
  let shown = false
  return {
    say(line) {
      const now = Date.now()
      if (now - started < 1000 || now - last < (inPlace ? 100 : 5000)) return
      last = now
      process.stderr.write(inPlace ? `\r\x1b[K${line.slice(0, (process.stderr.columns ?? 120) - 1)}` : `${line}\n`)
      shown = inPlace
    },
    done() {
      if (shown) process.stderr.write('\r\x1b[K')
      shown = false
    },
  }
}

/** Names of tensors, tasks and files come from elsewhere: none of them gets to steer the terminal. */
function printable(text: string): string {
  return text.replace(/\p{Cc}/gu, (sign) =>
    sign === '\n' || sign === '\t' ? sign : `\\x${sign.charCodeAt(0).toString(16).padStart(2, '0')}`,
  )
}

/** How any error is told: `error[CODE]: message`, exit code 2 when the request was wrong, else 1. */
export function reportError(error: unknown): 1 | 2 {
  if (error instanceof StrataError) {
    process.stderr.write(`error[${error.code}]: ${printable(error.message)}\n`)
    return error.exitCode
  }
  const unexpected = error instanceof Error ? (error.stack ?? error.message) : String(error)
  process.stderr.write(`error[NATIVE_ERROR]: unexpected failure, please report it: ${unexpected}\n`)
  return 1
}
