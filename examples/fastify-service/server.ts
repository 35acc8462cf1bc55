/**
 * An HTTP service over one encoder: vectors (also as OpenAI's clients ask for them), classes, masked words, answers, health, metrics,
 * and at / a page that shows what each layer predicts.
 *
 * Usage: npx tsx examples/fastify-service/server.ts CHECKPOINT [PORT]
 *   SIGHUP   loads CHECKPOINT anew (a run folder: its newest checkpoint) beside the old one and swaps them; no call fails
 *   SIGTERM  answers what has been asked, sends clients away for DRAIN_MS (default 1000), then ends
 */
import { basename, resolve } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { Encoder } from '../../lib/index.js' // yours: from 'stratabert'
import { createService } from './service.js'

async function main([checkpoint, port = '8080']: string[]): Promise<void> {
  const { HOST: host = '127.0.0.1', DRAIN_MS = '1000', MAX_QUEUE_TOKENS = '262144', THREADS } = process.env
  const encoder = await Encoder.load(checkpoint, {
    maxQueueTokens: Number(MAX_QUEUE_TOKENS),
    ...(THREADS && { threads: Number(THREADS) }),
    warmUp: true,
  })
  let draining = false
  const service = createService(encoder, { model: basename(resolve(checkpoint)), draining: () => draining })

  process.on('SIGHUP', () => {
    encoder.replace(checkpoint).then(
      () => console.log('checkpoint replaced'),
      (error) => console.error(`the old checkpoint goes on: ${error.message}`),
    )
  })
  const end = async () => {
    if (draining) return
    draining = true // the load balancer sees it in /healthz
    await pause(Number(DRAIN_MS))
    await service.close()
    console.log('ended')
  }
  process.on('SIGTERM', end).on('SIGINT', end)

  console.log(`listening at ${await service.listen({ host, port: Number(port) })}`)
}

main(process.argv.slice(2)).catch((error) => {
  console.error(error.message)
  process.exitCode = 1
})
