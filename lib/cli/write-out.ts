import { once } from 'node:events'
import { type Write, writeOutput } from '../output-file.js'

/**
 * Hands out a writer that respects back-pressure; `-` is stdout, else see {@link writeOutput}.
 *
 * @param what what is written, for errors: `the vectors`
 */
export function writeOut(output: string, what: string, work: (write: Write) => Promise<void>): Promise<void> {
  if (output !== '-') return writeOutput(output, `write ${what}`, work)
  return work(async (text) => {
    if (!process.stdout.write(text)) await once(process.stdout, 'drain')
  })
}
