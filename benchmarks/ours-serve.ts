/** Our side of the serving benchmark: an encoder at its defaults, behind the same command loop as the peers. */
import { Encoder, type EncoderOptions } from '../lib/inference/index.js'

async function main(): Promise<void> {
  const { programArguments, serve } = await import('./peers/serve/protocol.mjs')
  const { texts, threads, folder } = programArguments()
  const open = async ({ precision }: Pick<EncoderOptions, 'precision'>) => {
    const encoder = await Encoder.load(folder, { device: 'cpu', precision, threads })
    return async (list: string[]) => (await encoder.embed(list, { normalize: true })).vectors
  }
  await serve(open, { texts })
}

main().catch((error) => {
  console.error(error)
  process.exitCode = 1
})
