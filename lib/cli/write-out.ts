import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { rename, rm } from 'node:fs/promises'
import type { Writable } from 'node:stream'
import { fileError } from '../errors.js'

/**
 * Hands out a writer that respects back-pressure; `-` is stdout. A file appears under its name only when it is whole.
 *
 * @param what what is written, for errors: `the vectors`
 */
export async function writeOut(
  output: string,
  what: string,
  work: (write: (text: string) => Promise<void>) => Promise<void>,
): Promise<void> {
  const write = (stream: Writable) => async (text: string) => {
    if (!stream.write(text)) await once(stream, 'drain')
  }
  if (output === '-') return work(write(process.stdout))
  const part = `${output}.part`
  const file = createWriteStream(part)
  const failed = new Promise<never>((_, reject) =>
    file.once('error', (error) => reject(fileError(error, output, `write ${what}`))),
  )
  failed.catch(() => {})
  try {
    await Promise.race([failed, work(write(file))])
    file.end()
    await Promise.race([failed, once(file, 'close')])
    await rename(part, output)
  } catch (error) {
    file.destroy()
    await rm(part, { force: true })
    throw error
  }
}
