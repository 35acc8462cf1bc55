/** Result files whose name ends in .gz are gzipped, as every reader of ours expects of that name. */
import { once } from 'node:events'
import { createGzip } from 'node:zlib'
import { type OutputOptions, type Write, writeOutput } from './output-file.js'

/** As {@link writeOutput}, gzipped if the name ends in .gz. Throws the same errors. */
export function writePackedOutput<Result>(
  path: string,
  doing: string,
  work: (write: Write, signal: AbortSignal) => Promise<Result>,
  options: OutputOptions = {},
): Promise<Result> {
  if (!/\.gz$/i.test(path)) return writeOutput(path, doing, work, options)
  return writeOutput(path, doing, (write, signal) => packed(write, (pack) => work(pack, signal)), options)
}

async function packed<Result>(write: Write, work: (pack: Write) => Promise<Result>): Promise<Result> {
  const gzip = createGzip()
  const copied = (async () => {
    for await (const piece of gzip) await write(piece as Buffer)
  })()
  // Whoever packs on learns of it.
  copied.catch(() => {})
  const pack: Write = async (content) => {
    if (gzip.destroyed) await copied
    else if (!gzip.write(content)) await Promise.race([copied, once(gzip, 'drain')])
  }
  try {
    const result = await work(pack)
    gzip.end()
    await copied
    return result
  } finally {
    gzip.destroy()
  }
}
