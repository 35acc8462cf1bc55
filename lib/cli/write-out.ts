import { once } from 'node:events'
import type { Write } from '../output-file.js'
import { writePackedOutput } from '../packed-output.js'

/**
 * Hands out a writer that respects back-pressure; `-` is stdout, else see {@link writePackedOutput}.
 *
 * @param what what is written, for errors: `the vectors`
 */
export function writeOut(output: string, what: string, work: (write: Write) => Promise<void>): Promise<void> {
  if (output !== '-') return writePackedOutput(output, `write ${what}`, work)
  return work(async (text) => {
    if (!process.stdout.write(text)) await once(process.stdout, 'drain')
  })
}
