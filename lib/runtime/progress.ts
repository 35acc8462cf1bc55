/** One line on a terminal that is written over, or a plain line every five seconds elsewhere. Goes to stderr: stdout belongs to results. */
export interface ProgressReport {
  /** What happens, e.g. `downloading torch 2.13.0`. */
  step: string
  doneBytes?: number
  totalBytes?: number
}

export type OnProgress = (report: ProgressReport) => void

const PLAIN_LINE_EVERY_MS = 5000

/** A printer for {@link OnProgress}; call `end()` before other text follows. */
export function progressPrinter(stream: NodeJS.WriteStream = process.stderr): { report: OnProgress; end(): void } {
  let lastStep = ''
  let lastTime = 0
  let open = false
  const report: OnProgress = ({ step, doneBytes, totalBytes }) => {
    const bytes =
      doneBytes === undefined
        ? ''
        : `: ${megabytes(doneBytes)}${totalBytes ? ` of ${megabytes(totalBytes)} MB` : ' MB'}`
    if (stream.isTTY) {
      if (step !== lastStep && open) stream.write('\n')
      stream.write(`\r\x1b[K${step}${bytes}`)
      open = true
    } else if (step !== lastStep || Date.now() - lastTime >= PLAIN_LINE_EVERY_MS) {
      stream.write(`${step}${bytes}\n`)
      lastTime = Date.now()
    }
    lastStep = step
  }
  const end = (): void => {
    if (open) stream.write('\n')
    open = false
  }
  return { report, end }
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(bytes < 1e8 ? 1 : 0)
}
